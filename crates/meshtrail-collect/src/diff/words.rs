//! Names of devices, people, lists and times in sentences.

use std::fmt::Display;

use meshtrail_event::Timestamp;
use meshtrail_identity::{DeviceState, UserState};

/// The most items of a list that a sentence names.
const MAX_NAMED: usize = 8;

/// The first label of a full name.
pub(crate) fn short(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// `alice@example.com's device fra-1`, or `device build-3 (tag:ci)`.
pub(crate) fn device(device: &DeviceState) -> String {
    let name = device.name.as_deref().map(short).or(device.hostname.as_deref()).unwrap_or(&device.id);
    match &device.owner {
        _ if !device.tags.is_empty() => {
            format!("device {name} ({})", join_list(&device.tags.iter().collect::<Vec<_>>()))
        }
        Some(owner) => format!("{owner}'s device {name}"),
        None => format!("device {name}"),
    }
}

/// The login, else the name, else the id.
pub(crate) fn user(user: &UserState) -> &str {
    match (&user.login, &user.name) {
        (login, _) if !login.is_empty() => login,
        (_, Some(name)) => name,
        _ => &user.id,
    }
}

/// Joins a list: `a`, `a and b`, `a, b and c`. Of a long list, the first items and the number of the others.
pub(crate) fn join_list<T: Display>(items: &[T]) -> String {
    let mut words: Vec<String> = items.iter().take(MAX_NAMED).map(T::to_string).collect();
    if items.len() > MAX_NAMED {
        words.push(format!("{} more", items.len() - MAX_NAMED));
    }
    match words.pop() {
        None => "nothing".to_owned(),
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} and {last}", words.join(", ")),
    }
}

/// A sentence followed by a time to the minute, where there is one.
pub(crate) fn with_time(sentence: &str, at: Option<Timestamp>) -> String {
    at.map_or_else(|| sentence.to_owned(), |at| format!("{sentence}: {}", minute(at)))
}

/// `2026-11-20 14:02 UTC`.
pub(crate) fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{} {} UTC", &text[..10], &text[11..16])
}

/// The most bytes of a character in a JSON text.
pub(crate) fn json_len(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        character if character.is_control() => 6,
        character => character.len_utf8(),
    }
}
