//! What the pages show, in the shapes they show it: plain values that say nothing of where they came from.

use std::time::Duration;

use meshtrail_event::{Actor, Event, EventId, Identity, SessionId, Target, Timestamp};

/// How a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Bytes still come.
    Live,
    /// It ended and its recording is whole.
    Ended,
    /// The upload was cut off; what came is kept.
    Interrupted,
    /// Its recording could not be taken as one.
    Failed,
}

impl State {
    /// The word for it, which is also its style.
    pub(crate) fn word(self) -> &'static str {
        match self {
            State::Live => "live",
            State::Ended => "ended",
            State::Interrupted => "interrupted",
            State::Failed => "failed",
        }
    }
}

/// One session, as lists and its page show it.
#[derive(Debug, Clone)]
pub(crate) struct SessionView {
    pub(crate) id: SessionId,
    pub(crate) state: State,
    /// `ssh` or `kube`.
    pub(crate) kind: String,
    pub(crate) actor: Actor,
    pub(crate) identity: Identity,
    pub(crate) target: Target,
    pub(crate) command: Option<String>,
    pub(crate) requested_user: Option<String>,
    pub(crate) recorded_by: Option<String>,
    pub(crate) started: Timestamp,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) bytes: u64,
    pub(crate) sha256: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) not_seen: Vec<String>,
    pub(crate) anomalies: Vec<String>,
    pub(crate) width: Option<u64>,
    pub(crate) height: Option<u64>,
    /// The event that closes it, and where that stands in the trail.
    pub(crate) proven_by: Option<(EventId, Option<u64>)>,
}

impl SessionView {
    /// How long it ran, or runs.
    pub(crate) fn length(&self, now: Timestamp) -> Duration {
        let end = self.ended.unwrap_or(now);
        if end > self.started { end.since(self.started) } else { Duration::ZERO }
    }
}

/// One event and its place.
#[derive(Debug, Clone)]
pub(crate) struct EventView {
    pub(crate) index: u64,
    pub(crate) event: Event,
    /// The exact bytes that are proven.
    pub(crate) leaf: String,
}

/// Where a list goes on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Paging {
    /// The cursor of what is older.
    pub(crate) next: Option<String>,
    /// Whether this is not the first page.
    pub(crate) inside: bool,
}

/// Who looks at the page, and what they may do.
#[derive(Debug, Clone)]
pub(crate) struct Looker {
    pub(crate) name: String,
    pub(crate) role: &'static str,
    pub(crate) may_replay: bool,
    pub(crate) may_export: bool,
    pub(crate) may_kill: bool,
}

/// How the trail stands.
#[derive(Debug, Clone)]
pub(crate) struct Sound {
    pub(crate) events: u64,
    pub(crate) checkpoint_at: Option<Timestamp>,
}
