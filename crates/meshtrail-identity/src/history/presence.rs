//! Who is there, and who was seen when: what changes with every look at a control plane and is kept at its newest alone.
//!
//! - Events tell of it when they tell of something else, and once a day; collectors tell of it at every look
//!   ([`History::saw`]), which no event is written for. After a restart it is as old as the newest event.
//! - Of two that are told, the one of the later moment counts, whichever came first.

use meshtrail_event::Timestamp;

use super::{History, Inner};
use crate::state::{DeviceState, UserState};

/// Whether something is connected, and when it was seen last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Presence {
    /// The moment that was told of.
    pub as_of: Timestamp,
    /// Whether it was connected then.
    pub online: Option<bool>,
    /// When it was seen last; of what was connected, that moment.
    pub last_seen: Option<Timestamp>,
}

impl Presence {
    /// What was told of one moment; none where nothing was.
    pub(super) fn told(
        as_of: Timestamp,
        online: Option<bool>,
        last_seen: Option<Timestamp>,
    ) -> Option<Presence> {
        let last_seen = if online == Some(true) { Some(as_of) } else { last_seen };
        (online.is_some() || last_seen.is_some()).then_some(Presence { as_of, online, last_seen })
    }

    /// What two tell of one person: connected if either is, seen when either was last.
    fn with(self, other: Presence) -> Presence {
        Presence {
            as_of: self.as_of.max(other.as_of),
            online: self.online.max(other.online),
            last_seen: self.last_seen.max(other.last_seen),
        }
    }
}

/// Keeps the newer of the two.
pub(super) fn keep(known: &mut Option<Presence>, told: Option<Presence>) {
    *known = told.max(*known);
}

impl History {
    /// Takes in what a look at a control plane at `as_of` told of devices and people that are known.
    pub fn saw(&self, as_of: Timestamp, devices: &[DeviceState], people: &[UserState]) {
        let mut inner = self.write();
        for device in devices {
            inner.saw_device(as_of, device);
        }
        for person in people {
            inner.saw_person(as_of, person);
        }
    }

    /// Whether a device is connected and when it was seen last, by what was told up to `time`.
    pub fn device_presence(&self, id: &str, time: Timestamp) -> Option<Presence> {
        let inner = self.read();
        let place = *inner.device_places.get(id)?;
        inner.devices[place as usize].presence.filter(|presence| presence.as_of <= time)
    }

    /// The same of a person: by what was told of them, and of the devices that were theirs at `time`.
    pub fn person_presence(&self, login: &str, time: Timestamp) -> Option<Presence> {
        let inner = self.read();
        let owner = *inner.person_places.get(login.to_lowercase().as_str())?;
        let person = &inner.people[owner as usize];
        let theirs = person
            .devices
            .iter()
            .filter(|&&place| inner.known(place, time).is_some_and(|known| known.facts.owner == Some(owner)));
        let devices = theirs.filter_map(|&place| inner.devices[place as usize].presence);
        let told = person.presence.into_iter().chain(devices);
        told.filter(|presence| presence.as_of <= time).reduce(Presence::with)
    }
}

impl Inner {
    pub(super) fn saw_device(&mut self, as_of: Timestamp, state: &DeviceState) {
        let Some(&place) = self.device_places.get(state.id.as_str()) else { return };
        let told = Presence::told(as_of, state.online, state.last_seen);
        keep(&mut self.devices[place as usize].presence, told);
    }

    pub(super) fn saw_person(&mut self, as_of: Timestamp, state: &UserState) {
        let Some(&place) = self.person_places.get(state.login.to_lowercase().as_str()) else { return };
        let told = Presence::told(as_of, state.online, state.last_seen);
        keep(&mut self.people[place as usize].presence, told);
    }
}
