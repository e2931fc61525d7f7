//! Any text is a filter with one written form, or an error that points into it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtrail_event::Timestamp;
use meshtrail_query::{Filter, completions, tokens};

const LEAF: &[u8] = br#"{"actor":{"device":{"addresses":["100.64.0.7"],"name":"laptop.tail.example"},"person":{"login":"alice@example.com"}},"detail":{"command":"rm -rf /srv"},"id":"main.recorder.3.17","identity":{"status":"resolved"},"kind":"ssh.session.ended","outcome":"success","received":"2026-11-20T14:02:12.000000000Z","time":"2026-11-20T14:02:11.000000000Z"}"#;

fuzz_target!(|text: &str| {
    for token in tokens(text) {
        assert!(text.get(token.span.range()).is_some_and(|part| !part.is_empty()));
    }
    assert!(text.get(completions(text, text.len() / 2).replace.range()).is_some());
    match Filter::parse(text) {
        Err(error) => assert!(text.get(error.span.range()).is_some()),
        Ok(filter) => {
            let now = Timestamp::from_nanos(1_795_000_000_000_000_000);
            let filter = filter.with_now(now);
            let again =
                Filter::parse(&filter.to_string()).expect("a written filter reads back").with_now(now);
            assert_eq!(filter, again);
            if filter.matches(LEAF) {
                let hints = filter.scan_hints();
                assert!(hints.families.contains(&meshtrail_event::Family::Session));
            }
        }
    }
});
