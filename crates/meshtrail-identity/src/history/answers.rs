//! The results of queries.

use std::fmt;
use std::sync::Arc;

use meshtrail_event::{Actor, Device, Identity, IdentityStatus, Person, Timestamp};

use super::facts::{DeviceFacts, PersonFacts};
use super::routes::Prefix;
use crate::resolution::Unresolved;

/// A device as of a moment, with its owner. Cheap to clone.
#[derive(Clone)]
pub struct DeviceAsOf {
    pub(super) version: Arc<super::DeviceVersion>,
    pub(super) actor: Arc<Actor>,
    /// The origin that reported its owner: an event's `detail.origin`.
    pub provider: Arc<str>,
    /// The time of that observation: the newest one at or before the queried moment.
    pub as_of: Timestamp,
    /// The contradiction by another origin, or by another device with the same address.
    pub conflict: Option<Arc<str>>,
}

impl DeviceAsOf {
    /// The `actor` member of an event: the person or the tags, with the device.
    pub fn actor(&self) -> &Arc<Actor> {
        &self.actor
    }

    /// The `device` member of an event.
    pub fn device(&self) -> &Arc<Device> {
        self.actor.device.as_ref().expect("a known device's actor has the device")
    }

    /// The owner, if that is a person.
    pub fn person(&self) -> Option<&Arc<Person>> {
        self.actor.person.as_ref()
    }

    /// All facts about the device.
    pub fn facts(&self) -> &DeviceFacts {
        &self.version.facts
    }

    /// The `identity` member of an event.
    pub fn identity(&self) -> Identity {
        self.identity_of(&self.actor)
    }

    /// The same for a caller that has a copy of the actor.
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
            provider: Some(self.provider.to_string()),
            reason,
            status,
            ..Identity::default()
        }
    }
}

impl fmt::Debug for DeviceAsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceAsOf")
            .field("id", &self.version.facts.id)
            .field("name", &self.version.facts.name)
            .field("whose", &self.version.facts.owner_label())
            .field("provider", &self.provider)
            .field("as_of", &self.as_of)
            .field("conflict", &self.conflict)
            .finish()
    }
}

impl PartialEq for DeviceAsOf {
    fn eq(&self, other: &DeviceAsOf) -> bool {
        self.version.facts == other.version.facts
            && self.actor == other.actor
            && (&self.provider, self.as_of, &self.conflict) == (&other.provider, other.as_of, &other.conflict)
    }
}

/// A person as of a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct PersonAsOf {
    /// All facts about the person.
    pub facts: PersonFacts,
    /// The origin that reported them.
    pub provider: Arc<str>,
    /// The time of that observation.
    pub as_of: Timestamp,
}

/// A span of time during which a device had an address.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenure {
    /// The device, as of the end of that time.
    pub device: DeviceAsOf,
    /// Start.
    pub since: Timestamp,
    /// End; none if the device still has the address, as far as is known.
    pub until: Option<Timestamp>,
}

/// A span of time with the same known state.
#[derive(Clone, Debug, PartialEq)]
pub struct Period<T> {
    /// Start.
    pub since: Timestamp,
    /// End; none if the state still holds, as far as is known.
    pub until: Option<Timestamp>,
    /// The state; none while it was removed.
    pub state: Option<T>,
}

/// One origin's account of a device at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct OriginAccount {
    /// The origin.
    pub provider: Arc<str>,
    /// The time of the observation.
    pub as_of: Timestamp,
    /// The facts; none if the origin reports that the device was removed.
    pub facts: Option<DeviceFacts>,
}

/// A subnet that covers an address, and the devices that route it.
#[derive(Clone, Debug, PartialEq)]
pub struct SubnetRoute {
    /// The subnet.
    pub prefix: Prefix,
    /// The devices that route it.
    pub routers: Vec<DeviceAsOf>,
}
