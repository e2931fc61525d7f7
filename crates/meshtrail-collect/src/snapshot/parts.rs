//! What each part of a snapshot says beyond what was known of it.

use std::collections::BTreeMap;

use meshtrail_event::{Draft, Kind, Timestamp};
use meshtrail_identity::{DeviceState, UserState};
use serde::Serialize;
use serde_json::{Value, json};

use super::changes::{
    added, device_drafts, key_created, key_drafts, key_expired, key_gone, told, unauthorized, user_drafts,
    value,
};
use super::levels::{self, Told};
use super::observer::{SeenDevice, SeenKey, State};
use super::tell::{Subject, Teller, edit, with_states};
use super::{DnsState, KeyState, Origin, policy};
use crate::diff::{self, words};
use crate::snapshot::PolicyText;

/// One snapshot on its way.
pub(super) struct Seeing {
    origin: Origin,
    taken: Timestamp,
    state: State,
    groups: Vec<Vec<Draft>>,
    /// Whether a whole snapshot is to be written.
    whole: bool,
    /// How many objects of each part were written as a snapshot.
    written: BTreeMap<String, usize>,
}

impl Seeing {
    pub(super) fn new(origin: Origin, taken: Timestamp, state: State, whole: bool) -> Self {
        Self { origin, taken, state, groups: Vec::new(), whole, written: BTreeMap::new() }
    }

    fn teller(&self, part: &str) -> Teller {
        let not_before = self.state.taken.get(part).copied();
        Teller { origin: self.origin, taken: self.taken, not_before }
    }

    fn push(&mut self, group: Vec<Draft>) {
        if !group.is_empty() {
            self.groups.push(group);
        }
    }

    fn saw(&mut self, part: &str) {
        self.state.taken.insert(part.to_owned(), self.taken);
    }

    pub(super) fn users(&mut self, users: Vec<UserState>) {
        let teller = self.teller("users");
        let new: BTreeMap<_, _> = users.into_iter().map(|user| (user.id.clone(), user)).collect();
        match self.state.users.take() {
            None => self.baseline("users", new.values(), |user| (Subject::user(user), "user")),
            Some(old) => {
                for (id, user) in &new {
                    self.push(user_drafts(&teller, old.get(id), user));
                }
                for user in old.iter().filter(|(id, _)| !new.contains_key(*id)).map(|(_, user)| user) {
                    let summary = format!("{} was removed", words::user(user));
                    let draft = teller.change(Kind::UserRemoved, &Subject::user(user), "user", summary);
                    self.push(vec![with_states(draft, Some(user), None)]);
                }
            }
        }
        self.state.users = Some(new);
        self.saw("users");
    }

    pub(super) fn devices(&mut self, devices: Vec<DeviceState>) {
        let teller = self.teller("devices");
        let old = self.state.devices.take();
        let mut new = BTreeMap::new();
        for device in devices {
            let before = old.as_ref().and_then(|old| old.get(&device.id));
            let mut group = match (&old, before) {
                (None, _) => {
                    *self.written.entry("devices".to_owned()).or_default() += 1;
                    let mut drafts = teller.state(&Subject::device(&device), "device", &value(&device));
                    drafts.extend(unauthorized(&teller, &device));
                    drafts
                }
                (Some(_), None) => added(&teller, &device),
                (Some(_), Some(before)) => device_drafts(&teller, &before.state, &device),
            };
            let told = before.map(|before| before.told.clone()).unwrap_or_default();
            let (more, told) = levels::device(&teller, &device, &told);
            group.extend(more);
            self.push(group);
            new.insert(device.id.clone(), SeenDevice { state: device, told });
        }
        if old.is_none() {
            self.written.entry("devices".to_owned()).or_default();
        }
        for (_, gone) in old.iter().flatten().filter(|(id, _)| !new.contains_key(*id)) {
            let summary = format!("{} was removed", words::device(&gone.state));
            let draft = teller.change(Kind::DeviceRemoved, &Subject::device(&gone.state), "device", summary);
            self.push(vec![with_states(draft, Some(&gone.state), None)]);
        }
        self.state.devices = Some(new);
        self.saw("devices");
    }

    pub(super) fn keys(&mut self, keys: Vec<KeyState>) {
        let teller = self.teller("keys");
        let old = self.state.keys.take();
        let mut new = BTreeMap::new();
        for key in keys {
            let before = old.as_ref().and_then(|old| old.get(&key.id));
            let mut group = match (&old, before) {
                (None, _) => {
                    *self.written.entry("keys".to_owned()).or_default() += 1;
                    teller.state(&Subject::key(&key), "key", &value(&key))
                }
                (Some(_), None) => key_created(&teller, &key),
                (Some(_), Some(before)) => key_drafts(&teller, &before.state, &key),
            };
            let past = key.expires.is_some_and(|expires| expires <= self.taken) && key.revoked.is_none();
            let known_past = before.is_some_and(|before| before.expired);
            if past && !known_past && old.is_some() {
                group.push(key_expired(&teller, &key));
            }
            self.push(group);
            new.insert(key.id.clone(), SeenKey { state: key, expired: past });
        }
        if old.is_none() {
            self.written.entry("keys".to_owned()).or_default();
        }
        for (_, gone) in old.iter().flatten().filter(|(id, _)| !new.contains_key(*id)) {
            let group = key_gone(&teller, &gone.state, gone.expired);
            self.push(group);
        }
        self.state.keys = Some(new);
        self.saw("keys");
    }

    pub(super) fn policy(&mut self, new: PolicyText) {
        let teller = self.teller("policy");
        let group = match &self.state.policy {
            None => {
                self.written.insert("policy".to_owned(), 1);
                policy::baseline(&teller, &new)
            }
            Some(old) => policy::drafts(&teller, old, &new),
        };
        self.push(group);
        self.state.policy = Some(new);
        self.saw("policy");
    }

    pub(super) fn dns(&mut self, mut new: DnsState) {
        if let Some(old) = &self.state.dns {
            new.fill_from(old);
        }
        let teller = self.teller("dns");
        let subject = Subject::part("dns");
        let group = match &self.state.dns {
            None => {
                self.written.insert("dns".to_owned(), 1);
                teller.state(&subject, "dns", &value(&new))
            }
            Some(old) => {
                let tell = |change: diff::DnsChange| {
                    let draft = teller.change(Kind::DnsChanged, &subject, change.property, change.summary);
                    told(&teller, draft, &subject, "dns", (Some(old), Some(&new)))
                };
                diff::dns(old, &new).into_iter().flat_map(tell).collect()
            }
        };
        self.push(group);
        self.state.dns = Some(new);
        self.saw("dns");
    }

    pub(super) fn other(&mut self, name: &str, mut new: Value) {
        if let Some(old) = self.state.others.get(name).filter(|_| name == "settings") {
            keep_told(old, &mut new);
        }
        let teller = self.teller(name);
        let subject = Subject::part(name);
        let group = match self.state.others.get(name) {
            None => {
                self.written.insert(name.to_owned(), 1);
                teller.state(&subject, name, &new)
            }
            Some(old) => {
                let tell = |line: String| {
                    let summary = meshtrail_event::text::shortened(&format!("{name}: {line}"), 300);
                    let mut draft = teller.change(Kind::ConfigChanged, &subject, name, summary);
                    edit(&mut draft, |change| change.lines = vec![line]);
                    told(&teller, draft, &subject, name, (Some(old), Some(&new)))
                };
                diff::json(old, &new).into_iter().flat_map(tell).collect()
            }
        };
        self.push(group);
        self.state.others.insert(name.to_owned(), new);
        self.saw(name);
    }

    fn baseline<'a, T: Serialize + 'a>(
        &mut self,
        part: &str,
        states: impl Iterator<Item = &'a T>,
        subject: impl Fn(&T) -> (Subject, &'static str),
    ) {
        let teller = self.teller(part);
        let mut count = 0;
        for state in states {
            let (subject, property) = subject(state);
            self.push(teller.state(&subject, property, &value(state)));
            count += 1;
        }
        self.written.insert(part.to_owned(), count);
    }

    /// The drafts, a whole snapshot at their end where one is due, and the state after.
    pub(super) fn finish(mut self) -> (Vec<Vec<Draft>>, State) {
        if self.whole {
            self.write_rest();
            self.state.whole = Some(self.taken);
        }
        if !self.written.is_empty() || self.whole {
            let census = self.census();
            self.push(vec![census]);
        }
        (self.groups, self.state)
    }

    /// Writes every known part that was not written as a snapshot already.
    fn write_rest(&mut self) {
        let state = self.state.clone();
        if let Some(users) = state.users.filter(|_| !self.written.contains_key("users")) {
            self.baseline("users", users.values(), |user| (Subject::user(user), "user"));
        }
        if let Some(devices) = state.devices.filter(|_| !self.written.contains_key("devices")) {
            let teller = self.teller("devices");
            self.written.insert("devices".to_owned(), devices.len());
            for device in devices.values() {
                let mut drafts =
                    teller.state(&Subject::device(&device.state), "device", &value(&device.state));
                remember(&mut drafts, &device.told);
                self.push(drafts);
            }
        }
        if let Some(keys) = state.keys.filter(|_| !self.written.contains_key("keys")) {
            self.baseline("keys", keys.values().map(|key| &key.state), |key| (Subject::key(key), "key"));
        }
        if let Some(policy) = state.policy.filter(|_| !self.written.contains_key("policy")) {
            self.written.insert("policy".to_owned(), 1);
            let drafts = self.teller("policy").policy(&policy);
            self.push(drafts);
        }
        if let Some(dns) = state.dns.filter(|_| !self.written.contains_key("dns")) {
            self.baseline("dns", [dns].iter(), |_| (Subject::part("dns"), "dns"));
        }
        for (name, other) in state.others {
            if !self.written.contains_key(&name) {
                self.written.insert(name.clone(), 1);
                let drafts = self.teller(&name).state(&Subject::part(&name), &name, &other);
                self.push(drafts);
            }
        }
    }

    /// The last event of a snapshot: how many objects of each part stand before it, and which parts are known from an
    /// earlier one. A rebuild reads back to it and knows that it has everything.
    fn census(&self) -> Draft {
        let kept: Vec<_> = self.state.taken.keys().filter(|part| !self.written.contains_key(*part)).collect();
        let census = json!({ "kept": kept, "whole": self.whole, "written": self.written });
        let mut drafts = self.teller("").state(&Subject::part("census"), "census", &census);
        drafts.remove(0)
    }
}

/// Keeps settings that are `null` now as they were told last: such a one is not told, for want of a scope or by the plan.
fn keep_told(old: &Value, new: &mut Value) {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return };
    for (name, old) in old {
        if let Some(new) = new.get_mut(name).filter(|new| new.is_null()) {
            new.clone_from(old);
        }
    }
}

/// Keeps what was told of a device beside its state, so that it is not told again.
fn remember(drafts: &mut [Draft], told: &Told) {
    if !told.is_empty()
        && let Some(first) = drafts.first_mut()
    {
        edit(first, |change| change.record = Some((&value(told)).into()));
    }
}
