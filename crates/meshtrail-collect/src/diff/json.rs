//! What changed between two JSON values, by path; lists are taken as sets.

use std::collections::BTreeSet;

use meshtrail_event::canonical_json;
use serde_json::Value;

/// The most changes that are named one by one.
const NAMED: usize = 64;

/// One line for each place where the two differ: `httpsEnabled: true, before false`.
///
/// The order of lists makes no difference. Where more than a few dozen places differ, the last line counts the rest.
pub fn json(old: &Value, new: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    walk("", old, new, &mut lines);
    if lines.len() > NAMED {
        let rest = lines.len() - NAMED;
        lines.truncate(NAMED);
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
                    (None, Some(is)) => lines.push(format!("{place} is {} now, before absent", brief(is))),
                    (Some(was), None) => lines.push(format!("{place} is gone, before {}", brief(was))),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(was), Value::Array(is)) => lists(path, was, is, lines),
        (old, new) => lines.push(format!("{} is {} now, before {}", named(path), brief(new), brief(old))),
    }
}

/// Members that are objects with the same identifying member are compared with each other.
fn lists(path: &str, was: &[Value], is: &[Value], lines: &mut Vec<String>) {
    let texts = |items: &[Value]| items.iter().map(sorted).collect::<Vec<_>>();
    let (mut old, mut new) = (texts(was), texts(is));
    new.retain(|item| match old.iter().position(|other| other == item) {
        Some(at) => {
            old.remove(at);
            false
        }
        None => true,
    });
    let removed = old.iter().map(|item| format!("{}: {} removed", named(path), clipped(item)));
    let added = new.iter().map(|item| format!("{}: {} added", named(path), clipped(item)));
    lines.extend(removed.chain(added));
}

fn named(path: &str) -> &str {
    if path.is_empty() { "it" } else { path }
}

/// The canonical text of a value with all its lists in sorted order.
pub(crate) fn sorted(value: &Value) -> String {
    canonical_json(&in_order(value))
}

fn in_order(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<_> = items.iter().map(in_order).collect();
            items.sort_by_cached_key(canonical_json);
            Value::Array(items)
        }
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), in_order(value))).collect())
        }
        other => other.clone(),
    }
}

fn brief(value: &Value) -> String {
    clipped(&canonical_json(value))
}

fn clipped(text: &str) -> String {
    meshtrail_event::text::shortened(text, 120)
}
