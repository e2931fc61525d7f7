//! Recorded sessions, and imports of recordings.

use meshtrail_event::{Actor, EventId, Identity, SessionId, Target, Timestamp};
use serde::{Deserialize, Serialize};

use crate::open_enum::open_enum;

open_enum! {
    /// The state of a session.
    SessionState {
        /// Bytes may still be received.
        Live = "live",
        /// The sender ended it.
        Ended = "ended",
        /// The upload was cut off; the received bytes are kept.
        Interrupted = "interrupted",
        /// It is no valid recording; the received bytes are kept.
        Failed = "failed",
    }
}

open_enum! {
    /// The protocol of a session.
    SessionKind {
        /// A shell or command over SSH.
        Ssh = "ssh",
        /// `exec` or `attach` through the Kubernetes API proxy.
        Kube = "kube",
    }
}

/// Which sessions, and how many.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct SessionsQuery {
    /// A filter, such as `actor:alice@example.com since:24h`.
    pub q: Option<String>,
    /// Only sessions in this state: `live`, `ended`, `interrupted` or `failed`.
    pub state: Option<String>,
    /// At most this many: 1 to 500, 50 without it.
    pub limit: Option<usize>,
    /// Where the last answer's `next` left off. All pages of a list are of the moment of its first.
    pub cursor: Option<String>,
}

/// A page of sessions.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SessionsPage<S = Session> {
    /// Live ones first, then the newest.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<Session>))]
    pub sessions: Vec<S>,
    /// Where the list goes on; absent at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One recorded session. `identity` tells whether the actor is self-reported. Texts in it are from other machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Session {
    /// The session's id.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub id: SessionId,
    /// SSH or Kubernetes.
    pub kind: SessionKind,
    /// The state.
    pub state: SessionState,
    /// Who opened it.
    #[cfg_attr(feature = "schema", schema(value_type = crate::schema::Actor))]
    pub actor: Actor,
    /// The target it was opened on.
    #[cfg_attr(feature = "schema", schema(value_type = crate::schema::Target))]
    pub target: Target,
    /// The source and the status of the actor's identity.
    #[cfg_attr(feature = "schema", schema(value_type = crate::schema::Identity))]
    pub identity: Identity,
    /// The command; absent for a shell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// When it started, by the recorder's clock.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub started: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub ended: Option<Timestamp>,
    /// The number of received bytes; of a live session, of durable bytes.
    pub bytes: u64,
    /// SHA-256 of the received bytes of a session that ended.
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
    /// The requested user name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_user: Option<String>,
    /// Why it ended, where the state alone does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The data that this kind of client does not send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_seen: Vec<String>,
    /// Errors in the stream, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anomalies: Vec<String>,
    /// The terminal event.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub event: Option<EventId>,
    /// The start event.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub started_event: Option<EventId>,
    /// The number of its marks so far.
    pub marks: u64,
    /// `address:port` of the node that recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The node that recorded, by its full name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded_by: Option<String>,
    /// The SSH connection, which its sessions share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// The version of the recorder protocol: `v1` or `v2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The origin of an imported recording; absent for one that was recorded here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imported_from: Option<String>,
    /// SHA-256 of its index, where the terminal event names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_sha256: Option<String>,
    /// When the last bytes of a live session were received.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub last_output: Option<Timestamp>,
}

/// Where a recording comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct ImportQuery {
    /// Where it lay, as it will stand in its event: a path, or `s3://bucket/key`.
    pub from: String,
    /// The node that recorded it, by id or name, where its place tells.
    pub node: Option<String>,
    /// When it began, where its name tells: RFC 3339.
    pub started: Option<String>,
}

/// What became of a recording that was handed in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ImportAnswer {
    /// `imported`, or `known` where the same bytes were here.
    pub outcome: String,
    /// The session.
    pub session: String,
    /// Of an imported one, how it ended: `ended` or `interrupted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Why it is not whole, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: &str = concat!(
        r#"{"id":"20261120-main-1-1","kind":"ssh","state":"live","actor":{"person":{"login":"ana@example.com"}},"#,
        r#""target":{"account":"root"},"identity":{"provider":"localapi","status":"resolved"},"command":"ls","#,
        r#""started":"2026-11-20T14:02:11.000000000Z","bytes":7,"width":80,"height":24,"local_user":"root","#,
        r#""ssh_user":"root","started_event":"main.recorder.1.1","marks":0,"peer":"100.64.0.7:51234","protocol":"v2","#,
        r#""last_output":"2026-11-20T14:02:12.000000000Z"}"#
    );

    #[test]
    fn a_session_is_written_as_it_is_read_and_what_is_absent_is_left_out() {
        let session: Session = serde_json::from_str(LIVE).unwrap();
        assert_eq!(serde_json::to_string(&session).unwrap(), LIVE);
    }

    #[test]
    fn members_and_states_of_a_newer_server_are_no_error() {
        let newer = LIVE.replace(r#""state":"live""#, r#""state":"paused","newer":{"a":[1]}"#);
        let session: Session = serde_json::from_str(&newer).unwrap();
        assert_eq!(session.state.as_str(), "paused");
    }
}
