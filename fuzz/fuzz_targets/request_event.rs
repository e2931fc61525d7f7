//! Any body of `/v2/event` is a request event or an error that names the member.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use meshtrail_recording::protocol::parse_request_event;
use meshtrail_redact::{FingerprintKey, Redactor};

static REDACTOR: LazyLock<Redactor> =
    LazyLock::new(|| Redactor::new(FingerprintKey::generate().expect("the system has random bytes")));

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = parse_request_event(bytes, &REDACTOR) {
        let text = error.to_string();
        assert!(error.field().is_none_or(|field| text.starts_with(field)), "{text}");
    }
});
