//! Profiles of one person or device from the directory's history: each property over time, and who held its addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use meshtrail_api::directory::{Account, DeviceView, Holding, PersonView, PropertyPeriod};
use meshtrail_event::Timestamp;
use meshtrail_identity::{DeviceAsOf, DeviceFacts, History, Period, PersonAsOf, PersonFacts};

use super::lists::{add_device_presence, add_person_presence, device_view, person_view};

/// Most property periods, and most address holdings, of a profile.
const MAX_ROWS: usize = 200;

/// What the directory knows about a person.
#[derive(Default)]
pub struct PersonProfile {
    /// The current state, or the last one of a person who is gone; `None` where the directory does not know the login.
    pub person: Option<PersonView>,
    /// The devices they own now.
    pub devices: Vec<DeviceView>,
    /// Their properties over time, the current ones first, then the newest.
    pub history: Vec<PropertyPeriod>,
}

/// What the directory knows about a device.
#[derive(Default)]
pub struct DeviceProfile {
    /// The current state, or the last one of a device that is gone; `None` where the directory does not know the id.
    pub device: Option<DeviceView>,
    /// The owner according to each provider.
    pub accounts: Vec<Account>,
    /// Its properties over time, the current ones first, then the newest.
    pub history: Vec<PropertyPeriod>,
    /// Who had the addresses that it ever had, by address.
    pub holdings: Vec<Holding>,
}

/// A person's profile as of `now`.
pub fn person_profile(history: &History, login: &str, now: Timestamp) -> PersonProfile {
    let mut person = history
        .person(login, now)
        .map(|known| person_view(&known))
        .or_else(|| last_known_person(history, login, now));
    if let Some(person) = &mut person {
        add_person_presence(history, person, now);
    }
    let mut devices: Vec<DeviceView> = history.devices_by_owner(login, now).iter().map(device_view).collect();
    devices.iter_mut().for_each(|device| add_device_presence(history, device, now));
    PersonProfile { person, devices, history: person_periods(&history.person_periods(login)) }
}

/// A device's profile as of `now`.
pub fn device_profile(history: &History, id: &str, now: Timestamp) -> DeviceProfile {
    let mut device = history
        .device(id, now)
        .map(|known| device_view(&known))
        .or_else(|| last_known_device(history, id, now));
    if let Some(device) = &mut device {
        add_device_presence(history, device, now);
    }
    let accounts = history.accounts(id, now).into_iter().map(|says| Account {
        by: says.provider.to_string(),
        whose: says.facts.map(|facts| facts.owner_label()),
        as_of: says.as_of,
    });
    let periods = history.device_periods(id);
    DeviceProfile {
        device,
        accounts: accounts.collect(),
        history: device_periods(&periods),
        holdings: holdings(history, &periods),
    }
}

/// The last known state of a person who is gone.
pub(super) fn last_known_person(history: &History, login: &str, now: Timestamp) -> Option<PersonView> {
    let (known, gone) = last(&history.person_periods(login), now)?;
    Some(PersonView { gone, ..person_view(&known) })
}

/// The last known state of a device that is gone.
pub(super) fn last_known_device(history: &History, id: &str, now: Timestamp) -> Option<DeviceView> {
    let (known, gone) = last(&history.device_periods(id), now)?;
    Some(DeviceView { gone, ..device_view(&known) })
}

/// The last state that began until `now`, and when it ended.
fn last<T: Clone>(periods: &[Period<T>], now: Timestamp) -> Option<(T, Option<Timestamp>)> {
    let there = periods.iter().rev().filter(|period| period.since <= now);
    there.filter_map(|period| Some((period.state.clone()?, period.until))).next()
}

fn device_periods(periods: &[Period<DeviceAsOf>]) -> Vec<PropertyPeriod> {
    let list = |texts: &[Arc<str>]| texts.join(", ");
    let text = |text: &Option<Arc<str>>| text.as_deref().unwrap_or_default().to_owned();
    let provider = |known: &DeviceAsOf| known.provider.to_string();
    let facts = |of: fn(&DeviceFacts) -> &Option<Arc<str>>| move |known: &DeviceAsOf| text(of(known.facts()));
    let mut all = Vec::new();
    let mut add = |what: &str, value: &dyn Fn(&DeviceAsOf) -> String| {
        all.extend(property_periods(what, periods, value, &provider))
    };
    add("name", &facts(|facts| &facts.name));
    add("whose", &|known| known.facts().owner_label());
    add("addresses", &|known| {
        known.facts().addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
    });
    add("routes in force", &|known| list(&known.facts().enabled_routes));
    add("approved", &|known| yes_no(known.facts().authorized));
    add("key expires", &|known| match (known.facts().key_expiry_disabled, known.facts().expires) {
        (Some(true), _) => "never".to_owned(),
        (_, Some(expires)) => expires.to_string()[..16].replace('T', " "),
        _ => String::new(),
    });
    add("system", &facts(|facts| &facts.os));
    add("client", &facts(|facts| &facts.client_version));
    add("there", &|_| "yes".to_owned());
    newest_first(all)
}

fn person_periods(periods: &[Period<PersonAsOf>]) -> Vec<PropertyPeriod> {
    let provider = |known: &PersonAsOf| known.provider.to_string();
    let text = |text: &Option<Arc<str>>| text.as_deref().unwrap_or_default().to_owned();
    let facts = |of: fn(&PersonFacts) -> &Option<Arc<str>>| move |known: &PersonAsOf| text(of(&known.facts));
    let mut all = Vec::new();
    let mut add = |what: &str, value: &dyn Fn(&PersonAsOf) -> String| {
        all.extend(property_periods(what, periods, value, &provider))
    };
    add("role", &facts(|facts| &facts.role));
    add("status", &facts(|facts| &facts.status));
    add("groups", &|known| known.facts.groups.join(", "));
    add("name", &facts(|facts| &facts.name));
    add("there", &|_| "yes".to_owned());
    newest_first(all)
}

fn yes_no(of: Option<bool>) -> String {
    of.map_or("", |yes| if yes { "yes" } else { "no" }).to_owned()
}

/// The periods of one property; adjacent periods with the same value are merged.
///
/// Empty for a property that no provider ever reported, and for one that never changed, except for the properties that a
/// reader looks for first (`name`, `whose`, `addresses`, `role`).
fn property_periods<T>(
    what: &str,
    periods: &[Period<T>],
    value: &dyn Fn(&T) -> String,
    provider: &dyn Fn(&T) -> String,
) -> Vec<PropertyPeriod> {
    let mut all: Vec<PropertyPeriod> = Vec::new();
    for period in periods {
        let (value, by) = match &period.state {
            Some(state) => (value(state), provider(state)),
            None if what == "there" => ("gone".to_owned(), String::new()),
            None => continue,
        };
        match all.last_mut() {
            Some(last) if last.value == value => last.until = period.until,
            _ => all.push(PropertyPeriod {
                what: what.to_owned(),
                value,
                from: Some(period.since),
                until: period.until,
                by,
            }),
        }
    }
    let never_reported = all.iter().all(|period| period.value.is_empty());
    let never_changed = all.len() == 1 && !matches!(what, "name" | "whose" | "addresses" | "role");
    if never_reported || never_changed { Vec::new() } else { all }
}

fn newest_first(mut all: Vec<PropertyPeriod>) -> Vec<PropertyPeriod> {
    all.sort_by_key(|one| std::cmp::Reverse((one.until.is_none(), one.from)));
    all.truncate(MAX_ROWS);
    all
}

/// The holders of every address that a device ever had, grouped by address.
fn holdings(history: &History, periods: &[Period<DeviceAsOf>]) -> Vec<Holding> {
    let states = periods.iter().filter_map(|period| period.state.as_ref());
    let addresses: BTreeSet<IpAddr> =
        states.flat_map(|known| known.facts().addresses.iter().copied()).collect();
    let mut all: Vec<Holding> = addresses
        .iter()
        .flat_map(|&address| history.tenures(address).into_iter().map(move |tenure| (address, tenure)))
        .map(|(address, tenure)| {
            let facts = tenure.device.facts();
            Holding {
                address: address.to_string(),
                device: facts.id.to_string(),
                name: facts.name.as_deref().map(str::to_owned),
                owner: facts.names_owner().then(|| facts.owner_label()),
                from: Some(tenure.since),
                until: tenure.until,
            }
        })
        .collect();
    all.truncate(MAX_ROWS);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(since: i64, until: Option<i64>, state: Option<&'static str>) -> Period<&'static str> {
        Period { since: Timestamp::from_nanos(since), until: until.map(Timestamp::from_nanos), state }
    }

    fn summarise(of: &[PropertyPeriod]) -> Vec<(&str, i64, Option<i64>)> {
        let nanos = |at: Timestamp| at.as_nanos();
        of.iter().map(|one| (one.value.as_str(), one.from.map_or(0, nanos), one.until.map(nanos))).collect()
    }

    #[test]
    fn a_value_that_stayed_while_others_changed_is_one_stretch() {
        let periods = [
            period(1, Some(3), Some("web-1")),
            period(3, Some(5), Some("web-1")),
            period(5, Some(7), Some("web-2")),
            period(7, None, None),
        ];
        let names = property_periods("name", &periods, &|name| (*name).to_owned(), &|_| String::new());
        assert_eq!(summarise(&names), [("web-1", 1, Some(5)), ("web-2", 5, Some(7))]);
        let there = property_periods("there", &periods, &|_| "yes".to_owned(), &|_| String::new());
        assert_eq!(summarise(&there), [("yes", 1, Some(7)), ("gone", 7, None)]);
    }

    #[test]
    fn what_was_never_told_or_never_changed_takes_no_line() {
        let periods = [period(1, None, Some(""))];
        assert_eq!(property_periods("name", &periods, &|name| (*name).to_owned(), &|_| String::new()), []);
        assert_eq!(property_periods("there", &periods, &|_| "yes".to_owned(), &|_| String::new()), []);
    }
}
