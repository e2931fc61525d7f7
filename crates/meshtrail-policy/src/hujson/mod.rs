//! HuJSON, the syntax of policy files: JSON with comments and trailing commas.
//!
//! ```
//! let policy = meshtrail_policy::hujson::parse("{\n  // Why: INC-4711\n  \"groups\": {},\n}")?;
//! assert_eq!(policy.to_json().to_string(), r#"{"groups":{}}"#);
//! # Ok::<(), meshtrail_policy::hujson::HujsonError>(())
//! ```
//!
//! - Every JSON text is HuJSON with the same value; `//` and `/* */` comments may stand wherever white space may, and a
//!   comma may follow the last member.
//! - Each value has its place in the text and the comment before it.
//! - A text is at most [`MAX_TEXT`] bytes long and [`MAX_DEPTH`] levels deep; anything else is an error with line and
//!   column.
//!
//! The format is Tailscale's: <https://github.com/tailscale/hujson>, "JWCC".

mod reader;
#[cfg(test)]
mod tests;

use std::ops::Range;

use serde_json::{Map, Number, Value};

/// The most bytes of a text.
pub const MAX_TEXT: usize = 16 << 20;

/// The most levels of nested lists and objects.
pub const MAX_DEPTH: usize = 100;

/// Why a text is not HuJSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
#[expect(missing_docs, reason = "the message says it")]
pub struct HujsonError {
    /// The line, from 1.
    pub line: usize,
    /// The character in it, from 1.
    pub column: usize,
    pub reason: &'static str,
}

/// A value and its position.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The comment right before it, without its delimiters.
    pub comment: Option<String>,
    /// The line of its first character, from 1; of a member, the line of its name.
    pub line: usize,
    /// The character in that line, from 1.
    pub column: usize,
    /// The bytes of the text that the value takes, from its first to its last character.
    pub span: Range<usize>,
    /// The value itself.
    pub shape: Shape,
}

/// A value without its position.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// An object: its members in order; a name may occur twice.
    Object(Vec<(String, Node)>),
}

/// Parses a text.
pub fn parse(text: &str) -> Result<Node, HujsonError> {
    reader::read(text)
}

impl Node {
    /// The value as plain JSON; of members with the same name, the last counts.
    pub fn to_json(&self) -> Value {
        match &self.shape {
            Shape::Null => Value::Null,
            Shape::Bool(on) => Value::Bool(*on),
            Shape::Number(number) => Value::Number(number.clone()),
            Shape::Text(text) => Value::String(text.clone()),
            Shape::List(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            Shape::Object(members) => {
                let members = members.iter().map(|(name, node)| (name.clone(), node.to_json()));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }

    /// The members of an object; none of another value.
    pub fn members(&self) -> &[(String, Node)] {
        match &self.shape {
            Shape::Object(members) => members,
            _ => &[],
        }
    }

    /// The items of a list; none of another value.
    pub fn items(&self) -> &[Node] {
        match &self.shape {
            Shape::List(items) => items,
            _ => &[],
        }
    }

    /// The text, if the value is one.
    pub fn text(&self) -> Option<&str> {
        match &self.shape {
            Shape::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The last member with this name, ignoring ASCII case, as control planes read policy files.
    pub fn member(&self, name: &str) -> Option<&Node> {
        self.members().iter().rev().find(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, node)| node)
    }
}
