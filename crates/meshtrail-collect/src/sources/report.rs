//! What is told of a source when somebody asks.

use std::time::Duration;

use meshtrail_event::Timestamp;

use super::{Entry, Expect};

/// How a source does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceState {
    /// It was not heard yet.
    Waiting,
    /// It is heard.
    Connected,
    /// It has not been heard for too long.
    Silent,
    /// It does not work, and says why.
    Trouble,
}

impl SourceState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Connected => "connected",
            Self::Silent => "silent",
            Self::Trouble => "trouble",
        }
    }
}

/// A stretch of which something is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// From when, where it is one of time.
    pub first: Option<Timestamp>,
    /// Until when.
    pub last: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

/// A part of what a source tells that can't be seen now: what was seen of it last still stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unseen {
    /// Which: `keys`, `users`, `OAuth clients`.
    pub part: String,
    /// When it was seen last; none where it never was.
    pub since: Option<Timestamp>,
    /// Why not.
    pub reason: String,
}

/// One source, as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceReport {
    /// Its name.
    pub name: String,
    /// How it does.
    pub state: SourceState,
    /// How often it should be heard, where that is known.
    pub every: Option<Duration>,
    /// When it was heard last.
    pub last_heard: Option<Timestamp>,
    /// When the newest of its events happened, as it says.
    pub newest: Option<Timestamp>,
    /// How long after they happened its last events came.
    pub lag: Option<Duration>,
    /// New events since the start.
    pub events: u64,
    /// New events per second, over five minutes.
    pub rate: f64,
    /// Gaps that were told of in the last thirty days.
    pub gaps: u64,
    /// The newest of them, oldest first.
    pub recent_gaps: Vec<Gap>,
    /// Why it does not work.
    pub trouble: Option<String>,
    /// How far its clock is ahead of this machine's, in milliseconds, where it tells; less than two seconds are none.
    pub clock_ahead: Option<i64>,
    /// Parts of what it tells that can't be seen now, by name.
    pub unseen: Vec<Unseen>,
}

impl SourceReport {
    pub(super) fn of(name: &str, entry: &Entry, now: Timestamp) -> Self {
        let state = match entry {
            Entry { trouble: Some(_), .. } => SourceState::Trouble,
            Entry { silent: true, .. } => SourceState::Silent,
            Entry { last_heard: None, .. } => SourceState::Waiting,
            _ => SourceState::Connected,
        };
        let every = match entry.expect {
            Expect::Every(often) => Some(often),
            Expect::Whenever => None,
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
            unseen: entry.unseen.values().cloned().collect(),
        }
    }
}
