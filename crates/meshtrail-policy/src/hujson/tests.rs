//! Valid and invalid HuJSON.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{HujsonError, MAX_DEPTH, parse};

#[test]
fn comments_and_trailing_commas_are_read_as_tailscale_does() {
    let text = r#"// The policy.
{
  /* people */ "groups": { "group:dev": ["alice@example.com", /* on leave */ "bob@example.com",], },

  // INC-4711: only until Friday.
  // Ask Ana.
  "acls": [
    { "action": "accept", "src": ["group:dev"], "dst": ["tag:prod:22"] }, // trailing
  ],
  "n": [1, -2.5e3, true, false, null, "\u00e9\n"],
}
// end"#;
    let policy = parse(text).unwrap();
    assert_eq!(
        policy.to_json(),
        json!({
            "groups": {"group:dev": ["alice@example.com", "bob@example.com"]},
            "acls": [{"action": "accept", "src": ["group:dev"], "dst": ["tag:prod:22"]}],
            "n": [1, -2.5e3, true, false, null, "é\n"],
        })
    );
    let acls = policy.member("ACLs").unwrap();
    assert_eq!((acls.line, acls.comment.as_deref()), (7, Some("INC-4711: only until Friday. Ask Ana.")));
    let rule = &acls.items()[0];
    assert_eq!((rule.line, rule.column), (8, 5));
    assert!(text[rule.span.clone()].starts_with("{ \"action\"") && text[rule.span.clone()].ends_with("] }"));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (text, line, column, reason) in [
        ("", 1, 1, "the text ends where a value should stand"),
        ("{", 1, 2, "a member begins with its name in quotes"),
        ("{\n  \"a\": [1 2]}", 2, 11, "a list goes on with a comma or ends with ]"),
        ("{\"a\" 1}", 1, 6, "a colon follows a member's name"),
        ("[1,,2]", 1, 4, "this is no value"),
        ("{} {}", 1, 4, "something follows the value"),
        ("[01]", 1, 2, "this is not a number as JSON has them"),
        ("/* never", 1, 1, "the comment has no end"),
        ("\"a\\q\"", 1, 1, "a wrong escape or a control character in quotes"),
        ("\"a\nb\"", 1, 1, "the text in quotes has no end"),
        ("\"a\\", 1, 1, "the text in quotes has no end"),
    ] {
        assert_eq!(parse(text), Err(HujsonError { line, column, reason }), "{text:?}");
    }
}

#[test]
fn depth_is_bounded() {
    assert!(parse(&("[".repeat(MAX_DEPTH) + &"]".repeat(MAX_DEPTH))).is_ok());
    assert!(parse(&"[".repeat(1_000_000)).is_err());
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_json_text_is_hujson_of_the_same_value(value in value()) {
        prop_assert_eq!(parse(&value.to_string()).unwrap().to_json(), value.clone());
        prop_assert_eq!(parse(&serde_json::to_string_pretty(&value).unwrap()).unwrap().to_json(), value);
    }

    #[test]
    fn no_text_makes_it_panic(text in "[\\[\\]{}\",:/*\n \\\\a0-9é.-]{0,60}") {
        drop(parse(&text));
    }
}
