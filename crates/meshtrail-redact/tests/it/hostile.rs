//! Inputs that are made to break a parser: no panic, nothing that is not understood, bounded answers.

use std::io::Write as _;

use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::{Compression, write::GzEncoder};
use meshtrail_redact::BodyContext;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::arguments::redactor;

/// Pieces of everything that the parsers look for.
const PIECES: &[&str] = &[
    "a=",
    "token=a ",
    "key=",
    "://",
    "a://b:c@",
    "eyJa.",
    "$6$a$",
    "-----BEGIN X-----",
    "-----END",
    "password='",
    "password=\"",
    "key=\\\\\"",
    "hooks.slack.com/services/",
    "$(",
    "`",
    "${",
    "a \"$(",
    "'",
    "\"",
    "\\",
    "(",
    ")",
    "sh -c 'sh -c ",
    "password: |\n ",
    "identified by '",
    "bearer aB1 ",
    "&a=",
    "-p",
    " --password ",
    "sudo ",
    "mysql -px ",
    "é",
    "\u{f7ff}",
    "\0",
    "%41",
    "%C3",
    "%zz",
    ";",
    "[",
    "{\"a\":",
    "a: &a [*a]\n",
    "<<<x ",
    "|echo x|sudo -S ",
    "H4sI",
    "? ",
    "- ",
    "!<",
    "k8s\0",
    "\x0a\x7f",
    "*a",
    "<<: ",
    "---\n",
    ",",
    "}",
    "]",
    ":",
    "@",
    "Authorization: ",
    "$'\\",
    "\n",
];

/// Every way in which a text goes through the redactor.
fn redact(text: &str) {
    let redactor = redactor();
    redactor.text(text);
    redactor.script(text);
    redactor.argv(&["tool", text, text]);
    redactor.argv(&text.split(' ').collect::<Vec<_>>());
    redactor.audit_title(text);
    redactor.target(text);
    redactor.target(&format!("/x/exec?command={text}&command={text}"));
    redactor.message(text, &["db"]);
    for content_type in [
        "application/json",
        "application/json-patch+json",
        "application/yaml",
        "application/vnd.kubernetes.protobuf",
    ] {
        for resource in ["secrets", "configmaps", "pods"] {
            let context =
                BodyContext { content_type: Some(content_type), resource, ..BodyContext::default() };
            for body in [
                text.to_owned(),
                json!({"a": text, "args": [text], "b": {"name": text, "value": text}}).to_string(),
            ] {
                drop(redactor.body(&context, body.as_bytes()));
            }
        }
    }
}

#[test]
fn a_piece_that_is_repeated_is_read_to_its_end() {
    for piece in PIECES {
        redact(&piece.repeat(2048 / piece.len()));
    }
}

#[test]
fn texts_within_texts_are_read_as_deep_as_the_limit() {
    let deepest = format!("{}1{}", "[".repeat(120), "]".repeat(120));
    let wrapped = (0..6).fold(deepest, |text, _| json!({"a": text}).to_string());
    let redacted = redactor().body(&BodyContext::default(), wrapped.as_bytes());
    assert_eq!(redacted.cuts.len(), 1, "what is deeper is one secret");
    let scripts = (0..10)
        .fold("mysql -ps3cr3t".to_owned(), |text, _| format!("sh -c '{}'", text.replace('\'', "'\"'\"'")));
    redactor().script(&scripts);
}

#[test]
fn compressed_texts_within_compressed_texts_are_read_as_deep_as_the_limit() {
    let compressed = (0..200).fold("x".to_owned(), |text, _| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(json!({"a": text}).to_string().as_bytes()).unwrap();
        BASE64_STANDARD.encode(encoder.finish().unwrap())
    });
    let secret = BodyContext { resource: "secrets", ..BodyContext::default() };
    let annotated = json!({"metadata": {"annotations": {"a": compressed}}});
    for (context, body) in [(BodyContext::default(), json!({"a": compressed})), (secret, annotated)] {
        let redacted = redactor().body(&context, body.to_string().as_bytes());
        assert!(redacted.kept.is_ok(), "{:?}", redacted.kept);
        assert_eq!(redacted.cuts.len(), 5, "what is deeper is one secret");
    }
}

#[test]
fn templates_and_brackets_without_an_end_are_read_in_time() {
    let open = "password={{ ".repeat((1 << 20) / 12);
    assert!(redactor().text(&open).fingerprints.len() > 1000);
    let closers = format!("(password=hunter2{}", ")".repeat(1 << 20));
    assert_eq!(redactor().text(&closers).fingerprints.len(), 1);
}

#[test]
fn names_in_a_value_that_is_no_secret_by_its_looks_are_read_in_time() {
    for piece in ["./password:", "password=env:"] {
        let text = piece.repeat((1 << 20) / piece.len());
        assert_eq!(redactor().text(&text).fingerprints.len(), 1, "{piece}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_mixture_is_redacted_without_a_panic(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..24)) {
        redact(&pieces.concat());
    }

    #[test]
    fn any_bytes_are_a_body_that_is_kept_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for prefix in [&b""[..], b"k8s\0\n\x0c\n\x02v1\x12\x06Secret\x12"] {
            for content_type in ["application/yaml", "application/vnd.kubernetes.protobuf", "application/json"] {
                let context = BodyContext { content_type: Some(content_type), resource: "secrets", ..BodyContext::default() };
                drop(redactor().body(&context, &[prefix, &bytes].concat()));
            }
        }
    }

    #[test]
    fn a_secret_behind_its_option_is_gone_whatever_it_is(secret in "[A-Za-z0-9é][!#%'()*+,;<>?@A-Za-z0-9^_{|}~ éü\"`$-]{5,30}[a-z]", at in 0..3usize) {
        let word = format!("--password={secret}");
        let shapes: [&[&str]; 3] = [&["tool", &word, "x"], &["tool", "--token", &secret, "x"], &["env", &word[2..], "tool"]];
        let redacted = redactor().argv(shapes[at]);
        prop_assert!(!redacted.argv.join(" ").contains(&secret), "{redacted:?}");
        prop_assert_eq!(redacted.cuts[0].fingerprint, redactor().key().fingerprint(secret.as_bytes()));
    }

    #[test]
    fn the_values_of_a_secret_are_fingerprints_whatever_they_are(values in proptest::collection::btree_map("[a-z]{1,6}", ".{1,30}", 1..5)) {
        let context = BodyContext { resource: "secrets", ..BodyContext::default() };
        let redacted = redactor().body(&context, json!({"stringData": values, "data": values}).to_string().as_bytes());
        let kept = redacted.kept.unwrap();
        for member in ["stringData", "data"] {
            for value in kept[member].as_object().unwrap().values() {
                prop_assert!(value.as_str().is_some_and(|text| text.starts_with("fp:")), "{value}");
            }
        }
        let is_text = |value: &Value| value.is_string();
        prop_assert!(kept["data"].as_object().unwrap().values().all(is_text));
    }
}
