//! Who held a device, an address or a login, and when; learned from the events themselves.

use meshtrail_event::{Device, Event, Kind, Person};

use crate::fast::FastMap;

/// Whose something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    Person(u32),
    /// It is known that no person has it: a tagged device.
    Nobody,
    Unknown,
}

/// What is known of one person.
#[derive(Debug, Default, Clone)]
pub(crate) struct Profile {
    pub(crate) id: String,
    pub(crate) logins: Vec<String>,
    pub(crate) names: Vec<String>,
    /// Full names of devices, with the time from which on they were this person's.
    pub(crate) devices: Vec<(String, i64)>,
    /// Addresses with the times from and until which they were this person's.
    pub(crate) addresses: Vec<(String, i64, i64)>,
    pub(crate) first: i64,
    /// When the control plane removed the person; `i64::MAX` before.
    pub(crate) removed: i64,
}

#[derive(Default)]
pub(crate) struct Directory {
    people: FastMap<Vec<u8>, u32>,
    pub(crate) profiles: Vec<Profile>,
    /// By id, name or address of a device: from when on who has it, ascending.
    holders: FastMap<Vec<u8>, Vec<(i64, Holder)>>,
}

impl Directory {
    /// Learns from events in the order of their times.
    pub(crate) fn of<'e>(events: impl Iterator<Item = &'e Event>) -> Self {
        let mut directory = Self::default();
        for event in events {
            let time = event.time.as_nanos();
            let (actor, target) = (&event.actor, &event.target);
            directory.learn(time, actor.person.as_deref(), actor.device.as_deref());
            directory.learn(time, target.person.as_deref(), target.device.as_deref());
            if event.kind == Kind::UserRemoved
                && let Some(person) = &target.person
            {
                let number = directory.person(person) as usize;
                directory.profiles[number].removed = time;
            }
        }
        directory
    }

    /// The number of the person with this id, or with this login where no id is known.
    pub(crate) fn number(&self, id: Option<&[u8]>, login: Option<&[u8]>) -> Option<u32> {
        id.and_then(|id| self.people.get(id)).or_else(|| self.people.get(login?)).copied()
    }

    /// Who had the device with this id, name or address at a time.
    pub(crate) fn holder(&self, key: &[u8], time: i64) -> Holder {
        let Some(times) = self.holders.get(key) else { return Holder::Unknown };
        let before = times.partition_point(|&(from, _)| from <= time);
        // What was held by one party ever is taken to have been theirs before the first event, too.
        times[before.saturating_sub(1)].1
    }

    fn person(&mut self, person: &Person) -> u32 {
        let by_id = person.id.as_ref().and_then(|id| self.people.get(id.as_bytes())).copied();
        // Somebody of whom only the login was known gets the id. A login of somebody with another id is not that person.
        let by_login = self.people.get(person.login.as_bytes()).copied();
        let by_login = by_login
            .filter(|&number| person.id.is_none() || self.profiles[number as usize].id == person.login);
        let known = by_id.or(by_login);
        if let (Some(number), Some(id)) = (known, &person.id) {
            self.people.insert(id.clone().into_bytes(), number);
            self.profiles[number as usize].id.clone_from(id);
        }
        known.unwrap_or_else(|| {
            let number = self.profiles.len() as u32;
            let id = person.id.clone().unwrap_or_else(|| person.login.clone());
            self.people.insert(id.clone().into_bytes(), number);
            self.people.entry(person.login.clone().into_bytes()).or_insert(number);
            self.profiles.push(Profile { id, first: i64::MAX, removed: i64::MAX, ..Profile::default() });
            number
        })
    }

    fn learn(&mut self, time: i64, person: Option<&Person>, device: Option<&Device>) {
        let number = person.map(|person| {
            let number = self.person(person);
            let profile = &mut self.profiles[number as usize];
            profile.first = profile.first.min(time);
            add(&mut profile.logins, &person.login);
            person.name.iter().for_each(|name| add(&mut profile.names, name));
            number
        });
        let Some(device) = device else { return };
        let holder = match number {
            Some(number) => Holder::Person(number),
            None if !device.tags.is_empty() => Holder::Nobody,
            None => return,
        };
        let keys = device.id.iter().chain(&device.name).chain(&device.addresses);
        for key in keys {
            let times = self.holders.entry(key.clone().into_bytes()).or_default();
            if times.last().is_none_or(|last| last.1 != holder) {
                if let Some((_, Holder::Person(previous))) = times.last() {
                    self.profiles[*previous as usize].end_address(key, time);
                }
                times.push((time, holder));
                if let Holder::Person(number) = holder {
                    self.profiles[number as usize].begin(device, key, time);
                }
            }
        }
    }
}

impl Profile {
    fn begin(&mut self, device: &Device, key: &str, time: i64) {
        if device.name.as_deref() == Some(key) {
            self.devices.push((key.to_owned(), time));
        } else if device.id.as_deref() != Some(key) {
            self.addresses.push((key.to_owned(), time, i64::MAX));
        }
    }

    fn end_address(&mut self, key: &str, time: i64) {
        for (address, _, until) in &mut self.addresses {
            if address == key {
                *until = time;
            }
        }
    }
}

fn add(texts: &mut Vec<String>, text: &str) {
    if !texts.iter().any(|known| known == text) {
        texts.push(text.to_owned());
    }
}
