//! Paths with query parameters.

use serde::Serialize;
use serde_json::{Map, Value};

/// A path with percent-encoded query parameters: the members of `query`, a struct of texts, numbers and booleans.
/// Absent ones are left out.
pub fn path(base: &str, query: &impl Serialize) -> String {
    let members: Map<String, Value> = serde_json::to_value(query)
        .and_then(serde_json::from_value)
        .expect("the type of a query is a struct of texts, numbers and booleans");
    let mut whole = base.to_owned();
    for (name, value) in members {
        let value = match value {
            Value::Null => continue,
            Value::String(text) => text,
            other => other.to_string(),
        };
        whole.push(if whole.contains('?') { '&' } else { '?' });
        whole.push_str(&encode(&name));
        whole.push('=');
        whole.push_str(&encode(&value));
    }
    whole
}

/// Percent-encodes a text as one part of a path or query.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{EventsQuery, Order};

    #[test]
    fn any_text_travels_in_an_address() {
        let query = EventsQuery {
            q: Some("a&b=ü \u{1b}".to_owned()),
            limit: Some(7),
            order: Some(Order::Oldest),
            cursor: None,
        };
        assert_eq!(
            path("/api/v1/events", &query),
            "/api/v1/events?limit=7&order=oldest&q=a%26b%3D%C3%BC%20%1B"
        );
    }
}
