//! What an event tells of a device or a person, read from the event or straight from its leaf.
//!
//! An event that tells a part only, in the control plane's own shape, is none: a state is a whole one, with the id it
//! is about. What went wrong or was refused tells nothing of how things are.

use std::borrow::Cow;

use meshtrail_event::{Change, Detail, Event, EventId, Family, Kind, Outcome, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::state::{DeviceState, UserState};

/// What of, as an event's target says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Device,
    User,
}

/// One thing an origin told of one moment.
#[derive(Debug)]
pub(super) struct Observation {
    pub(super) origin: String,
    /// The source whose event it is.
    pub(super) source: String,
    pub(super) at: Timestamp,
    pub(super) rank: u64,
    pub(super) told: Told,
}

/// What was told.
#[derive(Debug)]
pub(super) enum Told {
    Device(Box<DeviceState>),
    DeviceGone { id: String },
    User(Box<UserState>),
    UserGone { login: Option<String>, id: Option<String> },
}

/// The members of an event that tell.
struct Telling<'a> {
    kind: &'a Kind,
    source: &'a str,
    time: Timestamp,
    rank: u64,
    of_type: Option<&'a str>,
    id: Option<&'a str>,
    name: Option<&'a str>,
    origin: Option<&'a str>,
    not_before: Option<Timestamp>,
    new: Option<&'a str>,
    old: Option<&'a str>,
}

/// What an event tells; nothing where it tells of neither a device nor a person.
pub(super) fn of_event(event: &Event) -> Vec<Observation> {
    if event.kind.family() != Family::Config || event.outcome != Outcome::Success {
        return Vec::new();
    }
    let none = Change::default();
    let change = match &event.detail {
        Some(Detail::Change(change)) => &**change,
        _ => &none,
    };
    Telling {
        kind: &event.kind,
        source: event.id.source.as_str(),
        time: event.time,
        rank: rank(event.id.epoch, event.id.sequence),
        of_type: event.target.of_type.as_deref(),
        id: event.target.id.as_deref(),
        name: event.target.name.as_deref(),
        origin: change.origin.as_deref(),
        not_before: change.not_before,
        new: change.new.as_ref().map(|new| new.text()),
        old: change.old.as_ref().map(|old| old.text()),
    }
    .observations()
}

/// What stands in the leaf of an event of the config family, as far as it is looked at here.
#[derive(Deserialize)]
struct Leaf<'a> {
    #[serde(borrow)]
    detail: Option<LeafDetail<'a>>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    kind: Kind,
    outcome: Outcome,
    #[serde(borrow, default)]
    target: LeafTarget<'a>,
    time: Timestamp,
}

#[derive(Deserialize)]
struct LeafDetail<'a> {
    #[serde(borrow)]
    new: Option<&'a RawValue>,
    not_before: Option<Timestamp>,
    #[serde(borrow)]
    old: Option<&'a RawValue>,
    #[serde(borrow)]
    origin: Option<Cow<'a, str>>,
}

#[derive(Deserialize, Default)]
struct LeafTarget<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    of_type: Option<Cow<'a, str>>,
}

/// What a leaf tells. Leaves of a form this version does not know tell nothing.
pub(super) fn of_leaf(leaf: &[u8]) -> Vec<Observation> {
    let Ok(leaf) = serde_json::from_slice::<Leaf<'_>>(leaf) else { return Vec::new() };
    if leaf.kind.family() != Family::Config || leaf.outcome != Outcome::Success {
        return Vec::new();
    }
    let Some((source, epoch, sequence)) = EventId::split_written(leaf.id.as_bytes()) else {
        return Vec::new();
    };
    let rank = rank(epoch, sequence);
    let detail = leaf.detail.as_ref();
    Telling {
        kind: &leaf.kind,
        source,
        time: leaf.time,
        rank,
        of_type: leaf.target.of_type.as_deref(),
        id: leaf.target.id.as_deref(),
        name: leaf.target.name.as_deref(),
        origin: detail.and_then(|detail| detail.origin.as_deref()),
        not_before: detail.and_then(|detail| detail.not_before),
        new: detail.and_then(|detail| detail.new).map(RawValue::get),
        old: detail.and_then(|detail| detail.old).map(RawValue::get),
    }
    .observations()
}

/// Of two events of one source about one moment, the later one's is higher; what an event says of before is lowest.
fn rank(epoch: u64, sequence: u64) -> u64 {
    (epoch.min(0xffff) << 48) | sequence.min((1 << 48) - 1)
}

impl Telling<'_> {
    fn of(&self) -> Option<Of> {
        match self.of_type {
            Some("device") => Some(Of::Device),
            Some("user") => Some(Of::User),
            Some(_) => None,
            None if self.kind.as_str().starts_with("device.") => Some(Of::Device),
            None if self.kind.as_str().starts_with("user.") => Some(Of::User),
            None => None,
        }
    }

    fn observations(&self) -> Vec<Observation> {
        let Some(of) = self.of() else { return Vec::new() };
        // These are dated back to when time alone made them so; the state in them is a later one, and no news.
        if matches!(self.kind, Kind::DeviceUnseen | Kind::KeyExpired) {
            return Vec::new();
        }
        let old = self.old.and_then(|old| state(of, old));
        let now = match self.new.and_then(|new| state(of, new)) {
            Some(new) => Some(new),
            None => self.gone(of, old.as_ref()),
        };
        // The state before was last seen at the snapshot before, or held until the change.
        let before = self.not_before.unwrap_or(Timestamp::from_nanos(self.time.as_nanos() - 1));
        let origin = self.origin.unwrap_or("unknown");
        let observation = |told, at, rank| {
            let (origin, source) = (origin.to_owned(), self.source.to_owned());
            Observation { origin, source, at, rank, told }
        };
        let old = old.filter(|_| before < self.time).map(|old| observation(old, before, 0));
        old.into_iter().chain(now.map(|now| observation(now, self.time, self.rank))).collect()
    }

    /// That it is gone, where the event says that.
    fn gone(&self, of: Of, old: Option<&Told>) -> Option<Told> {
        match (of, self.kind, old) {
            (Of::Device, Kind::DeviceRemoved, Some(Told::Device(old))) => {
                Some(Told::DeviceGone { id: old.id.clone() })
            }
            (Of::Device, Kind::DeviceRemoved, _) => Some(Told::DeviceGone { id: self.id?.to_owned() }),
            (Of::User, Kind::UserRemoved, Some(Told::User(old))) => {
                Some(Told::UserGone { login: Some(old.login.clone()), id: None })
            }
            (Of::User, Kind::UserRemoved, _) => {
                let login = self.name.filter(|name| !name.is_empty()).map(str::to_owned);
                Some(Told::UserGone { login, id: self.id.map(str::to_owned) })
            }
            _ => None,
        }
    }
}

/// A whole state, or none.
fn state(of: Of, text: &str) -> Option<Told> {
    match of {
        Of::Device => {
            let state: DeviceState = serde_json::from_str(text).ok()?;
            (!state.id.is_empty()).then(|| Told::Device(Box::new(state)))
        }
        Of::User => {
            let state: UserState = serde_json::from_str(text).ok()?;
            (!state.login.is_empty()).then(|| Told::User(Box::new(state)))
        }
    }
}
