//! Presence of devices and people: whether they are online, and when they were last seen. It changes at every poll of a
//! control plane; only the newest one is kept.
//!
//! - Events about other changes carry it, and one event a day; pollers update it at every poll
//!   ([`History::update_presence`]), for which no event is written. After a restart it is as old as the newest event.
//! - The one of the later moment wins, independent of the order of updates.

use meshtrail_event::{DeviceState, Timestamp, UserState};
use serde::{Deserialize, Serialize};

use super::{History, Inner};

/// Whether something is connected, and when it was seen last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Presence {
    /// The moment that it is about.
    pub as_of: Timestamp,
    /// Whether it was connected then.
    pub online: Option<bool>,
    /// When it was seen last; if it was connected, that moment.
    pub last_seen: Option<Timestamp>,
}

impl Presence {
    /// The presence at one moment; none if nothing is known about it.
    pub(super) fn new(
        as_of: Timestamp,
        online: Option<bool>,
        last_seen: Option<Timestamp>,
    ) -> Option<Presence> {
        let last_seen = if online == Some(true) { Some(as_of) } else { last_seen };
        (online.is_some() || last_seen.is_some()).then_some(Presence { as_of, online, last_seen })
    }

    /// Merges two for one person: online if either is, last seen at the later time.
    fn merge(self, other: Presence) -> Presence {
        Presence {
            as_of: self.as_of.max(other.as_of),
            online: self.online.max(other.online),
            last_seen: self.last_seen.max(other.last_seen),
        }
    }
}

/// Keeps the newer of the two.
pub(super) fn keep_newest(newest: &mut Option<Presence>, presence: Option<Presence>) {
    *newest = presence.max(*newest);
}

impl History {
    /// Updates the presence of known devices and people from a poll of a control plane at `as_of`.
    pub fn update_presence(&self, as_of: Timestamp, devices: &[DeviceState], people: &[UserState]) {
        let mut inner = self.write();
        for device in devices {
            inner.update_device_presence(as_of, device);
        }
        for person in people {
            inner.update_person_presence(as_of, person);
        }
    }

    /// The presence of a device, if it was updated at or before `time`.
    pub fn device_presence(&self, id: &str, time: Timestamp) -> Option<Presence> {
        let inner = self.read();
        let place = *inner.devices_by_id.get(id)?;
        inner.devices[place as usize].presence.filter(|presence| presence.as_of <= time)
    }

    /// The presence of a person: their own, merged with that of the devices that they owned at `time`.
    pub fn person_presence(&self, login: &str, time: Timestamp) -> Option<Presence> {
        let inner = self.read();
        let owner = *inner.people_by_login.get(login.to_lowercase().as_str())?;
        let person = &inner.people[owner as usize];
        let owned = person.devices.iter().filter(|&&place| {
            inner.device_as_of(place, time).is_some_and(|device| device.version.owner == Some(owner))
        });
        let devices = owned.filter_map(|&place| inner.devices[place as usize].presence);
        let presence = person.presence.into_iter().chain(devices);
        presence.filter(|presence| presence.as_of <= time).reduce(Presence::merge)
    }
}

impl Inner {
    pub(super) fn update_device_presence(&mut self, as_of: Timestamp, state: &DeviceState) {
        let Some(&place) = self.devices_by_id.get(state.id.as_str()) else { return };
        let presence = Presence::new(as_of, state.online, state.last_seen);
        keep_newest(&mut self.devices[place as usize].presence, presence);
    }

    pub(super) fn update_person_presence(&mut self, as_of: Timestamp, state: &UserState) {
        let Some(&place) = self.people_by_login.get(state.login.to_lowercase().as_str()) else { return };
        let presence = Presence::new(as_of, state.online, state.last_seen);
        keep_newest(&mut self.people[place as usize].presence, presence);
    }
}
