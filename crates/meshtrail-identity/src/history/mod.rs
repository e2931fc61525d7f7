//! A directory of devices and people over time, built from the trail's events: the device behind an address at a time.
//!
//! ```
//! use meshtrail_identity::History;
//!
//! let history = History::new();
//! // for each event of the trail: history.learn(&event);
//! let time = "2026-11-20T14:02:00Z".parse()?;
//! assert!(history.at("100.64.0.7".parse()?, time).is_none(), "no event is about this address yet");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - The input are observations: events whose `detail.new` and `detail.old` hold the state of a device or a person. Learning
//!   is idempotent, and independent of the order of events.
//! - Before its first observation and after its removal a device is unknown. Between observations the last one holds; each
//!   answer names the origin of the observation and its time.
//! - If origins contradict each other, or two devices hold one address, the newest account is used and the answer names the
//!   conflict. An account that was not observed again since is old, not contradicting.
//! - A query takes a read lock, a few look-ups and no allocation once a device was queried before. The newest answer about
//!   an address, which most queries are for, is cached beside the address. Learning updates in place.
//!
//! Memory: about 400 bytes for each distinct state of a device, and 24 for each observation of an unchanged one.

mod address;
mod answers;
mod enrich;
mod facts;
mod holders;
mod image;
mod learn;
mod observation;
mod presence;
mod queries;
mod record;
mod routes;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use meshtrail_event::{Actor, Person};

pub use answers::{DeviceAsOf, OriginAccount, Period, PersonAsOf, SubnetRoute, Tenure};
pub use enrich::EventAddresses;
pub use facts::{DeviceFacts, PersonFacts, Texts};
pub use image::ImageError;
pub use presence::Presence;
pub use routes::Prefix;

use address::Address;
use facts::Interner;
use holders::RecordIndex;
use record::{HasFacts, Record};
use routes::Routes;

/// Devices and people over time. A clone shares everything.
#[derive(Clone, Default)]
pub struct History {
    // Guards everything; learning locks it for one event at a time.
    inner: Arc<RwLock<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// The prefix of the names of the trail's own sources.
    own: Option<Box<str>>,
    interner: Interner,
    origins: Vec<Arc<str>>,
    devices: Vec<DeviceRecord>,
    devices_by_id: HashMap<Arc<str>, RecordIndex>,
    people: Vec<PersonRecord>,
    /// By login in lower case.
    people_by_login: HashMap<Arc<str>, RecordIndex>,
    /// By the control plane's id.
    people_by_id: HashMap<Box<str>, RecordIndex>,
    /// Removals of people whose id is not known yet, by that id.
    pending_removals: HashMap<String, Vec<learn::Removal>>,
    addresses: HashMap<IpAddr, Address>,
    routes: Routes,
    /// Devices that ever had a name, by the name in lower case: full name and first label.
    names: HashMap<Box<str>, Vec<RecordIndex>>,
    generation: u64,
}

struct DeviceRecord {
    id: Arc<str>,
    record: Record<DeviceVersion>,
    /// The newest one.
    presence: Option<Presence>,
}

struct PersonRecord {
    login: Arc<str>,
    record: Record<PersonVersion>,
    /// The newest one.
    presence: Option<Presence>,
    /// Devices that they ever owned.
    devices: Vec<RecordIndex>,
}

/// One version of a device's facts, with the actor that is derived from them on demand.
pub(crate) struct DeviceVersion {
    facts: DeviceFacts,
    owner: Option<RecordIndex>,
    actor: Mutex<Option<CachedActor>>,
}

/// An actor, and the version of the person that it was derived with.
type CachedActor = (Option<Arc<PersonVersion>>, Arc<Actor>);

/// One version of a person's facts.
pub(crate) struct PersonVersion {
    facts: PersonFacts,
    /// The form in events, shared by all of them.
    person: OnceLock<Arc<Person>>,
}

impl HasFacts for DeviceVersion {
    type Facts = DeviceFacts;

    fn facts(&self) -> &DeviceFacts {
        &self.facts
    }
}

impl HasFacts for PersonVersion {
    type Facts = PersonFacts;

    fn facts(&self) -> &PersonFacts {
        &self.facts
    }
}

impl PersonVersion {
    fn of(facts: PersonFacts) -> PersonVersion {
        PersonVersion { facts, person: OnceLock::new() }
    }

    fn person(&self) -> Arc<Person> {
        self.person.get_or_init(|| Arc::new(self.facts.person())).clone()
    }
}

impl DeviceVersion {
    /// Facts that were merged from several origins, with their owner.
    fn of(facts: DeviceFacts, people_by_login: &HashMap<Arc<str>, RecordIndex>) -> DeviceVersion {
        let lower = facts.owner.as_ref().map(|login| login.to_lowercase());
        let owner = lower.and_then(|login| people_by_login.get(login.as_str()).copied());
        DeviceVersion { facts, owner, actor: Mutex::default() }
    }

    /// The actor with this version of its person.
    fn actor(&self, person: Option<&Arc<PersonVersion>>) -> Arc<Actor> {
        let mut cached = self.actor.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made_with, actor)) = &*cached
            && made_with.as_ref().map(Arc::as_ptr) == person.map(Arc::as_ptr)
        {
            return actor.clone();
        }
        let actor = Arc::new(self.facts.actor(person.map(|person| person.person())));
        *cached = Some((person.cloned(), actor.clone()));
        actor
    }
}

impl History {
    /// An empty directory.
    pub fn new() -> History {
        History::default()
    }

    /// An empty directory for this trail. Observations from other sources than the trail's own get an origin that names the
    /// source: a sender can't impersonate a control plane.
    pub fn for_trail(name: &str) -> History {
        let inner = Inner { own: Some(format!("{name}.").into()), ..Inner::default() };
        History { inner: Arc::new(RwLock::new(inner)) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = self.read();
        f.debug_struct("History")
            .field("devices", &inner.devices.len())
            .field("people", &inner.people.len())
            .field("learned", &inner.generation)
            .finish()
    }
}
