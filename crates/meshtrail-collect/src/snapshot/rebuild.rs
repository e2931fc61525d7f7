//! The last state of an origin, read back from the trail.
//!
//! The trail is read from its newest event down to the newest census of each part; the first event that is met of an
//! object is the newest, and its state is the object's.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures::TryStreamExt;
use meshtrail_event::{Change, Detail, Event, Family, Kind, Timestamp};
use meshtrail_identity::{DeviceState, UserState};
use meshtrail_trail::{ReadError, Scan, Trail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::levels::Told;
use super::observer::{SeenDevice, SeenKey, State};
use super::{KeyState, Origin, PolicyText};

/// The last event of a snapshot.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Census {
    kept: BTreeSet<String>,
    whole: bool,
    written: BTreeMap<String, usize>,
}

pub(super) async fn state(trail: &Trail, origin: Origin) -> Result<State, ReadError> {
    let scan = Scan { families: vec![Family::Config], ..Scan::newest(0..trail.size()) };
    let mut rows = std::pin::pin!(trail.scan(scan));
    let mut back = Back::default();
    while let Some((_, leaf)) = rows.try_next().await? {
        let Ok(event) = Event::from_json(&leaf) else { continue };
        let Some(Detail::Change(change)) = &event.detail else { continue };
        if change.origin.as_deref() != Some(origin.as_str()) {
            continue;
        }
        back.read(&event, change);
        if back.is_done() {
            break;
        }
    }
    Ok(back.finish())
}

/// The trail on its way back.
#[derive(Debug, Default)]
struct Back {
    /// Parts that the newest census knows, and that are not complete yet.
    open: Option<BTreeSet<String>>,
    /// Of each part whose census was met: how many of its objects are still to come.
    due: BTreeMap<String, usize>,
    /// Objects whose newest event was met, by type and id; the state is none where they are gone.
    objects: BTreeMap<(String, String), Option<Value>>,
    told: BTreeMap<String, Told>,
    /// Objects whose own snapshot was met: what is older of them says nothing.
    settled: HashSet<(String, String)>,
    expired_keys: HashSet<String>,
    texts: BTreeMap<(String, String), Parts>,
    taken: BTreeMap<String, Timestamp>,
    whole: Option<Timestamp>,
}

/// A text in parts.
#[derive(Debug, Default)]
struct Parts {
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

impl Back {
    fn is_done(&self) -> bool {
        let complete = self.open.as_ref().is_some_and(BTreeSet::is_empty);
        complete && self.due.values().all(|due| *due == 0) && self.whole.is_some()
    }

    fn read(&mut self, event: &Event, change: &Change) {
        let of_type = event.target.of_type.clone().unwrap_or_default();
        if of_type == "census" {
            self.census(event.time, change);
            return;
        }
        let part = part_of(&of_type).to_owned();
        if event.kind == Kind::ConfigSnapshot || change.not_before.is_some() {
            let taken = self.taken.entry(part.clone()).or_default();
            *taken = event.time.max(*taken);
        }
        let key = (of_type.clone(), event.target.id.clone().unwrap_or_default());
        // Read backwards, the first part of a text is the last that is met.
        if event.kind == Kind::ConfigSnapshot && change.part.is_none_or(|part| part == 1) {
            self.count(&part);
        }
        if self.settled.contains(&key) {
            return;
        }
        match of_type.as_str() {
            "device" => self.levels(event, change, &key.1),
            "key" if event.kind == Kind::KeyExpired => drop(self.expired_keys.insert(key.1.clone())),
            _ => {}
        }
        if event.kind != Kind::ConfigSnapshot {
            // A policy's state stands in the snapshot that follows its change.
            if of_type != "policy" && of_type != "tag" && (change.new.is_some() || change.old.is_some()) {
                self.objects
                    .entry(key)
                    .or_insert_with(|| change.new.as_ref().map(meshtrail_event::Json::value));
            }
            return;
        }
        if change.parts.is_some() && !self.text(&key, change) {
            return;
        }
        if change.parts.is_none() {
            let state = change.new.as_ref().map(meshtrail_event::Json::value);
            self.objects.entry(key.clone()).or_insert(state);
        }
        self.settled.insert(key);
    }

    /// One object of the part's census was met.
    fn count(&mut self, part: &str) {
        let Some(due) = self.due.get_mut(part) else { return };
        *due = due.saturating_sub(1);
        if *due == 0
            && let Some(open) = &mut self.open
        {
            open.remove(part);
        }
    }

    fn census(&mut self, time: Timestamp, change: &Change) {
        let Some(census) = change.new.as_ref().and_then(read::<Census>) else { return };
        if census.whole && self.whole.is_none() {
            self.whole = Some(time);
        }
        let open = self
            .open
            .get_or_insert_with(|| census.kept.iter().chain(census.written.keys()).cloned().collect());
        for (part, count) in census.written {
            if open.contains(&part) && !self.due.contains_key(&part) {
                self.taken.entry(part.clone()).or_insert(time);
                if count == 0 {
                    open.remove(&part);
                }
                self.due.insert(part, count);
            }
        }
    }

    fn levels(&mut self, event: &Event, change: &Change, id: &str) {
        let told = if event.kind == Kind::ConfigSnapshot {
            change.record.as_ref().and_then(read::<Told>).unwrap_or_default()
        } else {
            let device = change.new.as_ref().and_then(read::<DeviceState>).unwrap_or_default();
            Told::by(&event.kind, &device, change.property.as_deref())
        };
        let newer = self.told.remove(id).unwrap_or_default();
        self.told.insert(id.to_owned(), newer.or(&told));
    }

    /// Takes a part of a text; whether the text is complete now.
    fn text(&mut self, key: &(String, String), change: &Change) -> bool {
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
        let known: BTreeSet<_> =
            self.due.iter().filter(|(_, due)| **due == 0).map(|(part, _)| part.clone()).collect();
        let mut state = State { whole: self.whole, ..State::default() };
        for part in &known {
            match part.as_str() {
                "devices" => state.devices = Some(BTreeMap::new()),
                "users" => state.users = Some(BTreeMap::new()),
                "keys" => state.keys = Some(BTreeMap::new()),
                _ => {}
            }
        }
        for ((of_type, id), object) in self.objects {
            let Some(object) = object.filter(|_| known.contains(part_of(&of_type))) else { continue };
            place(&mut state, &of_type, &id, object);
        }
        for (id, device) in state.devices.iter_mut().flatten() {
            device.told = self.told.get(id).cloned().unwrap_or_default();
        }
        let seen = self.taken.get("keys").copied().unwrap_or_default();
        for (id, key) in state.keys.iter_mut().flatten() {
            let was_past = key.state.expires.is_some_and(|expires| expires <= seen);
            key.expired = was_past || self.expired_keys.contains(id);
        }
        state.taken = self.taken.into_iter().filter(|(part, _)| known.contains(part)).collect();
        state
    }
}

fn place(state: &mut State, of_type: &str, id: &str, object: Value) {
    match of_type {
        "device" => {
            let (devices, device) = (&mut state.devices, typed::<DeviceState>(object));
            if let (Some(devices), Some(device)) = (devices, device) {
                devices.insert(id.to_owned(), SeenDevice { state: device, told: Told::default() });
            }
        }
        "user" => {
            if let (Some(users), Some(user)) = (&mut state.users, typed::<UserState>(object)) {
                users.insert(id.to_owned(), user);
            }
        }
        "key" => {
            if let (Some(keys), Some(key)) = (&mut state.keys, typed::<KeyState>(object)) {
                keys.insert(id.to_owned(), SeenKey { state: key, expired: false });
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
