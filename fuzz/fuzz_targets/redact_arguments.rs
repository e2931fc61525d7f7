//! Any arguments, script and request target are read to their end; what is left is bounded by what came.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use meshtrail_redact::{FingerprintKey, Redactor, exec_argv};

static REDACTOR: LazyLock<Redactor> =
    LazyLock::new(|| Redactor::new(FingerprintKey::generate().expect("the system has random bytes")));

fuzz_target!(|bytes: &[u8]| {
    let words: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    let redacted = REDACTOR.argv(&words);
    assert_eq!(redacted.argv.len(), words.len());
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let script = REDACTOR.script(text);
    assert!(script.text.len() <= text.len() + script.fingerprints.len() * 100);
    drop(REDACTOR.audit_title(text));
    let target = REDACTOR.target(text);
    assert!(target.text.len() <= text.len() + target.fingerprints.len() * 100);
    drop(exec_argv(text));
    drop(REDACTOR.message(text, &["db"]));
});
