//! The observations of devices and people in an event, parsed from the event or directly from its leaf.
//!
//! An observation has a complete state with an id; an event with only a part of a state, in the control plane's own shape,
//! has none, and neither has an event about something that failed or was denied.

use std::borrow::Cow;

use meshtrail_event::{
    Change, Detail, DeviceState, Event, EventId, Family, Kind, Outcome, Timestamp, UserState,
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The type of an event's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SubjectKind {
    Device,
    User,
}

/// One observation: a fact that an origin reports about one moment.
#[derive(Debug)]
pub(super) struct Observation {
    pub(super) origin: String,
    /// The source of the event.
    pub(super) source: String,
    pub(super) at: Timestamp,
    pub(super) rank: u64,
    pub(super) fact: Fact,
}

/// The content of an observation.
#[derive(Debug)]
pub(super) enum Fact {
    Device(Box<DeviceState>),
    DeviceRemoved { id: String },
    User(Box<UserState>),
    UserRemoved { login: Option<String>, id: Option<String> },
}

/// The members of an event that observations are made from.
struct EventFields<'a> {
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

/// The observations in an event; empty if it is about neither a device nor a person.
pub(super) fn of_event(event: &Event) -> Vec<Observation> {
    if event.kind.family() != Family::Config || event.outcome != Outcome::Success {
        return Vec::new();
    }
    let none = Change::default();
    let change = match &event.detail {
        Some(Detail::Change(change)) => &**change,
        _ => &none,
    };
    EventFields {
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

/// The leaf of an event of the config family, as far as it is read here.
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

/// The observations in a leaf. A leaf of an unknown form has none.
pub(super) fn of_leaf(leaf: &[u8]) -> Vec<Observation> {
    let Ok(leaf) = serde_json::from_slice::<Leaf<'_>>(leaf) else { return Vec::new() };
    if leaf.kind.family() != Family::Config || leaf.outcome != Outcome::Success {
        return Vec::new();
    }
    let Some((source, epoch, sequence)) = EventId::split_canonical(leaf.id.as_bytes()) else {
        return Vec::new();
    };
    let rank = rank(epoch, sequence);
    let detail = leaf.detail.as_ref();
    EventFields {
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

/// Order of observations of one source about the same moment: the later event's is higher. Old states have rank 0.
fn rank(epoch: u64, sequence: u64) -> u64 {
    (epoch.min(0xffff) << 48) | sequence.min((1 << 48) - 1)
}

impl EventFields<'_> {
    fn subject_kind(&self) -> Option<SubjectKind> {
        match self.of_type {
            Some("device") => Some(SubjectKind::Device),
            Some("user") => Some(SubjectKind::User),
            Some(_) => None,
            None if self.kind.as_str().starts_with("device.") => Some(SubjectKind::Device),
            None if self.kind.as_str().starts_with("user.") => Some(SubjectKind::User),
            None => None,
        }
    }

    fn observations(&self) -> Vec<Observation> {
        let Some(subject) = self.subject_kind() else { return Vec::new() };
        // These events are dated back to the moment at which time alone caused them; the state in them is a later one.
        if matches!(self.kind, Kind::DeviceUnseen | Kind::KeyExpired) {
            return Vec::new();
        }
        let old = self.old.and_then(|old| state(subject, old));
        let now = match self.new.and_then(|new| state(subject, new)) {
            Some(new) => Some(new),
            None => self.removal(subject, old.as_ref()),
        };
        // The old state was observed last at the previous snapshot, or held until the change.
        let before = self.not_before.unwrap_or(Timestamp::from_nanos(self.time.as_nanos() - 1));
        let origin = self.origin.unwrap_or("unknown");
        let observation = |fact, at, rank| {
            let (origin, source) = (origin.to_owned(), self.source.to_owned());
            Observation { origin, source, at, rank, fact }
        };
        let old = old.filter(|_| before < self.time).map(|old| observation(old, before, 0));
        old.into_iter().chain(now.map(|now| observation(now, self.time, self.rank))).collect()
    }

    /// The removal, if the event is one.
    fn removal(&self, subject: SubjectKind, old: Option<&Fact>) -> Option<Fact> {
        match (subject, self.kind, old) {
            (SubjectKind::Device, Kind::DeviceRemoved, Some(Fact::Device(old))) => {
                Some(Fact::DeviceRemoved { id: old.id.clone() })
            }
            (SubjectKind::Device, Kind::DeviceRemoved, _) => {
                Some(Fact::DeviceRemoved { id: self.id?.to_owned() })
            }
            (SubjectKind::User, Kind::UserRemoved, Some(Fact::User(old))) => {
                Some(Fact::UserRemoved { login: Some(old.login.clone()), id: None })
            }
            (SubjectKind::User, Kind::UserRemoved, _) => {
                let login = self.name.filter(|name| !name.is_empty()).map(str::to_owned);
                Some(Fact::UserRemoved { login, id: self.id.map(str::to_owned) })
            }
            _ => None,
        }
    }
}

/// Parses a complete state.
fn state(subject: SubjectKind, text: &str) -> Option<Fact> {
    match subject {
        SubjectKind::Device => {
            let state: DeviceState = serde_json::from_str(text).ok()?;
            (!state.id.is_empty()).then(|| Fact::Device(Box::new(state)))
        }
        SubjectKind::User => {
            let state: UserState = serde_json::from_str(text).ok()?;
            (!state.login.is_empty()).then(|| Fact::User(Box::new(state)))
        }
    }
}
