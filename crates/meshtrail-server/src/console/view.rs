//! View models: the plain values that pages render, without their origin.

use std::time::Duration;

use meshtrail_event::{Actor, Event, EventId, Identity, Position, SessionId, Target, Timestamp};
use meshtrail_recording::{Session, SessionState};

/// The status of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionStatus {
    /// Bytes are still being received.
    Live,
    /// It ended and its recording is complete.
    Ended,
    /// The upload was cut off; the bytes received are kept.
    Interrupted,
    /// Its upload could not be read as a recording.
    Failed,
}

impl SessionStatus {
    /// Its name, which is also its CSS class.
    pub(crate) fn word(self) -> &'static str {
        match self {
            SessionStatus::Live => "live",
            SessionStatus::Ended => "ended",
            SessionStatus::Interrupted => "interrupted",
            SessionStatus::Failed => "failed",
        }
    }
}

/// A session in a list or on its page.
#[derive(Debug, Clone)]
pub(crate) struct SessionView {
    pub(crate) id: SessionId,
    pub(crate) status: SessionStatus,
    pub(crate) actor: Actor,
    pub(crate) identity: Identity,
    pub(crate) target: Target,
    pub(crate) command: Option<String>,
    pub(crate) requested_user: Option<String>,
    pub(crate) recorded_by: Option<String>,
    /// The origin of an imported recording, which this server did not witness.
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
    /// The terminal event, and its index in the trail.
    pub(crate) terminal_event: Option<(EventId, Option<u64>)>,
}

impl SessionView {
    /// The time from its start to its end, or to `now` while it is live.
    pub(crate) fn length(&self, now: Timestamp) -> Duration {
        let end = self.ended.unwrap_or(now);
        if end > self.started { end.since(self.started) } else { Duration::ZERO }
    }
}

/// An event and its place in the trail.
#[derive(Debug, Clone)]
pub(crate) struct EventView {
    pub(crate) position: Position,
    pub(crate) event: Event,
    /// The event with its late identity, where there is one.
    pub(crate) best_known: Option<Box<Event>>,
    /// The exact bytes that the trail proves.
    pub(crate) leaf: String,
}

impl EventView {
    /// The event with its late identity, or as it was written.
    pub(crate) fn best_known(&self) -> &Event {
        self.best_known.as_deref().unwrap_or(&self.event)
    }
}

/// The position of a page in its list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Paging {
    /// The cursor of the next, older page.
    pub(crate) next: Option<String>,
    /// Whether this page is not the first one.
    pub(crate) inside: bool,
}

/// The signed-in reader of a page, and their capabilities.
#[derive(Debug, Clone)]
pub(crate) struct PageViewer {
    pub(crate) name: String,
    pub(crate) role: &'static str,
    pub(crate) may_replay: bool,
    pub(crate) may_export: bool,
    pub(crate) may_kill: bool,
}

/// The size of the trail, and its newest event.
#[derive(Debug, Clone)]
pub(crate) struct TrailStatus {
    pub(crate) events: u64,
    /// When the newest event was received.
    pub(crate) newest: Option<Timestamp>,
}

impl From<SessionState> for SessionStatus {
    fn from(state: SessionState) -> SessionStatus {
        match state {
            SessionState::Live => SessionStatus::Live,
            SessionState::Ended => SessionStatus::Ended,
            SessionState::Interrupted => SessionStatus::Interrupted,
            SessionState::Failed => SessionStatus::Failed,
        }
    }
}

impl From<Session> for SessionView {
    fn from(session: Session) -> SessionView {
        SessionView {
            id: session.id,
            status: session.state.into(),
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
            terminal_event: session.event.map(|event| (event, session.index)),
        }
    }
}
