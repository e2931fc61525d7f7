//! What the pages show, in the shapes they show it: plain values that say nothing of where they came from.

use std::time::Duration;

use meshtrail_event::{Actor, Event, EventId, Identity, SessionId, Target, Timestamp};

use crate::auth::{Capability, Viewer};
use meshtrail_recording::{Session, SessionState};

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
    pub(crate) actor: Actor,
    pub(crate) identity: Identity,
    pub(crate) target: Target,
    pub(crate) command: Option<String>,
    pub(crate) requested_user: Option<String>,
    pub(crate) recorded_by: Option<String>,
    /// Where it was imported from, where nobody here witnessed it.
    pub(crate) imported_from: Option<String>,
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
    /// The event as it would be had everything been known when it was written, where more became known since.
    pub(crate) best: Option<Box<Event>>,
    /// The exact bytes that are proven.
    pub(crate) leaf: String,
}

impl EventView {
    /// The event with the best that is known of its people and devices.
    pub(crate) fn best(&self) -> &Event {
        self.best.as_deref().unwrap_or(&self.event)
    }
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
    /// When its newest event came in.
    pub(crate) newest: Option<Timestamp>,
}

impl From<SessionState> for State {
    fn from(state: SessionState) -> State {
        match state {
            SessionState::Live => State::Live,
            SessionState::Ended => State::Ended,
            SessionState::Interrupted => State::Interrupted,
            SessionState::Failed => State::Failed,
        }
    }
}

impl From<Session> for SessionView {
    fn from(session: Session) -> SessionView {
        SessionView {
            id: session.id,
            state: session.state.into(),
            actor: session.actor,
            identity: session.identity,
            target: session.target,
            command: session.command,
            requested_user: session.ssh_user,
            recorded_by: session.recorded_by,
            imported_from: session.imported_from,
            started: session.started,
            ended: session.ended,
            bytes: session.bytes,
            sha256: session.sha256,
            reason: session.reason,
            not_seen: session.not_seen,
            anomalies: session.anomalies,
            width: session.width,
            height: session.height,
            proven_by: session.event.map(|event| (event, session.index)),
        }
    }
}

impl From<&Viewer> for Looker {
    fn from(viewer: &Viewer) -> Looker {
        Looker {
            name: viewer.who.to_string(),
            role: viewer.role.name(),
            may_replay: viewer.may(Capability::Replay),
            may_export: viewer.may(Capability::Export),
            may_kill: viewer.may(Capability::Kill),
        }
    }
}
