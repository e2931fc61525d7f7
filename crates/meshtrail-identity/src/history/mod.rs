//! Who was behind an address at a time: a directory of devices and people over time, made from the trail's own events.
//!
//! ```
//! use meshtrail_identity::History;
//!
//! let history = History::new();
//! // for each event of the trail: history.learn(&event);
//! let asked = "2026-11-20T14:02:00Z".parse()?;
//! assert!(history.at("100.64.0.7".parse()?, asked).is_none(), "nothing was told of this address yet");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - Everything rests on observations: events whose `detail.new` and `detail.old` hold the state of a device or a
//!   person. The order in which they are learned changes nothing, nor does learning them again.
//! - Nothing is said of a time before the first observation, nor after a thing was seen gone. Between observations
//!   the last one stands; each answer says who observed it and when.
//! - Where origins contradict each other, or two devices hold one address, the newest account is taken and the answer
//!   says what speaks against it. An account that was only not looked at since is old, not contrary.
//! - Answering takes a read lock, a few look-ups and no allocation once a device was asked for; of newer events, which
//!   are asked about most, the answer is kept beside the address. Learning changes what one event is about, in place.
//!
//! Memory: about 400 bytes for each state a device was ever in, and 24 for each observation that found it unchanged.

mod address;
mod ask;
mod enrich;
mod facts;
mod holders;
mod known;
mod learn;
mod observation;
mod presence;
mod record;
mod routes;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use meshtrail_event::{Actor, Person};

pub use enrich::Ends;
pub use facts::{DeviceFacts, PersonFacts, Texts};
pub use known::{Known, KnownPerson, Period, Routed, Says, Tenure};
pub use presence::Presence;
pub use routes::Prefix;

use address::Address;
use facts::Shared;
use holders::Place;
use record::{Holds, Record};
use routes::Routes;

/// Devices and people over time. A clone shares everything.
#[derive(Clone, Default)]
pub struct History {
    // Guards all of it; learning holds it for one event at a time.
    inner: Arc<RwLock<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// What the names of the trail's own sources begin with.
    own: Option<Box<str>>,
    shared: Shared,
    origins: Vec<Arc<str>>,
    devices: Vec<DeviceRecord>,
    device_places: HashMap<Arc<str>, Place>,
    people: Vec<PersonRecord>,
    /// By login in lower case.
    person_places: HashMap<Arc<str>, Place>,
    /// By the control plane's id.
    person_ids: HashMap<Box<str>, Place>,
    /// By an id of nobody who is known yet.
    gone: HashMap<String, Vec<learn::Gone>>,
    addresses: HashMap<IpAddr, Address>,
    routes: Routes,
    /// Devices that ever had a name, by the name in lower case: full, and its first label.
    names: HashMap<Box<str>, Vec<Place>>,
    learned: u64,
}

struct DeviceRecord {
    id: Arc<str>,
    record: Record<HeldDevice>,
    /// The newest told.
    presence: Option<Presence>,
}

struct PersonRecord {
    login: Arc<str>,
    record: Record<HeldPerson>,
    /// The newest told.
    presence: Option<Presence>,
    /// Devices that ever were theirs.
    devices: Vec<Place>,
}

/// A device's facts, with what is made from them when they are first asked for.
pub(crate) struct HeldDevice {
    facts: DeviceFacts,
    owner: Option<Place>,
    actor: Mutex<Option<Made>>,
}

/// An actor, and the person it was made with.
type Made = (Option<Arc<HeldPerson>>, Arc<Actor>);

/// A person's facts.
pub(crate) struct HeldPerson {
    facts: PersonFacts,
    /// As it stands in events, which share it.
    person: OnceLock<Arc<Person>>,
}

impl Holds for HeldDevice {
    type Facts = DeviceFacts;

    fn facts(&self) -> &DeviceFacts {
        &self.facts
    }
}

impl Holds for HeldPerson {
    type Facts = PersonFacts;

    fn facts(&self) -> &PersonFacts {
        &self.facts
    }
}

impl HeldPerson {
    fn of(facts: PersonFacts) -> HeldPerson {
        HeldPerson { facts, person: OnceLock::new() }
    }

    fn person(&self) -> Arc<Person> {
        self.person.get_or_init(|| Arc::new(self.facts.person())).clone()
    }
}

impl HeldDevice {
    /// The actor as it was while the person was so.
    fn actor(&self, person: Option<&Arc<HeldPerson>>) -> Arc<Actor> {
        let mut kept = self.actor.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made_with, actor)) = &*kept
            && made_with.as_ref().map(Arc::as_ptr) == person.map(Arc::as_ptr)
        {
            return actor.clone();
        }
        let actor = Arc::new(self.facts.actor(person.map(|person| person.person())));
        *kept = Some((person.cloned(), actor.clone()));
        actor
    }
}

impl History {
    /// A directory that knows nothing yet.
    pub fn new() -> History {
        History::default()
    }

    /// A directory for this trail. What others than the trail's own sources hand in is told of as theirs: a sender
    /// cannot speak in a control plane's name.
    pub fn of_trail(name: &str) -> History {
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
            .field("learned", &inner.learned)
            .finish()
    }
}
