//! An image of the directory: everything that was learned, in a form that is read much faster than the events.
//!
//! It is derived: the same is learned from the events again. It answers as they do, property-tested, and whatever was not
//! in the events before it can be learned on top of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use meshtrail_event::{DeviceState, Timestamp, UserState};
use serde::{Deserialize, Serialize};

use super::facts::{DeviceFacts, PersonFacts};
use super::holders::RecordIndex;
use super::learn::{Removal, indexed_spans};
use super::record::{HasFacts, Record, Sighting, Track};
use super::{DeviceRecord, DeviceVersion, History, Inner, PersonRecord, PersonVersion, Presence};

/// Why an image can't be used. The directory is as it was, empty.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ImageError {
    #[error("the directory has learned something already")]
    NotEmpty,
    #[error("it is not the image of a directory")]
    Syntax(#[from] serde_json::Error),
    #[error("it contradicts itself: {what}")]
    Contradiction { what: &'static str },
}

#[derive(Serialize, Deserialize)]
struct Image {
    devices: Vec<DeviceImage>,
    people: Vec<PersonImage>,
    /// Ids of people, with their numbers.
    person_ids: Vec<(String, RecordIndex)>,
    /// Removals of people whose id is not known yet: id, origin, time and rank.
    pending_removals: Vec<(String, String, i64, u64)>,
    generation: u64,
}

#[derive(Serialize, Deserialize)]
struct DeviceImage {
    id: String,
    presence: Option<Presence>,
    tracks: Vec<TrackImage<DeviceState>>,
}

#[derive(Serialize, Deserialize)]
struct PersonImage {
    login: String,
    presence: Option<Presence>,
    tracks: Vec<TrackImage<UserState>>,
}

/// One origin's observations.
#[derive(Serialize, Deserialize)]
struct TrackImage<S> {
    origin: String,
    /// The distinct states.
    states: Vec<S>,
    /// Time in nanoseconds, rank, and the number of the state; none for a removal.
    sightings: Vec<(i64, u64, Option<usize>)>,
}

impl<S> TrackImage<S> {
    fn of<V: HasFacts>(track: &Track<V>, state: impl Fn(&V::Facts) -> S) -> Self {
        let (mut numbers, mut states) = (HashMap::new(), Vec::new());
        let mut number = |version: &Arc<V>| {
            *numbers.entry(Arc::as_ptr(version)).or_insert_with(|| {
                states.push(state(version.facts()));
                states.len() - 1
            })
        };
        let sightings = track.sightings.iter();
        let sightings = sightings
            .map(|sighting| (sighting.at.as_nanos(), sighting.rank, sighting.state.as_ref().map(&mut number)))
            .collect();
        Self { origin: track.name.to_string(), states, sightings }
    }

    /// The sightings with these versions of the states.
    fn sightings<V>(&self, versions: &[Arc<V>]) -> Result<Vec<Sighting<V>>, ImageError> {
        if !self.sightings.is_sorted_by(|one, two| one.0 < two.0) {
            return Err(ImageError::Contradiction { what: "observations out of order" });
        }
        let restore = |&(at, rank, number): &(i64, u64, Option<usize>)| {
            let state = match number {
                Some(number) => Some(versions.get(number).cloned().ok_or(UNKNOWN_STATE)?),
                None => None,
            };
            Ok(Sighting { at: Timestamp::from_nanos(at), rank, state })
        };
        self.sightings.iter().map(restore).collect()
    }
}

const UNKNOWN_STATE: ImageError = ImageError::Contradiction { what: "an observation of no state" };

impl History {
    /// An image of everything that was learned.
    pub fn image(&self) -> Vec<u8> {
        let inner = self.read();
        let device = |device: &DeviceRecord| DeviceImage {
            id: device.id.to_string(),
            presence: device.presence,
            tracks: tracks(&device.record, DeviceFacts::state),
        };
        let person = |person: &PersonRecord| PersonImage {
            login: person.login.to_string(),
            presence: person.presence,
            tracks: tracks(&person.record, PersonFacts::state),
        };
        let removal = |id: &String, removal: &Removal| {
            let origin = inner.origins[removal.origin as usize].to_string();
            (id.clone(), origin, removal.at.as_nanos(), removal.rank)
        };
        let mut person_ids: Vec<_> =
            inner.people_by_id.iter().map(|(id, &place)| (id.to_string(), place)).collect();
        person_ids.sort_unstable();
        let removals = inner.pending_removals.iter();
        let mut pending_removals: Vec<_> =
            removals.flat_map(|(id, removals)| removals.iter().map(move |one| removal(id, one))).collect();
        pending_removals.sort_unstable();
        let image = Image {
            devices: inner.devices.iter().map(device).collect(),
            people: inner.people.iter().map(person).collect(),
            person_ids,
            pending_removals,
            generation: inner.generation,
        };
        serde_json::to_vec(&image).expect("an image has string keys and no floats")
    }

    /// Learns everything in an image; the directory must be empty.
    pub fn restore(&self, image: &[u8]) -> Result<(), ImageError> {
        let image: Image = serde_json::from_slice(image)?;
        let mut inner = self.write();
        if inner.generation > 0 || !inner.devices.is_empty() || !inner.people.is_empty() {
            return Err(ImageError::NotEmpty);
        }
        let mut restored = Inner { own: inner.own.clone(), ..Inner::default() };
        restored.restore(image)?;
        *inner = restored;
        Ok(())
    }
}

fn tracks<V: HasFacts, S>(record: &Record<V>, state: impl Fn(&V::Facts) -> S) -> Vec<TrackImage<S>> {
    record.tracks.iter().map(|track| TrackImage::of(track, &state)).collect()
}

impl Inner {
    fn restore(&mut self, image: Image) -> Result<(), ImageError> {
        let Image { devices, people, person_ids, pending_removals, generation } = image;
        // People first, so that they have their numbers before the devices that they own.
        for person in &people {
            let place = self.get_or_insert_person(&person.login);
            let tracks = person.tracks.iter().map(|track| self.person_track(track));
            let record = Record::of(tracks.collect::<Result<_, _>>()?, &mut PersonVersion::of);
            let known = &mut self.people[place as usize];
            (known.record, known.presence) = (record, person.presence);
        }
        if self.people.len() != people.len() {
            return Err(ImageError::Contradiction { what: "a person twice" });
        }
        for (id, place) in person_ids {
            if place as usize >= self.people.len() {
                return Err(ImageError::Contradiction { what: "an id of nobody" });
            }
            self.people_by_id.insert(id.into(), place);
        }
        for (id, origin, at, rank) in pending_removals {
            let removal = Removal { origin: self.origin(&origin), at: Timestamp::from_nanos(at), rank };
            self.pending_removals.entry(id).or_default().push(removal);
        }
        for device in &devices {
            self.restore_device(device)?;
        }
        self.generation = generation;
        Ok(())
    }

    fn person_track(&mut self, track: &TrackImage<UserState>) -> Result<Track<PersonVersion>, ImageError> {
        let versions: Vec<Arc<PersonVersion>> = track
            .states
            .iter()
            .map(|state| Arc::new(PersonVersion::of(self.interner.person(state))))
            .collect();
        let origin = self.origin(&track.origin);
        let (name, sightings) = (self.origins[origin as usize].clone(), track.sightings(&versions)?);
        Ok(Track { origin, name, sightings })
    }

    fn restore_device(&mut self, image: &DeviceImage) -> Result<(), ImageError> {
        let place = self.get_or_insert_device(&image.id);
        let mut tracks = Vec::with_capacity(image.tracks.len());
        for track in &image.tracks {
            let version = |state: &DeviceState| {
                let facts = self.interner.device(state);
                let owner = facts.owner.clone().map(|login| self.get_or_insert_person(&login));
                self.index_device(place, owner, &facts);
                Arc::new(DeviceVersion { facts, owner, actor: Mutex::default() })
            };
            let versions: Vec<Arc<DeviceVersion>> = track.states.iter().map(version).collect();
            let origin = self.origin(&track.origin);
            let (name, sightings) = (self.origins[origin as usize].clone(), track.sightings(&versions)?);
            tracks.push(Track { origin, name, sightings });
        }
        let people_by_login = &self.people_by_login;
        let record = Record::of(tracks, &mut |facts| DeviceVersion::of(facts, people_by_login));
        let spans = indexed_spans(&record, Timestamp::default(), Timestamp::from_nanos(i64::MAX));
        self.update_indexes(place, &[], &spans);
        let device = &mut self.devices[place as usize];
        (device.record, device.presence) = (record, image.presence);
        Ok(())
    }
}
