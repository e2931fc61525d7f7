//! Reports about sources, for the API and the console.

use std::time::Duration;

use meshtrail_event::Timestamp;

use super::{Cadence, SourceEntry};

/// The state of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceState {
    /// No contact yet.
    Waiting,
    /// In contact.
    Connected,
    /// No contact for longer than its [`Cadence`](super::Cadence) allows.
    Silent,
    /// Its last attempt failed.
    Trouble,
}

impl SourceState {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Connected => "connected",
            Self::Silent => "silent",
            Self::Trouble => "trouble",
        }
    }
}

/// A gap in a source's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Start, where it is a gap in time.
    pub first: Option<Timestamp>,
    /// End.
    pub last: Option<Timestamp>,
    /// Why there is a gap.
    pub reason: String,
}

/// A part of a source's data that can't be read now. What was read of it last still holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnavailablePart {
    /// Its name: `keys`, `users`, `OAuth clients`.
    pub part: String,
    /// When it was read last; none where it never was.
    pub since: Option<Timestamp>,
    /// Why it can't be read.
    pub reason: String,
}

/// The current report about one source.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceReport {
    /// Name of the source.
    pub name: String,
    /// State.
    pub state: SourceState,
    /// The expected interval between contacts, where there is one.
    pub every: Option<Duration>,
    /// Time of the last contact.
    pub last_heard: Option<Timestamp>,
    /// The time of its newest event, by the source's own clock.
    pub newest: Option<Timestamp>,
    /// Delay between an event and its receipt, for the last events.
    pub lag: Option<Duration>,
    /// New events since the start.
    pub events: u64,
    /// New events per second, over five minutes.
    pub rate: f64,
    /// Number of gaps in the last thirty days.
    pub gaps: u64,
    /// The newest gaps, oldest first.
    pub recent_gaps: Vec<Gap>,
    /// Why the last attempt failed.
    pub trouble: Option<String>,
    /// How far its clock is ahead of this machine's, in milliseconds, where that is known; less than two seconds count as 0.
    pub clock_ahead: Option<i64>,
    /// Parts of its data that can't be read now, by name.
    pub unavailable: Vec<UnavailablePart>,
}

impl SourceReport {
    pub(super) fn of(name: &str, entry: &SourceEntry, now: Timestamp) -> Self {
        let state = match entry {
            SourceEntry { trouble: Some(_), .. } => SourceState::Trouble,
            SourceEntry { silent: true, .. } => SourceState::Silent,
            SourceEntry { last_heard: None, .. } => SourceState::Waiting,
            _ => SourceState::Connected,
        };
        let every = match entry.cadence {
            Cadence::Every(often) => Some(often),
            Cadence::Irregular => None,
        };
        Self {
            name: name.to_owned(),
            state,
            every,
            last_heard: entry.last_heard,
            newest: entry.newest,
            lag: entry.lag,
            events: entry.events,
            rate: entry.rate.per_second(now),
            gaps: entry.gaps,
            recent_gaps: entry.recent_gaps.iter().cloned().collect(),
            trouble: entry.trouble.clone(),
            clock_ahead: entry.clock_ahead,
            unavailable: entry.unavailable.values().cloned().collect(),
        }
    }
}
