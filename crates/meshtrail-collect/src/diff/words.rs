//! How devices, people and lists are named in a sentence.

use std::fmt::Display;

use meshtrail_event::Timestamp;
use meshtrail_identity::{DeviceState, UserState};

/// The most members of a list that a sentence names.
const NAMED: usize = 8;

/// The first label of a full name.
pub(crate) fn short(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// `alice@example.com's device fra-1`, or `device build-3 (tag:ci)`.
pub(crate) fn device(device: &DeviceState) -> String {
    let name = device.name.as_deref().map(short).or(device.hostname.as_deref()).unwrap_or(&device.id);
    match &device.owner {
        _ if !device.tags.is_empty() => {
            format!("device {name} ({})", listed(&device.tags.iter().collect::<Vec<_>>()))
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

/// `a`, `a and b`, `a, b and c`; of long lists the first ones and how many more there are.
pub(crate) fn listed<T: Display>(items: &[T]) -> String {
    let mut named: Vec<String> = items.iter().take(NAMED).map(T::to_string).collect();
    if items.len() > NAMED {
        named.push(format!("{} more", items.len() - NAMED));
    }
    match named.pop() {
        None => "nothing".to_owned(),
        Some(last) if named.is_empty() => last,
        Some(last) => format!("{} and {last}", named.join(", ")),
    }
}

/// A sentence with the day and minute of an instant, where there is one.
pub(crate) fn until(sentence: &str, at: Option<Timestamp>) -> String {
    at.map_or_else(|| sentence.to_owned(), |at| format!("{sentence}: {}", minute(at)))
}

/// `2026-11-20 14:02 UTC`.
pub(crate) fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{} {} UTC", &text[..10], &text[11..16])
}

/// The bytes that a character takes in a JSON text, at most.
pub(crate) fn json_len(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        character if character.is_control() => 6,
        character => character.len_utf8(),
    }
}
