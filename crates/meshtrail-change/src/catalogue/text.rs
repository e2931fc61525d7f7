//! The sentence of a record.

use meshtrail_event::text::{join_list, shorten, upper_first};
use meshtrail_event::{Actor, Target};
use serde_json::{Map, Value};

use super::members::text;

/// The most characters of a value in a sentence.
const MAX_VALUE_CHARS: usize = 120;

/// The sentence of a record, from its row's template.
pub(super) fn describe(
    template: &str,
    actor: &Actor,
    target: &Target,
    record: &Map<String, Value>,
) -> String {
    let change = change(record.get("old"), record.get("new"));
    let details = text(record, "actionDetails").map(|text| format!(" ({text})")).unwrap_or_default();
    let what = template
        .replace("{target}", &target_name(target))
        .replace("{change}", &change)
        .replace("{details}", &details);
    // These happen without an actor: the subject is the target, not the program that reported it.
    if template.starts_with("the key") || template.starts_with("key ") || template.starts_with("routes ") {
        return upper_first(&what);
    }
    let who = actor.label().unwrap_or_else(|| "Somebody unknown".to_owned());
    format!("{who} {what}")
}

/// The sentence of a record whose name is not in the table.
pub(super) fn describe_unknown(
    name: &str,
    actor: &Actor,
    target: &Target,
    record: &Map<String, Value>,
) -> String {
    let who = actor.label().unwrap_or_else(|| "Somebody unknown".to_owned());
    let change = change(record.get("old"), record.get("new"));
    format!("{who}: {name} of {}{change}", target_name(target))
}

fn target_name(target: &Target) -> String {
    let name = match (&target.device, &target.person) {
        (Some(device), _) => device.label().map(str::to_owned),
        (_, Some(person)) => Some(person.login.clone()).filter(|login| !login.is_empty()),
        _ => None,
    };
    name.or_else(|| target.label()).unwrap_or_else(|| "something unnamed".to_owned())
}

/// ` from a to b`, ` to b`, ` (before a)`, or nothing.
fn change(old: Option<&Value>, new: Option<&Value>) -> String {
    let present = |value: Option<&Value>| {
        value.filter(|value| !value.is_null() && *value != &Value::String(String::new())).map(short_value)
    };
    match (present(old), present(new)) {
        (Some(old), Some(new)) => format!(" from {old} to {new}"),
        (None, Some(new)) => format!(" to {new}"),
        (Some(old), None) => format!(" (before {old})"),
        (None, None) => String::new(),
    }
}

fn short_value(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let items: Vec<_> = items.iter().filter_map(Value::as_str).collect();
            join_list(&items)
        }
        other => meshtrail_event::canonical_json(other),
    };
    shorten(&text, MAX_VALUE_CHARS)
}
