//! Arguments of programs as people type them, and what stays of them.

use meshtrail_redact::{FingerprintKey, Redactor};
use serde_json::Value;

use crate::needles::needles;

pub(crate) fn redactor() -> Redactor {
    let key = "meshtrail-fingerprint-key-1 90545d8ed4defe19 BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    Redactor::new(FingerprintKey::from_text(key).unwrap())
}

pub(crate) fn texts(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .map(|items| items.iter().map(|item| item.as_str().unwrap()).collect())
        .unwrap_or_default()
}

pub(crate) fn cases(table: &str) -> Vec<Value> {
    table.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What is wrong with how a case's arguments are shown.
fn complaints(case: &Value) -> Vec<String> {
    let redacted = redactor().argv(&texts(&case["argv"]));
    let (text, listed) = (redacted.text(), redacted.argv.join(" "));
    let found =
        |word: &str| needles(word).into_iter().find(|form| text.contains(form) || listed.contains(form));
    let left = texts(&case["cut"]).into_iter().filter_map(found).map(|form| format!("{form} is there"));
    let gone = texts(&case["keep"]).into_iter().filter(|keep| !text.contains(keep) && !listed.contains(keep));
    let mut complaints: Vec<String> = left.chain(gone.map(|keep| format!("{keep} is gone"))).collect();
    let expected = case["cuts"].as_u64().unwrap_or(u64::from(!texts(&case["cut"]).is_empty()));
    if redacted.cuts.len() as u64 != expected {
        complaints.push(format!("{} cuts", redacted.cuts.len()));
    }
    complaints.into_iter().map(|complaint| format!("{complaint}: {text}")).collect()
}

#[track_caller]
fn check(table: &str) {
    let complaints: Vec<String> = cases(table).iter().flat_map(complaints).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn arguments_lose_their_secrets_and_nothing_else() {
    check(include_str!("data/argv.jsonl"));
}

#[test]
fn programs_that_run_others_and_scripts_within_arguments_are_read_as_they_are_run() {
    check(include_str!("data/commands.jsonl"));
}

#[test]
fn arguments_of_the_audit_stream_are_read_in_hex_as_well() {
    let plain = redactor().argv(&["mysql", "-pBogus 4711x", "shop"]);
    let hex = redactor().audit_argv(&["\"mysql\"", "2D70426F6775732034373131780A", "\"shop\""]);
    assert_eq!(hex.argv[0], "mysql");
    let title = redactor().audit_title("6D7973716C002D70426F6775732034373131780073686F70");
    assert_eq!((&title.argv, &title.cuts), (&plain.argv, &plain.cuts));
    let cut_off = redactor().audit_title("6D7973716C002D70426F67757320343731");
    for redacted in [plain, hex, title, cut_off] {
        let text = redacted.argv.join(" ");
        assert!(needles("Bogus 471").iter().all(|form| !text.contains(form)), "{text}");
        assert!(text.starts_with("mysql -pfp:"), "{text}");
    }
    assert_eq!(redactor().audit_title("\"sleep\"").argv, ["sleep"]);
    assert_eq!(redactor().audit_argv(&["(null)", ""]).argv, ["(null)", ""]);
}
