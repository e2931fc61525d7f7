//! Rebuilds the last state of an origin from the trail.
//!
//! The trail is read backwards, from its newest event, until every object that the newest census of each part counts was
//! read. The first event read of an object is its newest, and holds the object's state.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures::TryStreamExt;
use meshtrail_event::{Change, Detail, DeviceState, Event, Family, Kind, Timestamp, UserState};
use meshtrail_trail::{ReadError, Scan, Trail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::observer::{KnownDevice, KnownKey, State};
use super::time_levels::RaisedLevels;
use super::{KeyState, Origin, PolicyText};

/// The last event of a snapshot.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Census {
    /// Parts that are in an earlier snapshot.
    #[serde(rename = "kept")]
    earlier_parts: BTreeSet<String>,
    /// Whether it is a full snapshot.
    #[serde(rename = "whole")]
    full: bool,
    /// How many objects of each part are in this snapshot.
    #[serde(rename = "written")]
    object_counts: BTreeMap<String, usize>,
}

/// Reads the last state of `origin`; parts without a complete snapshot are left out.
pub(super) async fn read_state(trail: &Trail, origin: Origin) -> Result<State, ReadError> {
    let scan = Scan { families: vec![Family::Config], ..Scan::newest(0..trail.size()) };
    let mut rows = std::pin::pin!(trail.scan(scan));
    let mut backward = BackwardReader::default();
    while let Some((_, leaf)) = rows.try_next().await? {
        let Ok(event) = Event::from_json(&leaf) else { continue };
        let Some(Detail::Change(change)) = &event.detail else { continue };
        if change.origin.as_deref() != Some(origin.as_str()) {
            continue;
        }
        backward.read(&event, change);
        if backward.is_done() {
            break;
        }
    }
    Ok(backward.finish())
}

/// What was read so far, from the newest event backwards.
#[derive(Debug, Default)]
struct BackwardReader {
    /// Parts of the newest census that are not complete yet; none before a census was read.
    incomplete: Option<BTreeSet<String>>,
    /// How many objects of each part are still to be read; only parts whose census was read.
    remaining: BTreeMap<String, usize>,
    /// The newest state of each object, by type and id; none where the object was removed.
    objects: BTreeMap<(String, String), Option<Value>>,
    /// The raised levels of devices, by id.
    levels: BTreeMap<String, RaisedLevels>,
    /// Objects whose snapshot was read: older events about them are ignored.
    complete_objects: HashSet<(String, String)>,
    expired_keys: HashSet<String>,
    texts: BTreeMap<(String, String), TextParts>,
    taken: BTreeMap<String, Timestamp>,
    last_full: Option<Timestamp>,
}

/// The parts read so far of one text.
#[derive(Debug, Default)]
struct TextParts {
    digest: String,
    count: u64,
    texts: BTreeMap<u64, String>,
    record: Option<Value>,
}

/// The part that objects of this type are in.
fn part_of(of_type: &str) -> &str {
    match of_type {
        "device" => "devices",
        "user" => "users",
        "key" => "keys",
        other => other,
    }
}

impl BackwardReader {
    fn is_done(&self) -> bool {
        let complete = self.incomplete.as_ref().is_some_and(BTreeSet::is_empty);
        complete && self.remaining.values().all(|count| *count == 0) && self.last_full.is_some()
    }

    fn read(&mut self, event: &Event, change: &Change) {
        let of_type = event.target.of_type.clone().unwrap_or_default();
        if of_type == "census" {
            self.read_census(event.time, change);
            return;
        }
        let part = part_of(&of_type).to_owned();
        if event.kind == Kind::ConfigSnapshot || change.not_before.is_some() {
            let taken = self.taken.entry(part.clone()).or_default();
            *taken = event.time.max(*taken);
        }
        let key = (of_type.clone(), event.target.id.clone().unwrap_or_default());
        // Read backwards, the first part of a text comes last.
        if event.kind == Kind::ConfigSnapshot && change.part.is_none_or(|part| part == 1) {
            self.count_object(&part);
        }
        if self.complete_objects.contains(&key) {
            return;
        }
        match of_type.as_str() {
            "device" => self.read_levels(event, change, &key.1),
            "key" if event.kind == Kind::KeyExpired => drop(self.expired_keys.insert(key.1.clone())),
            _ => {}
        }
        if event.kind != Kind::ConfigSnapshot {
            // A policy's state is in the snapshot that follows its change.
            if of_type != "policy" && of_type != "tag" && (change.new.is_some() || change.old.is_some()) {
                self.objects
                    .entry(key)
                    .or_insert_with(|| change.new.as_ref().map(meshtrail_event::Json::value));
            }
            return;
        }
        if change.parts.is_some() && !self.read_text_part(&key, change) {
            return;
        }
        if change.parts.is_none() {
            let state = change.new.as_ref().map(meshtrail_event::Json::value);
            self.objects.entry(key.clone()).or_insert(state);
        }
        self.complete_objects.insert(key);
    }

    /// Counts one object of a part's census as read.
    fn count_object(&mut self, part: &str) {
        let Some(remaining) = self.remaining.get_mut(part) else { return };
        *remaining = remaining.saturating_sub(1);
        if *remaining == 0
            && let Some(incomplete) = &mut self.incomplete
        {
            incomplete.remove(part);
        }
    }

    fn read_census(&mut self, time: Timestamp, change: &Change) {
        let Some(census) = change.new.as_ref().and_then(read::<Census>) else { return };
        if census.full && self.last_full.is_none() {
            self.last_full = Some(time);
        }
        let incomplete = self.incomplete.get_or_insert_with(|| {
            census.earlier_parts.iter().chain(census.object_counts.keys()).cloned().collect()
        });
        for (part, count) in census.object_counts {
            if incomplete.contains(&part) && !self.remaining.contains_key(&part) {
                self.taken.entry(part.clone()).or_insert(time);
                if count == 0 {
                    incomplete.remove(&part);
                }
                self.remaining.insert(part, count);
            }
        }
    }

    fn read_levels(&mut self, event: &Event, change: &Change, id: &str) {
        let raised = if event.kind == Kind::ConfigSnapshot {
            change.record.as_ref().and_then(read::<RaisedLevels>).unwrap_or_default()
        } else {
            let device = change.new.as_ref().and_then(read::<DeviceState>).unwrap_or_default();
            RaisedLevels::from_event(&event.kind, &device, change.property.as_deref())
        };
        let newer = self.levels.remove(id).unwrap_or_default();
        self.levels.insert(id.to_owned(), newer.or(&raised));
    }

    /// Adds a part of a text; returns whether the text is complete now.
    fn read_text_part(&mut self, key: &(String, String), change: &Change) -> bool {
        let (Some(digest), Some(number), Some(count)) = (&change.digest, change.part, change.parts) else {
            return false;
        };
        let parts = self.texts.entry(key.clone()).or_default();
        if parts.texts.is_empty() {
            (parts.digest, parts.count) = (digest.clone(), count);
            parts.record = change.record.as_ref().map(meshtrail_event::Json::value);
        }
        if parts.digest != *digest {
            return false;
        }
        let text = change.new.as_ref().map(meshtrail_event::Json::value);
        let text = text.as_ref().and_then(|new| new.get("text")?.as_str()).unwrap_or_default();
        parts.texts.insert(number, text.to_owned());
        if (parts.texts.len() as u64) < parts.count {
            return false;
        }
        let text: String = std::mem::take(&mut parts.texts).into_values().collect();
        let state = match key.0.as_str() {
            "policy" => {
                let mut state = parts.record.take().unwrap_or_default();
                state["text"] = Value::from(text);
                Some(state)
            }
            _ => serde_json::from_str(&text).ok(),
        };
        self.objects.entry(key.clone()).or_insert(state);
        true
    }

    fn finish(self) -> State {
        let complete: BTreeSet<_> =
            self.remaining.iter().filter(|(_, count)| **count == 0).map(|(part, _)| part.clone()).collect();
        let mut state = State { last_full: self.last_full, ..State::default() };
        for part in &complete {
            match part.as_str() {
                "devices" => state.devices = Some(BTreeMap::new()),
                "users" => state.users = Some(BTreeMap::new()),
                "keys" => state.keys = Some(BTreeMap::new()),
                _ => {}
            }
        }
        for ((of_type, id), object) in self.objects {
            let Some(object) = object.filter(|_| complete.contains(part_of(&of_type))) else { continue };
            insert_object(&mut state, &of_type, &id, object);
        }
        for (id, device) in state.devices.iter_mut().flatten() {
            device.levels = self.levels.get(id).cloned().unwrap_or_default();
        }
        let taken = self.taken.get("keys").copied().unwrap_or_default();
        for (id, key) in state.keys.iter_mut().flatten() {
            let was_past = key.state.expires.is_some_and(|expires| expires <= taken);
            key.expired = was_past || self.expired_keys.contains(id);
        }
        state.taken = self.taken.into_iter().filter(|(part, _)| complete.contains(part)).collect();
        state
    }
}

fn insert_object(state: &mut State, of_type: &str, id: &str, object: Value) {
    match of_type {
        "device" => {
            let (devices, device) = (&mut state.devices, typed::<DeviceState>(object));
            if let (Some(devices), Some(device)) = (devices, device) {
                devices.insert(id.to_owned(), KnownDevice { state: device, levels: RaisedLevels::default() });
            }
        }
        "user" => {
            if let (Some(users), Some(user)) = (&mut state.users, typed::<UserState>(object)) {
                users.insert(id.to_owned(), user);
            }
        }
        "key" => {
            if let (Some(keys), Some(key)) = (&mut state.keys, typed::<KeyState>(object)) {
                keys.insert(id.to_owned(), KnownKey { state: key, expired: false });
            }
        }
        "policy" => state.policy = Some(policy(&object)),
        "dns" => state.dns = typed(object),
        other => drop(state.others.insert(other.to_owned(), object)),
    }
}

fn policy(state: &Value) -> PolicyText {
    let text = |name: &str| state.get(name).and_then(Value::as_str).map(str::to_owned);
    PolicyText {
        text: text("text").unwrap_or_default(),
        etag: text("etag"),
        updated: text("updated").and_then(|at| at.parse().ok()),
    }
}

fn read<T: DeserializeOwned>(json: &meshtrail_event::Json) -> Option<T> {
    serde_json::from_str(json.text()).ok()
}

fn typed<T: DeserializeOwned>(value: Value) -> Option<T> {
    serde_json::from_value(value).ok()
}
