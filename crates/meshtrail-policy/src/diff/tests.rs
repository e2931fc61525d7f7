//! Differences of policies, as sentences.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{compare, groups};

const BASE: &str = r#"{
  "groups": { "group:dev": ["alice@example.com", "bob@example.com"] },
  "hosts": { "db": "10.0.0.4" },
  "tagOwners": { "tag:prod": ["group:dev"] },
  "acls": [
    { "action": "accept", "src": ["group:dev"], "dst": ["tag:prod:22", "tag:prod:443"] },
    { "action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self:*"] },
  ],
  "ssh": [
    { "action": "check", "src": ["group:dev"], "dst": ["tag:prod"], "users": ["root"] },
    { "action": "accept", "src": ["group:dev"], "dst": ["tag:prod"], "users": ["deploy"] },
  ],
  "autoApprovers": { "routes": { "10.0.0.0/8": ["tag:router"] }, "exitNode": ["tag:exit"] },
  "tests": [ { "src": "alice@example.com", "accept": ["tag:prod:22"] } ],
}
"#;

fn lines(from: &str, to: &str) -> Vec<String> {
    assert!(BASE.contains(from), "{from}");
    compare(BASE, &BASE.replace(from, to)).lines
}

#[test]
fn each_part_of_a_policy_is_told_by_its_name() {
    for (from, to, line) in [
        (
            r#""bob@example.com"]"#,
            r#""carol@example.com"]"#,
            "group:dev: carol@example.com added, bob@example.com removed",
        ),
        (
            r#""groups": {"#,
            r#""groups": { "group:ops": ["dan@example.com"], "#,
            "group:ops is new, with dan@example.com",
        ),
        (r#"{ "db": "10.0.0.4" }"#, r#"{ "db": "10.0.0.5" }"#, "host db is 10.0.0.5 now, before 10.0.0.4"),
        (r#"{ "tag:prod": ["group:dev"] }"#, "{}", "tag:prod is gone, before owned by group:dev"),
        (
            r#", "tag:prod:443"]"#,
            "]",
            "acl rule 1 changed (line 6): dst: tag:prod:443 removed; it was: accept group:dev → tag:prod:22 and tag:prod:443",
        ),
        (
            r#"    { "action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self:*"] },"#,
            "",
            "acl rule 2 removed: accept autogroup:member → autogroup:self:*",
        ),
        (
            r#""acls": ["#,
            "\"acls\": [\n // INC-9\n { \"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:*\"] },",
            "acl rule 1 added (line 7): accept * → *:* // INC-9",
        ),
        (
            r#""action": "check""#,
            r#""action": "accept""#,
            "ssh rule 1 changed (line 10): action is accept now, before check; it was: check group:dev → tag:prod as root",
        ),
        (r#"["tag:router"]"#, r#"["tag:router", "tag:ci"]"#, "approval of routes 10.0.0.0/8: tag:ci added"),
        (r#"["tag:exit"]"#, "[]", "approval of exit nodes: tag:exit removed"),
        (
            r#""tests": [ "#,
            r#""tests": [ { "src": "bob@example.com", "deny": ["tag:prod:22"] }, "#,
            r#"test 1 added (line 14): {"deny":["tag:prod:22"],"src":"bob@example.com"}"#,
        ),
        (
            r#""tests""#,
            r#""randomizeClientPort": true, "tests""#,
            "randomizeclientport is true now, before null",
        ),
        (
            r#""tests""#,
            r#""grants": [{"src": ["*"], "dst": ["tag:prod"], "ip": ["tcp:443"]}], "tests""#,
            "grant 1 added (line 14): * → tag:prod for tcp:443",
        ),
    ] {
        assert_eq!(lines(from, to), [line], "{to}");
    }
}

#[test]
fn the_order_of_ssh_rules_is_a_change_because_the_first_that_fits_holds() {
    let mut value: Value = crate::hujson::parse(BASE).unwrap().to_json();
    value["ssh"].as_array_mut().unwrap().reverse();
    let lines = compare(BASE, &value.to_string()).lines;
    assert_eq!(lines, ["the order of ssh rules changed, and with it which of them holds"]);
}

#[test]
fn comments_layout_and_the_order_of_lists_are_no_change_but_are_shown() {
    let noisy = BASE
        .replace("\"acls\": [", "// why not\n  \"ACLs\": [")
        .replace(
            r#"["alice@example.com", "bob@example.com"]"#,
            r#"["bob@example.com", "alice@example.com",]"#,
        )
        .replace("  ", "\t");
    let change = compare(BASE, &noisy);
    assert_eq!(change.lines, Vec::<String>::new());
    assert!(change.diff.contains("+\t// why not"), "{}", change.diff);
    assert_eq!(change.summary(), "Only comments or layout of the policy changed");
}

#[test]
fn tags_that_come_and_go_are_named() {
    let change = compare(BASE, &BASE.replace(r#""tag:prod": ["group:dev"]"#, r#""tag:db": ["group:dev"]"#));
    assert_eq!(
        (change.tags_created, change.tags_deleted),
        (vec!["tag:db".to_owned()], vec!["tag:prod".to_owned()])
    );
    assert_eq!(change.tests, 1);
}

#[test]
fn a_policy_that_cannot_be_read_says_where() {
    let change = compare(BASE, &BASE.replace("],\n  \"ssh\"", "}\n  \"ssh\""));
    assert_eq!(change.summary(), "The policy changed and can't be read: line 8, column 3: this is no value");
    assert!(!change.diff.is_empty());
    assert_eq!(compare("{", BASE).lines, ["it can be read again"]);
}

#[test]
fn groups_are_read_with_their_members() {
    assert_eq!(groups(BASE).unwrap()["group:dev"].len(), 2);
    assert!(groups("{ nothing").is_none());
}

fn shuffled(value: &Value, seed: usize) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<_> = items.iter().map(|item| shuffled(item, seed)).collect();
            let count = items.len().max(1);
            items.rotate_left(seed % count);
            Value::Array(items)
        }
        Value::Object(members) => Value::Object(
            members.iter().rev().map(|(name, value)| (name.clone(), shuffled(value, seed / 3))).collect(),
        ),
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn order_and_white_space_are_never_a_change(
        people in prop::collection::vec("[a-e]@x", 0..5),
        rules in prop::collection::vec((prop::collection::vec("[a-c]", 1..4), prop::collection::vec("[d-f]:[0-9]", 1..4)), 0..6),
        seed in 0usize..100,
    ) {
        let rules: Vec<_> = rules.iter().map(|(src, dst)| json!({"action": "accept", "src": src, "dst": dst})).collect();
        let value = json!({"groups": {"group:a": people}, "acls": rules});
        let old = value.to_string();
        let new = serde_json::to_string_pretty(&shuffled(&value, seed)).unwrap();
        prop_assert_eq!(compare(&old, &new).lines, Vec::<String>::new());
        prop_assert_eq!(compare(&old, &old).diff, "");
    }

    #[test]
    fn a_rule_that_comes_is_told(rules in prop::collection::vec("[a-c]{1,2}", 0..6), more in "[d-f]") {
        let acls = |rules: &[String]| {
            let rules: Vec<_> = rules.iter().map(|src| json!({"action": "accept", "src": [src], "dst": [src]})).collect();
            json!({ "acls": rules }).to_string()
        };
        let mut with = rules.clone();
        with.insert(rules.len() / 2, more);
        prop_assert_eq!(compare(&acls(&rules), &acls(&with)).lines.len(), 1);
        prop_assert_eq!(compare(&acls(&with), &acls(&rules)).lines.len(), 1);
    }
}
