//! A demo, an import, and the doctor.

use serde_json::Value;

use crate::server_process::{ServerProcess, json_lines, run, run_ok};

const HEADER: &str = r#"{"version":2,"width":80,"height":24,"timestamp":1767225600,"srcNode":"laptop.tail.example","srcNodeID":"7","srcNodeUserID":3,"srcNodeUser":"alice@example.com","env":{"TERM":"xterm-256color"},"sshUser":"root","localUser":"root","connectionID":"c"}"#;

#[test]
fn a_demo_is_told_proves_itself_says_what_it_is_and_never_mixes_with_real_data() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let demo = ServerProcess::start(folder, &["demo", "--seed", "3", "--keep", "demo"]);
    assert!(demo.ready["listen"].is_string());
    let at = ["--data", "demo", "--trail", "demo"];
    let ask = |arguments: &[&str]| json_lines(&run_ok(folder, &[arguments, &at, &["--json"]].concat()));
    let sessions = ask(&["sessions", "list", "--limit", "500"]);
    assert!(sessions.len() > 100, "{} sessions", sessions.len());
    assert!(sessions[0]["id"].as_str().unwrap().contains("-demo-"), "{}", sessions[0]);
    let night = ask(&["sessions", "list", "actor:rowan@example.net target:postgres"]);
    assert_eq!(night.len(), 1, "{night:?}");
    let id = night[0]["id"].as_str().unwrap();
    run_ok(folder, &[&["verify", id][..], &at].concat());
    let findings = ask(&["events", "query", "kind:finding.raised"]);
    assert!(findings.iter().any(|event| event["session"] == *id), "the finding names the session");
    let refused = run(folder, &["serve", "--store", "demo"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("holds a demo"), "{refused:?}");
    demo.stop("-TERM");
    run_ok(folder, &[&["verify", "--all"][..], &["--store", "demo", "--trail", "demo"]].concat());
    let again = ServerProcess::start(folder, &["demo", "--seed", "3", "--keep", "demo"]);
    assert_eq!(ask(&["sessions", "list", "--limit", "500"]).len(), sessions.len());
    again.stop("-TERM");
    std::fs::create_dir_all(folder.join("real/trails/main")).unwrap();
    let refused = run(folder, &["demo", "--keep", "real"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no demo"), "{refused:?}");
    let refused = run(folder, &["sessions", "import", "demo", "--store", "demo"]);
    assert!(!refused.status.success());
}

#[test]
fn an_import_takes_each_recording_once_names_what_is_damaged_and_marks_all_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir_all(folder.join("old/nQx7Lm2CNTRL")).unwrap();
    let whole = format!("{HEADER}\n[0.5,\"o\",\"hi\"]\n[7.25,\"o\",\"bye\"]\n");
    std::fs::write(folder.join("old/nQx7Lm2CNTRL/2026-01-01T00:00:00Z.cast"), &whole).unwrap();
    std::fs::write(folder.join("old/copy.cast"), &whole).unwrap();
    std::fs::write(folder.join("old/damaged.cast"), "not a recording\n").unwrap();
    // Without a server first: the store is opened for it.
    let server = ServerProcess::start(folder, &["serve", "--listen", "127.0.0.1:0"]);
    server.stop("-TERM");
    let first = run(folder, &["sessions", "import", "old", "--json"]);
    assert_eq!(first.status.code(), Some(1), "a damaged file is told: {first:?}");
    let lines = json_lines(&String::from_utf8(first.stdout).unwrap());
    let outcomes: Vec<&str> = lines.iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == "imported").count(), 1, "{lines:?}");
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == "known").count(), 1, "{lines:?}");
    let skipped = lines.iter().find(|line| line["outcome"] == "skipped").unwrap();
    assert!(skipped["reason"].as_str().unwrap().starts_with("header: not JSON"), "{skipped}");
    // And with one: nothing is new.
    let server = ServerProcess::start(folder, &["serve", "--listen", "127.0.0.1:0"]);
    let again = run(folder, &["sessions", "import", "old", "--json"]);
    let again = json_lines(&String::from_utf8(again.stdout).unwrap());
    assert_eq!(again.iter().filter(|line| line["outcome"] == "known").count(), 2, "{again:?}");
    let later = whole.replace("1767225600", "1767229200");
    std::fs::write(folder.join("old/later.cast"), later).unwrap();
    std::fs::remove_file(folder.join("old/damaged.cast")).unwrap();
    run_ok(folder, &["sessions", "import", "old"]);
    let listed = json_lines(&run_ok(folder, &["sessions", "list", "--json"]));
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|session| session["imported_from"].is_string()), "{listed:?}");
    let id = listed[1]["id"].as_str().unwrap();
    assert!(run_ok(folder, &["sessions", "show", id]).contains("not witnessed while it happened"));
    let verified = run(folder, &["verify", id]);
    let output =
        String::from_utf8_lossy(&verified.stdout).into_owned() + &String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && output.contains("imported from"), "{output}");
    run_ok(folder, &["sessions", "export", id, "--output", "out.cast"]);
    let who = json_lines(&run_ok(folder, &["events", "query", "kind:meshtrail.imported", "--json"]));
    assert_eq!(who.len(), 2, "who took them in is in the trail: {who:?}");
    server.stop("-TERM");
}

#[test]
fn the_doctor_says_what_is_missing_and_prints_the_policy_lines() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let nobody = ["doctor", "--tailscale-socket", "none.sock"];
    let alone = run(folder, &nobody);
    assert_eq!(alone.status.code(), Some(1), "no server is a failure");
    let text = String::from_utf8(alone.stdout).unwrap();
    assert!(text.contains("FAIL  server") && text.contains("start `meshtrail serve`"), "{text}");
    assert!(text.contains("\"enforceRecorder\": true"), "{text}");
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--recorder-listen", "127.0.0.1:0"];
    let server = ServerProcess::start(folder, &arguments);
    let served = run(folder, &[&nobody[..], &["--json"]].concat());
    let report: Value = serde_json::from_slice(&served.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let of = |what: &str| {
        checks.iter().find(|check| check["what"] == what).unwrap_or_else(|| panic!("{what}: {checks:?}"))
    };
    assert_eq!(of("server")["finding"], "ok");
    assert_eq!(of("tailscaled")["finding"], "warn");
    assert_eq!(of("admin token")["finding"], "ok");
    assert!(of("recordings")["next"].as_str().unwrap().contains("policy lines"));
    server.stop("-TERM");
}
