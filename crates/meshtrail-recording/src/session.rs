//! A session as the outside sees it.

use meshtrail_event::{
    Actor, Detail, Event, EventId, Identity, Kind, SessionFacts, SessionId, Target, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{
    journal::End,
    portrait::{Portrait, SessionKind},
};

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionState {
    /// Bytes may still come.
    Live,
    /// The sender ended it.
    Ended,
    /// The upload was cut off; what came is kept.
    Interrupted,
    /// It can't be taken as a recording; what came is kept.
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

/// One recorded session. What is self-reported says so in `identity`; text in it came from other machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// SSH or Kubernetes.
    pub kind: SessionKind,
    /// Where it stands.
    pub state: SessionState,
    /// Who opened it.
    pub actor: Actor,
    /// On what.
    pub target: Target,
    /// How the actor is known.
    pub identity: Identity,
    /// The command; absent for a shell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// When it started, by our clock.
    pub started: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Received bytes; of a live session, the durable ones.
    pub bytes: u64,
    /// SHA-256 of the received bytes, once it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Columns of the first terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u64>,
    /// Rows of the first terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u64>,
    /// The terminal's type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminal: Option<String>,
    /// The local account used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_user: Option<String>,
    /// The user name that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_user: Option<String>,
    /// Why it ended, where that says more than the state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What this kind of client does not send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_seen: Vec<String>,
    /// What the stream got wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anomalies: Vec<String>,
    /// The event that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<EventId>,
    /// Where that event stands in the trail, for who read it there.
    #[serde(skip)]
    pub index: Option<u64>,
    /// The event that said it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_event: Option<EventId>,
    /// Marks made of it so far.
    pub marks: u64,
    /// `address:port` of the node that recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The node that recorded, by its full name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded_by: Option<String>,
    /// The connection it was on, shared by all its sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// `v1` or `v2` of the recorder protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Where its recording was imported from; absent for one that was witnessed while it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imported_from: Option<String>,
    /// SHA-256 of its index, where the event that ended it names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_sha256: Option<String>,
    /// When the last byte came, of a live session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_output: Option<Timestamp>,
}

impl Session {
    pub(crate) fn new(portrait: Portrait, state: SessionState) -> Self {
        let Portrait { kind, session, actor, target, identity, facts } = portrait;
        Self::of(session, kind, state, (actor, target, identity), facts)
    }

    fn of(
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

    /// The session that this event ends; nothing for every other event.
    pub fn of_end(event: &Event) -> Option<Session> {
        let (kind, state) = ending(&event.kind)?;
        let Some(Detail::Session(facts)) = &event.detail else { return None };
        let parties = (event.actor.clone(), event.target.clone(), event.identity.clone());
        let mut session = Self::of(event.session.clone()?, kind, state, parties, (**facts).clone());
        session.started = facts.started.unwrap_or(event.time);
        session.event = Some(event.id.clone());
        Some(session)
    }

    /// The session as it was at `time`: one that ended later was live.
    pub(crate) fn at(self, time: Timestamp) -> Session {
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

    /// The same for an event that was read at its place in the trail.
    pub(crate) fn of_end_at((index, event): &(u64, Event)) -> Option<Session> {
        Session::of_end(event).map(|session| Session { index: Some(*index), ..session })
    }
}

fn ending(kind: &Kind) -> Option<(SessionKind, SessionState)> {
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
