//! Differences between two JSON values, by path; lists are compared as multisets.

use std::collections::BTreeSet;

use meshtrail_event::canonical_json;
use serde_json::Value;

/// The most lines; the rest is only counted.
const MAX_LINES: usize = 64;

/// One line for each place where the two differ: `httpsEnabled: true, before false`.
///
/// The order of lists makes no difference. Where more than 64 places differ, the last line counts the rest.
pub fn differences(old: &Value, new: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    walk("", old, new, &mut lines);
    if lines.len() > MAX_LINES {
        let rest = lines.len() - MAX_LINES;
        lines.truncate(MAX_LINES);
        lines.push(format!("and {rest} more"));
    }
    lines
}

fn walk(path: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
    match (old, new) {
        (old, new) if old == new => {}
        (Value::Object(was), Value::Object(is)) => {
            let names: BTreeSet<_> = was.keys().chain(is.keys()).collect();
            for name in names {
                let place = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match (was.get(name), is.get(name)) {
                    (Some(was), Some(is)) => walk(&place, was, is, lines),
                    (None, Some(is)) => {
                        lines.push(format!("{place} is {} now, before absent", short_json(is)))
                    }
                    (Some(was), None) => lines.push(format!("{place} is gone, before {}", short_json(was))),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(was), Value::Array(is)) => compare_lists(path, was, is, lines),
        (old, new) => {
            lines.push(format!("{} is {} now, before {}", path_or_it(path), short_json(new), short_json(old)))
        }
    }
}

/// One line for each item that only one of the two lists has.
fn compare_lists(path: &str, was: &[Value], is: &[Value], lines: &mut Vec<String>) {
    let texts = |items: &[Value]| items.iter().map(sorted_json).collect::<Vec<_>>();
    let (mut old, mut new) = (texts(was), texts(is));
    new.retain(|item| match old.iter().position(|other| other == item) {
        Some(at) => {
            old.remove(at);
            false
        }
        None => true,
    });
    let removed = old.iter().map(|item| format!("{}: {} removed", path_or_it(path), shorten(item)));
    let added = new.iter().map(|item| format!("{}: {} added", path_or_it(path), shorten(item)));
    lines.extend(removed.chain(added));
}

fn path_or_it(path: &str) -> &str {
    if path.is_empty() { "it" } else { path }
}

/// The canonical text of a value with all its lists sorted.
pub(crate) fn sorted_json(value: &Value) -> String {
    canonical_json(&sort_lists(value))
}

fn sort_lists(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<_> = items.iter().map(sort_lists).collect();
            items.sort_by_cached_key(canonical_json);
            Value::Array(items)
        }
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), sort_lists(value))).collect())
        }
        other => other.clone(),
    }
}

fn short_json(value: &Value) -> String {
    shorten(&canonical_json(value))
}

fn shorten(text: &str) -> String {
    meshtrail_event::text::shorten(text, 120)
}
