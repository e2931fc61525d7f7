//! Any number of events for benchmarks, with a realistic distribution and without a story.
//!
//! - The same [`SyntheticEvents`] give the same events, in the order in which a server receives them.
//! - Times follow working hours: people act during their working hours, servers always; weekends are quiet.
//! - A few people and devices cause most events; every kind of event that people search for is among them.
//! - Each source numbers its events from 1 without gaps, so that a trail accepts all of them.

mod kinds;

use std::sync::Arc;

use meshtrail_event::{Device, Draft, Event, EventId, Person, SourceName, Timestamp};

use crate::calendar::{HOUR, works};
use crate::company::{Company, Size, as_device, as_person};
use crate::random::Random;

/// Parameters of the generated events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyntheticEvents {
    /// Seed: the same one gives the same events.
    pub seed: u64,
    /// Size of the company.
    pub size: Size,
    /// End of the last day.
    pub until: Timestamp,
    /// Number of days that the events are distributed over.
    pub days: u64,
    /// Number of events.
    pub events: u64,
}

impl SyntheticEvents {
    /// Generates the events lazily.
    pub fn iter(&self) -> SyntheticEventsIter {
        SyntheticEventsIter::new(*self)
    }
}

impl IntoIterator for SyntheticEvents {
    type Item = Event;
    type IntoIter = SyntheticEventsIter;

    fn into_iter(self) -> SyntheticEventsIter {
        self.iter()
    }
}

/// A device and its owner in the forms that events use, and the state of its source.
struct DeviceTemplate {
    brief: Arc<Device>,
    whole: Arc<Device>,
    brief_owner: Option<Arc<Person>>,
    owner: Option<Arc<Person>>,
    address: String,
    source: SourceName,
    sequence: u64,
    zone: i64,
}

/// Iterator over the events of [`SyntheticEvents`].
pub struct SyntheticEventsIter {
    config: SyntheticEvents,
    random: Random,
    templates: Vec<DeviceTemplate>,
    personal: usize,
    /// Devices whose owners work in this hour.
    working: Vec<usize>,
    hour: u64,
    /// Events of this hour that were generated, and their total.
    generated: u64,
    of_hour: u64,
    /// Remaining events and weight of the hours from this one on.
    left: u64,
    weight_left: u64,
    sessions: u64,
    shared: [(SourceName, u64); 2],
}

/// Indexes into [`SyntheticEventsIter::shared`].
const RECORDER: usize = 0;
const CONTROL: usize = 1;

impl SyntheticEventsIter {
    fn new(config: SyntheticEvents) -> Self {
        let begin = config.until.as_nanos() - i64::try_from(config.days * 24).unwrap_or(24) * HOUR;
        let company = Company::new(config.seed, config.size, Timestamp::from_nanos(begin));
        let templates: Vec<DeviceTemplate> =
            (0..company.machines.len()).map(|at| template(&company, at)).collect();
        let name = |text: &str| (text.parse().expect("a name written here"), 0);
        let mut events = Self {
            config,
            random: Random::part_of(config.seed, "masses"),
            personal: company.personal,
            templates,
            working: Vec::new(),
            hour: 0,
            generated: 0,
            of_hour: 0,
            left: config.events,
            weight_left: 0,
            sessions: 0,
            shared: [name("main.recorder"), name("main.tailscale.audit")],
        };
        events.weight_left = (0..config.days * 24).map(|hour| events.weight(hour)).sum();
        events.enter_hour();
        events
    }

    fn begin_of(&self, hour: u64) -> i64 {
        let before = i64::try_from(self.config.days * 24 - hour).unwrap_or(0);
        self.config.until.as_nanos() - before * HOUR
    }

    /// The weight of an hour: each device counts 1, those of people at work 10.
    fn weight(&self, hour: u64) -> u64 {
        let begin = self.begin_of(hour);
        let people = &self.templates[..self.personal];
        let working = people.iter().filter(|template| works(begin, template.zone)).count() as u64;
        self.templates.len() as u64 + working * 9
    }

    fn enter_hour(&mut self) {
        while self.hour < self.config.days * 24 {
            let weight = self.weight(self.hour);
            let share = u128::from(self.left) * u128::from(weight) / u128::from(self.weight_left.max(1));
            self.of_hour = u64::try_from(share).unwrap_or(self.left).min(self.left);
            self.left -= self.of_hour;
            self.weight_left -= weight;
            self.generated = 0;
            if self.of_hour > 0 {
                break;
            }
            self.hour += 1;
        }
        let begin = self.begin_of(self.hour);
        let working = (0..self.personal).filter(|&at| works(begin, self.templates[at].zone));
        self.working = working.collect();
    }

    /// The device that acts next: one of a person at work, or sometimes any.
    fn actor(&mut self) -> usize {
        if self.working.is_empty() || self.random.once_in(5) {
            return self.random.skewed_index(self.templates.len());
        }
        self.working[self.random.skewed_index(self.working.len())]
    }

    fn server(&mut self) -> usize {
        self.personal + self.random.skewed_index(self.templates.len() - self.personal)
    }

    fn event(&mut self) -> Event {
        let step = HOUR / i64::try_from(self.of_hour).unwrap_or(HOUR).max(1);
        let within = step * i64::try_from(self.generated).unwrap_or(0);
        let jitter = i64::try_from(self.random.below(20_000_000)).unwrap_or(0);
        let received = self.begin_of(self.hour) + within;
        let time = received - 40_000_000 - jitter;
        let (from, to) = (self.actor(), self.server());
        match self.random.below(1000) {
            0..700 => self.flow(from, to, time, received),
            700..820 => self.log(from, to, time, received),
            820..910 => self.kube(from, to, time, received),
            910..960 => self.login(from, to, time, received),
            960..985 => self.session(from, to, time, received),
            985..992 => self.change(from, to, time, received),
            _ => self.viewed(from, time, received),
        }
    }

    fn sent_by(&mut self, at: usize, draft: Draft, received: i64) -> Event {
        let template = &mut self.templates[at];
        template.sequence += 1;
        let id = EventId { source: template.source.clone(), epoch: 1, sequence: template.sequence };
        draft.into_event(id, Timestamp::from_nanos(received))
    }

    fn sent_by_server(&mut self, which: usize, draft: Draft, received: i64) -> Event {
        let (source, sequence) = &mut self.shared[which];
        *sequence += 1;
        let id = EventId { source: source.clone(), epoch: 1, sequence: *sequence };
        draft.into_event(id, Timestamp::from_nanos(received))
    }
}

impl Iterator for SyntheticEventsIter {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.generated == self.of_hour {
            self.hour += 1;
            self.enter_hour();
            if self.hour >= self.config.days * 24 {
                return None;
            }
        }
        let event = self.event();
        self.generated += 1;
        Some(event)
    }
}

fn template(company: &Company, at: usize) -> DeviceTemplate {
    let machine = &company.machines[at];
    let (whole, member) = (as_device(&machine.state), company.owner_of(at));
    let owner = member.map(|member| as_person(&member.state));
    let short = whole.label().unwrap_or_default().to_owned();
    DeviceTemplate {
        brief: Arc::new(Device { id: whole.id.clone(), name: whole.name.clone(), ..Device::default() }),
        address: whole.addresses.first().cloned().unwrap_or_default(),
        brief_owner: owner
            .as_ref()
            .map(|owner| Person { login: owner.login.clone(), ..Person::default() }.into()),
        owner: owner.map(Arc::new),
        whole: whole.into(),
        source: format!("{short}.agent").parse().expect("a device's short name is a source's"),
        sequence: 0,
        zone: member.map_or(0, |member| member.zone),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn config(events: u64) -> SyntheticEvents {
        let until = "2026-11-20T00:00:00Z".parse().unwrap();
        SyntheticEvents { seed: 1, size: Size { people: 60, devices: 150 }, until, days: 14, events }
    }

    #[test]
    fn there_are_as_many_as_asked_for_in_order_and_every_leaf_reads_back() {
        let (mut count, mut last) = (0, Timestamp::from_nanos(0));
        let mut sequences: HashMap<SourceName, u64> = HashMap::new();
        for event in config(20_000) {
            let leaf = event.check().unwrap();
            assert_eq!(Event::from_json(&leaf).unwrap(), event);
            assert!(event.received >= last, "received in order");
            let sequence = sequences.entry(event.id.source.clone()).or_default();
            assert_eq!(event.id.sequence, *sequence + 1, "{}", event.id);
            *sequence += 1;
            last = event.received;
            count += 1;
        }
        assert_eq!(count, 20_000);
    }

    #[test]
    fn they_follow_working_hours_and_some_do_more_than_others() {
        let (mut weekday, mut sunday) = (0, 0);
        let mut by_actor: HashMap<String, usize> = HashMap::new();
        for event in config(50_000) {
            // 2026-11-11 is a Wednesday, 2026-11-15 a Sunday.
            match event.received.date() {
                (2026, 11, 11) => weekday += 1,
                (2026, 11, 15) => sunday += 1,
                _ => {}
            }
            *by_actor.entry(event.actor.label().unwrap_or_default()).or_default() += 1;
        }
        assert!(weekday > 2 * sunday && sunday > 0, "{weekday} {sunday}");
        let (most, least) = (by_actor.values().max().unwrap(), by_actor.values().min().unwrap());
        assert!(*most > 20 * least, "{most} {least}");
    }
}
