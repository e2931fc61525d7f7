//! One fact, and its exact bytes.
//!
//! - [`Event::to_leaf`] of [`Event::from_json`] keeps every member it was given, known or not; times and member
//!   order become canonical.
//! - A leaf is at most [`MAX_LEAF`] bytes: C2SP entry bundles give an entry's length in 16 bits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use crate::{
    Actor, Detail, EventId, Identity, Kind, Outcome, SessionId, Target, Timestamp,
    canonical::{canonical_json, integers_are_exact, may_hold_inexact_integer},
};

/// The most bytes of one leaf.
pub const MAX_LEAF: usize = 65_535;

/// Why bytes are not an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Not JSON, or not an object with the members of an event.
    #[error("not an event: {reason}")]
    Syntax {
        /// What the parser says, with line and column.
        reason: String,
    },
    /// A member has the wrong form.
    #[error("member {member:?}: {reason}")]
    Member {
        /// Which one.
        member: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// An integer that JSON numbers don't hold exactly.
    #[error("an integer lies beyond 2^53 - 1, which JSON numbers do not hold exactly: send it as text")]
    Integer,
    /// Larger than a leaf may be.
    #[error("the event is {bytes} bytes long, at most {MAX_LEAF} are taken")]
    TooLong {
        /// Its canonical length.
        bytes: usize,
    },
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
    /// How it went.
    pub outcome: Outcome,
    /// When Meshtrail took it in.
    pub received: Timestamp,
    /// The session it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// What was acted on.
    #[serde(default, skip_serializing_if = "Target::is_empty")]
    pub target: Target,
    /// When it happened, by its source's clock.
    pub time: Timestamp,
    /// Members that this version does not know, as an overlay over the known ones.
    #[serde(skip)]
    unknown: Option<Box<Value>>,
}

/// An event that has no id and was not received yet.
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
    /// The session it belongs to.
    pub session: Option<SessionId>,
    /// What was acted on.
    pub target: Target,
    /// When it happened.
    pub time: Timestamp,
}

impl Draft {
    /// A successful event of `kind` at `time`, with nothing else said yet.
    pub fn new(kind: Kind, time: Timestamp) -> Self {
        Self {
            actor: Actor::default(),
            detail: None,
            identity: Identity::default(),
            kind,
            outcome: Outcome::Success,
            session: None,
            target: Target::default(),
            time,
        }
    }

    /// The event under its name.
    pub fn into_event(self, id: EventId, received: Timestamp) -> Event {
        let Self { actor, detail, identity, kind, outcome, session, target, time } = self;
        Event { actor, detail, id, identity, kind, outcome, received, session, target, time, unknown: None }
    }
}

/// The members as they come, before the kind says what the detail is.
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
    #[serde(default = "unknown_outcome")]
    outcome: Outcome,
    received: Option<Timestamp>,
    session: Option<SessionId>,
    #[serde(default)]
    target: Target,
    time: Timestamp,
}

fn unknown_outcome() -> Outcome {
    Outcome::Unknown
}

impl Event {
    /// Reads an event that has its `received` time: a leaf, or one on its way between our own parts.
    pub fn from_json(json: &[u8]) -> Result<Self, EventError> {
        Self::read(json, None)
    }

    /// Reads an event from a source, which was received `now`, whatever it says of that itself.
    pub fn from_source(json: &[u8], now: Timestamp) -> Result<Self, EventError> {
        Self::read(json, Some(now))
    }

    fn read(json: &[u8], now: Option<Timestamp>) -> Result<Self, EventError> {
        let syntax = |error: serde_json::Error| EventError::Syntax { reason: error.to_string() };
        let received: Received<'_> = serde_json::from_slice(json).map_err(syntax)?;
        let detail = received.detail.map(|text| Detail::parse(&received.kind, text.get())).transpose()?;
        let missing = || EventError::Member { member: "received", reason: "is missing".to_owned() };
        let mut event = Self {
            actor: received.actor,
            detail,
            id: received.id,
            identity: received.identity,
            kind: received.kind,
            outcome: received.outcome,
            received: received.received.or(now).ok_or_else(missing)?,
            session: received.session,
            target: received.target,
            time: received.time,
            unknown: None,
        };
        if may_hold_inexact_integer(json)
            && !integers_are_exact(&serde_json::from_slice(json).map_err(syntax)?)
        {
            return Err(EventError::Integer);
        }
        // Most leaves come back exactly as we wrote them: then nothing is unknown, and this is all there is to do.
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
        self.unknown = beyond(given, &known).map(Box::new);
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

    /// The known members, already canonical: types declare them in order and hold no floats.
    fn to_known(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(512);
        serde_json::to_writer(&mut json, self).expect("an event has string keys and no floats");
        json
    }

    /// Refuses what a trail could not hold: a leaf too long, an inexact integer, a detail of another kind.
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

/// What `given` has beyond `known`: unknown members, and lists that differ.
fn beyond(given: &Value, known: &Value) -> Option<Value> {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => {
            let more = given.iter().filter_map(|(name, value)| match known.get(name) {
                None => Some((name.clone(), value.clone())),
                Some(kept) => beyond(value, kept).map(|value| (name.clone(), value)),
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
