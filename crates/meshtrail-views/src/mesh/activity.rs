//! Activity of one person or device, counted from the trail's events.
//!
//! - The newest events are counted first; an incomplete count names the time from which it is complete
//!   ([`Activity::counted_from`]).
//! - Flows and log lines are not counted: there are too many of them to say anything about activity.
//! - An event that only claims to be of this person or device is counted in [`Activity::claimed`] alone.

use std::collections::BTreeMap;
use std::time::Duration;

use meshtrail_api::directory::{Activity, Day};
use meshtrail_event::{Actor, Device, Event, Family, Outcome, Timestamp};
use meshtrail_query::{Filter, FilterError, Order, PageRequest, Start, term};
use meshtrail_trail::{ReadError, Trail};

use super::top_values::ValueCounter;

/// Most events counted for one page.
const MAX_EVENTS: usize = 4_000;

/// Approximate limit on the time that counting for one page takes.
const BUDGET: Duration = Duration::from_millis(400);

/// Number of newest events in [`CountedActivity::recent`].
const MAX_RECENT: usize = 12;

/// Filter term for the kinds that count as activity. They are listed so that the scan skips flows and log lines without
/// reading them.
const ACTIVITY_KINDS: &str = "kind:ssh,kube,host,config.changed,device,user,policy,dns,key,route,billing,identity,\
     finding,alert,delivery,meshtrail";

const DAY: i64 = 86_400_000_000_000;
const HOUR: i64 = 3_600_000_000_000;

/// The person or device whose activity is counted.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// A person, by login.
    Person(&'a str),
    /// A device, by the id that survives renames.
    Device(&'a str),
}

/// What somebody did: counts, and the newest events.
pub struct CountedActivity {
    /// Counts, for all events that were read.
    pub counts: Activity,
    /// Index and event of the newest ones.
    pub recent: Vec<(u64, Event)>,
}

/// Why activity could not be counted.
#[derive(Debug, thiserror::Error)]
pub enum ActivityError {
    /// The login or id makes no filter: it is too long.
    #[error(transparent)]
    Subject(#[from] FilterError),
    /// The trail could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Counts the events of one subject.
struct ActivityCounter<'a> {
    subject: Subject<'a>,
    totals: Activity,
    recent: Vec<(u64, Event)>,
    days: BTreeMap<i64, ([u32; 24], [u32; 24])>,
    kinds: ValueCounter,
    people: ValueCounter,
    devices: ValueCounter,
    addresses: ValueCounter,
    targets: ValueCounter,
    known_by: ValueCounter,
}

/// Counts the activity of `subject` from `since` to now.
pub async fn activity(
    trail: &Trail,
    subject: Subject<'_>,
    since: Timestamp,
) -> Result<CountedActivity, ActivityError> {
    let filter = Filter::parse(&activity_filter(subject, since))?;
    let ask = PageRequest { start: Start::Fresh(Order::Newest), limit: MAX_EVENTS, budget: BUDGET };
    let page = meshtrail_query::query(trail, &filter, &ask).await?;
    let mut counter = ActivityCounter::new(subject, since);
    let mut oldest = None;
    for (index, leaf) in page.items {
        let Ok(event) = Event::from_json(&leaf) else { continue };
        oldest = Some(event.time);
        counter.add(index, event);
    }
    // A count that was cut off before it found any event is complete for no time at all.
    Ok(counter.finish(page.next.map(|_| oldest.unwrap_or_else(Timestamp::now))))
}

/// The filter that finds the events to count.
fn activity_filter(subject: Subject<'_>, since: Timestamp) -> String {
    let subject_term = match subject {
        Subject::Person(login) => term("actor", login),
        Subject::Device(id) => term("device", id),
    };
    format!("{subject_term} {ACTIVITY_KINDS} since:{since}")
}

impl<'a> ActivityCounter<'a> {
    fn new(subject: Subject<'a>, since: Timestamp) -> ActivityCounter<'a> {
        ActivityCounter {
            subject,
            totals: Activity { since, counted_from: since, ..Activity::default() },
            recent: Vec::new(),
            days: BTreeMap::new(),
            kinds: ValueCounter::default(),
            people: ValueCounter::default(),
            devices: ValueCounter::default(),
            addresses: ValueCounter::default(),
            targets: ValueCounter::default(),
            known_by: ValueCounter::default(),
        }
    }

    fn add(&mut self, index: u64, event: Event) {
        if !self.involves_subject(&event) {
            self.totals.claimed += 1;
            return;
        }
        let at = event.time;
        let refused = matches!(event.outcome, Outcome::Denied | Outcome::Failure);
        self.totals.events += 1;
        self.totals.refused += u64::from(refused);
        self.totals.first = Some(self.totals.first.map_or(at, |first| first.min(at)));
        self.totals.last = self.totals.last.max(Some(at));
        let hour = usize::try_from(at.as_nanos() % DAY / HOUR).unwrap_or(0);
        let (all, bad) = self.days.entry(at.as_nanos() / DAY).or_default();
        all[hour] = all[hour].saturating_add(1);
        bad[hour] = bad[hour].saturating_add(u32::from(refused));
        self.kinds.add(event.kind.as_str(), None, at);
        self.count_actor_and_target(&event);
        let provider = event.identity.provider.as_deref().unwrap_or(event.identity.status.as_str());
        if event.kind.family() != Family::Meshtrail {
            self.known_by.add(provider, None, at);
        }
        self.recent.push((index, event));
        if self.recent.len() > MAX_RECENT * 8 {
            self.recent = newest(std::mem::take(&mut self.recent));
        }
    }

    fn count_actor_and_target(&mut self, event: &Event) {
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

    /// Whether resolved identities, not only a sender's claim, name the subject as actor or, for a device, as target.
    fn involves_subject(&self, event: &Event) -> bool {
        match self.subject {
            Subject::Person(login) => is_person(&event.actor, login),
            Subject::Device(id) => {
                is_device(event.actor.device.as_deref(), id) || is_device(event.target.device.as_deref(), id)
            }
        }
    }

    /// `cut_at` is the time of the oldest event counted, where the count was cut off.
    fn finish(self, cut_at: Option<Timestamp>) -> CountedActivity {
        let days = self.days.into_iter().map(|(day, (hours, refused))| Day {
            date: Timestamp::from_nanos(day * DAY).to_string()[..10].to_owned(),
            hours,
            refused,
        });
        let counts = Activity {
            counted_from: cut_at.unwrap_or(self.totals.since),
            days: days.collect(),
            kinds: self.kinds.finish(),
            people: self.people.finish(),
            devices: self.devices.finish(),
            addresses: self.addresses.finish(),
            targets: self.targets.finish(),
            known_by: self.known_by.finish(),
            ..self.totals
        };
        CountedActivity { counts, recent: newest(self.recent) }
    }
}

/// The newest events by event time: sources deliver late and out of order.
fn newest(mut events: Vec<(u64, Event)>) -> Vec<(u64, Event)> {
    events.sort_by_key(|(index, event)| std::cmp::Reverse((event.time, *index)));
    events.truncate(MAX_RECENT);
    events
}

fn is_person(actor: &Actor, login: &str) -> bool {
    actor.person.as_ref().is_some_and(|person| person.login.eq_ignore_ascii_case(login))
}

/// Compares by id, or by full name where the event has no device id.
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
        let mut counter = ActivityCounter::new(Subject::Person("alice@example.com"), since);
        counter
            .add(0, event(1, "2026-11-20T14:02:11Z", r#""actor":{"person":{"login":"Alice@example.com"}}"#));
        let claim = r#""actor":{"person":{"login":"bob@example.com"}},
            "identity":{"status":"conflicting","claimed":{"login":"alice@example.com"}}"#;
        counter.add(1, event(2, "2026-11-20T14:03:11Z", claim));
        let activity = counter.finish(None).counts;
        assert_eq!((activity.events, activity.claimed), (1, 1));
        assert_eq!(activity.days[0].date, "2026-11-20");
        assert_eq!(activity.days[0].hours[14], 1);
    }

    #[test]
    fn the_question_leaves_flows_and_log_lines_unread() {
        let since = "2026-11-01T00:00:00Z".parse().unwrap();
        for subject in [Subject::Person("a \"b"), Subject::Device("n7")] {
            let hints = Filter::parse(&activity_filter(subject, since)).unwrap().scan_hints();
            assert!(!hints.families.contains(&Family::Flow) && !hints.families.contains(&Family::Log));
            assert!(hints.families.contains(&Family::Config) && hints.families.contains(&Family::Session));
        }
    }

    #[test]
    fn the_newest_are_so_by_their_own_time_and_not_by_when_they_were_handed_in() {
        let since = "2026-11-01T00:00:00Z".parse().unwrap();
        let mut counter = ActivityCounter::new(Subject::Person("a"), since);
        for minute in 0..200u64 {
            // Appended from the newest to the oldest, and counted from the last one appended.
            let time = format!("2026-11-20T{:02}:{:02}:00Z", minute / 60, minute % 60);
            counter.add(200 - minute, event(minute + 1, &time, r#""actor":{"person":{"login":"a"}}"#));
        }
        let recent = counter.finish(None).recent;
        assert_eq!(recent.len(), MAX_RECENT);
        assert_eq!(recent[0].1.time.to_string(), "2026-11-20T03:19:00.000000000Z");
    }

    #[test]
    fn a_device_is_told_by_its_id_and_not_by_a_name_it_had() {
        let since = "2026-11-01T00:00:00Z".parse().unwrap();
        let mut counter = ActivityCounter::new(Subject::Device("n7"), since);
        let from = r#""actor":{"device":{"id":"n7","name":"web-1.tail.example"}}"#;
        let other = r#""actor":{"device":{"id":"n8","name":"n7"}}"#;
        let on = r#""target":{"device":{"id":"n7"}}"#;
        for (at, members) in [from, other, on].into_iter().enumerate() {
            counter.add(at as u64, event(at as u64 + 1, "2026-11-20T14:02:11Z", members));
        }
        let activity = counter.finish(None).counts;
        assert_eq!((activity.events, activity.claimed), (2, 1));
    }
}
