//! What a record says, as a sentence.

use meshtrail_event::{Actor, Target};
use serde_json::{Map, Value};

use super::exact::text;
use crate::diff::words;

/// The most characters of a value in a sentence.
const VALUE: usize = 120;

/// The sentence of a record, from its row's words.
pub(super) fn said(words: &str, actor: &Actor, target: &Target, record: &Map<String, Value>) -> String {
    let change = change(record.get("old"), record.get("new"));
    let details = text(record, "actionDetails").map(|text| format!(" ({text})")).unwrap_or_default();
    let what =
        words.replace("{target}", &named(target)).replace("{change}", &change).replace("{details}", &details);
    // What happens by itself is said of the thing, not of the program that noticed.
    if words.starts_with("the key") || words.starts_with("key ") || words.starts_with("routes ") {
        let mut letters = what.chars();
        let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
        return format!("{first}{}", letters.as_str());
    }
    let who = actor.label().unwrap_or_else(|| "Somebody unknown".to_owned());
    format!("{who} {what}")
}

/// A record whose name is not in the table, said by that name.
pub(super) fn unnamed(name: &str, actor: &Actor, target: &Target, record: &Map<String, Value>) -> String {
    let who = actor.label().unwrap_or_else(|| "Somebody unknown".to_owned());
    let change = change(record.get("old"), record.get("new"));
    format!("{who}: {name} of {}{change}", named(target))
}

fn named(target: &Target) -> String {
    let name = match (&target.device, &target.person) {
        (Some(device), _) => device.label().map(str::to_owned),
        (_, Some(person)) => Some(person.login.clone()).filter(|login| !login.is_empty()),
        _ => None,
    };
    name.or_else(|| target.label()).unwrap_or_else(|| "something unnamed".to_owned())
}

/// ` from a to b`, ` to b`, ` (before a)`, or nothing.
fn change(old: Option<&Value>, new: Option<&Value>) -> String {
    let told = |value: Option<&Value>| {
        value.filter(|value| !value.is_null() && *value != &Value::String(String::new())).map(brief)
    };
    match (told(old), told(new)) {
        (Some(old), Some(new)) => format!(" from {old} to {new}"),
        (None, Some(new)) => format!(" to {new}"),
        (Some(old), None) => format!(" (before {old})"),
        (None, None) => String::new(),
    }
}

fn brief(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let items: Vec<_> = items.iter().filter_map(Value::as_str).collect();
            words::listed(&items)
        }
        other => meshtrail_event::canonical_json(other),
    };
    meshtrail_event::text::shortened(&text, VALUE)
}
