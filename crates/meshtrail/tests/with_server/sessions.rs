//! The command line against a running server, and against its store.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::server_process::{ServerProcess, command, json_lines, run, run_ok, wait_for};

pub(crate) const HEADER: &str = r#"{"version":2,"width":80,"height":24,"timestamp":1767225600,"command":"rm -rf \u001b]0;x\u0007 \u202e","srcNode":"laptop.tail.example","srcNodeID":"7","srcNodeUserID":3,"srcNodeUser":"alice@example.com","env":{"TERM":"xterm-256color"},"sshUser":"root","localUser":"root","connectionID":"c"}"#;

pub(crate) fn serve(folder: &Path) -> ServerProcess {
    let ports = ["--listen", "127.0.0.1:0", "--recorder-listen", "127.0.0.1:0"];
    ServerProcess::start(folder, &[&["serve"][..], &ports].concat())
}

impl ServerProcess {
    /// Uploads a whole recording by the older recorder protocol.
    pub(crate) fn record(&self, lines: &[&str]) {
        let address = self.ready["recorder_listen"][0].as_str().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!("POST /record HTTP/1.1\r\nHost: {address}\r\nTransfer-Encoding: chunked\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        for line in lines {
            stream.write_all(format!("{:x}\r\n{line}\n\r\n", line.len() + 1).as_bytes()).unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
}

pub(crate) fn ended_session(folder: &Path) -> Value {
    wait_for("the session ended", || {
        let listed = json_lines(&run_ok(folder, &["sessions", "list", "--state", "ended", "--json"]));
        // There is no event before the recording is sealed.
        listed.into_iter().find(|session| session["event"].is_string())
    })
}

#[test]
fn a_session_is_recorded_listed_exported_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let server = serve(folder);
    let lines = [HEADER, r#"[0.5,"o","hello\r\n"]"#];
    server.record(&lines);
    let session = ended_session(folder);
    let id = session["id"].as_str().unwrap();
    assert_eq!(session["actor"]["person"]["login"], "alice@example.com");

    let table = run_ok(folder, &["sessions", "list"]);
    let row = table.lines().nth(1).unwrap();
    assert!(row.contains(id) && row.contains("rm -rf ␛]0;x␇ \\u{202e}"), "{row}");
    let shown = run_ok(folder, &["sessions", "show", id]);
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown:?}");

    run_ok(folder, &["sessions", "export", id, "--output", "out.cast"]);
    assert_eq!(
        std::fs::read_to_string(folder.join("out.cast")).unwrap(),
        format!("{}\n{}\n", lines[0], lines[1])
    );
    assert_eq!(
        run_ok(folder, &["sessions", "export", id]),
        std::fs::read_to_string(folder.join("out.cast")).unwrap()
    );
    run_ok(folder, &["sessions", "export", id, "--pack", "--output", "pack.html"]);
    let head: Value = serde_json::from_str(&run_ok(folder, &["checkpoint", "--json"])).unwrap();
    let vkey = head["vkey"].as_str().unwrap();
    assert!(run_ok(folder, &["verify", "--offline", "pack.html", "--vkey", vkey]).contains("holds"));
    let anybody = command(folder).args(["verify", "--offline", "pack.html"]).output().unwrap();
    assert_eq!(anybody.status.code(), Some(3), "it holds, but nobody said whose it has to be");
    assert!(String::from_utf8_lossy(&anybody.stderr).contains(vkey));
    let changed = std::fs::read_to_string(folder.join("pack.html")).unwrap().replacen("hello", "jello", 1);
    std::fs::write(folder.join("changed.html"), changed + " ").unwrap();
    let changed = command(folder).args(["verify", "--offline", "changed.html"]).output().unwrap();
    assert_eq!(changed.status.code(), Some(1));

    let event = session["event"].as_str().unwrap();
    let verified = run_ok(folder, &["verify", id, event]);
    assert!(
        verified.contains("holds  checkpoint") && verified.contains(&format!("holds  session {id}")),
        "{verified}"
    );
    let note = run_ok(folder, &["checkpoint"]);
    std::fs::write(folder.join("older.note"), note).unwrap();
    run_ok(folder, &["tokens", "create", "--name", "ci", "--role", "viewer"]);
    assert!(run_ok(folder, &["verify", "--checkpoint", "older.note"]).contains("holds  older checkpoint"));
    assert!(run_ok(folder, &["proof", event, "--json"]).contains("\"type\":\"inclusion\""));
    assert!(run_ok(folder, &["proof", "--from", "1"]).contains("consistency"));
    let looked = json_lines(&run_ok(
        folder,
        &["events", "query", "kind:meshtrail.exported", "--json", "--order", "oldest"],
    ));
    let what: Vec<&str> = looked.iter().map(|event| event["detail"]["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["recording", "recording", "pack"]);
}

#[test]
fn events_are_followed_as_they_come_until_an_interrupt_which_is_no_error() {
    use std::io::BufRead as _;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let server = serve(folder);
    server.record(&[HEADER, r#"[0.5,"o","one\r\n"]"#]);
    ended_session(folder);
    let filter = r#"actor:alice@example.com kind:ssh.session.ended since:24h "rm -rf" -outcome:denied"#;
    let mut following = command(folder)
        .args(["events", "query", filter, "--follow", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(following.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    server.record(&[HEADER, r#"[0.5,"o","two\r\n"]"#]);
    let second: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(second["kind"], "ssh.session.ended");
    assert_ne!(first["id"], second["id"]);
    let id = following.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(following.wait().unwrap().code(), Some(0));
    assert!(lines.next().is_none(), "nothing came twice");
    server.stop("-TERM");
}

#[test]
fn the_store_is_read_and_verified_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let server = serve(folder);
    server.record(&[HEADER, r#"[0.5,"o","hello\r\n"]"#]);
    let session = ended_session(folder);
    let (id, event) = (session["id"].as_str().unwrap(), session["event"].as_str().unwrap());
    let log = server.stop("-TERM");
    assert_eq!(log.matches(" ready ").count(), 1, "{log}");
    assert!(!folder.join("meshtrail-data/local/server.json").exists());

    let listed = json_lines(&run_ok(folder, &["sessions", "list", "--json"]));
    assert_eq!(listed[0]["id"], id);
    let store = ["--store", "meshtrail-data"];
    let exported = run_ok(folder, &[&["sessions", "export", id][..], &store].concat());
    assert_eq!(exported, format!("{HEADER}\n[0.5,\"o\",\"hello\\r\\n\"]\n"));
    assert!(run_ok(folder, &[&["events", "show", event, "--json"][..], &store].concat()).contains(id));
    run_ok(folder, &["verify", id, event]);
    let whole = run_ok(folder, &["verify", "--all"]);
    assert!(
        whole.contains("holds  trail main") && whole.contains(&format!("holds  session {id}")),
        "{whole}"
    );
    let stopped = run_ok(folder, &["events", "query", "kind:meshtrail.stopped", "--json"]);
    assert_eq!(json_lines(&stopped).len(), 1);
}

#[test]
fn a_changed_recording_is_named_by_verify() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let server = serve(folder);
    server.record(&[HEADER, r#"[0.5,"o","hello\r\n"]"#]);
    let session = ended_session(folder);
    let id = session["id"].as_str().unwrap().to_owned();
    server.stop("-INT");
    let found = Command::new("find")
        .args(["meshtrail-data/recordings", "-name", "*.cast.zst"])
        .current_dir(folder)
        .output()
        .unwrap();
    let path = String::from_utf8(found.stdout).unwrap();
    let path = folder.join(path.trim());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let output = run(folder, &["verify", "--all"]);
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.contains(&format!("FAILS  session {id}")), "{out}");
}

#[test]
fn a_second_server_on_one_store_says_who_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let first = serve(folder);
    let second = run(folder, &["serve", "--listen", "127.0.0.1:0"]);
    let error = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(error.contains(&format!("in use by process {}", first.id())), "{error}");
    let address = first.ready["listen"].as_str().unwrap();
    let taken = run(folder, &["serve", "--listen", address, "--store", "other"]);
    let error = String::from_utf8(taken.stderr).unwrap();
    assert!(error.contains("something listens there already"), "{error}");
}

#[test]
fn output_that_nobody_reads_any_more_ends_the_command_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let _server = serve(folder);
    let mut process = command(folder)
        .args(["events", "query", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(process.stdout.take());
    let ended = process.wait_with_output().unwrap();
    assert!(ended.status.success());
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}

#[test]
fn play_and_export_refuse_what_would_harm_a_terminal_or_lacks_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let server = serve(folder);
    server.record(&[HEADER]);
    let session = ended_session(folder);
    let played = run(folder, &["sessions", "play", session["id"].as_str().unwrap()]);
    let error = String::from_utf8(played.stderr).unwrap();
    assert!(played.status.code() == Some(1) && error.contains("needs a terminal"), "{error}");
    let over = run(folder, &["sessions", "follow", session["id"].as_str().unwrap()]);
    let error = String::from_utf8(over.stderr).unwrap();
    assert!(over.status.code() == Some(1) && error.contains("is over"), "{error}");
    let unknown = run(folder, &["sessions", "show", "20200101-main-1-1"]);
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("there is no session"));
}
