//! The directory's answers.

use std::fmt;
use std::sync::Arc;

use meshtrail_event::{Actor, Device, Identity, IdentityStatus, Person, Timestamp};

use super::facts::{DeviceFacts, PersonFacts};
use super::routes::Prefix;
use crate::resolution::Unresolved;

/// A device as it was known at a moment, and whose. A clone costs nothing.
#[derive(Clone)]
pub struct Known {
    pub(super) facts: Arc<super::HeldDevice>,
    pub(super) actor: Arc<Actor>,
    /// Who told whose it is: an event's `detail.origin`.
    pub provider: Arc<str>,
    /// When that was observed: the newest observation at or before the moment asked about.
    pub as_of: Timestamp,
    /// What another origin, or another device, says against it.
    pub conflict: Option<Arc<str>>,
}

impl Known {
    /// The person or the tags, with the device, as they stand in an event.
    pub fn actor(&self) -> &Arc<Actor> {
        &self.actor
    }

    /// The device as it stands in an event.
    pub fn device(&self) -> &Arc<Device> {
        self.actor.device.as_ref().expect("a known device's actor has the device")
    }

    /// The person it belongs to.
    pub fn person(&self) -> Option<&Arc<Person>> {
        self.actor.person.as_ref()
    }

    /// All that was told of the device.
    pub fn facts(&self) -> &DeviceFacts {
        &self.facts.facts
    }

    /// How the actor is known, as it stands in an event.
    pub fn identity(&self) -> Identity {
        self.identity_of(&self.actor)
    }

    /// The same, for whoever has the actor at hand.
    pub(super) fn identity_of(&self, actor: &Actor) -> Identity {
        let (status, reason) = match &self.conflict {
            _ if actor.person.is_none() && actor.tags.is_empty() => {
                (IdentityStatus::Unresolved, Some(Unresolved::NoOwner.to_string()))
            }
            Some(conflict) => (IdentityStatus::Conflicting, Some(conflict.to_string())),
            None => (IdentityStatus::Resolved, None),
        };
        Identity {
            as_of: Some(self.as_of),
            claimed: None,
            provider: Some(self.provider.to_string()),
            reason,
            status,
        }
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known")
            .field("id", &self.facts.facts.id)
            .field("name", &self.facts.facts.name)
            .field("whose", &self.facts.facts.whose())
            .field("provider", &self.provider)
            .field("as_of", &self.as_of)
            .field("conflict", &self.conflict)
            .finish()
    }
}

impl PartialEq for Known {
    fn eq(&self, other: &Known) -> bool {
        self.facts.facts == other.facts.facts
            && self.actor == other.actor
            && (&self.provider, self.as_of, &self.conflict) == (&other.provider, other.as_of, &other.conflict)
    }
}

/// A person as they were known at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownPerson {
    /// All that was told of the person.
    pub facts: PersonFacts,
    /// Who told.
    pub provider: Arc<str>,
    /// When that was observed.
    pub as_of: Timestamp,
}

/// A time during which a device had an address.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenure {
    /// The device, as last known within that time.
    pub known: Known,
    /// From when.
    pub since: Timestamp,
    /// Until when; none where it still has it, as far as known.
    pub until: Option<Timestamp>,
}

/// A stretch of time in which what is known of something was the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Period<T> {
    /// From when.
    pub since: Timestamp,
    /// Until when; none where it still is so, as far as known.
    pub until: Option<Timestamp>,
    /// What was known; none while it was gone.
    pub state: Option<T>,
}

/// What one origin says of a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Says {
    /// Who says so.
    pub provider: Arc<str>,
    /// When it was observed.
    pub as_of: Timestamp,
    /// What it says; none: it was gone.
    pub facts: Option<DeviceFacts>,
}

/// A subnet that covers an address, and the devices that route it.
#[derive(Clone, Debug, PartialEq)]
pub struct Routed {
    /// The subnet.
    pub prefix: Prefix,
    /// Who routes it.
    pub routers: Vec<Known>,
}
