//! Last contact of sources whose events are in the trail: the recorder, and senders of the events API.
//!
//! - At start the newest events are scanned, so that a restart keeps the known sources and the gaps of the last thirty
//!   days.
//! - From then on the recorder's events are followed in the trail; the events API reports what it received.
//! - A sender numbers its events: a number that is skipped, and does not come within a minute, is a gap.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use meshtrail_event::{Detail, Event, EventId, Family, Kind, Timestamp};
use meshtrail_trail::{Follower, ReadError, Scan, Trail};
use tokio_util::sync::CancellationToken;

use super::{Cadence, Gap, SourceEntry, Sources, drafts, push};

/// Number of newest events that are scanned for sources at start.
const MAX_SCANNED: usize = 50_000;

/// How far back gaps are counted.
const GAPS_FOR: Duration = Duration::from_secs(30 * 86_400);

/// A skipped number that has not come within this time is missing.
const HOLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The most ranges of skipped numbers of one source that are waited for.
const MAX_HOLES: usize = 100;

/// The most events of the trail that one scan for the recorder's reads.
const MAX_FOLLOWED: u64 = 10_000;

/// The interval between scans for the recorder's events.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

/// Sequence numbers of a sender: the highest one, and ranges that were skipped.
///
/// Recognises no repeats: the trail has done that ([`meshtrail_trail::dedupe`]). It knows since when a number is missing,
/// and a range is forgotten once it was reported.
#[derive(Debug, Default)]
pub(super) struct SequenceTracker {
    epoch: u64,
    highest: u64,
    /// Ranges of skipped numbers, each with the time at which that was noticed.
    holes: Vec<(u64, u64, Timestamp)>,
}

impl SequenceTracker {
    /// Records an event's number.
    fn record(&mut self, id: &EventId, now: Timestamp) {
        if id.epoch > self.epoch {
            *self = Self { epoch: id.epoch, highest: id.sequence, holes: Vec::new() };
            return;
        }
        if id.epoch < self.epoch {
            return;
        }
        if id.sequence > self.highest {
            if id.sequence > self.highest + 1 && self.holes.len() < MAX_HOLES {
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

    /// Removes and returns the ranges that are overdue.
    pub(super) fn take_overdue(&mut self, now: Timestamp) -> Vec<(u64, u64)> {
        let (lost, waited): (Vec<_>, Vec<_>) =
            self.holes.drain(..).partition(|(_, _, since)| now.since(*since) >= HOLE_TIMEOUT);
        self.holes = waited;
        lost.into_iter().map(|(first, last, _)| (first, last)).collect()
    }
}

impl Sources {
    /// Loads sources from the newest events of the trail, and gaps from the last thirty days.
    pub async fn load_from_trail(&self, trail: &Trail, now: Timestamp) -> Result<(), ReadError> {
        let mut rows = std::pin::pin!(trail.scan(Scan::newest(0..trail.size())));
        let mut left = MAX_SCANNED;
        while left > 0
            && let Some((_, leaf)) = rows.try_next().await?
        {
            left -= 1;
            if let Ok(event) = Event::from_json(&leaf)
                && is_shown(&event.id, trail.name().as_str())
            {
                self.record_stored_event(&event);
            }
        }
        self.load_gaps(trail, now).await
    }

    async fn load_gaps(&self, trail: &Trail, now: Timestamp) -> Result<(), ReadError> {
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
                let mut registry = self.registry();
                let entry = registry
                    .sources
                    .entry(name.into())
                    .or_insert_with(|| SourceEntry::new(Cadence::Irregular, now));
                entry.add_gap(gap);
            }
        }
        Ok(())
    }

    /// Records an event that was in the trail before this start.
    fn record_stored_event(&self, event: &Event) {
        let mut registry = self.registry();
        let name = event.id.source.as_str();
        let entry = registry
            .sources
            .entry(name.into())
            .or_insert_with(|| SourceEntry::new(Cadence::Irregular, event.received));
        if entry.last_heard.is_none_or(|last| last < event.received) {
            entry.lag = Some(event.received.since(event.time));
        }
        entry.last_heard = entry.last_heard.max(Some(event.received));
        entry.newest = entry.newest.max(Some(event.time));
        if event.id.epoch > entry.sequences.epoch {
            entry.sequences = SequenceTracker { epoch: event.id.epoch, ..SequenceTracker::default() };
        }
        if event.id.epoch == entry.sequences.epoch {
            entry.sequences.highest = entry.sequences.highest.max(event.id.sequence);
        }
    }

    /// Records events that senders delivered; they are durable by now.
    pub fn record_received(&self, events: &[(EventId, Timestamp)], now: Timestamp) {
        self.record_contacts(events, now);
        let mut registry = self.registry();
        for (id, _) in events {
            if let Some(entry) = registry.sources.get_mut(id.source.as_str()) {
                entry.sequences.record(id, now);
            }
        }
    }

    fn record_contacts(&self, events: &[(EventId, Timestamp)], now: Timestamp) {
        let mut by_source: BTreeMap<&str, Vec<&(EventId, Timestamp)>> = BTreeMap::new();
        for event in events {
            by_source.entry(event.0.source.as_str()).or_default().push(event);
        }
        for (name, events) in by_source {
            let source = self.register_at(name, Cadence::Irregular, now);
            let newest = events.iter().map(|(_, time)| *time).max();
            source.record_contact_at(events.len() as u64, newest, now);
        }
    }

    /// Follows what the recorder writes into the trail from `index` on, until `stop`. If more than `MAX_FOLLOWED` events
    /// arrive between two reads, only the newest are read: the recorder's count is too low then.
    pub async fn follow_recorder(self, trail: Trail, index: u64, stop: CancellationToken) {
        let mut follower = Follower::new(trail, index, stop.clone())
            .with_families(&[Family::Session, Family::Recording])
            .with_max_indexes(MAX_FOLLOWED);
        while follower.wait().await.is_some() {
            follower.skip_backlog(MAX_FOLLOWED);
            match follower.read().await {
                Ok(Some(batch)) => {
                    self.record_recorder_events(&batch.leaves);
                    follower.advance(batch.range.end);
                    if !batch.is_last {
                        continue;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the trail can't be read for what the recorder wrote; tried again");
                }
            }
            // After the read, not before: the first contact shows at once.
            if stop.run_until_cancelled(tokio::time::sleep(FOLLOW_INTERVAL)).await.is_none() {
                return;
            }
        }
    }

    /// Records the recorder's events.
    fn record_recorder_events(&self, leaves: &[(u64, Bytes)]) {
        let events = leaves.iter().filter_map(|(_, leaf)| Event::from_json(leaf).ok());
        let events: Vec<_> = events.map(|event| (event.id, event.time)).collect();
        // The recorder writes its own event about being connected.
        for (id, _) in &events {
            self.register(id.source.as_str(), Cadence::Irregular);
            self.change(id.source.as_str(), |entry, _| entry.connected = true);
        }
        self.record_contacts(&events, Timestamp::now());
    }

    /// Reports numbers that were skipped and did not come in time as gaps.
    pub(super) fn check_missing_numbers(&self, now: Timestamp) {
        let mut registry = self.registry();
        let super::Registry { sources, pending } = &mut *registry;
        for (name, entry) in sources.iter_mut() {
            for (first, last) in entry.sequences.take_overdue(now) {
                let reason = "events of this source were numbered and never came".to_owned();
                let gap = Gap { first: None, last: None, reason: format!("{reason} ({first} to {last})") };
                push(pending, drafts::gap(name, &gap, Some((first, last)), now));
                entry.add_gap(gap);
            }
        }
    }
}

/// Whether a source is loaded from the trail: this server's own parts register themselves, except for the recorder.
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
        sources.record_received(&events, at(now));
    }

    #[test]
    fn a_number_that_is_skipped_and_does_not_come_is_a_gap() {
        let sources = Sources::none();
        came(&sources, &["agent.1.1", "agent.1.2"], 0);
        came(&sources, &["agent.1.9", "agent.1.5"], 1);
        sources.check_missing_numbers(at(30));
        assert_eq!(sources.report_at(at(30))[0].gaps, 0, "it may still come");
        came(&sources, &["agent.1.6", "agent.1.7", "agent.1.8", "agent.1.3"], 40);
        sources.check_missing_numbers(at(62));
        let report = &sources.report_at(at(62))[0];
        assert_eq!((report.gaps, report.events), (1, 8));
        assert!(report.recent_gaps[0].reason.ends_with("(4 to 4)"), "{:?}", report.recent_gaps);
    }

    #[test]
    fn a_new_epoch_begins_counting_anew() {
        let sources = Sources::none();
        came(&sources, &["agent.1.1"], 0);
        came(&sources, &["agent.2.1", "agent.1.2", "agent.2.2"], 1);
        sources.check_missing_numbers(at(100));
        assert_eq!(sources.report_at(at(100))[0].gaps, 0);
    }
}
