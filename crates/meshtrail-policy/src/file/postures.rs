//! `postures`: named assertions about a device's attributes.
//!
//! <https://tailscale.com/kb/1288/device-posture>: an assertion is `node:os == 'macos'`, `node:os IN ['macos', 'linux']`,
//! `custom:tier IS SET`, or the key alone, which stands for `== true`. All assertions of a posture must hold.

use std::collections::BTreeMap;
use std::fmt;

use super::{PolicyFile, Scope};
use crate::directory::AttributeValue;
use crate::hujson::{Node, Shape};

/// What must hold of one attribute.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Assertion {
    /// `node:os`.
    pub(crate) key: String,
    pub(crate) operator: Operator,
    /// One value, several for `IN` and `NOT IN`, none for `IS SET` and `NOT SET`.
    pub(crate) values: Vec<AttributeValue>,
    /// As it was written.
    pub(crate) text: String,
}

/// How an attribute is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
    Set,
    NotSet,
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

pub(super) fn read(node: Option<&Node>, scope: &mut Scope<'_>) -> BTreeMap<String, Vec<Assertion>> {
    let mut postures = BTreeMap::new();
    for (name, node) in scope.object(node, "postures") {
        if !name.starts_with("posture:") {
            scope.faults.add(
                node,
                "postures",
                format!("{name:?}: the name of a posture begins with posture:"),
            );
        }
        // The longer form is an object with the list in a member.
        let list =
            if matches!(node.shape, Shape::Object(_)) { node.member("assertions") } else { Some(node) };
        let mut assertions = Vec::new();
        for text in scope.texts(list, name) {
            match parse(&text.text) {
                Some(assertion) => assertions.push(assertion),
                None => scope.faults.add_at(text.at, name, format!("{:?} is not an assertion", text.text)),
            }
        }
        postures.insert(name.clone(), assertions);
    }
    postures
}

/// Names of postures, each of which is defined.
pub(super) fn read_names(
    node: Option<&Node>,
    place: &str,
    file: &PolicyFile,
    scope: &mut Scope<'_>,
) -> Vec<String> {
    let mut names = Vec::new();
    for name in scope.texts(node, place) {
        if file.postures.contains_key(&name.text) {
            names.push(name.text);
        } else {
            scope.faults.add_at(name.at, place, format!("{} is not defined in postures", name.text));
        }
    }
    names
}

/// Operators, each before those that it begins with.
const OPERATORS: [(&str, Operator); 10] = [
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("NOT IN", Operator::NotIn),
    ("IN", Operator::In),
    ("IS SET", Operator::Set),
    ("NOT SET", Operator::NotSet),
];

fn parse(text: &str) -> Option<Assertion> {
    let key_end =
        text.find(|mark: char| !(mark.is_alphanumeric() || "_:-.".contains(mark))).unwrap_or(text.len());
    let (key, rest) = text.split_at(key_end);
    let (namespace, name) = key.split_once(':')?;
    if namespace.is_empty() || name.is_empty() {
        return None;
    }
    let (operator, values) = parse_comparison(rest.trim())?;
    Some(Assertion { key: key.to_owned(), operator, values, text: text.to_owned() })
}

fn parse_comparison(text: &str) -> Option<(Operator, Vec<AttributeValue>)> {
    if text.is_empty() {
        return Some((Operator::Equal, vec![AttributeValue::Bool(true)]));
    }
    let (operator, rest) = OPERATORS
        .iter()
        .find_map(|(word, operator)| Some((*operator, strip_prefix_ignoring_case(text, word)?.trim())))?;
    let values = match operator {
        Operator::Set | Operator::NotSet => return rest.is_empty().then(|| (operator, Vec::new())),
        Operator::In | Operator::NotIn => {
            let list = rest.strip_prefix('[')?.strip_suffix(']')?;
            list.split(',').map(|value| parse_value(value.trim())).collect::<Option<_>>()?
        }
        _ => vec![parse_value(rest)?],
    };
    Some((operator, values))
}

fn strip_prefix_ignoring_case<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let start = text.get(..word.len())?;
    start.eq_ignore_ascii_case(word).then(|| &text[word.len()..])
}

fn parse_value(text: &str) -> Option<AttributeValue> {
    for quote in ['\'', '"'] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)) {
            return Some(AttributeValue::Text(inner.to_owned()));
        }
    }
    match text {
        "true" => Some(AttributeValue::Bool(true)),
        "false" => Some(AttributeValue::Bool(false)),
        number => number.parse().ok().map(AttributeValue::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assertions_are_read_in_all_forms_of_the_manual() {
        let text = |text: &str| AttributeValue::Text(text.to_owned());
        for (written, key, operator, values) in [
            ("node:os == 'macos'", "node:os", Operator::Equal, vec![text("macos")]),
            ("node:os IN ['macos', 'linux']", "node:os", Operator::In, vec![text("macos"), text("linux")]),
            ("node:tsVersion >= '1.40'", "node:tsVersion", Operator::GreaterOrEqual, vec![text("1.40")]),
            ("custom:tier NOT SET", "custom:tier", Operator::NotSet, vec![]),
            ("custom:score<7", "custom:score", Operator::Less, vec![AttributeValue::Number(7.0)]),
            ("node:tsAutoUpdate", "node:tsAutoUpdate", Operator::Equal, vec![AttributeValue::Bool(true)]),
        ] {
            let assertion = parse(written).unwrap();
            assert_eq!((assertion.key.as_str(), assertion.operator), (key, operator), "{written}");
            assert_eq!(assertion.values, values, "{written}");
        }
        for wrong in
            ["", "os == 'macos'", "node:os ~ 'macos'", "node:os ==", "node:os IN 'macos'", "node:os IS SET 1"]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
