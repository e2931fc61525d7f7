//! Foreign JSON in the form an event can hold.

use meshtrail_event::{Json, MAX_EXACT_INTEGER};
use serde_json::{Map, Value};

use super::RecordError;

/// Reads an object.
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

/// The value, with integers that JSON numbers don't hold exactly as text.
pub(crate) fn exact(value: &Value) -> Json {
    Json::from(&exact_value(value))
}

fn exact_value(value: &Value) -> Value {
    match value {
        Value::Number(number) => {
            let inexact = number.as_u64().is_some_and(|number| number > MAX_EXACT_INTEGER)
                || number.as_i64().is_some_and(|number| number.unsigned_abs() > MAX_EXACT_INTEGER);
            if inexact { Value::String(number.to_string()) } else { value.clone() }
        }
        Value::Array(items) => Value::Array(items.iter().map(exact_value).collect()),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), exact_value(value))).collect())
        }
        other => other.clone(),
    }
}

/// A text member; empty counts as absent.
pub(super) fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}
