//! The members that only some kinds have.
//!
//! Each family has one detail type; all its members but the identifying ones are optional, so that a source can leave
//! out what it does not know. Members are in canonical order. Sizes are bytes, durations and times are instants.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{EventId, Family, Json, Kind, Timestamp, event::EventError};

/// Declares a detail struct: every member optional (or a list), absent when empty.
macro_rules! detail {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $doc:literal])* $(#[serde($($attr:tt)*)])? $field:ident: $of:tt $(<$inner:ty>)?,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(default)]
        pub struct $name {
            $($(#[doc = $doc])* #[serde(skip_serializing_if = "is_absent", $($($attr)*)?)] pub $field: $of $(<$inner>)?,)+
        }
    };
}

/// A member that is left out when empty.
trait Absent {
    fn absent(&self) -> bool;
}

impl<T> Absent for Option<T> {
    fn absent(&self) -> bool {
        self.is_none()
    }
}

impl<T> Absent for Vec<T> {
    fn absent(&self) -> bool {
        self.is_empty()
    }
}

fn is_absent<T: Absent>(member: &T) -> bool {
    member.absent()
}

detail! {
    /// A recorded session. The terminal event (ended, failed, interrupted) carries all of it, so that one event
    /// tells the whole session.
    SessionFacts {
        /// What the stream got wrong, as words; the bytes are kept as they came.
        anomalies: Vec<String>,
        /// Received bytes.
        bytes: Option<u64>,
        /// The command, as the sender tells it; absent for a shell.
        command: Option<String>,
        /// The sender's name for the connection; several sessions can share one.
        connection: Option<String>,
        /// When the recording ended.
        ended: Option<Timestamp>,
        /// Rows of the first terminal; absent without one.
        height: Option<u64>,
        /// Where the recording was imported from; absent for one that was witnessed while it ran.
        imported_from: Option<String>,
        /// SHA-256 of the recording's index as it lies in the store, in lower-case hex; absent where none was stored.
        index_sha256: Option<String>,
        /// Number of marks made while it ran.
        marks: Option<u64>,
        /// What this kind of client does not send, as words.
        not_seen: Vec<String>,
        /// `address:port` of the sender.
        peer: Option<String>,
        /// The recorder protocol's version, `v1` or `v2`.
        protocol: Option<String>,
        /// Why it ended, in words.
        reason: Option<String>,
        /// The device that sent the recording, by its full name, as the mesh knows it.
        recorded_by: Option<String>,
        /// The user name that was asked for.
        requested_user: Option<String>,
        /// SHA-256 of the received bytes, in lower-case hex.
        sha256: Option<String>,
        /// When the recording started, by the recorder's clock.
        started: Option<Timestamp>,
        /// The event that said it started.
        started_event: Option<EventId>,
        /// The terminal's type, as `xterm-256color`.
        terminal: Option<String>,
        /// Columns of the first terminal; absent without one.
        width: Option<u64>,
    }
}

detail! {
    /// A recording's state at one moment of it.
    Mark {
        /// Bytes covered, from the first.
        bytes: Option<u64>,
        /// SHA-256 of these bytes, in lower-case hex.
        sha256: Option<String>,
    }
}

detail! {
    /// A login on a host.
    Login {
        /// Authentication method: `publickey`, `password`, `tailscale`.
        method: Option<String>,
        /// `address:port` it came from.
        peer: Option<String>,
        /// Process id on the host.
        pid: Option<u64>,
        /// Why it failed, in words.
        reason: Option<String>,
        /// `sshd`, `login`, `sudo`.
        service: Option<String>,
        /// The terminal's device name.
        terminal: Option<String>,
    }
}

detail! {
    /// A Kubernetes API request.
    KubeRequest {
        /// API group; empty for the core group.
        api_group: Option<String>,
        /// API version.
        api_version: Option<String>,
        /// Request body, with secrets redacted, cut to what an event may hold.
        body: Option<String>,
        /// Bytes of the whole body as received.
        body_bytes: Option<u64>,
        /// SHA-256 of the whole body as received, in lower-case hex.
        body_sha256: Option<String>,
        /// How long the answer took, in nanoseconds.
        latency: Option<u64>,
        /// HTTP method.
        method: Option<String>,
        /// URL path with query.
        path: Option<String>,
        /// Query parameters.
        query: Option<Json>,
        /// Resource, in the plural.
        resource: Option<String>,
        /// HTTP status of the answer.
        status: Option<u64>,
        /// Subresource: `exec`, `log`.
        subresource: Option<String>,
        /// The client program.
        user_agent: Option<String>,
        /// Kubernetes verb: `list`, `patch`.
        verb: Option<String>,
    }
}

detail! {
    /// What went between two ends in a window of time. Received and sent are as the reporter counts them.
    Flow {
        /// `address:port` of the far end.
        dst: Option<String>,
        /// The far end's device, by its stable id.
        dst_node: Option<String>,
        /// End of the window.
        end: Option<Timestamp>,
        /// `virtual`, `subnet`, `exit` or `physical`.
        layer: Option<String>,
        /// When a log service between took it.
        logged: Option<Timestamp>,
        /// The reporting process's random number.
        proc_id: Option<u64>,
        /// The report's number in that process.
        proc_seq: Option<u64>,
        /// IANA protocol number.
        proto: Option<u64>,
        /// Other members of the reporter's record, as they came.
        record: Option<Json>,
        /// The device that counted, by its stable id.
        reporter: Option<String>,
        /// Received bytes.
        rx_bytes: Option<u64>,
        /// Received packets.
        rx_packets: Option<u64>,
        /// `address:port` of the near end.
        src: Option<String>,
        /// The near end's device, by its stable id.
        src_node: Option<String>,
        /// Start of the window.
        start: Option<Timestamp>,
        /// Sent bytes.
        tx_bytes: Option<u64>,
        /// Sent packets.
        tx_packets: Option<u64>,
    }
}

detail! {
    /// Something in the mesh's configuration changed.
    Change {
        /// The control plane's word for what was done.
        action: Option<String>,
        /// A readable unified diff.
        diff: Option<String>,
        /// SHA-256 in lower-case hex: of an audit record's identifying members, which are the same whichever way the
        /// record came; of a policy's text.
        digest: Option<String>,
        /// Why it failed, in the control plane's words.
        error: Option<String>,
        /// What changed, one sentence each, where one change has several parts.
        lines: Vec<String>,
        /// The state after.
        new: Option<Json>,
        /// When it was still as before: a snapshot's change lies between this and the event's time.
        not_before: Option<Timestamp>,
        /// The state before.
        old: Option<Json>,
        /// What one act of a person made the control plane write, several records at times, shares this.
        operation: Option<String>,
        /// Who told: `audit-log`, `hec`, `webhook`, `snapshot`, `headscale`, `localapi`.
        origin: Option<String>,
        /// The how-manyth part of a text too long for one event, from 1.
        part: Option<u64>,
        /// How many parts there are.
        parts: Option<u64>,
        /// Which property changed.
        property: Option<String>,
        /// The other members of the control plane's record, as they came.
        record: Option<Json>,
        /// The earlier event this one adds to.
        refers_to: Option<EventId>,
        /// A sentence a person would say.
        summary: Option<String>,
        /// Where it was made, in the control plane's word: `ADMIN_CONSOLE`, `CONFIG_API`, `NODE`.
        via: Option<String>,
    }
}

detail! {
    /// A line of a client's log.
    LogLine {
        /// The stream it came in.
        collection: Option<String>,
        /// Members beside the text.
        fields: Option<Json>,
        /// The sender's process number.
        proc_id: Option<u64>,
        /// The line's number in that process.
        proc_seq: Option<u64>,
        /// The text.
        text: Option<String>,
        /// Verbosity.
        verbosity: Option<u64>,
    }
}

detail! {
    /// A conclusion, and what became of it.
    Finding {
        /// How often it was tried.
        attempts: Option<u64>,
        /// Number of events handed over.
        count: Option<u64>,
        /// Where it went.
        destination: Option<String>,
        /// What went wrong, in words.
        error: Option<String>,
        /// The events it rests on.
        events: Vec<EventId>,
        /// The finding an alert is about.
        finding: Option<EventId>,
        /// First index handed over.
        first: Option<u64>,
        /// Last index handed over.
        last: Option<u64>,
        /// The rule that concluded.
        rule: Option<String>,
        /// `info`, `low`, `medium`, `high`, `critical`.
        severity: Option<String>,
        /// `open`, `closed`, …
        status: Option<String>,
        /// What it says, in words.
        summary: Option<String>,
        /// A short name.
        title: Option<String>,
    }
}

/// Findings, alerts and deliveries share one shape.
pub type Delivery = Finding;

detail! {
    /// What Meshtrail itself did, or what somebody did with it.
    Own {
        /// `address:port` the person came from.
        address: Option<String>,
        /// How many: dropped events, exported rows.
        count: Option<u64>,
        /// First missing sequence of a gap, or first index of a range.
        first: Option<u64>,
        /// Last missing sequence of a gap, or last index of a range.
        last: Option<u64>,
        /// The message shown to whoever was affected.
        message: Option<String>,
        /// How somebody signed in: `tailnet`, `link`, `token`.
        method: Option<String>,
        /// The reason that was given.
        reason: Option<String>,
        /// The role under which it was done.
        role: Option<String>,
        /// The source it is about.
        source: Option<String>,
        /// What it is, in words: `replay`, `follow`, `recording`, `pack`.
        what: Option<String>,
    }
}

/// What only some kinds have; which variant follows from the event's kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Detail {
    /// Of `ssh.session.*` and `kube.session.*`.
    Session(Box<SessionFacts>),
    /// Of `recording.*`.
    Mark(Mark),
    /// Of `ssh.login`, `ssh.logout`, `host.*`.
    Login(Login),
    /// Of `kube.request.*`.
    Kube(Box<KubeRequest>),
    /// Of `flow.*`.
    Flow(Box<Flow>),
    /// Of everything about the mesh's configuration.
    Change(Box<Change>),
    /// Of `log.line`.
    Log(Box<LogLine>),
    /// Of `finding.*`, `alert.*`, `delivery.*`.
    Finding(Box<Finding>),
    /// Of `meshtrail.*`.
    Own(Box<Own>),
    /// Of kinds from a newer version.
    Other(Json),
}

impl Detail {
    /// The empty detail of a kind.
    pub fn empty(kind: &Kind) -> Self {
        match kind.family() {
            Family::Session => Self::Session(Box::default()),
            Family::Recording => Self::Mark(Mark::default()),
            Family::Login => Self::Login(Login::default()),
            Family::Kube => Self::Kube(Box::default()),
            Family::Flow => Self::Flow(Box::default()),
            Family::Config => Self::Change(Box::default()),
            Family::Log => Self::Log(Box::default()),
            Family::Finding => Self::Finding(Box::default()),
            Family::Meshtrail => Self::Own(Box::default()),
            Family::Other => Self::Other(Json::from(&serde_json::Value::Object(serde_json::Map::new()))),
        }
    }

    /// Whether all its members are absent.
    pub fn is_empty(&self, kind: &Kind) -> bool {
        *self == Self::empty(kind)
    }

    /// Whether it is the variant of the kind.
    pub fn fits(&self, kind: &Kind) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(&Self::empty(kind))
    }

    /// Reads the detail of an event of `kind`.
    pub(crate) fn parse(kind: &Kind, text: &str) -> Result<Self, EventError> {
        let wrong =
            |error: serde_json::Error| EventError::Member { member: "detail", reason: error.to_string() };
        Ok(match kind.family() {
            Family::Session => Self::Session(serde_json::from_str(text).map_err(wrong)?),
            Family::Recording => Self::Mark(serde_json::from_str(text).map_err(wrong)?),
            Family::Login => Self::Login(serde_json::from_str(text).map_err(wrong)?),
            Family::Kube => Self::Kube(serde_json::from_str(text).map_err(wrong)?),
            Family::Flow => Self::Flow(serde_json::from_str(text).map_err(wrong)?),
            Family::Config => Self::Change(serde_json::from_str(text).map_err(wrong)?),
            Family::Log => Self::Log(serde_json::from_str(text).map_err(wrong)?),
            Family::Finding => Self::Finding(serde_json::from_str(text).map_err(wrong)?),
            Family::Meshtrail => Self::Own(serde_json::from_str(text).map_err(wrong)?),
            Family::Other => Self::Other(serde_json::from_str(text).map_err(wrong)?),
        })
    }
}
