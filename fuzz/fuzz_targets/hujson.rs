//! Any text is read as HuJSON or refused with a place in it; two policies have a diff, and the same one has none.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtrail_policy::{compare, hujson};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (old, new) = text.split_once('\u{0}').unwrap_or((text, text));
    match hujson::parse(old) {
        Ok(node) => {
            let plain = node.to_json();
            let again = hujson::parse(&plain.to_string()).expect("JSON is HuJSON");
            assert_eq!(again.to_json(), plain, "what was read stands for itself");
            let same = compare(old, old);
            assert!(same.lines.is_empty() && same.diff.is_empty(), "a policy differs from itself in nothing");
        }
        Err(error) => assert!(error.line >= 1 && error.line <= old.lines().count() + 1, "{error}"),
    }
    let change = compare(old, new);
    assert!(change.diff.len() < 17_000 && change.lines.iter().map(String::len).sum::<usize>() < 11_000, "what is told is bounded");
});
