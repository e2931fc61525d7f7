//! Queries.

use std::net::IpAddr;
use std::sync::Arc;

use meshtrail_event::Timestamp;

use super::answers::{DeviceAsOf, OriginAccount, Period, PersonAsOf, SubnetRoute, Tenure};
use super::holders::{Holders, RecordIndex};
use super::record::{Record, View};
use super::{DeviceFacts, History, Inner, PersonVersion};

const END: Timestamp = Timestamp::from_nanos(i64::MAX);

impl History {
    /// The device that had `address` at `time`, with its owner.
    pub fn at(&self, address: IpAddr, time: Timestamp) -> Option<DeviceAsOf> {
        let inner = self.read();
        let holder = inner.holder(inner.address(address)?, time);
        holder.answer().map(|answer| answer.device.clone())
    }

    /// The device with this id, as it was at `time`.
    pub fn device(&self, id: &str, time: Timestamp) -> Option<DeviceAsOf> {
        let inner = self.read();
        inner.device_as_of(*inner.devices_by_id.get(id)?, time)
    }

    /// The devices with this name at `time`: full name, its first label, or host name.
    pub fn devices_by_name(&self, name: &str, time: Timestamp) -> Vec<DeviceAsOf> {
        let lower = name.trim_end_matches('.').to_lowercase();
        let inner = self.read();
        let places = inner.names.get(lower.as_str()).map_or(&[][..], Vec::as_slice);
        let known = places.iter().filter_map(|&place| inner.device_as_of(place, time));
        known.filter(|known| has_name(known.facts(), &lower)).collect()
    }

    /// The ids of the devices that ever had this name.
    pub fn device_ids_by_name(&self, name: &str) -> Vec<Arc<str>> {
        let lower = name.trim_end_matches('.').to_lowercase();
        let inner = self.read();
        let places = inner.names.get(lower.as_str()).map_or(&[][..], Vec::as_slice);
        places.iter().map(|&place| inner.devices[place as usize].id.clone()).collect()
    }

    /// All devices at `time`.
    pub fn devices(&self, time: Timestamp) -> Vec<DeviceAsOf> {
        let inner = self.read();
        (0..inner.devices.len())
            .filter_map(|place| inner.device_as_of(RecordIndex::try_from(place).ok()?, time))
            .collect()
    }

    /// The ids of all devices that ever existed.
    pub fn device_ids(&self) -> Vec<Arc<str>> {
        self.read().devices.iter().map(|device| device.id.clone()).collect()
    }

    /// The logins of all people that ever existed.
    pub fn logins(&self) -> Vec<Arc<str>> {
        self.read().people.iter().map(|person| person.login.clone()).collect()
    }

    /// The person with this login, as they were at `time`.
    pub fn person(&self, login: &str, time: Timestamp) -> Option<PersonAsOf> {
        let inner = self.read();
        let place = *inner.people_by_login.get(login.to_lowercase().as_str())?;
        inner.person_as_of(place, time)
    }

    /// All people at `time`.
    pub fn people(&self, time: Timestamp) -> Vec<PersonAsOf> {
        let inner = self.read();
        (0..inner.people.len())
            .filter_map(|place| inner.person_as_of(RecordIndex::try_from(place).ok()?, time))
            .collect()
    }

    /// The devices that this person owned at `time`.
    pub fn devices_by_owner(&self, login: &str, time: Timestamp) -> Vec<DeviceAsOf> {
        let inner = self.read();
        let Some(&owner) = inner.people_by_login.get(login.to_lowercase().as_str()) else {
            return Vec::new();
        };
        let places = &inner.people[owner as usize].devices;
        let known = places.iter().filter_map(|&place| inner.device_as_of(place, time));
        known.filter(|known| known.version.owner == Some(owner)).collect()
    }

    /// The ids of the devices that this person ever owned.
    pub fn device_ids_by_owner(&self, login: &str) -> Vec<Arc<str>> {
        let inner = self.read();
        let Some(&owner) = inner.people_by_login.get(login.to_lowercase().as_str()) else {
            return Vec::new();
        };
        let places = &inner.people[owner as usize].devices;
        places.iter().map(|&place| inner.devices[place as usize].id.clone()).collect()
    }

    /// The devices whose enabled route covers `address` at `time`: those of the narrowest subnet.
    pub fn route_to(&self, address: IpAddr, time: Timestamp) -> Option<SubnetRoute> {
        let inner = self.read();
        let (prefix, places) = inner.routes.covering(address.to_canonical(), time)?;
        let routers: Vec<DeviceAsOf> =
            places.iter().filter_map(|&place| inner.device_as_of(place, time)).collect();
        (!routers.is_empty()).then_some(SubnetRoute { prefix, routers })
    }

    /// All tenures of `address`, oldest first.
    pub fn tenures(&self, address: IpAddr) -> Vec<Tenure> {
        let inner = self.read();
        let Some(address) = inner.address(address) else { return Vec::new() };
        let tenures = address.holders.tenures().into_iter().filter_map(|(place, since, until)| {
            let last = until.map_or(END, |until| Timestamp::from_nanos(until.as_nanos() - 1));
            Some(Tenure { device: inner.device_as_of(place, last)?, since, until })
        });
        let mut tenures: Vec<Tenure> = tenures.collect();
        tenures.sort_by(|one, two| {
            (one.since, &one.device.facts().id).cmp(&(two.since, &two.device.facts().id))
        });
        tenures
    }

    /// All addresses that a device ever had.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.read().all_addresses().into_iter().collect()
    }

    /// A device's states over time, oldest first; equal neighbours are merged.
    pub fn device_periods(&self, id: &str) -> Vec<Period<DeviceAsOf>> {
        let inner = self.read();
        let Some(&place) = inner.devices_by_id.get(id) else { return Vec::new() };
        let record = &inner.devices[place as usize].record;
        periods(record, |one, two| one.facts == two.facts)
            .into_iter()
            .map(|(since, until, state)| Period {
                since,
                until,
                state: state.and_then(|()| inner.device_as_of(place, since)),
            })
            .collect()
    }

    /// A person's states over time, oldest first; equal neighbours are merged.
    pub fn person_periods(&self, login: &str) -> Vec<Period<PersonAsOf>> {
        let inner = self.read();
        let Some(&place) = inner.people_by_login.get(login.to_lowercase().as_str()) else {
            return Vec::new();
        };
        let record = &inner.people[place as usize].record;
        periods(record, |one, two| one.facts == two.facts)
            .into_iter()
            .map(|(since, until, state)| Period {
                since,
                until,
                state: state.and_then(|()| inner.person_as_of(place, since)),
            })
            .collect()
    }

    /// Each origin's account of a device at `time`, the newest first.
    pub fn accounts(&self, id: &str, time: Timestamp) -> Vec<OriginAccount> {
        let inner = self.read();
        let Some(&place) = inner.devices_by_id.get(id) else { return Vec::new() };
        let mut accounts: Vec<OriginAccount> = inner.devices[place as usize]
            .record
            .accounts(time)
            .map(|(origin, as_of, state)| OriginAccount {
                provider: inner.origins[origin as usize].clone(),
                as_of,
                facts: state.map(|state| state.facts.clone()),
            })
            .collect();
        accounts.sort_by_key(|one| std::cmp::Reverse(one.as_of));
        accounts
    }

    /// All devices with a conflict at `time`.
    pub fn conflicts(&self, time: Timestamp) -> Vec<DeviceAsOf> {
        let mut found: Vec<DeviceAsOf> =
            self.devices(time).into_iter().filter(|known| known.conflict.is_some()).collect();
        let inner = self.read();
        let contested = inner.addresses.values().map(|address| &address.holders);
        let contested = contested.filter(|holders| holders.at(time).len() > 1);
        let contested = contested.filter_map(|holders| inner.holder_as_of(holders, time));
        found.extend(contested.filter(|known| known.conflict.is_some()));
        found.sort_by(|one, two| one.facts().id.cmp(&two.facts().id));
        found.dedup_by(|one, two| one.facts().id == two.facts().id && one.conflict == two.conflict);
        found
    }

    /// The end of the time, beginning at `time`, in which [`History::at`] returns the same device for `address`; none if no
    /// later change is known.
    pub fn holder_until(&self, address: IpAddr, time: Timestamp) -> Option<Timestamp> {
        let tenures = self.tenures(address);
        let tenure =
            tenures.iter().rev().find(|one| one.since <= time && one.until.is_none_or(|until| until > time));
        match tenure {
            Some(tenure) => tenure.until,
            None => tenures.iter().map(|tenure| tenure.since).find(|&since| since > time),
        }
    }
}

impl Inner {
    /// The holder at `time`; of several devices, the one that came last.
    pub(super) fn holder_as_of(&self, holders: &Holders, time: Timestamp) -> Option<DeviceAsOf> {
        match holders.at(time) {
            [] => None,
            &[place] => self.device_as_of(place, time),
            places => {
                let known = places.iter().filter_map(|&place| Some((self.device_as_of(place, time)?, place)));
                let mut known: Vec<(DeviceAsOf, Timestamp)> =
                    known.map(|(known, place)| (known, holders.since(place, time))).collect();
                known.sort_by(|(one, one_since), (two, two_since)| {
                    let newest = (two_since, two.as_of).cmp(&(one_since, one.as_of));
                    newest.then_with(|| one.facts().id.cmp(&two.facts().id))
                });
                let mut all = known.into_iter();
                let (mut first, since) = all.next()?;
                // A device that was observed to hold it after the newest came to it is a conflict.
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

    pub(super) fn device_as_of(&self, place: RecordIndex, time: Timestamp) -> Option<DeviceAsOf> {
        let view = self.devices[place as usize].record.at(time)?;
        let version = view.state?;
        let person = version.owner.and_then(|owner| self.people[owner as usize].record.at(time)?.state);
        let conflict = view.conflict.map(|conflict| {
            format!(
                "{} against {} (says {} as of {})",
                conflict.one, conflict.other, self.origins[conflict.origin as usize], conflict.as_of
            )
            .into()
        });
        Some(DeviceAsOf {
            actor: version.actor(person),
            version: version.clone(),
            provider: self.origins[view.origin as usize].clone(),
            as_of: view.as_of,
            conflict,
        })
    }

    fn person_as_of(&self, place: RecordIndex, time: Timestamp) -> Option<PersonAsOf> {
        let view: View<'_, PersonVersion> = self.people[place as usize].record.at(time)?;
        Some(PersonAsOf {
            facts: view.state?.facts.clone(),
            provider: self.origins[view.origin as usize].clone(),
            as_of: view.as_of,
        })
    }
}

/// Spans of time with equal states: from, until, and whether there is a state.
fn periods<S: super::HasFacts>(
    record: &Record<S>,
    alike: impl Fn(&S, &S) -> bool,
) -> Vec<(Timestamp, Option<Timestamp>, Option<()>)> {
    type Span<'a, S> = (Timestamp, Option<Timestamp>, Option<&'a Arc<S>>);
    let mut periods: Vec<Span<'_, S>> = Vec::new();
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
