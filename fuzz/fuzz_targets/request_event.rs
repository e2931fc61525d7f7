//! Any body of `/v2/event` is a request event or an error that names the member.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtrail_recording::protocol::parse_request_event;

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = parse_request_event(bytes) {
        let text = error.to_string();
        assert!(error.field().is_none_or(|field| text.starts_with(field)), "{text}");
    }
});
