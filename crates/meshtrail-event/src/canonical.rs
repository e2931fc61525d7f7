//! RFC 8785 canonical JSON.
//!
//! Event types declare their members in canonical order and hold no floats, so that plain serialisation is already
//! canonical. Values from outside (unknown members, free-form values) go through [`canonical_json`].

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, value::RawValue};

/// The largest integer that every JSON implementation holds exactly: 2^53 − 1.
pub const MAX_EXACT_INTEGER: u64 = (1 << 53) - 1;

/// The canonical text of a value.
///
/// Integers beyond [`MAX_EXACT_INTEGER`] lose precision; `Event` refuses them before.
pub fn canonical_json(value: &Value) -> String {
    let bytes =
        serde_json_canonicalizer::to_vec(value).expect("a JSON value has string keys and finite numbers");
    String::from_utf8(bytes).expect("JSON text is UTF-8")
}

/// Whether `json` has a run of more than 15 digits, which can be an inexact integer; a string can match too.
pub(crate) fn may_hold_inexact_integer(json: &[u8]) -> bool {
    let mut run = 0;
    json.iter().any(|byte| {
        run = if byte.is_ascii_digit() { run + 1 } else { 0 };
        run > 15
    })
}

/// Whether every integer is exact as a JSON number: up to 2^53 − 1, or in the form that RFC 8785 gives a float.
pub(crate) fn integers_are_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(positive), _) if positive <= MAX_EXACT_INTEGER => true,
            (None, Some(negative)) if negative.unsigned_abs() <= MAX_EXACT_INTEGER => true,
            (None, None) => true,
            _ => {
                number.as_f64().is_some_and(|float| canonical_json(&Value::from(float)) == number.to_string())
            }
        },
        Value::Array(items) => items.iter().all(integers_are_exact),
        Value::Object(members) => members.values().all(integers_are_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
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

/// A free-form JSON value, stored as its canonical text.
#[derive(Debug, Clone)]
pub struct Json(Box<RawValue>);

impl Json {
    /// The canonical text.
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// The value of a record from elsewhere: integers that a JSON number does not hold exactly become text.
    ///
    /// ```
    /// use meshtrail_event::Json;
    ///
    /// let record = serde_json::json!({ "id": 9_007_199_254_740_993_u64, "n": 7 });
    /// assert_eq!(Json::exact(&record).text(), r#"{"id":"9007199254740993","n":7}"#);
    /// ```
    pub fn exact(value: &Value) -> Self {
        Self::from(&exact_value(value))
    }

    /// The parsed value.
    pub fn value(&self) -> Value {
        serde_json::from_str(self.text()).expect("held text is JSON")
    }
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        Self(RawValue::from_string(canonical_json(value)).expect("canonical text is JSON"))
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Json {}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self::from(&value))
    }
}

impl JsonSchema for Json {
    fn schema_name() -> Cow<'static, str> {
        "Json".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "description": "Any JSON value." })
    }
}
