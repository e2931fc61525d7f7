//! The JSON Schema of an event, generated from the types.

use serde_json::Value;

use crate::Event;

/// JSON Schema (2020-12) of an event in a leaf. Checked in as `docs/event.schema.json`.
pub fn json_schema() -> Value {
    let mut schema = schemars::schema_for!(Event).to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".into(), "Meshtrail event".into());
        root.insert("$id".into(), "https://meshtrail.invalid/event.schema.json".into());
    }
    schema
}
