//! Taking events in.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use meshtrail_event::{Event, Timestamp};

use super::facts::{DeviceFacts, PersonFacts};
use super::holders::Place;
use super::observation::{self, Observation, Told};
use super::record::Record;
use super::routes::Prefix;
use super::{DeviceRecord, HeldDevice, HeldPerson, History, Inner, PersonRecord};

/// That somebody is gone, told before who that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    origin: u32,
    at: Timestamp,
    rank: u64,
}

/// What of a device's state others find it by, and from when to when it was so.
type Found = (Timestamp, Timestamp, Option<Arc<HeldDevice>>);

impl History {
    /// Takes in what an event tells of devices and people; most events tell nothing. Whether it told something new.
    pub fn learn(&self, event: &Event) -> bool {
        let observations = observation::of_event(event);
        if observations.is_empty() {
            return false;
        }
        let mut inner = self.write();
        inner.take_all(observations)
    }

    /// Like [`History::learn`], for the leaves of a trail's config family. How many told something new.
    pub fn learn_leaves<'a>(&self, leaves: impl IntoIterator<Item = &'a [u8]>) -> usize {
        let observations = leaves.into_iter().map(observation::of_leaf).filter(|told| !told.is_empty());
        let observations: Vec<Vec<Observation>> = observations.collect();
        let mut inner = self.write();
        observations.into_iter().map(|told| inner.take_all(told)).filter(|&news| news).count()
    }

    /// How many observations were taken in: changes when, and only when, an answer can have; but who is there, and was
    /// seen when ([`History::device_presence`]), changes all the time and does not count.
    pub fn learned(&self) -> u64 {
        self.read().learned
    }
}

impl Inner {
    /// Takes all of them in; whether any was news.
    fn take_all(&mut self, observations: Vec<Observation>) -> bool {
        let news = observations.into_iter().map(|observation| self.take(observation));
        news.filter(|&news| news).count() > 0
    }

    /// Takes one observation in; whether it was news.
    fn take(&mut self, observation: Observation) -> bool {
        let Observation { origin, source, at, rank, told } = observation;
        let origin = match &self.own {
            Some(own) if !source.starts_with(&**own) => self.origin(&format!("{origin} by {source}")),
            _ => self.origin(&origin),
        };
        let news = match told {
            Told::Device(state) => {
                let facts = self.shared.device(&state);
                let news = self.take_device(origin, at, rank, &state.id, Some(facts));
                self.saw_device(at, &state);
                news
            }
            Told::DeviceGone { id } => self.take_device(origin, at, rank, &id, None),
            Told::User(state) => {
                let facts = self.shared.person(&state);
                let place = self.person_place(&state.login);
                let news = self.take_person(origin, at, rank, place, Some(facts));
                self.saw_person(at, &state);
                self.know_id(&state.id, place) || news
            }
            Told::UserGone { login, id } => {
                let gone = Gone { origin, at, rank };
                match self.person_gone(login.as_deref(), id.as_deref()) {
                    Some(place) => self.take_person(origin, at, rank, place, None),
                    None => self.keep_gone(id, gone),
                }
            }
        };
        self.learned += u64::from(news);
        news
    }

    fn origin(&mut self, name: &str) -> u32 {
        let known = self.origins.iter().position(|known| &**known == name);
        let place = known.unwrap_or_else(|| {
            self.origins.push(name.into());
            self.origins.len() - 1
        });
        u32::try_from(place).expect("origins are few words of our own")
    }

    fn take_device(
        &mut self,
        origin: u32,
        at: Timestamp,
        rank: u64,
        id: &str,
        facts: Option<DeviceFacts>,
    ) -> bool {
        let place = self.device_place(id);
        let owner =
            facts.as_ref().and_then(|facts| facts.owner.clone()).map(|login| self.person_place(&login));
        if let Some(facts) = &facts {
            self.note_names(place, facts);
        }
        if let Some(owner) = owner {
            let devices = &mut self.people[owner as usize].devices;
            if let Err(at) = devices.binary_search(&place) {
                devices.insert(at, place);
            }
        }
        let name = &self.origins[origin as usize];
        let record = &mut self.devices[place as usize].record;
        // What is found by the device now, of the time the observation may change; once a second origin speaks, all.
        let whole = (Timestamp::default(), Timestamp::from_nanos(i64::MAX));
        let before_all = (!record.tracks.iter().any(|track| track.origin == origin)
            && !record.tracks.is_empty())
        .then(|| found(record, whole.0, whole.1));
        let before_latest = found(record, at, whole.1);
        let hold = |facts| HeldDevice { facts, owner, actor: Mutex::default() };
        let Some((from, until)) = record.tell((origin, name), (at, rank), facts, hold) else { return false };
        let person_places = &self.person_places;
        let mut hold = |facts: DeviceFacts| {
            let lower = facts.owner.as_ref().map(|login| login.to_lowercase());
            let owner = lower.and_then(|login| person_places.get(login.as_str()).copied());
            HeldDevice { facts, owner, actor: Mutex::default() }
        };
        record.merge(from, until, &mut hold);
        let (from, until, before) = match before_all {
            Some(before) => (whole.0, whole.1, before),
            None => (from, until, cut(before_latest, until)),
        };
        let after = found(record, from, until);
        self.note_found(place, &before, &after);
        true
    }

    /// Notes from when to when a device was found by which addresses and routes.
    fn note_found(&mut self, place: Place, before: &[Found], after: &[Found]) {
        let alike = before.len() == after.len()
            && before
                .iter()
                .zip(after)
                .all(|(one, two)| (one.0, one.1) == (two.0, two.1) && findable_alike(one, two));
        if alike {
            return;
        }
        for (held, stretches) in [(false, before), (true, after)] {
            for (from, until, state) in stretches {
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

    fn take_person(
        &mut self,
        origin: u32,
        at: Timestamp,
        rank: u64,
        place: Place,
        facts: Option<PersonFacts>,
    ) -> bool {
        let name = &self.origins[origin as usize];
        let record = &mut self.people[place as usize].record;
        let mut hold = HeldPerson::of;
        match record.tell((origin, name), (at, rank), facts, hold) {
            Some((from, until)) => record.merge(from, until, &mut hold),
            None => return false,
        }
        true
    }

    fn device_place(&mut self, id: &str) -> Place {
        if let Some(&place) = self.device_places.get(id) {
            return place;
        }
        let place =
            Place::try_from(self.devices.len()).expect("fewer than four billion devices fit into memory");
        let id = self.shared.text(id);
        self.devices.push(DeviceRecord { id: id.clone(), record: Record::default(), presence: None });
        self.device_places.insert(id, place);
        place
    }

    pub(super) fn person_place(&mut self, login: &str) -> Place {
        let lower = login.to_lowercase();
        if let Some(&place) = self.person_places.get(lower.as_str()) {
            return place;
        }
        let place =
            Place::try_from(self.people.len()).expect("fewer than four billion people fit into memory");
        let login = self.shared.text(login);
        self.people.push(PersonRecord {
            login,
            record: Record::default(),
            presence: None,
            devices: Vec::new(),
        });
        self.person_places.insert(lower.into(), place);
        place
    }

    /// Who is gone: by the control plane's id of a person, or by login.
    fn person_gone(&self, login: Option<&str>, id: Option<&str>) -> Option<Place> {
        let by_id = id.and_then(|id| self.person_ids.get(id).copied());
        by_id.or_else(|| self.person_places.get(login?.to_lowercase().as_str()).copied())
    }

    /// Keeps in mind that somebody is gone whose login was not told yet.
    fn keep_gone(&mut self, id: Option<String>, gone: Gone) -> bool {
        let Some(id) = id else { return false };
        let kept = self.gone.entry(id).or_default();
        if !kept.contains(&gone) {
            kept.push(gone);
        }
        false
    }

    /// Notes whose id this is; whether it was told before that they are gone.
    fn know_id(&mut self, id: &str, place: Place) -> bool {
        if id.is_empty() || self.person_ids.contains_key(id) {
            return false;
        }
        self.person_ids.insert(id.into(), place);
        let kept = self.gone.remove(id).unwrap_or_default();
        let told =
            kept.into_iter().map(|gone| self.take_person(gone.origin, gone.at, gone.rank, place, None));
        told.filter(|&news| news).count() > 0
    }

    fn note_names(&mut self, place: Place, facts: &DeviceFacts) {
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

/// The states of a stretch of time, with neighbours that are found alike put together.
fn found(record: &Record<HeldDevice>, from: Timestamp, until: Timestamp) -> Vec<Found> {
    let mut stretches: Vec<Found> = Vec::new();
    for view in record.between(from, until) {
        let begins = view.at.max(from);
        if let Some(last) = stretches.last_mut() {
            last.1 = begins;
        }
        stretches.push((begins, until, view.state.cloned()));
    }
    stretches.dedup_by(|later, earlier| {
        let alike = findable_alike(later, earlier);
        if alike {
            earlier.1 = later.1;
        }
        alike
    });
    stretches
}

fn cut(mut stretches: Vec<Found>, until: Timestamp) -> Vec<Found> {
    stretches.retain_mut(|stretch| {
        stretch.1 = stretch.1.min(until);
        stretch.0 < stretch.1
    });
    stretches
}

/// Whether a device is found by the same addresses and routes in both.
fn findable_alike(one: &Found, two: &Found) -> bool {
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
    /// Every address that any device ever had, in order.
    pub(super) fn all_addresses(&self) -> BTreeSet<IpAddr> {
        self.addresses.keys().copied().collect()
    }
}
