//! JSON patches (RFC 6902): what an operation writes or tests is a secret by the path that it is written to.

use serde_json::{Map, Value};

use super::object::{Hint, Step, Walk};

impl Walk<'_> {
    /// A list of operations on an object of this kind.
    pub(super) fn patch(&mut self, value: Value, hint: Hint) -> Step {
        match value {
            Value::Array(operations) => self.each_item(operations, |walk, operation| match operation {
                Value::Object(members) => walk.operation(members, hint),
                other => walk.cut_all(other),
            }),
            other => self.cut_all(other),
        }
    }

    /// `{"op", "path", "value"}`: operation and paths stay.
    pub(super) fn operation(&mut self, members: Map<String, Value>, hint: Hint) -> Step {
        let path = segments(members.get("path").and_then(Value::as_str).unwrap_or_default());
        self.each_member(members, |walk, name, value| match (name, value) {
            ("op" | "path" | "from", Value::String(text)) => {
                Ok(Value::String(walk.redactor.text(&text).text))
            }
            ("value", value) => walk.written(value, &path, hint),
            (_, value) => walk.cut_all(value),
        })
    }

    fn written(&mut self, value: Value, path: &[String], hint: Hint) -> Step {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match hint {
            Hint::None => self.written_anywhere(value, &path),
            _ => match path.split_last() {
                None => self.top(value, hint),
                // Put where it is written, the value is read by the rules of the whole object.
                Some(_) => self.written_within(value, &path, hint),
            },
        }
    }

    /// Reads the value in its place: an object with nothing but the path to it.
    fn written_within(&mut self, value: Value, path: &[&str], hint: Hint) -> Step {
        let whole = path.iter().rev().fold(value, |value, name| {
            let mut members = Map::new();
            members.insert((*name).to_owned(), value);
            Value::Object(members)
        });
        let mut written = self.without_path(|walk| walk.top(whole, hint))?;
        for _ in path {
            written = match written {
                Value::Object(members) => members.into_iter().next().map_or(Value::Null, |(_, value)| value),
                other => other,
            };
        }
        Ok(written)
    }

    fn written_anywhere(&mut self, value: Value, path: &[&str]) -> Step {
        let is_index =
            |name: &str| name == "-" || !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        let name = path.iter().rev().find(|name| !is_index(name)).copied().unwrap_or_default();
        // A variable's value by its number: its name is not known, nor the argument before an argument.
        let of_variable = path.len() >= 3 && path[path.len() - 3] == "env" && name == "value";
        let of_list = path.last().is_some_and(|last| is_index(last)) && matches!(name, "args" | "command");
        let in_secret = path.contains(&"stringData");
        match value {
            value if in_secret => self.cut_all(value),
            Value::String(text) if of_variable || of_list && !text.starts_with('-') => {
                self.cut_all(Value::String(text))
            }
            value if of_list => self.in_list(value, name),
            value => self.in_member(value, name),
        }
    }

    /// A single argument, read as the list that it is written to.
    fn in_list(&mut self, value: Value, name: &str) -> Step {
        match self.in_member(Value::Array(vec![value]), name)? {
            Value::Array(mut items) => Ok(items.pop().unwrap_or(Value::Null)),
            other => Ok(other),
        }
    }

    fn in_member(&mut self, value: Value, name: &str) -> Step {
        if name.is_empty() {
            return self.top(value, Hint::None);
        }
        self.written_within(value, &[name], Hint::None)
    }
}

/// The names in a JSON pointer.
fn segments(path: &str) -> Vec<String> {
    path.split('/').skip(1).take(128).map(|name| name.replace("~1", "/").replace("~0", "~")).collect()
}
