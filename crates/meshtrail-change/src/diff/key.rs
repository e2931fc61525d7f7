//! Changes of a key between two snapshots.

use std::collections::BTreeSet;

use meshtrail_event::Kind;
use meshtrail_event::text::join_list;

use crate::snapshot::KeyState;

/// One change of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChange {
    /// The kind of its event.
    pub kind: Kind,
    /// The member of [`KeyState`] that changed.
    pub property: &'static str,
    /// A sentence for people.
    pub summary: String,
}

/// `auth key kAuth1CNTRL ("ci runners") of ana@example.com`.
pub(crate) fn describe_key(key: &KeyState) -> String {
    let mut text = match key.of_type.as_deref() {
        Some("client") => format!("OAuth client {}", key.id),
        Some("api") => format!("API key {}", key.id),
        Some("federated") => format!("federated identity {}", key.id),
        Some(of_type) => format!("{of_type} key {}", key.id),
        None => format!("key {}", key.id),
    };
    if let Some(description) = key.description.as_deref().filter(|text| !text.is_empty()) {
        text.push_str(&format!(" ({description:?})"));
    }
    if let Some(owner) = &key.owner {
        text.push_str(&format!(" of {owner}"));
    }
    text
}

/// The flags, tags and scopes of a key after a colon; empty where it has none.
pub(crate) fn describe_capabilities(key: &KeyState) -> String {
    let flag = |on: Option<bool>, word: &str| (on == Some(true)).then(|| word.to_owned());
    let mut words: Vec<String> = [
        flag(key.reusable, "reusable"),
        flag(key.ephemeral, "ephemeral"),
        flag(key.preauthorized, "needs no approval"),
    ]
    .into_iter()
    .flatten()
    .collect();
    words.extend(key.tags.iter().cloned());
    words.extend(key.scopes.iter().cloned());
    if words.is_empty() { String::new() } else { format!(": {}", join_list(&words)) }
}

/// The changes of a key from `old` to `new`. Its expiry is not among them: the snapshot module reports it, once.
pub fn key(old: &KeyState, new: &KeyState) -> Vec<KeyChange> {
    let who = format!("The {}", describe_key(old));
    let mut list = Vec::new();
    let mut push = |kind, property, what: String| {
        list.push(KeyChange { kind, property, summary: format!("{who} {what}") });
    };
    if old.revoked.is_none() && new.revoked.is_some() {
        push(Kind::KeyRevoked, "revoked", "was revoked".to_owned());
    }
    if old.used == Some(false) && new.used == Some(true) {
        push(Kind::KeyChanged, "used", "was used".to_owned());
    }
    let set = |items: &[String]| items.iter().cloned().collect::<BTreeSet<_>>();
    if set(&old.tags) != set(&new.tags) {
        push(
            Kind::KeyChanged,
            "tags",
            format!("gives {} now, before {}", join_list(&new.tags), join_list(&old.tags)),
        );
    }
    if set(&old.scopes) != set(&new.scopes) {
        let what = format!("may do {} now, before {}", join_list(&new.scopes), join_list(&old.scopes));
        push(Kind::KeyChanged, "scopes", what);
    }
    if let (Some(from), Some(to)) = (&old.description, &new.description)
        && from != to
    {
        push(Kind::KeyChanged, "description", format!("is described as {to:?} now"));
    }
    for (property, was, is) in [
        ("reusable", old.reusable, new.reusable),
        ("ephemeral", old.ephemeral, new.ephemeral),
        ("preauthorized", old.preauthorized, new.preauthorized),
    ] {
        if let (Some(was), Some(is)) = (was, is)
            && was != is
        {
            let not = if is { "" } else { "not " };
            push(Kind::KeyChanged, property, format!("is {not}{property} now"));
        }
    }
    if let (Some(from), Some(to)) = (old.expires, new.expires)
        && from != to
    {
        push(Kind::KeyChanged, "expires", format!("expires at {} now", super::words::minute(to)));
    }
    list
}
