//! Learning from events.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use meshtrail_event::{Event, Timestamp};

use super::facts::{DeviceFacts, PersonFacts};
use super::holders::RecordIndex;
use super::observation::{self, Fact, Observation};
use super::record::Record;
use super::routes::Prefix;
use super::{DeviceRecord, DeviceVersion, History, Inner, PersonRecord, PersonVersion};

/// A removal of a person whose id is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Removal {
    pub(super) origin: u32,
    pub(super) at: Timestamp,
    pub(super) rank: u64,
}

/// A span of time (start, end) in which a device has the same addresses and routes.
pub(super) type IndexedSpan = (Timestamp, Timestamp, Option<Arc<DeviceVersion>>);

impl History {
    /// Learns the observations in an event; most events have none. Returns whether there was a new one.
    pub fn learn(&self, event: &Event) -> bool {
        let observations = observation::of_event(event);
        if observations.is_empty() {
            return false;
        }
        let mut inner = self.write();
        inner.apply_all(observations)
    }

    /// Like [`History::learn`], for leaves of the trail's config family. Returns the number of leaves with a new observation.
    pub fn learn_leaves<'a>(&self, leaves: impl IntoIterator<Item = &'a [u8]>) -> usize {
        let observations = leaves.into_iter().map(observation::of_leaf).filter(|facts| !facts.is_empty());
        let observations: Vec<Vec<Observation>> = observations.collect();
        let mut inner = self.write();
        observations.into_iter().map(|facts| inner.apply_all(facts)).filter(|&changed| changed).count()
    }

    /// Number of learned observations: it changes if and only if an answer may have changed, except for presence
    /// ([`History::device_presence`]), which changes constantly and does not count.
    pub fn generation(&self) -> u64 {
        self.read().generation
    }
}

impl Inner {
    /// Applies all observations; returns whether one of them was new.
    fn apply_all(&mut self, observations: Vec<Observation>) -> bool {
        let changed = observations.into_iter().map(|observation| self.apply(observation));
        changed.filter(|&changed| changed).count() > 0
    }

    /// Applies one observation; returns whether it was new.
    fn apply(&mut self, observation: Observation) -> bool {
        let Observation { origin, source, at, rank, fact } = observation;
        let origin = match &self.own {
            Some(own) if !source.starts_with(&**own) => self.origin(&format!("{origin} by {source}")),
            _ => self.origin(&origin),
        };
        let changed = match fact {
            Fact::Device(state) => {
                let facts = self.interner.device(&state);
                let changed = self.apply_device(origin, at, rank, &state.id, Some(facts));
                self.update_device_presence(at, &state);
                changed
            }
            Fact::DeviceRemoved { id } => self.apply_device(origin, at, rank, &id, None),
            Fact::User(state) => {
                let facts = self.interner.person(&state);
                let place = self.get_or_insert_person(&state.login);
                let changed = self.apply_person(origin, at, rank, place, Some(facts));
                self.update_person_presence(at, &state);
                self.register_person_id(&state.id, place) || changed
            }
            Fact::UserRemoved { login, id } => {
                let removal = Removal { origin, at, rank };
                match self.find_removed_person(login.as_deref(), id.as_deref()) {
                    Some(place) => self.apply_person(origin, at, rank, place, None),
                    None => self.defer_removal(id, removal),
                }
            }
        };
        self.generation += u64::from(changed);
        changed
    }

    pub(super) fn origin(&mut self, name: &str) -> u32 {
        let known = self.origins.iter().position(|known| &**known == name);
        let place = known.unwrap_or_else(|| {
            self.origins.push(name.into());
            self.origins.len() - 1
        });
        u32::try_from(place).expect("origins are few words of our own")
    }

    fn apply_device(
        &mut self,
        origin: u32,
        at: Timestamp,
        rank: u64,
        id: &str,
        facts: Option<DeviceFacts>,
    ) -> bool {
        let place = self.get_or_insert_device(id);
        let owner = facts
            .as_ref()
            .and_then(|facts| facts.owner.clone())
            .map(|login| self.get_or_insert_person(&login));
        if let Some(facts) = &facts {
            self.index_device(place, owner, facts);
        }
        let name = &self.origins[origin as usize];
        let record = &mut self.devices[place as usize].record;
        // The index entries of the time that the observation may change; with the first one of a second origin, of all time.
        let whole = (Timestamp::default(), Timestamp::from_nanos(i64::MAX));
        let before_all = (!record.tracks.iter().any(|track| track.origin == origin)
            && !record.tracks.is_empty())
        .then(|| indexed_spans(record, whole.0, whole.1));
        let before_latest = indexed_spans(record, at, whole.1);
        let new_version = |facts| DeviceVersion { facts, owner, actor: Mutex::default() };
        let Some((from, until)) = record.insert((origin, name), (at, rank), facts, new_version) else {
            return false;
        };
        let people_by_login = &self.people_by_login;
        let mut new_version = |facts| DeviceVersion::of(facts, people_by_login);
        record.merge(from, until, &mut new_version);
        let (from, until, before) = match before_all {
            Some(before) => (whole.0, whole.1, before),
            None => (from, until, truncate_spans(before_latest, until)),
        };
        let after = indexed_spans(record, from, until);
        self.update_indexes(place, &before, &after);
        true
    }

    /// Makes a device known by its names, and to its owner.
    pub(super) fn index_device(
        &mut self,
        place: RecordIndex,
        owner: Option<RecordIndex>,
        facts: &DeviceFacts,
    ) {
        self.index_names(place, facts);
        if let Some(owner) = owner {
            let devices = &mut self.people[owner as usize].devices;
            if let Err(at) = devices.binary_search(&place) {
                devices.insert(at, place);
            }
        }
    }

    /// Replaces the device's entries in the indexes by address and route.
    pub(super) fn update_indexes(
        &mut self,
        place: RecordIndex,
        before: &[IndexedSpan],
        after: &[IndexedSpan],
    ) {
        let alike = before.len() == after.len()
            && before
                .iter()
                .zip(after)
                .all(|(one, two)| (one.0, one.1) == (two.0, two.1) && same_index_keys(one, two));
        if alike {
            return;
        }
        for (held, spans) in [(false, before), (true, after)] {
            for (from, until, state) in spans {
                let Some(state) = state else { continue };
                for address in state.facts.addresses.iter() {
                    let address = self.addresses.entry(*address).or_default();
                    address.holders.set(place, *from, *until, held);
                }
                for prefix in state.facts.enabled_routes.iter().filter_map(|route| Prefix::parse(route)) {
                    self.routes.set(prefix, place, (*from, *until), held);
                }
            }
        }
    }

    fn apply_person(
        &mut self,
        origin: u32,
        at: Timestamp,
        rank: u64,
        place: RecordIndex,
        facts: Option<PersonFacts>,
    ) -> bool {
        let name = &self.origins[origin as usize];
        let record = &mut self.people[place as usize].record;
        let mut new_version = PersonVersion::of;
        match record.insert((origin, name), (at, rank), facts, new_version) {
            Some((from, until)) => record.merge(from, until, &mut new_version),
            None => return false,
        }
        true
    }

    pub(super) fn get_or_insert_device(&mut self, id: &str) -> RecordIndex {
        if let Some(&place) = self.devices_by_id.get(id) {
            return place;
        }
        let place = RecordIndex::try_from(self.devices.len())
            .expect("fewer than four billion devices fit into memory");
        let id = self.interner.text(id);
        self.devices.push(DeviceRecord { id: id.clone(), record: Record::default(), presence: None });
        self.devices_by_id.insert(id, place);
        place
    }

    pub(super) fn get_or_insert_person(&mut self, login: &str) -> RecordIndex {
        let lower = login.to_lowercase();
        if let Some(&place) = self.people_by_login.get(lower.as_str()) {
            return place;
        }
        let place =
            RecordIndex::try_from(self.people.len()).expect("fewer than four billion people fit into memory");
        let login = self.interner.text(login);
        self.people.push(PersonRecord {
            login,
            record: Record::default(),
            presence: None,
            devices: Vec::new(),
        });
        self.people_by_login.insert(lower.into(), place);
        place
    }

    /// The person that was removed, by the control plane's id or by login.
    fn find_removed_person(&self, login: Option<&str>, id: Option<&str>) -> Option<RecordIndex> {
        let by_id = id.and_then(|id| self.people_by_id.get(id).copied());
        by_id.or_else(|| self.people_by_login.get(login?.to_lowercase().as_str()).copied())
    }

    /// Stores the removal of a person whose login is not known yet.
    fn defer_removal(&mut self, id: Option<String>, removal: Removal) -> bool {
        let Some(id) = id else { return false };
        let removals = self.pending_removals.entry(id).or_default();
        if !removals.contains(&removal) {
            removals.push(removal);
        }
        false
    }

    /// Registers a person's id; returns whether a stored removal was applied.
    fn register_person_id(&mut self, id: &str, place: RecordIndex) -> bool {
        if id.is_empty() || self.people_by_id.contains_key(id) {
            return false;
        }
        self.people_by_id.insert(id.into(), place);
        let removals = self.pending_removals.remove(id).unwrap_or_default();
        let applied = removals
            .into_iter()
            .map(|removal| self.apply_person(removal.origin, removal.at, removal.rank, place, None));
        applied.filter(|&changed| changed).count() > 0
    }

    fn index_names(&mut self, place: RecordIndex, facts: &DeviceFacts) {
        for name in facts.name.iter().chain(&facts.hostname) {
            let lower = name.to_lowercase();
            let short = lower.split('.').next().filter(|short| short.len() < lower.len());
            for name in std::iter::once(lower.as_str()).chain(short) {
                let devices = match self.names.get_mut(name) {
                    Some(devices) => devices,
                    None => self.names.entry(name.into()).or_default(),
                };
                if let Err(at) = devices.binary_search(&place) {
                    devices.insert(at, place);
                }
            }
        }
    }
}

/// The states in a span of time; neighbours with the same index keys are merged.
pub(super) fn indexed_spans(
    record: &Record<DeviceVersion>,
    from: Timestamp,
    until: Timestamp,
) -> Vec<IndexedSpan> {
    let mut spans: Vec<IndexedSpan> = Vec::new();
    for view in record.between(from, until) {
        let begins = view.at.max(from);
        if let Some(last) = spans.last_mut() {
            last.1 = begins;
        }
        spans.push((begins, until, view.state.cloned()));
    }
    spans.dedup_by(|later, earlier| {
        let alike = same_index_keys(later, earlier);
        if alike {
            earlier.1 = later.1;
        }
        alike
    });
    spans
}

fn truncate_spans(mut spans: Vec<IndexedSpan>, until: Timestamp) -> Vec<IndexedSpan> {
    spans.retain_mut(|span| {
        span.1 = span.1.min(until);
        span.0 < span.1
    });
    spans
}

/// Whether the device has the same addresses and routes in both.
fn same_index_keys(one: &IndexedSpan, two: &IndexedSpan) -> bool {
    match (&one.2, &two.2) {
        (Some(one), Some(two)) => {
            let (one, two) = (&one.facts, &two.facts);
            Arc::ptr_eq(&one.addresses, &two.addresses)
                && Arc::ptr_eq(&one.enabled_routes, &two.enabled_routes)
        }
        (None, None) => true,
        _ => false,
    }
}

impl Inner {
    /// All addresses that a device ever had, in order.
    pub(super) fn all_addresses(&self) -> BTreeSet<IpAddr> {
        self.addresses.keys().copied().collect()
    }
}
