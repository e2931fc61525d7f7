//! Events in masses, for benchmarks: as many as wanted, spread like real use, without a story.
//!
//! - The same [`Masses`] give the same events, in the order in which a server receives them.
//! - Times follow working hours: people act while it is day where they are, servers always, weekends are quiet.
//! - Few people and devices do most; every kind of event that people search for is among them.
//! - Each source counts its events from 1 without a hole, so that a trail takes every one.

mod kinds;

use std::sync::Arc;

use meshtrail_event::{Device, Draft, Event, EventId, Person, SourceName, Timestamp};

use crate::calendar::{HOUR, works};
use crate::company::{Company, Size, as_device, as_person};
use crate::random::Random;

/// What is made in masses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Masses {
    /// The same seed gives the same events.
    pub seed: u64,
    /// How large the company is.
    pub size: Size,
    /// Where the days end.
    pub until: Timestamp,
    /// Over how many days the events are spread.
    pub days: u64,
    /// How many events there are.
    pub events: u64,
}

impl Masses {
    /// Makes them, one after the other.
    pub fn iter(&self) -> Making {
        Making::new(*self)
    }
}

impl IntoIterator for Masses {
    type Item = Event;
    type IntoIter = Making;

    fn into_iter(self) -> Making {
        self.iter()
    }
}

/// A device and its owner, as its events name them.
struct Face {
    brief: Arc<Device>,
    whole: Arc<Device>,
    brief_owner: Option<Arc<Person>>,
    owner: Option<Arc<Person>>,
    address: String,
    source: SourceName,
    sequence: u64,
    zone: i64,
}

/// The events of [`Masses`] while they are made.
pub struct Making {
    masses: Masses,
    random: Random,
    faces: Vec<Face>,
    personal: usize,
    /// Devices whose people work in this hour.
    awake: Vec<usize>,
    hour: u64,
    /// Events of this hour that were made, and how many there are.
    made: u64,
    of_hour: u64,
    /// Events and weight that are left for the hours from this one on.
    left: u64,
    weight_left: u64,
    sessions: u64,
    shared: [(SourceName, u64); 2],
}

/// Places in [`Making::shared`].
const RECORDER: usize = 0;
const CONTROL: usize = 1;

impl Making {
    fn new(masses: Masses) -> Self {
        let begin = masses.until.as_nanos() - i64::try_from(masses.days * 24).unwrap_or(24) * HOUR;
        let company = Company::new(masses.seed, masses.size, Timestamp::from_nanos(begin));
        let faces: Vec<Face> = (0..company.machines.len()).map(|at| face(&company, at)).collect();
        let name = |text: &str| (text.parse().expect("a name written here"), 0);
        let mut making = Self {
            masses,
            random: Random::part_of(masses.seed, "masses"),
            personal: company.personal,
            faces,
            awake: Vec::new(),
            hour: 0,
            made: 0,
            of_hour: 0,
            left: masses.events,
            weight_left: 0,
            sessions: 0,
            shared: [name("main.recorder"), name("main.tailscale.audit")],
        };
        making.weight_left = (0..masses.days * 24).map(|hour| making.weight(hour)).sum();
        making.enter_hour();
        making
    }

    fn begin_of(&self, hour: u64) -> i64 {
        let before = i64::try_from(self.masses.days * 24 - hour).unwrap_or(0);
        self.masses.until.as_nanos() - before * HOUR
    }

    /// How busy an hour is: servers always, people while they work.
    fn weight(&self, hour: u64) -> u64 {
        let begin = self.begin_of(hour);
        let people = &self.faces[..self.personal];
        let working = people.iter().filter(|face| works(begin, face.zone)).count() as u64;
        self.faces.len() as u64 + working * 9
    }

    fn enter_hour(&mut self) {
        while self.hour < self.masses.days * 24 {
            let weight = self.weight(self.hour);
            let share = u128::from(self.left) * u128::from(weight) / u128::from(self.weight_left.max(1));
            self.of_hour = u64::try_from(share).unwrap_or(self.left).min(self.left);
            self.left -= self.of_hour;
            self.weight_left -= weight;
            self.made = 0;
            if self.of_hour > 0 {
                break;
            }
            self.hour += 1;
        }
        let begin = self.begin_of(self.hour);
        let awake = (0..self.personal).filter(|&at| works(begin, self.faces[at].zone));
        self.awake = awake.collect();
    }

    /// Who acts next: somebody at work, or now and then any machine.
    fn actor(&mut self) -> usize {
        if self.awake.is_empty() || self.random.once_in(5) {
            return self.random.favoured_place(self.faces.len());
        }
        self.awake[self.random.favoured_place(self.awake.len())]
    }

    fn server(&mut self) -> usize {
        self.personal + self.random.favoured_place(self.faces.len() - self.personal)
    }

    fn event(&mut self) -> Event {
        let step = HOUR / i64::try_from(self.of_hour).unwrap_or(HOUR).max(1);
        let within = step * i64::try_from(self.made).unwrap_or(0);
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
        let face = &mut self.faces[at];
        face.sequence += 1;
        let id = EventId { source: face.source.clone(), epoch: 1, sequence: face.sequence };
        draft.into_event(id, Timestamp::from_nanos(received))
    }

    fn sent_by_server(&mut self, which: usize, draft: Draft, received: i64) -> Event {
        let (source, sequence) = &mut self.shared[which];
        *sequence += 1;
        let id = EventId { source: source.clone(), epoch: 1, sequence: *sequence };
        draft.into_event(id, Timestamp::from_nanos(received))
    }
}

impl Iterator for Making {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.made == self.of_hour {
            self.hour += 1;
            self.enter_hour();
            if self.hour >= self.masses.days * 24 {
                return None;
            }
        }
        let event = self.event();
        self.made += 1;
        Some(event)
    }
}

fn face(company: &Company, at: usize) -> Face {
    let machine = &company.machines[at];
    let (whole, member) = (as_device(&machine.state), company.owner_of(at));
    let owner = member.map(|member| as_person(&member.state));
    let short = whole.label().unwrap_or_default().to_owned();
    Face {
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

    fn masses(events: u64) -> Masses {
        let until = "2026-11-20T00:00:00Z".parse().unwrap();
        Masses { seed: 1, size: Size { people: 60, devices: 150 }, until, days: 14, events }
    }

    #[test]
    fn there_are_as_many_as_asked_for_in_order_and_every_leaf_reads_back() {
        let (mut count, mut last) = (0, Timestamp::from_nanos(0));
        let mut sequences: HashMap<SourceName, u64> = HashMap::new();
        for event in masses(20_000) {
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
        for event in masses(50_000) {
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
