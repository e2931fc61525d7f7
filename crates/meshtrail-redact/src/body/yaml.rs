//! YAML as the JSON that says the same: what `kubectl apply --server-side` sends, and manifests within texts.
//!
//! Scalars in quotes are texts; of those without, what Kubernetes' own reader takes for null, a truth value or a plain number is
//! one. Comments are gone. An alias is a copy of its anchor, `<<` merges; copies count as values, so that a few lines can't
//! become gigabytes.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput, Tag};
use serde_json::{Map, Number, Value};

use super::NotKept;
use super::limits::{MAX_DEPTH, MAX_NODES};
use crate::values::decode_base64;

/// The documents of a text; a text with nothing but comments has none.
pub(super) fn decode(text: &str) -> Result<Vec<Value>, NotKept> {
    let mut loader = Loader { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
    let mut documents = Vec::new();
    loop {
        match loader.event()? {
            Event::StreamEnd => return Ok(documents),
            Event::DocumentStart(_) => {
                let first = loader.event()?;
                documents.push(loader.value(first, 0)?);
            }
            _ => {}
        }
    }
}

struct Loader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// What an alias stands for, with the number of values in it.
    anchors: HashMap<usize, (Value, usize)>,
    nodes: usize,
}

impl<'a> Loader<'a> {
    fn event(&mut self) -> Result<Event<'a>, NotKept> {
        match self.parser.next_event() {
            Some(Ok((event, _))) => Ok(event),
            // The scanner's words quote the text.
            Some(Err(_)) | None => Err(NotKept::Unreadable { format: "YAML" }),
        }
    }

    fn value(&mut self, event: Event<'a>, depth: usize) -> Result<Value, NotKept> {
        if depth > MAX_DEPTH {
            return Err(NotKept::TooMuch);
        }
        self.count(1)?;
        let before = self.nodes;
        let (value, anchor) = match event {
            Event::Alias(anchor) => {
                let (value, nodes) =
                    self.anchors.get(&anchor).cloned().ok_or(NotKept::Unreadable { format: "YAML" })?;
                self.count(nodes)?;
                return Ok(value);
            }
            Event::Scalar(text, style, anchor, tag) => (scalar(&text, style, tag.as_deref()), anchor),
            Event::SequenceStart(anchor, _) => (self.sequence(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.mapping(depth)?, anchor),
            _ => return Err(NotKept::Unreadable { format: "YAML" }),
        };
        if anchor > 0 {
            let nodes = self.nodes - before + 1;
            // Kept twice, so that it is counted twice.
            self.count(nodes)?;
            self.anchors.insert(anchor, (value.clone(), nodes));
        }
        Ok(value)
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, NotKept> {
        let mut items = Vec::new();
        loop {
            match self.event()? {
                Event::SequenceEnd => return Ok(Value::Array(items)),
                event => items.push(self.value(event, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, NotKept> {
        let (mut members, mut merged) = (Map::new(), Map::new());
        loop {
            let name = match self.event()? {
                Event::MappingEnd => break,
                Event::Scalar(text, ..) => text.into_owned(),
                event => self.value(event, depth + 1)?.to_string(),
            };
            let event = self.event()?;
            let value = self.value(event, depth + 1)?;
            match value {
                value if name != "<<" => drop(members.insert(name, value)),
                Value::Object(others) => merged.extend(others),
                Value::Array(lists) => {
                    merged.extend(lists.into_iter().rev().filter_map(into_members).flatten())
                }
                _ => {}
            }
        }
        // Members of the mapping itself go before those that it merges.
        merged.extend(members);
        Ok(Value::Object(merged))
    }

    fn count(&mut self, nodes: usize) -> Result<(), NotKept> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES { Err(NotKept::TooMuch) } else { Ok(()) }
    }
}

fn into_members(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    if let Some(tag) = tag.filter(|tag| tag.is_yaml_core_schema()) {
        return match tag.suffix.as_str() {
            "binary" => match decode_base64(text).map(String::from_utf8) {
                Some(Ok(decoded)) => Value::String(decoded),
                _ => Value::String(text.to_owned()),
            },
            "str" => Value::String(text.to_owned()),
            _ => plain(text),
        };
    }
    if style == ScalarStyle::Plain { plain(text) } else { Value::String(text.to_owned()) }
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

/// A number that JSON writes the same: `0123`, `1_000` and `.5` stay texts, so that nothing of them is lost.
fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let leads = digits.bytes().next().is_some_and(|byte| byte.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0') || digits.starts_with("0."));
    let value: Value =
        if leads && digits.len() < 32 { serde_json::from_str(text).ok()? } else { return None };
    match value {
        Value::Number(number) if number.to_string() == text => Some(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_says_the_same_as_json() {
        let text = "# rotated\nkind: Secret\nstringData:\n  password: \"a\" # b\n  pin: 4711\n  old: 0471\n  cert: |\n    x\n    y\nlist: [1, true, ~, 'no']\n";
        let expected = json!({"kind": "Secret", "list": [1, true, null, "no"],
            "stringData": {"password": "a", "pin": 4711, "old": "0471", "cert": "x\ny\n"}});
        assert_eq!(decode(text).unwrap(), [expected]);
        assert_eq!(decode("a: 1\n---\nb: 2\n").unwrap(), [json!({"a": 1}), json!({"b": 2})]);
        assert_eq!(
            decode("a: &x {kind: Secret}\nb: {<<: *x, data: 1}\nc: !!binary YWI=").unwrap()[0]["b"],
            json!({"kind": "Secret", "data": 1})
        );
        assert!(decode("# nothing\n").unwrap().is_empty());
    }

    #[test]
    fn hostile_yaml_is_an_error_within_bounds() {
        let bomb = (1..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, at| {
            format!("{text}a{at}: &a{at} [*a{0}, *a{0}]\n", at - 1)
        });
        assert_eq!(decode(&bomb), Err(NotKept::TooMuch));
        for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), "? ".repeat(10_000)] {
            assert!(decode(&text).is_err());
        }
        for text in ["a: [", "*x", "\t- a", "%YAML 9.9\n---\na", "a: 'x", "\u{feff}{", "a: *a", "&a a: *a"] {
            drop(decode(text));
        }
    }
}
