//! [`Session`]: what is known of one recorded session.
//!
//! Made from memory while the session is not sealed, from its terminal event after that.

use meshtrail_event::{
    Actor, Detail, Event, EventId, Identity, Kind, SessionFacts, SessionId, Target, Timestamp,
};

use crate::{
    journal::End,
    session_identity::{SessionIdentity, SessionKind},
};

/// The state of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// Bytes may still be received.
    Live,
    /// The sender ended it.
    Ended,
    /// The upload was cut off; the received bytes are kept.
    Interrupted,
    /// It is no valid recording; the received bytes are kept.
    Failed,
}

impl From<End> for SessionState {
    fn from(end: End) -> Self {
        match end {
            End::Ended => Self::Ended,
            End::Interrupted => Self::Interrupted,
            End::Failed => Self::Failed,
        }
    }
}

/// One recorded session. `identity` tells whether the actor is self-reported. Texts in it are from other machines.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// The session's id.
    pub id: SessionId,
    /// SSH or Kubernetes.
    pub kind: SessionKind,
    /// The state.
    pub state: SessionState,
    /// Who opened it.
    pub actor: Actor,
    /// The target it was opened on.
    pub target: Target,
    /// The source and the status of the actor's identity.
    pub identity: Identity,
    /// The command; absent for a shell.
    pub command: Option<String>,
    /// When it started, by the recorder's clock.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The number of received bytes; of a live session, of durable bytes.
    pub bytes: u64,
    /// SHA-256 of the received bytes of a session that ended.
    pub sha256: Option<String>,
    /// Columns of the first terminal.
    pub width: Option<u64>,
    /// Rows of the first terminal.
    pub height: Option<u64>,
    /// The terminal's type.
    pub terminal: Option<String>,
    /// The local account used.
    pub local_user: Option<String>,
    /// The requested user name.
    pub ssh_user: Option<String>,
    /// Why it ended, where the state alone does not say it.
    pub reason: Option<String>,
    /// The data that this kind of client does not send.
    pub not_seen: Vec<String>,
    /// Errors in the stream, in words.
    pub anomalies: Vec<String>,
    /// The terminal event.
    pub event: Option<EventId>,
    /// The terminal event's index, where it was read from the trail.
    pub index: Option<u64>,
    /// The start event.
    pub started_event: Option<EventId>,
    /// The number of its marks so far.
    pub marks: u64,
    /// `address:port` of the node that recorded.
    pub peer: Option<String>,
    /// The node that recorded, by its full name.
    pub recorded_by: Option<String>,
    /// The SSH connection, which its sessions share.
    pub connection: Option<String>,
    /// The version of the recorder protocol: `v1` or `v2`.
    pub protocol: Option<String>,
    /// The origin of an imported recording; absent for one that was recorded here.
    pub imported_from: Option<String>,
    /// SHA-256 of its index, where the terminal event names one.
    pub index_sha256: Option<String>,
    /// When the last bytes of a live session were received.
    pub last_output: Option<Timestamp>,
}

impl Session {
    pub(crate) fn new(session_identity: SessionIdentity, state: SessionState) -> Self {
        let SessionIdentity { kind, session, actor, target, identity, facts } = session_identity;
        Self::from_parts(session, kind, state, (actor, target, identity), facts)
    }

    fn from_parts(
        id: SessionId,
        kind: SessionKind,
        state: SessionState,
        (actor, target, identity): (Actor, Target, Identity),
        facts: SessionFacts,
    ) -> Self {
        Self {
            id,
            kind,
            state,
            local_user: target.account.clone(),
            actor,
            target,
            identity,
            command: facts.command,
            started: facts.started.unwrap_or(Timestamp::from_nanos(0)),
            ended: facts.ended,
            bytes: facts.bytes.unwrap_or(0),
            sha256: facts.sha256,
            width: facts.width,
            height: facts.height,
            terminal: facts.terminal,
            ssh_user: facts.requested_user,
            reason: facts.reason,
            not_seen: facts.not_seen,
            anomalies: facts.anomalies,
            event: None,
            index: None,
            started_event: facts.started_event,
            marks: facts.marks.unwrap_or(0),
            peer: facts.peer,
            recorded_by: facts.recorded_by,
            connection: facts.connection,
            protocol: facts.protocol,
            imported_from: facts.imported_from,
            index_sha256: facts.index_sha256,
            last_output: None,
        }
    }

    /// The session that a terminal event ends; `None` for every other event.
    pub fn from_terminal_event(event: &Event) -> Option<Session> {
        let (kind, state) = kind_and_state(&event.kind)?;
        let Some(Detail::Session(facts)) = &event.detail else { return None };
        let parties = (event.actor.clone(), event.target.clone(), event.identity.clone());
        let mut session = Self::from_parts(event.session.clone()?, kind, state, parties, (**facts).clone());
        session.started = facts.started.unwrap_or(event.time);
        session.event = Some(event.id.clone());
        Some(session)
    }

    /// The session as of `time`: one that ended later was live.
    pub(crate) fn at_time(self, time: Timestamp) -> Session {
        if self.ended.is_none_or(|ended| ended <= time) {
            return self;
        }
        Session {
            state: SessionState::Live,
            ended: None,
            sha256: None,
            index_sha256: None,
            reason: None,
            event: None,
            index: None,
            ..self
        }
    }

    /// The same, with the event's index in the trail.
    pub(crate) fn from_indexed_event((index, event): &(u64, Event)) -> Option<Session> {
        Session::from_terminal_event(event).map(|session| Session { index: Some(*index), ..session })
    }
}

/// The kind and the state that a terminal event's kind stands for.
fn kind_and_state(kind: &Kind) -> Option<(SessionKind, SessionState)> {
    Some(match kind {
        Kind::SshSessionEnded => (SessionKind::Ssh, SessionState::Ended),
        Kind::SshSessionInterrupted => (SessionKind::Ssh, SessionState::Interrupted),
        Kind::SshSessionFailed => (SessionKind::Ssh, SessionState::Failed),
        Kind::KubeSessionEnded => (SessionKind::Kube, SessionState::Ended),
        Kind::KubeSessionInterrupted => (SessionKind::Kube, SessionState::Interrupted),
        Kind::KubeSessionFailed => (SessionKind::Kube, SessionState::Failed),
        _ => return None,
    })
}
