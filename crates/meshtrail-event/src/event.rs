//! An event and its canonical bytes.
//!
//! - [`Event::from_json`] and [`Event::to_leaf`] keep every member, known or not; times and member order become
//!   canonical.
//! - A leaf is at most [`MAX_LEAF`] bytes: C2SP entry bundles give an entry's length in 16 bits.

use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use crate::{
    Actor, Detail, EventId, Identity, Kind, Outcome, SessionId, Target, Timestamp,
    canonical::{canonical_json, integers_are_exact, may_hold_inexact_integer},
};

/// The largest leaf, in bytes.
pub const MAX_LEAF: usize = 65_535;

/// The form of leaves that this version writes. A leaf without a version is of this form; one whose members are sealed will
/// say another, and docs/erasure.md which.
pub const LEAF_VERSION: u64 = 1;

/// Why bytes are not an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum EventError {
    #[error("not an event: {reason}")]
    Syntax { reason: String },
    #[error("member {member:?}: {reason}")]
    Member { member: &'static str, reason: String },
    #[error("an integer lies beyond 2^53 - 1, which JSON numbers do not hold exactly: send it as text")]
    Integer,
    #[error("the event is {bytes} bytes long, at most {MAX_LEAF} are taken")]
    TooLong { bytes: usize },
}

/// One fact: actor, action, target, outcome, time, source.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Event {
    /// Who acted.
    #[serde(default, skip_serializing_if = "Actor::is_empty")]
    pub actor: Actor,
    /// What only this kind has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Detail>,
    /// Its name.
    pub id: EventId,
    /// How the actor is known.
    #[serde(default, skip_serializing_if = "Identity::is_empty")]
    pub identity: Identity,
    /// What happened.
    pub kind: Kind,
    /// The form of the leaf; absent means [`LEAF_VERSION`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf_version: Option<u64>,
    /// How it went.
    pub outcome: Outcome,
    /// When Meshtrail took it in.
    pub received: Timestamp,
    /// Members whose text was repaired as it was taken in, by path: bytes that are no text became U+FFFD, a number a text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repaired: Vec<String>,
    /// The event that said the same before, where it is not known whether this one is a retry: both count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat_of: Option<EventId>,
    /// The session it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// What was acted on.
    #[serde(default, skip_serializing_if = "Target::is_empty")]
    pub target: Target,
    /// When it happened, by its source's clock; where the source gave no time that can be read, when it was received.
    pub time: Timestamp,
    /// The source's own time as it came, where it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_unread: Option<String>,
    /// Members that this version does not know, as an overlay over the known ones.
    #[serde(skip)]
    unknown: Option<Box<Value>>,
}

/// An event without an id and a time of receipt.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Who acted.
    pub actor: Actor,
    /// What only this kind has; must be the kind's own variant.
    pub detail: Option<Detail>,
    /// How the actor is known.
    pub identity: Identity,
    /// What happened.
    pub kind: Kind,
    /// How it went.
    pub outcome: Outcome,
    /// Members whose text was repaired as it was taken in, by path.
    pub repaired: Vec<String>,
    /// The event that said the same before.
    pub repeat_of: Option<EventId>,
    /// The session it belongs to.
    pub session: Option<SessionId>,
    /// What was acted on.
    pub target: Target,
    /// When it happened.
    pub time: Timestamp,
    /// The source's own time as it came, where it could not be read.
    pub time_unread: Option<String>,
}

impl Draft {
    /// A successful event of `kind` at `time`, with all other members empty.
    pub fn new(kind: Kind, time: Timestamp) -> Self {
        Self {
            actor: Actor::default(),
            detail: None,
            identity: Identity::default(),
            kind,
            outcome: Outcome::Success,
            repaired: Vec::new(),
            repeat_of: None,
            session: None,
            target: Target::default(),
            time,
            time_unread: None,
        }
    }

    /// The event with its id and its time of receipt.
    pub fn into_event(self, id: EventId, received: Timestamp) -> Event {
        Event {
            actor: self.actor,
            detail: self.detail,
            id,
            identity: self.identity,
            kind: self.kind,
            leaf_version: None,
            outcome: self.outcome,
            received,
            repaired: self.repaired,
            repeat_of: self.repeat_of,
            session: self.session,
            target: self.target,
            time: self.time,
            time_unread: self.time_unread,
            unknown: None,
        }
    }
}

/// An event's members as read, before its kind determines the type of its detail. Error messages contain the name.
#[derive(Deserialize)]
struct Received<'a> {
    #[serde(default)]
    actor: Actor,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    id: EventId,
    #[serde(default)]
    identity: Identity,
    kind: Kind,
    leaf_keys: Option<IgnoredAny>,
    leaf_version: Option<u64>,
    #[serde(default = "unknown_outcome")]
    outcome: Outcome,
    received: Option<Timestamp>,
    #[serde(default)]
    repaired: Vec<String>,
    repeat_of: Option<EventId>,
    session: Option<SessionId>,
    #[serde(default)]
    target: Target,
    time: Timestamp,
    time_unread: Option<String>,
}

fn unknown_outcome() -> Outcome {
    Outcome::Unknown
}

impl Event {
    /// Reads an event that has its `received` time: a leaf, or an event sent between parts of Meshtrail.
    pub fn from_json(json: &[u8]) -> Result<Self, EventError> {
        Self::read(json, None)
    }

    /// Reads an event from a source; `now` replaces its own `received` time.
    pub fn from_source(json: &[u8], now: Timestamp) -> Result<Self, EventError> {
        Self::read(json, Some(now))
    }

    fn read(json: &[u8], now: Option<Timestamp>) -> Result<Self, EventError> {
        let syntax = |error: serde_json::Error| EventError::Syntax { reason: error.to_string() };
        let received: Received<'_> = serde_json::from_slice(json).map_err(syntax)?;
        let reserved =
            [("leaf_keys", received.leaf_keys.is_some()), ("leaf_version", received.leaf_version.is_some())];
        if let Some((member, _)) = reserved.into_iter().find(|(_, is_there)| now.is_some() && *is_there) {
            let reason = "is of a leaf in a trail, not of an event that is sent".to_owned();
            return Err(EventError::Member { member, reason });
        }
        let detail = received.detail.map(|text| Detail::parse(&received.kind, text.get())).transpose()?;
        let missing = || EventError::Member { member: "received", reason: "is missing".to_owned() };
        let mut event = Self {
            actor: received.actor,
            detail,
            id: received.id,
            identity: received.identity,
            kind: received.kind,
            leaf_version: received.leaf_version,
            outcome: received.outcome,
            received: received.received.or(now).ok_or_else(missing)?,
            repaired: received.repaired,
            repeat_of: received.repeat_of,
            session: received.session,
            target: received.target,
            time: received.time,
            time_unread: received.time_unread,
            unknown: None,
        };
        if may_hold_inexact_integer(json)
            && !integers_are_exact(&serde_json::from_slice(json).map_err(syntax)?)
        {
            return Err(EventError::Integer);
        }
        // Most leaves are exactly the bytes that this version writes: then there are no unknown members.
        if event.to_known() != json {
            let given: Value = serde_json::from_slice(json).map_err(syntax)?;
            event.keep_unknown(&given);
        }
        if let Some(now) = now {
            event.received = now;
        }
        let bytes = event.to_leaf().len();
        if bytes > MAX_LEAF { Err(EventError::TooLong { bytes }) } else { Ok(event) }
    }

    fn keep_unknown(&mut self, given: &Value) {
        let known: Value = serde_json::from_slice(&self.to_known()).expect("an event serialises to JSON");
        self.unknown = extra_members(given, &known).map(Box::new);
    }

    /// The leaf: RFC 8785 canonical JSON.
    pub fn to_leaf(&self) -> Vec<u8> {
        let known = self.to_known();
        match &self.unknown {
            None => known,
            Some(unknown) => {
                let mut whole = serde_json::from_slice(&known).expect("an event serialises to JSON");
                overlay(&mut whole, unknown);
                canonical_json(&whole).into_bytes()
            }
        }
    }

    /// The known members as canonical JSON: the types declare them in order and hold no floats.
    fn to_known(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(512);
        serde_json::to_writer(&mut json, self).expect("an event has string keys and no floats");
        json
    }

    /// The leaf, if a trail can store it: not too long, no inexact integer, the detail of its own kind.
    pub fn check(&self) -> Result<Vec<u8>, EventError> {
        if let Some(detail) = &self.detail
            && !detail.fits(&self.kind)
        {
            let reason = format!("is not what events of kind {} have", self.kind);
            return Err(EventError::Member { member: "detail", reason });
        }
        let leaf = self.to_leaf();
        if leaf.len() > MAX_LEAF {
            return Err(EventError::TooLong { bytes: leaf.len() });
        }
        if may_hold_inexact_integer(&leaf) {
            let value = serde_json::from_slice(&leaf).expect("an event serialises to JSON");
            if !integers_are_exact(&value) {
                return Err(EventError::Integer);
            }
        }
        Ok(leaf)
    }

    /// The detail of a session event.
    pub fn session_facts(&self) -> Option<&crate::SessionFacts> {
        match &self.detail {
            Some(Detail::Session(facts)) => Some(facts),
            _ => None,
        }
    }
}

/// The members of `given` that are not in `known`, and the lists that differ.
fn extra_members(given: &Value, known: &Value) -> Option<Value> {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => {
            let more = given.iter().filter_map(|(name, value)| match known.get(name) {
                None => Some((name.clone(), value.clone())),
                Some(kept) => extra_members(value, kept).map(|value| (name.clone(), value)),
            });
            let more: serde_json::Map<_, _> = more.collect();
            (!more.is_empty()).then_some(Value::Object(more))
        }
        (Value::Array(given), Value::Array(known)) if given != known => Some(Value::Array(given.clone())),
        // Scalars differ only where the known form is the canonical one: a time, an id.
        _ => None,
    }
}

fn overlay(whole: &mut Value, unknown: &Value) {
    match (whole, unknown) {
        (Value::Object(whole), Value::Object(unknown)) => {
            for (name, value) in unknown {
                match whole.get_mut(name) {
                    Some(kept) => overlay(kept, value),
                    None => drop(whole.insert(name.clone(), value.clone())),
                }
            }
        }
        (whole, unknown) => *whole = unknown.clone(),
    }
}
