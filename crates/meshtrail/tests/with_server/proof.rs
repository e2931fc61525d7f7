//! Proofs by position, and the errors of `verify` and of a start after somebody tampered with the files.

use std::path::Path;

use crate::server_process::{ServerProcess, json_lines, run, run_ok};
use crate::sessions::{HEADER, ended_session, serve};

/// Runs a command that must exit with status 1, and returns its output and errors.
fn run_failing(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
    text
}

/// Records a session of some megabytes, stops the server in order, and returns the session's id.
fn record_session(folder: &Path) -> String {
    let server = serve(folder);
    let lines: Vec<String> = (0..40_000)
        .map(|second| {
            format!("[{second},\"o\",\"\\r\\nline {second}, with some text to fill up the recording\"]")
        })
        .collect();
    let lines: Vec<&str> = std::iter::once(HEADER).chain(lines.iter().map(String::as_str)).collect();
    server.record(&lines);
    let session = ended_session(folder);
    server.stop("-TERM");
    session["id"].as_str().unwrap().to_owned()
}

/// Adds a fabricated screen to an entry of an index that has none.
fn fabricate(path: &Path) {
    let compressed = std::fs::read(path).unwrap();
    let text = String::from_utf8(zstd::decode_all(compressed.as_slice()).unwrap()).unwrap();
    let at = text.lines().skip(1).find(|line| !line.contains("\"screen\"")).unwrap();
    let changed = format!("{},\"screen\":\"FABRICATED\"}}", at.strip_suffix('}').unwrap());
    std::fs::write(path, zstd::encode_all(text.replace(at, &changed).as_bytes(), 3).unwrap()).unwrap();
}

#[test]
fn a_proof_is_asked_for_by_position_or_by_index_and_another_trail_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let server = serve(folder);
    for place in ["main:0", "0"] {
        let proof = &json_lines(&run_ok(folder, &["proof", "--json", "--index", place]))[0];
        assert_eq!((&proof["index"], &proof["position"]), (&0.into(), &"main:0".into()), "{place}");
    }
    for place in ["main:1", "1"] {
        let proof = &json_lines(&run_ok(folder, &["proof", "--json", "--from", place]))[0];
        assert_eq!(proof["from"], 1, "{place}");
    }
    for option in ["--index", "--from"] {
        let output = run_failing(folder, &["proof", option, "edge:1"]);
        assert!(output.contains("there is no trail edge here"), "{output}");
    }
    server.stop("-TERM");
}

#[test]
fn a_changed_index_and_objects_that_no_event_speaks_of_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let id = record_session(folder);
    let store = folder.join("meshtrail-data");
    run_ok(folder, &["verify", "--all"]);
    let date = &id[..8];
    let day = format!("recordings/{}/{}/{}", &date[..4], &date[4..6], &date[6..]);
    let index = store.join(format!("{day}/{id}.index.zst"));
    let whole = std::fs::read(&index).unwrap();
    fabricate(&index);
    let output = run_failing(folder, &["verify", "--all"]);
    assert!(output.contains(&format!("{day}/{id}.index.zst was changed")), "{output}");
    let output = run_failing(folder, &["verify", &id]);
    assert!(output.contains(".index.zst was changed"), "{output}");
    std::fs::write(&index, whole).unwrap();

    let recording = std::fs::read(store.join(format!("{day}/{id}.cast.zst"))).unwrap();
    for (added, why) in [
        (format!("{day}/{date}-main-1-99.cast.zst"), "no event speaks of it"),
        (format!("{day}/{date}-main-1-99.index.zst"), "no event speaks of it"),
        (format!("{day}/{date}-other-1-1.cast.zst"), "there is no trail other here"),
        (format!("recordings/1999/01/01/{id}.cast.zst"), "no recorder puts such an object here"),
    ] {
        let path = store.join(&added);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &recording).unwrap();
        let output = run_failing(folder, &["verify", "--all"]);
        assert!(output.contains(&format!("FAILS  {added}")) && output.contains(why), "{added}: {output}");
        std::fs::remove_file(path).unwrap();
    }
    // A crash between writing a recording and its event leaves this state, from which the next start continues.
    let left = format!("{day}/{date}-main-1-99.cast.zst");
    std::fs::write(store.join(&left), &recording).unwrap();
    std::fs::write(store.join(format!("local/spool/{date}-main-1-99.json")), "{}").unwrap();
    run_ok(folder, &["verify", "--all"]);
}

#[test]
fn a_start_over_less_than_was_given_out_is_refused_and_a_new_trail_names_the_old_head() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let server = serve(folder);
    server.record(&[HEADER, r#"[0.5,"o","hello"]"#]);
    ended_session(folder);
    let note = run_ok(folder, &["checkpoint"]);
    // The server is killed: all events are in the log.
    drop(server);
    let data = folder.join("meshtrail-data");
    assert_eq!(std::fs::read_to_string(data.join("local/head")).unwrap().trim_end(), note.trim_end());
    run_ok(folder, &["verify", "--all"]);
    let aside = folder.join("aside");
    std::fs::create_dir(&aside).unwrap();
    std::fs::rename(data.join("local/wal"), aside.join("wal")).unwrap();
    let output = run_failing(folder, &["verify", "--all"]);
    assert!(output.contains("local/head") && output.contains("there is no log"), "{output}");
    let ports = ["--listen", "127.0.0.1:0", "--recorder-listen", "127.0.0.1:0"];
    let output = run_failing(folder, &[&["serve"][..], &ports].concat());
    assert!(output.contains("only 0 are here") && output.contains("another `trail.name`"), "{output}");

    std::fs::remove_dir_all(data.join("local/wal")).unwrap();
    std::fs::rename(data.join("local/head"), aside.join("head")).unwrap();
    std::fs::write(folder.join("next.toml"), "[trail]\nname = \"next\"\n").unwrap();
    let server = ServerProcess::start(folder, &[&["serve", "--config", "next.toml"][..], &ports].concat());
    let first = run_ok(folder, &["events", "query", "--order", "oldest", "--limit", "1", "--json"]);
    let first = &json_lines(&first)[0];
    assert_eq!(
        (first["id"].as_str(), first["detail"]["what"].as_str()),
        (Some("next.trail.1.1"), Some("trail"))
    );
    let (origin, size) = (note.lines().next().unwrap(), note.lines().nth(1).unwrap());
    let message = first["detail"]["message"].as_str().unwrap();
    assert!(message.contains(origin) && message.contains(&format!("over {size} events")), "{message}");
    drop(server);

    // With its files restored, the old trail continues.
    std::fs::remove_dir_all(data.join("local/wal")).unwrap();
    for name in ["wal", "head"] {
        std::fs::rename(aside.join(name), data.join("local").join(name)).unwrap();
    }
    let server = serve(folder);
    std::fs::write(folder.join("kept.note"), note).unwrap();
    assert!(run_ok(folder, &["verify", "--checkpoint", "kept.note"]).contains("holds  older checkpoint"));
    drop(server);
}
