//! Sources that are known by what the trail holds of them: the recorder, and whoever hands events in.
//!
//! - At start the newest events are looked at, so that a restart does not forget who was there, nor which gaps were
//!   told of in the last thirty days.
//! - From then on the recorder is followed in the trail, and the door says what comes in through it.
//! - Events of a sender are numbered: a number that is skipped, and does not come within a minute, is a gap.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::TryStreamExt as _;
use meshtrail_event::{Detail, Event, EventId, Family, Kind, Timestamp};
use meshtrail_trail::{ReadError, Scan, Trail};
use tokio_util::sync::CancellationToken;

use super::{Entry, Expect, Gap, Sources, push, told};

/// How many of the newest events are looked at for who was there.
const LOOKED_AT: usize = 50_000;

/// How far back gaps are counted.
const GAPS_FOR: Duration = Duration::from_secs(30 * 86_400);

/// How long a skipped number may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most skipped stretches that are waited for, of one source.
const MOST_HOLES: usize = 100;

/// How many events are looked at, at the most, each time.
const FOLLOWED: u64 = 10_000;

/// How often the trail is looked at for what the recorder wrote.
const LOOK: Duration = Duration::from_secs(1);

/// How far the numbers of a sender have come.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    epoch: u64,
    highest: u64,
    /// Skipped numbers, each stretch with when that was noticed.
    holes: Vec<(u64, u64, Timestamp)>,
}

impl Numbers {
    /// Takes note of an event's number.
    fn note(&mut self, id: &EventId, now: Timestamp) {
        if id.epoch > self.epoch {
            *self = Self { epoch: id.epoch, highest: id.sequence, holes: Vec::new() };
            return;
        }
        if id.epoch < self.epoch {
            return;
        }
        if id.sequence > self.highest {
            if id.sequence > self.highest + 1 && self.holes.len() < MOST_HOLES {
                self.holes.push((self.highest + 1, id.sequence - 1, now));
            }
            self.highest = id.sequence;
            return;
        }
        let Some(at) = self.holes.iter().position(|(first, last, _)| (*first..=*last).contains(&id.sequence))
        else {
            return;
        };
        let (first, last, since) = self.holes.swap_remove(at);
        let sides = [(first, id.sequence.saturating_sub(1)), (id.sequence + 1, last)];
        self.holes.extend(sides.into_iter().filter(|(a, b)| a <= b).map(|(a, b)| (a, b, since)));
    }

    /// Stretches that have been waited for long enough.
    pub(super) fn lost(&mut self, now: Timestamp) -> Vec<(u64, u64)> {
        let (lost, waited): (Vec<_>, Vec<_>) =
            self.holes.drain(..).partition(|(_, _, since)| now.since(*since) >= PATIENCE);
        self.holes = waited;
        lost.into_iter().map(|(first, last, _)| (first, last)).collect()
    }
}

impl Sources {
    /// Looks at the newest events for who was there, and at the gaps that were told of.
    pub async fn remember(&self, trail: &Trail, now: Timestamp) -> Result<(), ReadError> {
        let mut rows = std::pin::pin!(trail.scan(Scan::newest(0..trail.size())));
        let mut left = LOOKED_AT;
        while left > 0
            && let Some((_, leaf)) = rows.try_next().await?
        {
            left -= 1;
            if let Ok(event) = Event::from_json(&leaf)
                && is_shown(&event.id, trail.name())
            {
                self.see(&event);
            }
        }
        self.remember_gaps(trail, now).await
    }

    async fn remember_gaps(&self, trail: &Trail, now: Timestamp) -> Result<(), ReadError> {
        let since = now.before(GAPS_FOR);
        let scan = Scan {
            families: vec![Family::Meshtrail],
            times: Some((since, Timestamp::from_nanos(i64::MAX))),
            ..Scan::oldest(0..trail.size())
        };
        let mut rows = std::pin::pin!(trail.scan(scan));
        while let Some((_, leaf)) = rows.try_next().await? {
            let Ok(event) = Event::from_json(&leaf) else { continue };
            if event.kind == Kind::MeshtrailSourceGap
                && event.time >= since
                && let Some(Detail::Own(own)) = event.detail
                && let Some(name) = own.source
            {
                let gap = Gap { first: None, last: None, reason: own.reason.unwrap_or_default() };
                let mut book = self.book();
                let entry =
                    book.sources.entry(name.into()).or_insert_with(|| Entry::new(Expect::Whenever, now));
                entry.keep_gap(gap);
            }
        }
        Ok(())
    }

    /// Takes note of an event that was in the trail before this start.
    fn see(&self, event: &Event) {
        let mut book = self.book();
        let name = event.id.source.as_str();
        let entry =
            book.sources.entry(name.into()).or_insert_with(|| Entry::new(Expect::Whenever, event.received));
        if entry.last_heard.is_none_or(|last| last < event.received) {
            entry.lag = Some(event.received.since(event.time));
        }
        entry.last_heard = entry.last_heard.max(Some(event.received));
        entry.newest = entry.newest.max(Some(event.time));
        if event.id.epoch > entry.numbers.epoch {
            entry.numbers = Numbers { epoch: event.id.epoch, ..Numbers::default() };
        }
        if event.id.epoch == entry.numbers.epoch {
            entry.numbers.highest = entry.numbers.highest.max(event.id.sequence);
        }
    }

    /// Events came in through the door, durable by now.
    pub fn came(&self, events: &[(EventId, Timestamp)], now: Timestamp) {
        self.heard_of(events, now);
        let mut book = self.book();
        for (id, _) in events {
            if let Some(entry) = book.sources.get_mut(id.source.as_str()) {
                entry.numbers.note(id, now);
            }
        }
    }

    fn heard_of(&self, events: &[(EventId, Timestamp)], now: Timestamp) {
        let mut by_source: BTreeMap<&str, Vec<&(EventId, Timestamp)>> = BTreeMap::new();
        for event in events {
            by_source.entry(event.0.source.as_str()).or_default().push(event);
        }
        for (name, events) in by_source {
            let source = self.register_at(name, Expect::Whenever, now);
            let newest = events.iter().map(|(_, time)| *time).max();
            source.heard_at(events.len() as u64, newest, now);
        }
    }

    /// Follows what the recorder writes into the trail from `index` on, until `stop`. Where very much else comes in,
    /// only the newest is looked at: the recorder's count is then too low, and nothing is slowed down.
    pub async fn follow(self, trail: Trail, mut index: u64, stop: CancellationToken) {
        let mut size = trail.subscribe();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = size.changed() => if changed.is_err() { return },
            }
            let end = *size.borrow_and_update();
            index = index.max(end.saturating_sub(FOLLOWED));
            let families = vec![Family::Session, Family::Recording];
            let scan = Scan { families, ..Scan::oldest(index..end) };
            let mut rows = std::pin::pin!(trail.scan(scan));
            let mut came = Vec::new();
            while let Ok(Some((_, leaf))) = rows.try_next().await {
                came.extend(Event::from_json(&leaf).ok().map(|event| (event.id, event.time)));
            }
            // The recorder says itself that it is there.
            for (id, _) in &came {
                self.register(id.source.as_str(), Expect::Whenever);
                self.change(id.source.as_str(), |entry, _| entry.connected = true);
            }
            self.heard_of(&came, Timestamp::now());
            index = end;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Tells of numbers that were skipped and did not come.
    pub(super) fn look_for_holes(&self, now: Timestamp) {
        let mut book = self.book();
        let super::Book { sources, untold } = &mut *book;
        for (name, entry) in sources.iter_mut() {
            for (first, last) in entry.numbers.lost(now) {
                let reason = "events of this source were numbered and never came".to_owned();
                let gap = Gap { first: None, last: None, reason: format!("{reason} ({first} to {last})") };
                push(untold, told::gap(name, &gap, Some((first, last)), now));
                entry.keep_gap(gap);
            }
        }
    }
}

/// Whether a source is shown by what the trail holds: this server's own parts say for themselves how they do, but for
/// the recorder.
fn is_shown(id: &EventId, trail: &str) -> bool {
    match id.source.as_str().strip_prefix(trail).and_then(|rest| rest.strip_prefix('.')) {
        None => true,
        Some(part) => part == "recorder",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds).unwrap()
    }

    fn came(sources: &Sources, ids: &[&str], now: i64) {
        let events: Vec<_> = ids.iter().map(|id| (id.parse().unwrap(), at(now - 1))).collect();
        sources.came(&events, at(now));
    }

    #[test]
    fn a_number_that_is_skipped_and_does_not_come_is_a_gap() {
        let sources = Sources::none();
        came(&sources, &["agent.1.1", "agent.1.2"], 0);
        came(&sources, &["agent.1.9", "agent.1.5"], 1);
        sources.look_for_holes(at(30));
        assert_eq!(sources.report_at(at(30))[0].gaps, 0, "it may still come");
        came(&sources, &["agent.1.6", "agent.1.7", "agent.1.8", "agent.1.3"], 40);
        sources.look_for_holes(at(62));
        let report = &sources.report_at(at(62))[0];
        assert_eq!((report.gaps, report.events), (1, 8));
        assert!(report.recent_gaps[0].reason.ends_with("(4 to 4)"), "{:?}", report.recent_gaps);
    }

    #[test]
    fn a_new_epoch_begins_counting_anew() {
        let sources = Sources::none();
        came(&sources, &["agent.1.1"], 0);
        came(&sources, &["agent.2.1", "agent.1.2", "agent.2.2"], 1);
        sources.look_for_holes(at(100));
        assert_eq!(sources.report_at(at(100))[0].gaps, 0);
    }
}
