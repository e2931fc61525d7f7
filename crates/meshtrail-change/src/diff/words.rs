//! Names of devices, people and times in sentences.

use meshtrail_event::text::join_list;
use meshtrail_event::{DeviceState, Timestamp, UserState};

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

/// A sentence followed by a time to the minute, where there is one.
pub(crate) fn with_time(sentence: &str, at: Option<Timestamp>) -> String {
    at.map_or_else(|| sentence.to_owned(), |at| format!("{sentence}: {}", minute(at)))
}

/// `2026-11-20 14:02 UTC`.
pub(crate) fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{} {} UTC", &text[..10], &text[11..16])
}
