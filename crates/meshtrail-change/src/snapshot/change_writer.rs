//! Writes the drafts of one snapshot: changes with their subject, and states of whole objects, in parts where they are
//! long.

use meshtrail_event::text::json_len;
use meshtrail_event::{
    Change, Detail, Device, DeviceState, Draft, Identity, Json, Kind, Person, Target, Timestamp, UserState,
};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{KeyState, Origin, PolicyText};
use crate::diff::words;

/// The most bytes, as JSON text, of a state inside a change event. Two of them and a diff fit into a leaf.
const MAX_STATE: usize = 20_000;

/// The most bytes, as JSON text, of one part of a text that is written in parts.
const MAX_PART: usize = 40_000;

/// The most bytes of a text; the rest is dropped. Its parts, 32 and more, fit into one append.
const MAX_TEXT: usize = 1 << 20;

/// Writes drafts of one part of one snapshot.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChangeWriter {
    pub(super) origin: Origin,
    pub(super) taken: Timestamp,
    /// When this part was in a snapshot before.
    pub(super) not_before: Option<Timestamp>,
}

/// The object that a draft is about.
#[derive(Debug, Clone)]
pub(super) struct Subject(Target);

impl Subject {
    pub(super) fn device(device: &DeviceState) -> Self {
        let person = device.owner.as_ref().filter(|_| device.tags.is_empty());
        Self(Target {
            device: Some(
                Device {
                    addresses: device.addresses.iter().map(ToString::to_string).collect(),
                    id: Some(device.id.clone()),
                    name: device.name.clone(),
                    os: device.os.clone(),
                    tags: device.tags.iter().cloned().collect(),
                }
                .into(),
            ),
            id: Some(device.id.clone()),
            name: device.name.clone().or_else(|| device.hostname.clone()),
            person: person.map(|login| Person { login: login.clone(), ..Person::default() }.into()),
            of_type: Some("device".to_owned()),
            ..Target::default()
        })
    }

    pub(super) fn user(user: &UserState) -> Self {
        let person = Person {
            groups: user.groups.iter().cloned().collect(),
            id: Some(user.id.clone()).filter(|id| !id.is_empty()),
            login: words::user(user).to_owned(),
            name: user.name.clone(),
        };
        Self(Target {
            id: Some(user.id.clone()),
            name: Some(person.login.clone()),
            person: Some(person.into()),
            of_type: Some("user".to_owned()),
            ..Target::default()
        })
    }

    pub(super) fn key(key: &KeyState) -> Self {
        let person =
            key.owner.as_ref().map(|login| Person { login: login.clone(), ..Person::default() }.into());
        Self(Target {
            id: Some(key.id.clone()),
            name: key.description.clone().filter(|text| !text.is_empty()),
            person,
            of_type: Some("key".to_owned()),
            ..Target::default()
        })
    }

    pub(super) fn part(of_type: &str) -> Self {
        Self(Target { of_type: Some(of_type.to_owned()), ..Target::default() })
    }

    pub(super) fn tag(tag: &str) -> Self {
        let name = Some(tag.to_owned());
        Self(Target { id: name.clone(), name, of_type: Some("tag".to_owned()), ..Target::default() })
    }
}

impl ChangeWriter {
    /// A change, without its states.
    pub(super) fn change(&self, kind: Kind, subject: &Subject, property: &str, summary: String) -> Draft {
        let change = Change {
            not_before: self.not_before.filter(|before| *before <= self.taken),
            origin: Some(self.origin.as_str().to_owned()),
            property: Some(property.to_owned()),
            summary: Some(summary),
            ..Change::default()
        };
        let mut draft = Draft::new(kind, self.taken);
        draft.identity = Identity {
            reason: Some("a snapshot tells what changed, not who changed it".to_owned()),
            ..Identity::default()
        };
        draft.target = subject.0.clone();
        draft.detail = Some(Detail::Change(Box::new(change)));
        draft
    }

    /// A `config.snapshot` of an object's state: one draft, or several parts where the state is long.
    pub(super) fn state(&self, subject: &Subject, property: &str, state: &Value) -> Vec<Draft> {
        let draft = || {
            let mut draft = self.change(Kind::ConfigSnapshot, subject, property, String::new());
            draft.identity = Identity::default();
            edit(&mut draft, |change| {
                change.summary = None;
                change.not_before = None;
            });
            draft
        };
        let json = Json::from(state);
        if json.text().len() <= MAX_PART {
            let mut draft = draft();
            edit(&mut draft, |change| change.new = Some(json));
            return vec![draft];
        }
        let digest = sha256_hex(json.text());
        in_parts(json.text(), &digest, draft)
    }

    /// A `config.snapshot` of a policy: its text, byte for byte, in as many parts as it needs.
    pub(super) fn policy(&self, policy: &PolicyText) -> Vec<Draft> {
        let subject = Subject::part("policy");
        let draft = || {
            let mut draft = self.change(Kind::ConfigSnapshot, &subject, "policy", String::new());
            draft.identity = Identity::default();
            edit(&mut draft, |change| {
                change.summary = None;
                change.not_before = None;
                change.record = Some(Json::from(&policy_version(policy)));
            });
            draft
        };
        in_parts(&policy.text, &sha256_hex(&policy.text), draft)
    }
}

/// What identifies a version of a policy, without its text.
pub(super) fn policy_version(policy: &PolicyText) -> Value {
    let mut version = json!({ "bytes": policy.text.len(), "sha256": sha256_hex(&policy.text) });
    if let Some(etag) = &policy.etag {
        version["etag"] = Value::from(etag.clone());
    }
    if let Some(updated) = policy.updated {
        version["updated"] = Value::from(updated.to_string());
    }
    version
}

/// Puts both states into a draft; one longer than [`MAX_STATE`] is left out.
pub(super) fn with_states<T: Serialize>(mut draft: Draft, old: Option<&T>, new: Option<&T>) -> Draft {
    let json = |state: &T| {
        let value = serde_json::to_value(state).expect("a state has string keys and no floats");
        Some(Json::from(&value)).filter(|json| json.text().len() <= MAX_STATE)
    };
    edit(&mut draft, |change| {
        change.old = old.and_then(json);
        change.new = new.and_then(json);
    });
    draft
}

/// Whether a state is too long for a change event: then it follows as a snapshot in parts.
pub(super) fn is_long(state: &Value) -> bool {
    Json::from(state).text().len() > MAX_STATE
}

/// Edits the change in a draft's detail.
pub(super) fn edit(draft: &mut Draft, by: impl FnOnce(&mut Change)) {
    if let Some(Detail::Change(change)) = &mut draft.detail {
        by(change);
    }
}

/// SHA-256 in lower-case hex.
pub(crate) fn sha256_hex(text: &str) -> String {
    use std::fmt::Write;
    Sha256::digest(text).iter().fold(String::with_capacity(64), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a string works");
        hex
    })
}

/// One draft for each part of a text, numbered from 1.
fn in_parts(text: &str, digest: &str, draft: impl Fn() -> Draft) -> Vec<Draft> {
    let parts = split_text(text);
    let count = u64::try_from(parts.len()).unwrap_or(u64::MAX);
    let one = |(number, part): (u64, &str)| {
        let mut draft = draft();
        edit(&mut draft, |change| {
            change.digest = Some(digest.to_owned());
            change.new = Some(Json::from(&json!({ "text": part })));
            (change.part, change.parts) = (Some(number), Some(count));
        });
        draft
    };
    (1..).zip(parts).map(one).collect()
}

/// Splits a text into parts that fit into an event each; only its first [`MAX_TEXT`] bytes.
pub(crate) fn split_text(text: &str) -> Vec<&str> {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    let (mut parts, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (at, character) in text.char_indices() {
        let needs = json_len(character);
        if bytes + needs > MAX_PART {
            parts.push(&text[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += needs;
    }
    parts.push(&text[start..]);
    parts
}
