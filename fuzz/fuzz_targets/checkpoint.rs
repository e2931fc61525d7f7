//! Any bytes are a checkpoint or an error; none is signed by a key that signed nothing.
//!
//! The first line of the input is read as a key as well.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtrail_trail::note::{Checkpoint, Verifier, verify_note};

const VKEY: &str = "example.com/main+9ecf5d7f+AXY/FLThAgeAG1I6AF+z4XUYDvBmqpUN3wxyjsjXkSJj";

fuzz_target!(|bytes: &[u8]| {
    let first = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let vkey = String::from_utf8_lossy(first);
    let rest = bytes.get(first.len() + 1..).unwrap_or_default();
    if let Ok(verifier) = vkey.parse::<Verifier>() {
        assert!(!verifier.name().contains(['+', ' ', '\n']));
        let _verdict = verify_note(rest, &vkey);
    }
    assert!(verify_note(rest, VKEY).is_err(), "nobody signed this");
    if let Ok(checkpoint) = Checkpoint::parse_unverified(rest) {
        assert!(!checkpoint.origin.is_empty() && !checkpoint.origin.contains('\n'));
    }
});
