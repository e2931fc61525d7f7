//! Help texts, wrong usage, and errors without a server or a store.
//!
//! `MESHTRAIL_BLESS=1 cargo test -p meshtrail --test command_line` rewrites the help texts.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::path::Path;
use std::process::{Command, Output};

fn meshtrail(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meshtrail"))
        .args(arguments)
        .current_dir(folder)
        .env("COLUMNS", "100")
        .env_remove("MESHTRAIL_SERVER")
        .env_remove("MESHTRAIL_TOKEN")
        .output()
        .unwrap()
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = meshtrail(folder.path(), arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

const COMMANDS: &[&[&str]] = &[
    &[],
    &["serve"],
    &["sessions"],
    &["sessions", "list"],
    &["sessions", "show"],
    &["sessions", "play"],
    &["sessions", "export"],
    &["sessions", "follow"],
    &["sessions", "kill"],
    &["sessions", "import"],
    &["events"],
    &["events", "query"],
    &["events", "show"],
    &["query"],
    &["exports"],
    &["exports", "create"],
    &["exports", "list"],
    &["exports", "fetch"],
    &["exports", "remove"],
    &["changes"],
    &["who"],
    &["sources"],
    &["verify"],
    &["checkpoint"],
    &["proof"],
    &["tokens"],
    &["tokens", "create"],
    &["tokens", "list"],
    &["tokens", "revoke"],
    &["setup"],
    &["setup", "flow-logs"],
    &["demo"],
    &["doctor"],
    &["sign-in"],
    &["version"],
];

#[test]
fn help_texts_are_as_reviewed() {
    let mut now = String::new();
    for command in COMMANDS {
        let (code, help, _) = run(&[command, &["--help"][..]].concat());
        assert_eq!(code, Some(0), "{command:?}");
        now.push_str(&format!("$ meshtrail {}\n{help}\n", [command, &["--help"][..]].concat().join(" ")));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/help.txt");
    if std::env::var_os("MESHTRAIL_BLESS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = kept.lines().zip(now.lines()).find(|(kept, now)| kept != now);
    assert!(
        kept == now,
        "the help texts changed; first difference: {differs:?}. MESHTRAIL_BLESS=1 writes them anew"
    );
}

#[test]
fn a_wrong_command_line_is_status_2_and_says_what_would_be_right() {
    for arguments in [
        &["verify"][..],
        &["verify", "--all", "some.id.1.1"],
        &["verify", "nonsense"],
        &["proof"],
        &["proof", "--to", "3"],
        &["proof", "a.b.1.1", "--from", "3"],
        &["sessions", "kill", "20261120-main-1-1"],
        &["sessions", "list", "--state", "dead"],
        &["sessions", "play", "x", "--speed", "NaN"],
        &["tokens", "create", "--name", "x", "--role", "root"],
        &["nonsense"],
    ] {
        let (code, out, error) = run(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {error}");
        assert!(out.is_empty() && error.contains("--help"), "{arguments:?}: {error}");
    }
}

#[test]
fn without_a_server_or_a_store_the_error_says_what_to_do() {
    for arguments in [&["sessions", "list"][..], &["events", "query"], &["checkpoint"], &["tokens", "list"]] {
        let (code, out, error) = run(arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {error}");
        assert!(out.is_empty() && error.contains("meshtrail serve"), "{arguments:?}: {error}");
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let (code, _, error) = run(&["sessions", "list", "--server", "http://127.0.0.1:1", "--token", "mt_x"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("no answer from http://127.0.0.1:1"), "{error}");
    let (code, _, error) = run(&["sessions", "list", "--server", "127.0.0.1:1", "--token", "mt_x"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("is no address such as http://"), "{error}");
}

#[test]
fn the_version_is_told_as_text_and_as_json() {
    let (code, text, _) = run(&["version"]);
    assert_eq!((code, text.as_str()), (Some(0), concat!("meshtrail ", env!("CARGO_PKG_VERSION"), "\n")));
    let (_, json, _) = run(&["version", "--json"]);
    assert!(json.contains(env!("CARGO_PKG_VERSION")) && json.starts_with('{'));
}

#[test]
fn a_configuration_that_is_wrong_is_refused_by_its_key() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("m.toml"), "[trail]\nship_every = \"2h\"").unwrap();
    let output = meshtrail(folder.path(), &["serve", "--config", "m.toml"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("trail.ship_every: 2h is not between 1s and 1m"), "{error}");
    assert!(!folder.path().join("meshtrail-data").exists(), "nothing was made");
}
