//! The difference between a snapshot and the last state, part by part, as drafts; and the state after it.

use std::collections::BTreeMap;

use meshtrail_event::{DeviceState, Draft, Kind, Timestamp, UserState};
use serde::Serialize;
use serde_json::{Value, json};

use super::change_writer::{ChangeWriter, Subject, edit, with_states};
use super::changes::{
    device_added, device_drafts, device_unauthorized, key_created, key_drafts, key_expired, key_removed,
    user_drafts, value, with_long_state,
};
use super::observer::{KnownDevice, KnownKey, State};
use super::time_levels::{self, RaisedLevels};
use super::{DnsState, KeyState, Origin, policy};
use crate::diff::{self, words};
use crate::snapshot::PolicyText;

/// One snapshot while it is compared with the last state.
pub(super) struct SnapshotDiff {
    origin: Origin,
    taken: Timestamp,
    state: State,
    groups: Vec<Vec<Draft>>,
    /// Whether a full snapshot is due: every part is written, changed or not.
    full: bool,
    /// How many objects of each part were written as `config.snapshot`, by part.
    object_counts: BTreeMap<String, usize>,
}

impl SnapshotDiff {
    pub(super) fn new(origin: Origin, taken: Timestamp, state: State, full: bool) -> Self {
        Self { origin, taken, state, groups: Vec::new(), full, object_counts: BTreeMap::new() }
    }

    fn writer(&self, part: &str) -> ChangeWriter {
        let not_before = self.state.taken.get(part).copied();
        ChangeWriter { origin: self.origin, taken: self.taken, not_before }
    }

    fn push(&mut self, group: Vec<Draft>) {
        if !group.is_empty() {
            self.groups.push(group);
        }
    }

    fn mark_taken(&mut self, part: &str) {
        self.state.taken.insert(part.to_owned(), self.taken);
    }

    pub(super) fn users(&mut self, users: Vec<UserState>) {
        let writer = self.writer("users");
        let new: BTreeMap<_, _> = users.into_iter().map(|user| (user.id.clone(), user)).collect();
        match self.state.users.take() {
            None => self.baseline("users", new.values(), |user| (Subject::user(user), "user")),
            Some(old) => {
                for (id, user) in &new {
                    self.push(user_drafts(&writer, old.get(id), user));
                }
                for user in old.iter().filter(|(id, _)| !new.contains_key(*id)).map(|(_, user)| user) {
                    let summary = format!("{} was removed", words::user(user));
                    let draft = writer.change(Kind::UserRemoved, &Subject::user(user), "user", summary);
                    self.push(vec![with_states(draft, Some(user), None)]);
                }
            }
        }
        self.state.users = Some(new);
        self.mark_taken("users");
    }

    pub(super) fn devices(&mut self, devices: Vec<DeviceState>) {
        let writer = self.writer("devices");
        let old = self.state.devices.take();
        let mut new = BTreeMap::new();
        for device in devices {
            let before = old.as_ref().and_then(|old| old.get(&device.id));
            let mut group = match (&old, before) {
                (None, _) => {
                    *self.object_counts.entry("devices".to_owned()).or_default() += 1;
                    let mut drafts = writer.state(&Subject::device(&device), "device", &value(&device));
                    drafts.extend(device_unauthorized(&writer, &device));
                    drafts
                }
                (Some(_), None) => device_added(&writer, &device),
                (Some(_), Some(before)) => device_drafts(&writer, &before.state, &device),
            };
            let raised = before.map(|before| before.levels.clone()).unwrap_or_default();
            let (more, levels) = time_levels::raise(&writer, &device, &raised);
            group.extend(more);
            self.push(group);
            new.insert(device.id.clone(), KnownDevice { state: device, levels });
        }
        if old.is_none() {
            self.object_counts.entry("devices".to_owned()).or_default();
        }
        for (_, gone) in old.iter().flatten().filter(|(id, _)| !new.contains_key(*id)) {
            let summary = format!("{} was removed", words::device(&gone.state));
            let draft = writer.change(Kind::DeviceRemoved, &Subject::device(&gone.state), "device", summary);
            self.push(vec![with_states(draft, Some(&gone.state), None)]);
        }
        self.state.devices = Some(new);
        self.mark_taken("devices");
    }

    pub(super) fn keys(&mut self, keys: Vec<KeyState>) {
        let writer = self.writer("keys");
        let old = self.state.keys.take();
        let mut new = BTreeMap::new();
        for key in keys {
            let before = old.as_ref().and_then(|old| old.get(&key.id));
            let mut group = match (&old, before) {
                (None, _) => {
                    *self.object_counts.entry("keys".to_owned()).or_default() += 1;
                    writer.state(&Subject::key(&key), "key", &value(&key))
                }
                (Some(_), None) => key_created(&writer, &key),
                (Some(_), Some(before)) => key_drafts(&writer, &before.state, &key),
            };
            let past = key.expires.is_some_and(|expires| expires <= self.taken) && key.revoked.is_none();
            let reported = before.is_some_and(|before| before.expired);
            if past && !reported && old.is_some() {
                group.push(key_expired(&writer, &key));
            }
            self.push(group);
            new.insert(key.id.clone(), KnownKey { state: key, expired: past });
        }
        if old.is_none() {
            self.object_counts.entry("keys".to_owned()).or_default();
        }
        for (_, gone) in old.iter().flatten().filter(|(id, _)| !new.contains_key(*id)) {
            let group = key_removed(&writer, &gone.state, gone.expired);
            self.push(group);
        }
        self.state.keys = Some(new);
        self.mark_taken("keys");
    }

    pub(super) fn policy(&mut self, new: PolicyText) {
        let writer = self.writer("policy");
        let group = match &self.state.policy {
            None => {
                self.object_counts.insert("policy".to_owned(), 1);
                policy::baseline(&writer, &new)
            }
            Some(old) => policy::drafts(&writer, old, &new),
        };
        self.push(group);
        self.state.policy = Some(new);
        self.mark_taken("policy");
    }

    pub(super) fn dns(&mut self, mut new: DnsState) {
        if let Some(old) = &self.state.dns {
            new.fill_from(old);
        }
        let writer = self.writer("dns");
        let subject = Subject::part("dns");
        let group = match &self.state.dns {
            None => {
                self.object_counts.insert("dns".to_owned(), 1);
                writer.state(&subject, "dns", &value(&new))
            }
            Some(old) => {
                let drafts = |change: diff::DnsChange| {
                    let draft = writer.change(Kind::DnsChanged, &subject, change.property, change.summary);
                    with_long_state(&writer, draft, &subject, "dns", (Some(old), Some(&new)))
                };
                diff::dns(old, &new).into_iter().flat_map(drafts).collect()
            }
        };
        self.push(group);
        self.state.dns = Some(new);
        self.mark_taken("dns");
    }

    pub(super) fn other(&mut self, name: &str, mut new: Value) {
        if let Some(old) = self.state.others.get(name).filter(|_| name == "settings") {
            fill_nulls(old, &mut new);
        }
        let writer = self.writer(name);
        let subject = Subject::part(name);
        let group = match self.state.others.get(name) {
            None => {
                self.object_counts.insert(name.to_owned(), 1);
                writer.state(&subject, name, &new)
            }
            Some(old) => {
                let drafts = |line: String| {
                    let summary = meshtrail_event::text::shorten(&format!("{name}: {line}"), 300);
                    let mut draft = writer.change(Kind::ConfigChanged, &subject, name, summary);
                    edit(&mut draft, |change| change.lines = vec![line]);
                    with_long_state(&writer, draft, &subject, name, (Some(old), Some(&new)))
                };
                meshtrail_policy::json::differences(old, &new).into_iter().flat_map(drafts).collect()
            }
        };
        self.push(group);
        self.state.others.insert(name.to_owned(), new);
        self.mark_taken(name);
    }

    /// Writes every object of a part as a snapshot.
    fn baseline<'a, T: Serialize + 'a>(
        &mut self,
        part: &str,
        states: impl Iterator<Item = &'a T>,
        subject: impl Fn(&T) -> (Subject, &'static str),
    ) {
        let writer = self.writer(part);
        let mut count = 0;
        for state in states {
            let (subject, property) = subject(state);
            self.push(writer.state(&subject, property, &value(state)));
            count += 1;
        }
        self.object_counts.insert(part.to_owned(), count);
    }

    /// The drafts, with a full snapshot at their end where one is due, and the state after.
    pub(super) fn finish(mut self) -> (Vec<Vec<Draft>>, State) {
        if self.full {
            self.write_unwritten_parts();
            self.state.last_full = Some(self.taken);
        }
        if !self.object_counts.is_empty() || self.full {
            let census = self.census();
            self.push(vec![census]);
        }
        (self.groups, self.state)
    }

    /// Writes every part of the state that was not written as a snapshot already.
    fn write_unwritten_parts(&mut self) {
        let state = self.state.clone();
        if let Some(users) = state.users.filter(|_| !self.object_counts.contains_key("users")) {
            self.baseline("users", users.values(), |user| (Subject::user(user), "user"));
        }
        if let Some(devices) = state.devices.filter(|_| !self.object_counts.contains_key("devices")) {
            let writer = self.writer("devices");
            self.object_counts.insert("devices".to_owned(), devices.len());
            for device in devices.values() {
                let mut drafts =
                    writer.state(&Subject::device(&device.state), "device", &value(&device.state));
                attach_levels(&mut drafts, &device.levels);
                self.push(drafts);
            }
        }
        if let Some(keys) = state.keys.filter(|_| !self.object_counts.contains_key("keys")) {
            self.baseline("keys", keys.values().map(|key| &key.state), |key| (Subject::key(key), "key"));
        }
        if let Some(policy) = state.policy.filter(|_| !self.object_counts.contains_key("policy")) {
            self.object_counts.insert("policy".to_owned(), 1);
            let drafts = self.writer("policy").policy(&policy);
            self.push(drafts);
        }
        if let Some(dns) = state.dns.filter(|_| !self.object_counts.contains_key("dns")) {
            self.baseline("dns", [dns].iter(), |_| (Subject::part("dns"), "dns"));
        }
        for (name, other) in state.others {
            if !self.object_counts.contains_key(&name) {
                self.object_counts.insert(name.clone(), 1);
                let drafts = self.writer(&name).state(&Subject::part(&name), &name, &other);
                self.push(drafts);
            }
        }
    }

    /// The last event of a snapshot: how many objects of each part stand before it (`written`), and which parts are in
    /// an earlier snapshot (`kept`). A rebuild that has read back to all of these objects is complete.
    fn census(&self) -> Draft {
        let earlier: Vec<_> =
            self.state.taken.keys().filter(|part| !self.object_counts.contains_key(*part)).collect();
        let census = json!({ "kept": earlier, "whole": self.full, "written": self.object_counts });
        let mut drafts = self.writer("").state(&Subject::part("census"), "census", &census);
        drafts.remove(0)
    }
}

/// Gives settings that are `null` their last value: the API answers `null` where the credential lacks a scope or the
/// plan lacks the feature.
fn fill_nulls(old: &Value, new: &mut Value) {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return };
    for (name, old) in old {
        if let Some(new) = new.get_mut(name).filter(|new| new.is_null()) {
            new.clone_from(old);
        }
    }
}

/// Puts the raised levels of a device into its snapshot, so that a rebuild does not raise them again.
fn attach_levels(drafts: &mut [Draft], levels: &RaisedLevels) {
    if !levels.is_empty()
        && let Some(first) = drafts.first_mut()
    {
        edit(first, |change| change.record = Some((&value(levels)).into()));
    }
}
