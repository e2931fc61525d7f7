//! Drafts of what changed about one object: a device, a person, a key.

use meshtrail_event::text::join_list;
use meshtrail_event::{DeviceState, Draft, Kind, Timestamp, UserState};
use serde::Serialize;
use serde_json::Value;

use super::KeyState;
use super::change_writer::{ChangeWriter, Subject, is_long, with_states};
use crate::diff::{self, words};

pub(super) fn value(state: &impl Serialize) -> Value {
    serde_json::to_value(state).expect("a state has string keys and no floats")
}

/// A change with the states before and after; a new state that is too long for it follows as a snapshot.
pub(super) fn with_long_state<T: Serialize>(
    writer: &ChangeWriter,
    draft: Draft,
    subject: &Subject,
    property: &str,
    states: (Option<&T>, Option<&T>),
) -> Vec<Draft> {
    let mut drafts = vec![with_states(draft, states.0, states.1)];
    if let Some(new) = states.1.map(value).filter(is_long) {
        drafts.extend(writer.state(subject, property, &new));
    }
    drafts
}

/// The time that the control plane states for a change, if it lies between the two snapshots; else that of the newer
/// snapshot.
fn change_time(stated: Option<Timestamp>, writer: &ChangeWriter) -> Timestamp {
    let between =
        |at: &Timestamp| *at <= writer.taken && writer.not_before.is_none_or(|before| *at >= before);
    stated.filter(between).unwrap_or(writer.taken)
}

pub(super) fn device_added(writer: &ChangeWriter, device: &DeviceState) -> Vec<Draft> {
    let subject = Subject::device(device);
    let mut summary = format!("{} joined", words::device(device));
    if !device.addresses.is_empty() {
        summary.push_str(&format!(" with {}", join_list(&device.addresses)));
    }
    let mut draft = writer.change(Kind::DeviceAdded, &subject, "device", summary);
    draft.time = change_time(device.created, writer);
    let mut drafts = with_long_state(writer, draft, &subject, "device", (None, Some(device)));
    drafts.extend(device_unauthorized(writer, device));
    drafts
}

/// The draft for a new device that waits for approval; none for one that does not.
pub(super) fn device_unauthorized(writer: &ChangeWriter, device: &DeviceState) -> Option<Draft> {
    if device.authorized != Some(false) {
        return None;
    }
    let summary = format!("{} waits for approval", words::device(device));
    let subject = Subject::device(device);
    let draft = writer.change(Kind::DeviceUnauthorized, &subject, "authorized", summary);
    Some(with_states(draft, None, Some(device)))
}

pub(super) fn device_drafts(writer: &ChangeWriter, old: &DeviceState, new: &DeviceState) -> Vec<Draft> {
    let subject = Subject::device(new);
    let mut drafts: Vec<Draft> = Vec::new();
    for change in diff::device(old, new, writer.taken) {
        let draft = writer.change(change.kind, &subject, change.property, change.summary);
        drafts.push(with_states(draft, Some(old), Some(new)));
    }
    let new = value(new);
    if !drafts.is_empty() && is_long(&new) {
        drafts.extend(writer.state(&subject, "device", &new));
    }
    drafts
}

pub(super) fn user_drafts(writer: &ChangeWriter, old: Option<&UserState>, new: &UserState) -> Vec<Draft> {
    let subject = Subject::user(new);
    let Some(old) = old else {
        let role = new.role.as_deref().map(|role| format!(" as {role}")).unwrap_or_default();
        let summary = format!("{} was added{role}", words::user(new));
        let mut draft = writer.change(Kind::UserAdded, &subject, "user", summary);
        draft.time = change_time(new.created, writer);
        return with_long_state(writer, draft, &subject, "user", (None, Some(new)));
    };
    let drafts = |change: diff::UserChange| {
        let draft = writer.change(change.kind, &subject, change.property, change.summary);
        with_long_state(writer, draft, &subject, "user", (Some(old), Some(new)))
    };
    diff::user(old, new).into_iter().flat_map(drafts).collect()
}

pub(super) fn key_created(writer: &ChangeWriter, key: &KeyState) -> Vec<Draft> {
    let summary = format!("The {} was made{}", diff::describe_key(key), diff::describe_capabilities(key));
    let mut draft = writer.change(Kind::KeyCreated, &Subject::key(key), "key", summary);
    draft.time = change_time(key.created, writer);
    with_long_state(writer, draft, &Subject::key(key), "key", (None, Some(key)))
}

/// Drafts for a key that is no longer listed: it expired, or somebody revoked or deleted it. None where an event says
/// already that it expired or was revoked.
pub(super) fn key_removed(writer: &ChangeWriter, key: &KeyState, expiry_reported: bool) -> Vec<Draft> {
    if expiry_reported || key.revoked.is_some() {
        return Vec::new();
    }
    if key.expires.is_some_and(|expires| expires <= writer.taken) {
        return vec![with_states(key_expired(writer, key), Some(key), None)];
    }
    let summary = format!("The {} was revoked or deleted", diff::describe_key(key));
    let draft = writer.change(Kind::KeyRevoked, &Subject::key(key), "key", summary);
    vec![with_states(draft, Some(key), None)]
}

pub(super) fn key_drafts(writer: &ChangeWriter, old: &KeyState, new: &KeyState) -> Vec<Draft> {
    let subject = Subject::key(new);
    let drafts = |change: diff::KeyChange| {
        let draft = writer.change(change.kind, &subject, change.property, change.summary);
        with_long_state(writer, draft, &subject, "key", (Some(old), Some(new)))
    };
    diff::key(old, new).into_iter().flat_map(drafts).collect()
}

pub(super) fn key_expired(writer: &ChangeWriter, key: &KeyState) -> Draft {
    let summary = words::with_time(&format!("The {} expired", diff::describe_key(key)), key.expires);
    let mut draft = writer.change(Kind::KeyExpired, &Subject::key(key), "key", summary);
    draft.time = change_time(key.expires, writer);
    with_states(draft, None, Some(key))
}
