//! Members of a record.

use serde_json::{Map, Value};

use super::RecordError;

/// Parses an object.
pub(super) fn object(json: &[u8]) -> Result<Map<String, Value>, RecordError> {
    let value = serde_json::from_slice(json);
    match value.map_err(|error| RecordError::Syntax { reason: error.to_string() })? {
        Value::Object(members) => Ok(members),
        Value::Array(_) => Err(RecordError::NotAnObject { found: "a list" }),
        Value::String(_) => Err(RecordError::NotAnObject { found: "a text" }),
        Value::Null => Err(RecordError::NotAnObject { found: "null" }),
        Value::Bool(_) | Value::Number(_) => Err(RecordError::NotAnObject { found: "a single value" }),
    }
}

/// A text member; an empty one counts as absent.
pub(super) fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The most characters of one text in the event of a long record.
const MAX_TEXT_CHARS: usize = 500;

/// Shortens the texts of a record that is longer than `most` bytes, except members with the names in `but`. Returns the
/// original record then, without those members at its top level.
pub(super) fn clip(record: &mut Map<String, Value>, but: &[&str], most: usize) -> Option<String> {
    let rest = record.iter().filter(|(name, _)| !but.contains(&name.as_str()));
    let rest: Map<_, _> = rest.map(|(name, value)| (name.clone(), value.clone())).collect();
    let whole = meshtrail_event::canonical_json(&Value::Object(rest));
    if whole.len() <= most {
        return None;
    }
    for (name, value) in record.iter_mut() {
        if !but.contains(&name.as_str()) {
            clip_value(value, but);
        }
    }
    Some(whole)
}

fn clip_value(value: &mut Value, but: &[&str]) {
    match value {
        Value::String(text) if text.len() > MAX_TEXT_CHARS => {
            *text = meshtrail_event::text::shorten(text, MAX_TEXT_CHARS)
        }
        Value::Array(items) => items.iter_mut().for_each(|item| clip_value(item, but)),
        Value::Object(members) => {
            let clipped = members.iter_mut().filter(|(name, _)| !but.contains(&name.as_str()));
            clipped.for_each(|(_, value)| clip_value(value, but));
        }
        _ => {}
    }
}
