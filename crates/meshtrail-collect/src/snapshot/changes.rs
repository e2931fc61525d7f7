//! Drafts of what changed about one object.

use meshtrail_event::{Draft, Kind, Timestamp};
use meshtrail_identity::{DeviceState, UserState};
use serde::Serialize;
use serde_json::Value;

use super::KeyState;
use super::tell::{Subject, Teller, is_long, with_states};
use crate::diff::{self, words};

pub(super) fn value(state: &impl Serialize) -> Value {
    serde_json::to_value(state).expect("a state has string keys and no floats")
}

/// A change with both states; what is too long for it follows as a snapshot.
pub(super) fn told<T: Serialize>(
    teller: &Teller,
    draft: Draft,
    subject: &Subject,
    property: &str,
    states: (Option<&T>, Option<&T>),
) -> Vec<Draft> {
    let mut drafts = vec![with_states(draft, states.0, states.1)];
    if let Some(new) = states.1.map(value).filter(is_long) {
        drafts.extend(teller.state(subject, property, &new));
    }
    drafts
}

/// The time that a control plane tells, where it lies between the two snapshots; else that of the snapshot.
fn known(told: Option<Timestamp>, teller: &Teller) -> Timestamp {
    let between =
        |at: &Timestamp| *at <= teller.taken && teller.not_before.is_none_or(|before| *at >= before);
    told.filter(between).unwrap_or(teller.taken)
}

pub(super) fn added(teller: &Teller, device: &DeviceState) -> Vec<Draft> {
    let subject = Subject::device(device);
    let mut summary = format!("{} joined", words::device(device));
    if !device.addresses.is_empty() {
        summary.push_str(&format!(" with {}", words::listed(&device.addresses)));
    }
    let mut draft = teller.change(Kind::DeviceAdded, &subject, "device", summary);
    draft.time = known(device.created, teller);
    let mut drafts = told(teller, draft, &subject, "device", (None, Some(device)));
    drafts.extend(unauthorized(teller, device));
    drafts
}

pub(super) fn unauthorized(teller: &Teller, device: &DeviceState) -> Option<Draft> {
    if device.authorized != Some(false) {
        return None;
    }
    let summary = format!("{} waits for approval", words::device(device));
    let subject = Subject::device(device);
    let draft = teller.change(Kind::DeviceUnauthorized, &subject, "authorized", summary);
    Some(with_states(draft, None, Some(device)))
}

pub(super) fn device_drafts(teller: &Teller, old: &DeviceState, new: &DeviceState) -> Vec<Draft> {
    let subject = Subject::device(new);
    let mut drafts: Vec<Draft> = Vec::new();
    for change in diff::device(old, new, teller.taken) {
        let draft = teller.change(change.kind, &subject, change.property, change.summary);
        drafts.push(with_states(draft, Some(old), Some(new)));
    }
    let new = value(new);
    if !drafts.is_empty() && is_long(&new) {
        drafts.extend(teller.state(&subject, "device", &new));
    }
    drafts
}

pub(super) fn user_drafts(teller: &Teller, old: Option<&UserState>, new: &UserState) -> Vec<Draft> {
    let subject = Subject::user(new);
    let Some(old) = old else {
        let role = new.role.as_deref().map(|role| format!(" as {role}")).unwrap_or_default();
        let summary = format!("{} was added{role}", words::user(new));
        let mut draft = teller.change(Kind::UserAdded, &subject, "user", summary);
        draft.time = known(new.created, teller);
        return told(teller, draft, &subject, "user", (None, Some(new)));
    };
    let tell = |change: diff::UserChange| {
        let draft = teller.change(change.kind, &subject, change.property, change.summary);
        told(teller, draft, &subject, "user", (Some(old), Some(new)))
    };
    diff::user(old, new).into_iter().flat_map(tell).collect()
}

pub(super) fn key_created(teller: &Teller, key: &KeyState) -> Vec<Draft> {
    let summary = format!("The {} was made{}", diff::named_key(key), diff::powers(key));
    let mut draft = teller.change(Kind::KeyCreated, &Subject::key(key), "key", summary);
    draft.time = known(key.created, teller);
    told(teller, draft, &Subject::key(key), "key", (None, Some(key)))
}

/// A key that is there no more: it expired, or somebody ended it. One that was told as past says nothing again.
pub(super) fn key_gone(teller: &Teller, key: &KeyState, was_told: bool) -> Vec<Draft> {
    if was_told || key.revoked.is_some() {
        return Vec::new();
    }
    if key.expires.is_some_and(|expires| expires <= teller.taken) {
        return vec![with_states(key_expired(teller, key), Some(key), None)];
    }
    let summary = format!("The {} was revoked or deleted", diff::named_key(key));
    let draft = teller.change(Kind::KeyRevoked, &Subject::key(key), "key", summary);
    vec![with_states(draft, Some(key), None)]
}

pub(super) fn key_drafts(teller: &Teller, old: &KeyState, new: &KeyState) -> Vec<Draft> {
    let subject = Subject::key(new);
    let tell = |change: diff::KeyChange| {
        let draft = teller.change(change.kind, &subject, change.property, change.summary);
        told(teller, draft, &subject, "key", (Some(old), Some(new)))
    };
    diff::key(old, new).into_iter().flat_map(tell).collect()
}

pub(super) fn key_expired(teller: &Teller, key: &KeyState) -> Draft {
    let summary = words::until(&format!("The {} expired", diff::named_key(key)), key.expires);
    let mut draft = teller.change(Kind::KeyExpired, &Subject::key(key), "key", summary);
    draft.time = known(key.expires, teller);
    with_states(draft, None, Some(key))
}
