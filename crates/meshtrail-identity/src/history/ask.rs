//! Asking.

use std::net::IpAddr;
use std::sync::Arc;

use meshtrail_event::Timestamp;

use super::holders::{Holders, Place};
use super::known::{Known, KnownPerson, Period, Routed, Says, Tenure};
use super::record::{Record, View};
use super::{DeviceFacts, HeldPerson, History, Inner};

const END: Timestamp = Timestamp::from_nanos(i64::MAX);

impl History {
    /// Which device had `address` at `time`, and whose it was.
    pub fn at(&self, address: IpAddr, time: Timestamp) -> Option<Known> {
        let inner = self.read();
        let holder = inner.holder(inner.address(address)?, time);
        holder.held().map(|held| held.known.clone())
    }

    /// The device with this id, as it was at `time`.
    pub fn device(&self, id: &str, time: Timestamp) -> Option<Known> {
        let inner = self.read();
        inner.known(*inner.device_places.get(id)?, time)
    }

    /// The devices that had this name at `time`: the full one, its first label, or the host's own.
    pub fn named(&self, name: &str, time: Timestamp) -> Vec<Known> {
        let lower = name.trim_end_matches('.').to_lowercase();
        let inner = self.read();
        let places = inner.names.get(lower.as_str()).map_or(&[][..], Vec::as_slice);
        let known = places.iter().filter_map(|&place| inner.known(place, time));
        known.filter(|known| has_name(known.facts(), &lower)).collect()
    }

    /// The ids of the devices that ever had this name.
    pub fn ever_named(&self, name: &str) -> Vec<Arc<str>> {
        let lower = name.trim_end_matches('.').to_lowercase();
        let inner = self.read();
        let places = inner.names.get(lower.as_str()).map_or(&[][..], Vec::as_slice);
        places.iter().map(|&place| inner.devices[place as usize].id.clone()).collect()
    }

    /// Every device there was at `time`.
    pub fn devices(&self, time: Timestamp) -> Vec<Known> {
        let inner = self.read();
        (0..inner.devices.len()).filter_map(|place| inner.known(Place::try_from(place).ok()?, time)).collect()
    }

    /// The ids of all devices there ever were.
    pub fn device_ids(&self) -> Vec<Arc<str>> {
        self.read().devices.iter().map(|device| device.id.clone()).collect()
    }

    /// The logins of all people there ever were.
    pub fn logins(&self) -> Vec<Arc<str>> {
        self.read().people.iter().map(|person| person.login.clone()).collect()
    }

    /// The person with this login, as they were at `time`.
    pub fn person(&self, login: &str, time: Timestamp) -> Option<KnownPerson> {
        let inner = self.read();
        let place = *inner.person_places.get(login.to_lowercase().as_str())?;
        inner.known_person(place, time)
    }

    /// Every person there was at `time`.
    pub fn people(&self, time: Timestamp) -> Vec<KnownPerson> {
        let inner = self.read();
        (0..inner.people.len())
            .filter_map(|place| inner.known_person(Place::try_from(place).ok()?, time))
            .collect()
    }

    /// The devices that were this person's at `time`.
    pub fn owned_by(&self, login: &str, time: Timestamp) -> Vec<Known> {
        let inner = self.read();
        let Some(&owner) = inner.person_places.get(login.to_lowercase().as_str()) else { return Vec::new() };
        let places = &inner.people[owner as usize].devices;
        let known = places.iter().filter_map(|&place| inner.known(place, time));
        known.filter(|known| known.facts.owner == Some(owner)).collect()
    }

    /// The ids of the devices that ever were this person's.
    pub fn ever_owned_by(&self, login: &str) -> Vec<Arc<str>> {
        let inner = self.read();
        let Some(&owner) = inner.person_places.get(login.to_lowercase().as_str()) else { return Vec::new() };
        let places = &inner.people[owner as usize].devices;
        places.iter().map(|&place| inner.devices[place as usize].id.clone()).collect()
    }

    /// The devices whose enabled route covers `address` at `time`: those of the narrowest subnet.
    pub fn route_to(&self, address: IpAddr, time: Timestamp) -> Option<Routed> {
        let inner = self.read();
        let (prefix, places) = inner.routes.covering(address.to_canonical(), time)?;
        let routers: Vec<Known> = places.iter().filter_map(|&place| inner.known(place, time)).collect();
        (!routers.is_empty()).then_some(Routed { prefix, routers })
    }

    /// Every time a device had `address`, oldest first.
    pub fn of_address(&self, address: IpAddr) -> Vec<Tenure> {
        let inner = self.read();
        let Some(address) = inner.address(address) else { return Vec::new() };
        let tenures = address.holders.tenures().into_iter().filter_map(|(place, since, until)| {
            let last = until.map_or(END, |until| Timestamp::from_nanos(until.as_nanos() - 1));
            Some(Tenure { known: inner.known(place, last)?, since, until })
        });
        let mut tenures: Vec<Tenure> = tenures.collect();
        tenures
            .sort_by(|one, two| (one.since, &one.known.facts().id).cmp(&(two.since, &two.known.facts().id)));
        tenures
    }

    /// Every address that a device ever had.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.read().all_addresses().into_iter().collect()
    }

    /// A device's states over time, oldest first; equal neighbours are one.
    pub fn of_device(&self, id: &str) -> Vec<Period<Known>> {
        let inner = self.read();
        let Some(&place) = inner.device_places.get(id) else { return Vec::new() };
        let record = &inner.devices[place as usize].record;
        periods(record, |one, two| one.facts == two.facts)
            .into_iter()
            .map(|(since, until, state)| Period {
                since,
                until,
                state: state.and_then(|()| inner.known(place, since)),
            })
            .collect()
    }

    /// A person's states over time, oldest first; equal neighbours are one.
    pub fn of_person(&self, login: &str) -> Vec<Period<KnownPerson>> {
        let inner = self.read();
        let Some(&place) = inner.person_places.get(login.to_lowercase().as_str()) else { return Vec::new() };
        let record = &inner.people[place as usize].record;
        periods(record, |one, two| one.facts == two.facts)
            .into_iter()
            .map(|(since, until, state)| Period {
                since,
                until,
                state: state.and_then(|()| inner.known_person(place, since)),
            })
            .collect()
    }

    /// What each origin says of a device at `time`: the newest account first.
    pub fn accounts(&self, id: &str, time: Timestamp) -> Vec<Says> {
        let inner = self.read();
        let Some(&place) = inner.device_places.get(id) else { return Vec::new() };
        let mut says: Vec<Says> = inner.devices[place as usize]
            .record
            .accounts(time)
            .map(|(origin, as_of, state)| Says {
                provider: inner.origins[origin as usize].clone(),
                as_of,
                facts: state.map(|state| state.facts.clone()),
            })
            .collect();
        says.sort_by_key(|one| std::cmp::Reverse(one.as_of));
        says
    }

    /// Every device at `time` of which something speaks against what is taken for true.
    pub fn conflicts(&self, time: Timestamp) -> Vec<Known> {
        let mut found: Vec<Known> =
            self.devices(time).into_iter().filter(|known| known.conflict.is_some()).collect();
        let inner = self.read();
        let contested = inner.addresses.values().map(|address| &address.holders);
        let contested = contested.filter(|holders| holders.at(time).len() > 1);
        let contested = contested.filter_map(|holders| inner.known_of(holders, time));
        found.extend(contested.filter(|known| known.conflict.is_some()));
        found.sort_by(|one, two| one.facts().id.cmp(&two.facts().id));
        found.dedup_by(|one, two| one.facts().id == two.facts().id && one.conflict == two.conflict);
        found
    }

    /// Up to when, from `time` on, [`History::at`] gives the same device for `address`: none where nothing later is
    /// known.
    pub fn until(&self, address: IpAddr, time: Timestamp) -> Option<Timestamp> {
        let tenures = self.of_address(address);
        let held =
            tenures.iter().rev().find(|one| one.since <= time && one.until.is_none_or(|until| until > time));
        match held {
            Some(held) => held.until,
            None => tenures.iter().map(|tenure| tenure.since).find(|&since| since > time),
        }
    }
}

impl Inner {
    /// Of the devices that held something at `time`, the one to name.
    pub(super) fn known_of(&self, holders: &Holders, time: Timestamp) -> Option<Known> {
        match holders.at(time) {
            [] => None,
            &[place] => self.known(place, time),
            places => {
                let known = places.iter().filter_map(|&place| Some((self.known(place, time)?, place)));
                let mut known: Vec<(Known, Timestamp)> =
                    known.map(|(known, place)| (known, holders.since(place, time))).collect();
                known.sort_by(|(one, one_since), (two, two_since)| {
                    let newest = (two_since, two.as_of).cmp(&(one_since, one.as_of));
                    newest.then_with(|| one.facts().id.cmp(&two.facts().id))
                });
                let mut all = known.into_iter();
                let (mut first, since) = all.next()?;
                // Whoever was confirmed to hold it after the newest came to it speaks against that.
                if let Some((other, _)) = all.find(|(other, _)| other.as_of >= since) {
                    let text = format!(
                        "device {} has the address too, says {} as of {}",
                        other.facts().id,
                        other.provider,
                        other.as_of
                    );
                    first.conflict = Some(text.into());
                }
                Some(first)
            }
        }
    }

    pub(super) fn known(&self, place: Place, time: Timestamp) -> Option<Known> {
        let view = self.devices[place as usize].record.at(time)?;
        let held = view.state?;
        let person = held.owner.and_then(|owner| self.people[owner as usize].record.at(time)?.state);
        let conflict = view.against.map(|against| {
            format!(
                "{} against {} (says {} as of {})",
                against.one, against.other, self.origins[against.origin as usize], against.as_of
            )
            .into()
        });
        Some(Known {
            actor: held.actor(person),
            facts: held.clone(),
            provider: self.origins[view.origin as usize].clone(),
            as_of: view.as_of,
            conflict,
        })
    }

    fn known_person(&self, place: Place, time: Timestamp) -> Option<KnownPerson> {
        let view: View<'_, HeldPerson> = self.people[place as usize].record.at(time)?;
        Some(KnownPerson {
            facts: view.state?.facts.clone(),
            provider: self.origins[view.origin as usize].clone(),
            as_of: view.as_of,
        })
    }
}

/// Stretches of time whose states are alike: from, until, and whether there is a state.
fn periods<S: super::Holds>(
    record: &Record<S>,
    alike: impl Fn(&S, &S) -> bool,
) -> Vec<(Timestamp, Option<Timestamp>, Option<()>)> {
    type Stretch<'a, S> = (Timestamp, Option<Timestamp>, Option<&'a Arc<S>>);
    let mut periods: Vec<Stretch<'_, S>> = Vec::new();
    for view in record.between(Timestamp::default(), END) {
        if let Some(last) = periods.last_mut() {
            let same = match (last.2, view.state) {
                (Some(one), Some(two)) => alike(one, two),
                (one, two) => one.is_none() && two.is_none(),
            };
            if same {
                continue;
            }
            last.1 = Some(view.at);
        }
        periods.push((view.at, None, view.state));
    }
    periods.into_iter().map(|(since, until, state)| (since, until, state.map(|_| ()))).collect()
}

fn has_name(facts: &DeviceFacts, lower: &str) -> bool {
    let fits = |name: &Arc<str>| {
        let name = name.to_lowercase();
        name == lower || name.split('.').next() == Some(lower)
    };
    facts.name.as_ref().is_some_and(fits) || facts.hostname.as_ref().is_some_and(fits)
}
