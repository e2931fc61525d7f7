//! What a person did, or what happened on and from a device, counted from the trail's own events.
//!
//! - The newest events are counted first; a count that is not whole says from when on it holds.
//! - Flows and log lines are left out: there are too many of them to say what somebody did.
//! - An event that only claims to be of this person is counted apart, and never as theirs.

use std::collections::BTreeMap;
use std::time::Duration;

use meshtrail_event::{Actor, Device, Event, Family, Outcome, Timestamp};
use meshtrail_query::{Ask, Filter, Order, Start};
use serde::Serialize;

use super::tally::{Counted, Tally};
use crate::api::events::unreadable;
use crate::problem::Problem;
use crate::state::AppState;

/// The most events that are counted for one page.
const MOST: usize = 4_000;

/// How long counting for one page may take, about.
const BUDGET: Duration = Duration::from_millis(400);

/// The newest events that are shown themselves.
const RECENT: usize = 12;

/// The kinds that say what somebody did. Named, so that flows and log lines are skipped without being read.
const DEEDS: &str = "kind:ssh,kube,host,config.changed,device,user,policy,dns,key,route,billing,identity,\
     finding,alert,delivery,meshtrail";

const DAY: i64 = 86_400_000_000_000;
const HOUR: i64 = 3_600_000_000_000;

/// Whose doings.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Whose<'a> {
    /// A person's, by login.
    Person(&'a str),
    /// A device's, by the id that survives renames.
    Device(&'a str),
}

/// What somebody did in a stretch of time.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub struct Doings {
    /// Events that are theirs: done by the person; on or from the device.
    pub events: u64,
    /// Of these, how many were denied or failed.
    pub refused: u64,
    /// Events whose sender claims them to be of this person or device, while the mesh says otherwise.
    pub claimed: u64,
    /// The beginning of the stretch that was asked for.
    #[schema(value_type = String)]
    pub since: Timestamp,
    /// From when on everything was counted; later than `since` where there was too much.
    #[schema(value_type = String)]
    pub counted_from: Timestamp,
    /// When the first of them happened.
    #[schema(value_type = Option<String>)]
    pub first: Option<Timestamp>,
    /// When the last of them happened.
    #[schema(value_type = Option<String>)]
    pub last: Option<Timestamp>,
    /// Each day on which something happened, with its hours, in UTC.
    pub days: Vec<Day>,
    /// By kind.
    pub kinds: Counted,
    /// By the person who acted.
    pub people: Counted,
    /// By the device they came from.
    pub devices: Counted,
    /// By the address they came from.
    pub addresses: Counted,
    /// By what was acted on.
    pub targets: Counted,
    /// By who told how it is known: the provider's name, or the status where there is none.
    pub known_by: Counted,
    /// The newest of them: index and leaf.
    #[serde(skip)]
    pub(crate) recent: Vec<(u64, Event)>,
}

/// One day of doings.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Day {
    /// As `2026-11-20`, in UTC.
    pub date: String,
    /// Events in each hour.
    #[schema(value_type = Vec<u32>)]
    pub hours: [u32; 24],
    /// Of these, denied or failed.
    #[schema(value_type = Vec<u32>)]
    pub refused: [u32; 24],
}

/// What is being counted.
struct Count<'a> {
    whose: Whose<'a>,
    said: Doings,
    days: BTreeMap<i64, ([u32; 24], [u32; 24])>,
    kinds: Tally,
    people: Tally,
    devices: Tally,
    addresses: Tally,
    targets: Tally,
    known_by: Tally,
}

/// Counts what `whose` did from `since` to now.
pub(crate) async fn doings(state: &AppState, whose: Whose<'_>, since: Timestamp) -> Result<Doings, Problem> {
    let text = question(whose, since);
    let filter = Filter::parse(&text).map_err(|error| Problem::bad_request("id", error.to_string()))?;
    let ask = Ask { start: Start::Fresh(Order::Newest), limit: MOST, budget: BUDGET };
    let page =
        meshtrail_query::query(state.trail(), &filter, &ask).await.map_err(|error| unreadable(&error))?;
    let mut count = Count::new(whose, since);
    let mut oldest = None;
    for (index, leaf) in page.items {
        let Ok(event) = Event::from_json(&leaf) else { continue };
        oldest = Some(event.time);
        count.take(index, event);
    }
    // A count that was cut off before it found anything holds for no time at all.
    Ok(count.done(page.next.map(|_| oldest.unwrap_or_else(Timestamp::now))))
}

/// The filter that finds what is counted.
pub(crate) fn question(whose: Whose<'_>, since: Timestamp) -> String {
    use crate::console::term;
    let who = match whose {
        Whose::Person(login) => term("actor", login),
        Whose::Device(id) => term("device", id),
    };
    format!("{who} {DEEDS} since:{since}")
}

impl<'a> Count<'a> {
    fn new(whose: Whose<'a>, since: Timestamp) -> Count<'a> {
        Count {
            whose,
            said: Doings { since, counted_from: since, ..Doings::default() },
            days: BTreeMap::new(),
            kinds: Tally::default(),
            people: Tally::default(),
            devices: Tally::default(),
            addresses: Tally::default(),
            targets: Tally::default(),
            known_by: Tally::default(),
        }
    }

    fn take(&mut self, index: u64, event: Event) {
        if !self.is_theirs(&event) {
            self.said.claimed += 1;
            return;
        }
        let at = event.time;
        let refused = matches!(event.outcome, Outcome::Denied | Outcome::Failure);
        self.said.events += 1;
        self.said.refused += u64::from(refused);
        self.said.first = Some(self.said.first.map_or(at, |first| first.min(at)));
        self.said.last = self.said.last.max(Some(at));
        let hour = usize::try_from(at.as_nanos() % DAY / HOUR).unwrap_or(0);
        let (all, bad) = self.days.entry(at.as_nanos() / DAY).or_default();
        all[hour] = all[hour].saturating_add(1);
        bad[hour] = bad[hour].saturating_add(u32::from(refused));
        self.kinds.add(event.kind.as_str(), None, at);
        self.count_parties(&event);
        let known = event.identity.provider.as_deref().unwrap_or(event.identity.status.as_str());
        if event.kind.family() != Family::Meshtrail {
            self.known_by.add(known, None, at);
        }
        self.said.recent.push((index, event));
        if self.said.recent.len() > RECENT * 8 {
            self.said.recent = newest(std::mem::take(&mut self.said.recent));
        }
    }

    fn count_parties(&mut self, event: &Event) {
        let at = event.time;
        if let Some(person) = &event.actor.person {
            self.people.add(&person.login, None, at);
        }
        if let Some(device) = &event.actor.device {
            if let Some(label) = device.label() {
                self.devices.add(label, device.id.as_deref(), at);
            }
            for address in device.addresses.iter().take(2) {
                self.addresses.add(address, None, at);
            }
        }
        if let Some(label) = event.target.label() {
            let id = event.target.device.as_ref().and_then(|device| device.id.as_deref());
            self.targets.add(&label, id, at);
        }
    }

    /// Whether the mesh, and not only a sender, says that this person acted or this device took part.
    fn is_theirs(&self, event: &Event) -> bool {
        match self.whose {
            Whose::Person(login) => is_person(&event.actor, login),
            Whose::Device(id) => {
                is_device(event.actor.device.as_deref(), id) || is_device(event.target.device.as_deref(), id)
            }
        }
    }

    fn done(self, cut_at: Option<Timestamp>) -> Doings {
        let days = self.days.into_iter().map(|(day, (hours, refused))| Day {
            date: Timestamp::from_nanos(day * DAY).to_string()[..10].to_owned(),
            hours,
            refused,
        });
        Doings {
            counted_from: cut_at.unwrap_or(self.said.since),
            days: days.collect(),
            kinds: self.kinds.done(),
            people: self.people.done(),
            devices: self.devices.done(),
            addresses: self.addresses.done(),
            targets: self.targets.done(),
            known_by: self.known_by.done(),
            recent: newest(self.said.recent),
            ..self.said
        }
    }
}

/// The newest by their own time: sources hand in late, and out of order.
fn newest(mut events: Vec<(u64, Event)>) -> Vec<(u64, Event)> {
    events.sort_by_key(|(index, event)| std::cmp::Reverse((event.time, *index)));
    events.truncate(RECENT);
    events
}

fn is_person(actor: &Actor, login: &str) -> bool {
    actor.person.as_ref().is_some_and(|person| person.login.eq_ignore_ascii_case(login))
}

/// A device without an id is known by its full name alone.
fn is_device(device: Option<&Device>, id: &str) -> bool {
    device.is_some_and(|device| match &device.id {
        Some(own) => own == id,
        None => device.name.as_deref() == Some(id),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(sequence: u64, time: &str, members: &str) -> Event {
        let json = format!(
            r#"{{"id":"a.1.{sequence}","kind":"ssh.login","time":"{time}","received":"{time}","outcome":"success",{members}}}"#
        );
        Event::from_json(json.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_only_claimed_is_not_theirs() {
        let since = "2026-11-01T00:00:00Z".parse().unwrap();
        let mut count = Count::new(Whose::Person("alice@example.com"), since);
        count
            .take(0, event(1, "2026-11-20T14:02:11Z", r#""actor":{"person":{"login":"Alice@example.com"}}"#));
        let claim = r#""actor":{"person":{"login":"bob@example.com"}},
            "identity":{"status":"conflicting","claimed":{"login":"alice@example.com"}}"#;
        count.take(1, event(2, "2026-11-20T14:03:11Z", claim));
        let said = count.done(None);
        assert_eq!((said.events, said.claimed), (1, 1));
        assert_eq!(said.days[0].date, "2026-11-20");
        assert_eq!(said.days[0].hours[14], 1);
    }

    #[test]
    fn the_question_leaves_flows_and_log_lines_unread() {
        let since = "2026-11-01T00:00:00Z".parse().unwrap();
        for whose in [Whose::Person("a \"b"), Whose::Device("n7")] {
            let hints = Filter::parse(&question(whose, since)).unwrap().scan_hints();
            assert!(!hints.families.contains(&Family::Flow) && !hints.families.contains(&Family::Log));
            assert!(hints.families.contains(&Family::Config) && hints.families.contains(&Family::Session));
        }
    }

    #[test]
    fn the_newest_are_so_by_their_own_time_and_not_by_when_they_were_handed_in() {
        let since = "2026-11-01T00:00:00Z".parse().unwrap();
        let mut count = Count::new(Whose::Person("a"), since);
        for minute in 0..200u64 {
            // Handed in from the newest to the oldest, and counted from the last that was handed in.
            let time = format!("2026-11-20T{:02}:{:02}:00Z", minute / 60, minute % 60);
            count.take(200 - minute, event(minute + 1, &time, r#""actor":{"person":{"login":"a"}}"#));
        }
        let said = count.done(None);
        assert_eq!(said.recent.len(), RECENT);
        assert_eq!(said.recent[0].1.time.to_string(), "2026-11-20T03:19:00.000000000Z");
    }

    #[test]
    fn a_device_is_told_by_its_id_and_not_by_a_name_it_had() {
        let since = "2026-11-01T00:00:00Z".parse().unwrap();
        let mut count = Count::new(Whose::Device("n7"), since);
        let from = r#""actor":{"device":{"id":"n7","name":"web-1.tail.example"}}"#;
        let other = r#""actor":{"device":{"id":"n8","name":"n7"}}"#;
        let on = r#""target":{"device":{"id":"n7"}}"#;
        for (at, members) in [from, other, on].into_iter().enumerate() {
            count.take(at as u64, event(at as u64 + 1, "2026-11-20T14:02:11Z", members));
        }
        let said = count.done(None);
        assert_eq!((said.events, said.claimed), (2, 1));
    }
}
