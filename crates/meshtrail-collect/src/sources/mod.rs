//! The state of all sources: last contact, lag, gaps.
//!
//! - Events in the trail record what an auditor must know later: that a source made contact for the first time since the
//!   start, or after silence; that it went silent; that a gap was found. Each is written once, not at every poll.
//! - [`Source::record_contact`] and [`Source::record_trouble`] are cheap and never wait; [`Sources::write_events`] writes
//!   the events.
//! - At most [`MAX_SOURCES`] sources are kept, and at most [`MAX_PENDING`] events wait for the trail; what is beyond is
//!   logged, never silently lost.
//!
//! How a source works is not known here.

mod drafts;
mod last_heard;
mod rate;
mod report;

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshtrail_event::{Draft, Timestamp};
use meshtrail_trail::Emitter;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use report::{Gap, SourceReport, SourceState, UnavailablePart};

use rate::Rate;

/// The most sources that are kept.
pub const MAX_SOURCES: usize = 10_000;

/// The most events that wait for the trail.
pub const MAX_PENDING: usize = 4_096;

/// Number of newest gaps of a source that are kept in memory; all are in the trail.
const GAPS: usize = 20;

/// The interval between checks for silent sources and missing numbers.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// How often a source is expected to make contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cadence {
    /// At least this often. It counts as silent after three times as long, and after half a minute at the earliest.
    Every(Duration),
    /// Whenever it has data; it is never silent.
    Irregular,
}

impl Cadence {
    fn silent_after(self) -> Option<Duration> {
        match self {
            Self::Every(often) => Some((often * 3).max(Duration::from_secs(30))),
            Self::Irregular => None,
        }
    }
}

/// All sources; cheap to clone.
#[derive(Clone)]
pub struct Sources(Arc<Shared>);

struct Shared {
    emitter: Option<Emitter>,
    /// Never held across an await.
    registry: Mutex<Registry>,
    wake: Notify,
}

#[derive(Default)]
struct Registry {
    sources: BTreeMap<Arc<str>, SourceEntry>,
    pending: VecDeque<Draft>,
}

/// State of one source.
struct SourceEntry {
    cadence: Cadence,
    since: Timestamp,
    /// Whether its contact was written to the trail since it was registered or went silent.
    connected: bool,
    /// Whether its silence was written to the trail.
    silent: bool,
    last_heard: Option<Timestamp>,
    newest: Option<Timestamp>,
    lag: Option<Duration>,
    events: u64,
    rate: Rate,
    gaps: u64,
    recent_gaps: VecDeque<Gap>,
    trouble: Option<String>,
    /// How far its clock is ahead of ours, in milliseconds, where that is known.
    clock_ahead: Option<i64>,
    /// Parts of its data that can't be read now, by name.
    unavailable: BTreeMap<String, UnavailablePart>,
    /// Sequence numbers of its events, where it numbers them itself.
    sequences: last_heard::SequenceTracker,
}

impl SourceEntry {
    fn new(cadence: Cadence, since: Timestamp) -> Self {
        Self {
            cadence,
            since,
            connected: false,
            silent: false,
            last_heard: None,
            newest: None,
            lag: None,
            events: 0,
            rate: Rate::default(),
            gaps: 0,
            recent_gaps: VecDeque::new(),
            trouble: None,
            clock_ahead: None,
            unavailable: BTreeMap::new(),
            sequences: last_heard::SequenceTracker::default(),
        }
    }

    fn add_gap(&mut self, gap: Gap) {
        self.gaps += 1;
        if self.recent_gaps.len() == GAPS {
            self.recent_gaps.pop_front();
        }
        self.recent_gaps.push_back(gap);
    }
}

/// Handle of one registered source.
#[derive(Clone)]
pub struct Source {
    name: Arc<str>,
    all: Sources,
}

impl Sources {
    /// An empty registry that writes its events through `emitter`.
    pub fn new(emitter: Emitter) -> Self {
        Self::with_emitter(Some(emitter))
    }

    /// An empty registry that writes no events, for a store that is only read.
    pub fn none() -> Self {
        Self::with_emitter(None)
    }

    fn with_emitter(emitter: Option<Emitter>) -> Self {
        Self(Arc::new(Shared { emitter, registry: Mutex::default(), wake: Notify::new() }))
    }

    /// Registers the source of this name, or sets its cadence if it is registered.
    pub fn register(&self, name: &str, cadence: Cadence) -> Source {
        self.register_at(name, cadence, Timestamp::now())
    }

    /// [`Sources::register`] at `now`.
    pub fn register_at(&self, name: &str, cadence: Cadence, now: Timestamp) -> Source {
        let mut registry = self.registry();
        let name: Arc<str> = name.into();
        if registry.sources.len() < MAX_SOURCES || registry.sources.contains_key(&name) {
            registry.sources.entry(name.clone()).or_insert_with(|| SourceEntry::new(cadence, now)).cadence =
                cadence;
        } else {
            tracing::warn!(source = &*name, "more sources than are kept; this one is not shown");
        }
        drop(registry);
        Source { name, all: self.clone() }
    }

    /// Reports about all sources, by name.
    pub fn report(&self) -> Vec<SourceReport> {
        self.report_at(Timestamp::now())
    }

    /// [`Sources::report`] at `now`.
    pub fn report_at(&self, now: Timestamp) -> Vec<SourceReport> {
        self.registry().sources.iter().map(|(name, entry)| SourceReport::of(name, entry, now)).collect()
    }

    /// Writes pending events to the trail and checks for silent sources, until `stop`; then writes what is pending.
    pub async fn write_events(self, stop: CancellationToken) {
        let Some(emitter) = self.0.emitter.clone() else { return };
        loop {
            self.flush(&emitter).await;
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.0.wake.notified() => {}
                () = tokio::time::sleep(CHECK_INTERVAL) => {
                    self.check_silence(Timestamp::now());
                    self.check_missing_numbers(Timestamp::now());
                }
            }
        }
        self.flush(&emitter).await;
    }

    /// Marks each source as silent that made no contact for too long at `now`.
    pub fn check_silence(&self, now: Timestamp) {
        let mut registry = self.registry();
        let Registry { sources, pending } = &mut *registry;
        for (name, entry) in sources.iter_mut().filter(|(_, entry)| !entry.silent) {
            let Some(silent_after) = entry.cadence.silent_after() else { continue };
            let last_contact = entry.last_heard.unwrap_or(entry.since);
            if now.since(last_contact) > silent_after {
                (entry.silent, entry.connected) = (true, false);
                push(pending, drafts::silent(name, entry.last_heard, entry.trouble.as_deref(), now));
            }
        }
    }

    async fn flush(&self, emitter: &Emitter) {
        loop {
            let Some(draft) = self.registry().pending.front().cloned() else { return };
            if let Err(error) = emitter.emit(draft).await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "what is to be said of a source can't be written down; tried again later"
                );
                return;
            }
            self.registry().pending.pop_front();
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut SourceEntry, &mut VecDeque<Draft>)) {
        let mut registry = self.registry();
        let Registry { sources, pending } = &mut *registry;
        let before = pending.len();
        if let Some(entry) = sources.get_mut(name) {
            change(entry, pending);
        }
        if pending.len() > before {
            self.0.wake.notify_one();
        }
    }
}

impl Source {
    /// Name of the source.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Records that the source answered or sent now: `events` new events, the newest of which happened at `newest`. Ends
    /// silence and trouble.
    pub fn record_contact(&self, events: u64, newest: Option<Timestamp>) {
        self.record_contact_at(events, newest, Timestamp::now());
    }

    /// [`Source::record_contact`] at `now`.
    pub fn record_contact_at(&self, events: u64, newest: Option<Timestamp>, now: Timestamp) {
        self.all.change(&self.name, |entry, pending| {
            if !entry.connected {
                push(pending, drafts::connected(&self.name, entry.silent, entry.last_heard, now));
            }
            (entry.connected, entry.silent, entry.trouble) = (true, false, None);
            entry.last_heard = entry.last_heard.max(Some(now));
            if events > 0 {
                entry.lag = newest.map(|newest| now.since(newest)).or(entry.lag);
            }
            entry.newest = entry.newest.max(newest);
            entry.events += events;
            entry.rate.count(events, now);
        });
    }

    /// Records a failure. Reports show it until the next contact; the trail has it only if the source goes silent.
    pub fn record_trouble(&self, text: &str) {
        let mut new = false;
        self.all.change(&self.name, |entry, _| {
            new = entry.trouble.as_deref() != Some(text);
            entry.trouble = Some(text.to_owned());
        });
        if new {
            tracing::warn!(source = &*self.name, "{text}");
        }
    }

    /// Records how many milliseconds its clock is ahead of ours; `None` keeps the last value.
    pub fn record_clock(&self, ahead: Option<i64>) {
        self.all.change(&self.name, |entry, _| entry.clock_ahead = ahead.or(entry.clock_ahead));
    }

    /// Records that a part of its data can't be read now; it was read last at `since`. If it ever was, one event goes to the
    /// trail.
    pub fn record_unavailable(&self, part: &str, since: Option<Timestamp>, reason: &str) {
        let mut new = false;
        self.all.change(&self.name, |entry, pending| {
            let unavailable = UnavailablePart { part: part.to_owned(), since, reason: reason.to_owned() };
            let known = entry.unavailable.get(part);
            new = known.is_none_or(|known| known.reason != reason);
            if known.is_none() && since.is_some() {
                push(pending, drafts::unavailable(&self.name, &unavailable, Timestamp::now()));
            }
            let since = known.map_or(since, |known| known.since);
            entry.unavailable.insert(part.to_owned(), UnavailablePart { since, ..unavailable });
        });
        if new {
            tracing::warn!(source = &*self.name, part, "not read: {reason}");
        }
    }

    /// Records that a part of its data was read. If it could not be for a while, one event goes to the trail.
    pub fn record_available(&self, part: &str) {
        let mut back = false;
        self.all.change(&self.name, |entry, pending| {
            let Some(unavailable) = entry.unavailable.remove(part) else { return };
            back = true;
            if unavailable.since.is_some() {
                push(pending, drafts::available_again(&self.name, &unavailable, Timestamp::now()));
            }
        });
        if back {
            tracing::info!(source = &*self.name, part, "can be read now");
        }
    }

    /// Whether a part is recorded as unavailable.
    pub fn is_unavailable(&self, part: &str) -> bool {
        self.all.registry().sources.get(&self.name).is_some_and(|entry| entry.unavailable.contains_key(part))
    }

    /// Records a gap in time.
    pub fn record_gap(&self, first: Timestamp, last: Timestamp, text: &str) {
        self.add_gap(Gap { first: Some(first), last: Some(last), reason: text.to_owned() }, None);
    }

    /// Records that the numbered events `first` to `last` are missing.
    pub fn record_missing(&self, first: u64, last: u64, text: &str) {
        let gap = Gap { first: None, last: None, reason: format!("{text} ({first} to {last})") };
        self.add_gap(gap, Some((first, last)));
    }

    fn add_gap(&self, gap: Gap, numbers: Option<(u64, u64)>) {
        tracing::warn!(source = &*self.name, "a gap: {}", gap.reason);
        self.all.change(&self.name, |entry, pending| {
            push(pending, drafts::gap(&self.name, &gap, numbers, Timestamp::now()));
            entry.add_gap(gap);
        });
    }
}

fn push(pending: &mut VecDeque<Draft>, draft: Draft) {
    if pending.len() >= MAX_PENDING {
        tracing::error!(
            kind = draft.kind.as_str(),
            "too much waits to be said of sources; this is said here alone"
        );
        return;
    }
    pending.push_back(draft);
}

#[cfg(test)]
mod tests;
