//! Any body is kept as JSON or not kept; of a Secret no text under `data` stays.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use meshtrail_redact::{BodyContext, FingerprintKey, Redactor};
use serde_json::Value;

static REDACTOR: LazyLock<Redactor> =
    LazyLock::new(|| Redactor::new(FingerprintKey::generate().expect("the system has random bytes")));

const CONTENT_TYPES: [&str; 4] =
    ["application/json", "application/json-patch+json", "application/yaml", "application/vnd.kubernetes.protobuf"];

const RESOURCES: [&str; 3] = ["secrets", "configmaps", "deployments"];

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, bytes) = input;
    let context = BodyContext {
        content_type: Some(CONTENT_TYPES[usize::from(choice) % 4]),
        resource: RESOURCES[usize::from(choice >> 2) % 3],
        ..BodyContext::default()
    };
    let redacted = REDACTOR.body(&context, bytes);
    let Ok(kept) = redacted.kept else { return };
    if let (Some(values), "secrets") = (kept.get("data").and_then(Value::as_object), context.resource) {
        assert!(values.values().filter_map(Value::as_str).all(|text| text.starts_with("fp:")), "{kept}");
    }
    drop(REDACTOR.answer(&context, &["db"], bytes));
});
