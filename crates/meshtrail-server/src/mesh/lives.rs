//! One person's or device's whole life as the directory knows it: each property over time, and who had its addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use meshtrail_event::Timestamp;
use meshtrail_identity::{DeviceFacts, History, Known, KnownPerson, Period, PersonFacts};

use super::listed::{seen_device, seen_person, told_device, told_person};
use super::{Account, Holding, Stretch, ToldDevice, ToldPerson};
use crate::problem::Problem;
use crate::state::AppState;

/// The most stretches of a property's history, and the most holders of an address, that are told.
const MOST: usize = 200;

/// What the directory knows of a person.
#[derive(Default)]
pub(crate) struct PersonLife {
    pub(crate) told: Option<ToldPerson>,
    /// Theirs now, and those that once were.
    pub(crate) devices: Vec<ToldDevice>,
    pub(crate) history: Vec<Stretch>,
}

/// What the directory knows of a device.
#[derive(Default)]
pub(crate) struct DeviceLife {
    pub(crate) told: Option<ToldDevice>,
    /// What each teller says of whose it is.
    pub(crate) accounts: Vec<Account>,
    pub(crate) history: Vec<Stretch>,
    pub(crate) holdings: Vec<Holding>,
}

/// A person's life up to `now`.
pub(crate) fn person(state: &AppState, login: &str, now: Timestamp) -> PersonLife {
    let history = state.history();
    let mut told = history
        .person(login, now)
        .map(|known| told_person(&known))
        .or_else(|| last_of_person(history, login, now));
    if let Some(told) = &mut told {
        seen_person(history, told, now);
    }
    let ids = history.ever_owned_by(login);
    let devices = ids.iter().filter_map(|id| {
        let known = history.device(id, now)?;
        let theirs = known.facts().owner.as_deref().is_some_and(|owner| owner.eq_ignore_ascii_case(login));
        theirs.then(|| told_device(&known))
    });
    let mut devices: Vec<ToldDevice> = devices.collect();
    devices.iter_mut().for_each(|told| seen_device(history, told, now));
    PersonLife { told, devices, history: person_stretches(&history.of_person(login)) }
}

/// A device's life up to `now`.
pub(crate) fn device(state: &AppState, id: &str, now: Timestamp) -> DeviceLife {
    let history = state.history();
    let mut told =
        history.device(id, now).map(|known| told_device(&known)).or_else(|| last_of_device(history, id, now));
    if let Some(told) = &mut told {
        seen_device(history, told, now);
    }
    let accounts = history.accounts(id, now).into_iter().map(|says| Account {
        by: says.provider.to_string(),
        whose: says.facts.map(|facts| facts.whose()),
        as_of: says.as_of,
    });
    let periods = history.of_device(id);
    DeviceLife {
        told,
        accounts: accounts.collect(),
        history: device_stretches(&periods),
        holdings: holdings(history, &periods),
    }
}

/// Neither the directory nor any event of the time asked for knows this person.
pub(crate) fn unknown_person(login: &str) -> Problem {
    let shown = meshtrail_event::text::shortened(login, 120);
    Problem::not_found(format!("nobody is called {shown} here, and no event of this time names them"))
}

/// Neither the directory nor any event of the time asked for knows this device.
pub(crate) fn unknown_device(id: &str) -> Problem {
    let shown = meshtrail_event::text::shortened(id, 120);
    Problem::not_found(format!("no device has the id {shown} here, and no event of this time names it"))
}

/// The last that was known of somebody who is gone.
pub(super) fn last_of_person(history: &History, login: &str, now: Timestamp) -> Option<ToldPerson> {
    let (known, gone) = last(&history.of_person(login), now)?;
    Some(ToldPerson { gone, ..told_person(&known) })
}

/// The last that was known of a device that is gone.
pub(super) fn last_of_device(history: &History, id: &str, now: Timestamp) -> Option<ToldDevice> {
    let (known, gone) = last(&history.of_device(id), now)?;
    Some(ToldDevice { gone, ..told_device(&known) })
}

fn last<T: Clone>(periods: &[Period<T>], now: Timestamp) -> Option<(T, Option<Timestamp>)> {
    let there = periods.iter().rev().filter(|period| period.since <= now);
    there.filter_map(|period| Some((period.state.clone()?, period.until))).next()
}

fn device_stretches(periods: &[Period<Known>]) -> Vec<Stretch> {
    let list = |texts: &[Arc<str>]| texts.join(", ");
    let text = |text: &Option<Arc<str>>| text.as_deref().unwrap_or_default().to_owned();
    let told = |known: &Known| known.provider.to_string();
    let facts = |of: fn(&DeviceFacts) -> &Option<Arc<str>>| move |known: &Known| text(of(known.facts()));
    let mut all = Vec::new();
    let mut add =
        |what: &str, value: &dyn Fn(&Known) -> String| all.extend(stretches(what, periods, value, &told));
    add("name", &facts(|facts| &facts.name));
    add("whose", &|known| known.facts().whose());
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

fn person_stretches(periods: &[Period<KnownPerson>]) -> Vec<Stretch> {
    let told = |known: &KnownPerson| known.provider.to_string();
    let text = |text: &Option<Arc<str>>| text.as_deref().unwrap_or_default().to_owned();
    let facts = |of: fn(&PersonFacts) -> &Option<Arc<str>>| move |known: &KnownPerson| text(of(&known.facts));
    let mut all = Vec::new();
    let mut add = |what: &str, value: &dyn Fn(&KnownPerson) -> String| {
        all.extend(stretches(what, periods, value, &told))
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

/// A property that was never told of has no history, and one that never changed needs no line of its own, but for
/// what a reader looks for first.
fn stretches<T>(
    what: &str,
    periods: &[Period<T>],
    value: &dyn Fn(&T) -> String,
    told: &dyn Fn(&T) -> String,
) -> Vec<Stretch> {
    let mut all: Vec<Stretch> = Vec::new();
    for period in periods {
        let (value, by) = match &period.state {
            Some(state) => (value(state), told(state)),
            None if what == "there" => ("gone".to_owned(), String::new()),
            None => continue,
        };
        match all.last_mut() {
            Some(last) if last.value == value => last.until = period.until,
            _ => all.push(Stretch {
                what: what.to_owned(),
                value,
                from: Some(period.since),
                until: period.until,
                by,
            }),
        }
    }
    let silent = all.iter().all(|stretch| stretch.value.is_empty());
    let still = all.len() == 1 && !matches!(what, "name" | "whose" | "addresses" | "role");
    if silent || still { Vec::new() } else { all }
}

fn newest_first(mut all: Vec<Stretch>) -> Vec<Stretch> {
    all.sort_by_key(|one| std::cmp::Reverse((one.until.is_none(), one.from)));
    all.truncate(MOST);
    all
}

/// Who had any address that a device ever had, each address's holders in turn.
fn holdings(history: &History, periods: &[Period<Known>]) -> Vec<Holding> {
    let had = periods.iter().filter_map(|period| period.state.as_ref());
    let addresses: BTreeSet<IpAddr> = had.flat_map(|known| known.facts().addresses.iter().copied()).collect();
    let mut all: Vec<Holding> = addresses
        .iter()
        .flat_map(|&address| history.of_address(address).into_iter().map(move |tenure| (address, tenure)))
        .map(|(address, tenure)| {
            let facts = tenure.known.facts();
            Holding {
                address: address.to_string(),
                device: facts.id.to_string(),
                name: facts.name.as_deref().map(str::to_owned),
                owner: facts.says_whose().then(|| facts.whose()),
                from: Some(tenure.since),
                until: tenure.until,
            }
        })
        .collect();
    all.truncate(MOST);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(since: i64, until: Option<i64>, state: Option<&'static str>) -> Period<&'static str> {
        Period { since: Timestamp::from_nanos(since), until: until.map(Timestamp::from_nanos), state }
    }

    fn told(of: &[Stretch]) -> Vec<(&str, i64, Option<i64>)> {
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
        let names = stretches("name", &periods, &|name| (*name).to_owned(), &|_| String::new());
        assert_eq!(told(&names), [("web-1", 1, Some(5)), ("web-2", 5, Some(7))]);
        let there = stretches("there", &periods, &|_| "yes".to_owned(), &|_| String::new());
        assert_eq!(told(&there), [("yes", 1, Some(7)), ("gone", 7, None)]);
    }

    #[test]
    fn what_was_never_told_or_never_changed_takes_no_line() {
        let periods = [period(1, None, Some(""))];
        assert_eq!(stretches("name", &periods, &|name| (*name).to_owned(), &|_| String::new()), []);
        assert_eq!(stretches("there", &periods, &|_| "yes".to_owned(), &|_| String::new()), []);
    }
}
