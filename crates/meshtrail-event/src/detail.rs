//! The members that only some kinds have.
//!
//! Each family has one detail type; all its members but the identifying ones are optional, so that a source can leave
//! out what it does not know. Members are in canonical order. Sizes are bytes, durations and times are instants.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{EventId, Family, FindingStatus, Json, Kind, Severity, Subject, Timestamp, event::EventError};

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
        /// The command, argument by argument, where the sender tells it so; secrets are cut.
        argv: Vec<String>,
        /// The host's boot, by its random id; audit sessions are numbered within one boot.
        boot: Option<String>,
        /// Received bytes.
        bytes: Option<u64>,
        /// The command, as the sender tells it; absent for a shell.
        command: Option<String>,
        /// The sender's name for the connection; several sessions can share one.
        connection: Option<String>,
        /// When the recording ended.
        ended: Option<Timestamp>,
        /// The signal that ended the command, as `KILL`.
        exit_signal: Option<String>,
        /// The command's exit status.
        exit_status: Option<u64>,
        /// Rows of the first terminal; absent without one.
        height: Option<u64>,
        /// The container's image.
        image: Option<String>,
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
        /// The policy rule that let it in, as the policy's evaluation names it.
        rule: Option<String>,
        /// The audit session on the host, within its boot.
        ses: Option<u64>,
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
        /// Who on the host attests it: `pam` or `audit`, which a client can't forge, or `text`, a line of a log alone, which
        /// is no evidence.
        attested_by: Option<String>,
        /// The host's boot, by its random id; audit sessions are numbered within one boot.
        boot: Option<String>,
        /// When the person confirmed a login of a rule that asks for it.
        check_confirmed: Option<Timestamp>,
        /// The command that was run with raised rights; secrets are cut.
        command: Option<String>,
        /// The working directory of that command.
        cwd: Option<String>,
        /// The account whose rights were raised.
        from_account: Option<String>,
        /// The account's primary group on the host, by number.
        gid: Option<u64>,
        /// The fingerprint of the key that was shown, as OpenSSH writes it: `SHA256:…`.
        key_fingerprint: Option<String>,
        /// Authentication method: `publickey`, `password`, `tailscale`.
        method: Option<String>,
        /// `address:port` it came from.
        peer: Option<String>,
        /// Process id on the host.
        pid: Option<u64>,
        /// Why it failed, in words.
        reason: Option<String>,
        /// The policy rule that decided, as the policy's evaluation names it.
        rule: Option<String>,
        /// `sshd`, `login`, `sudo`.
        service: Option<String>,
        /// The audit session on the host, within its boot.
        ses: Option<u64>,
        /// The terminal's device name.
        terminal: Option<String>,
        /// The account on the host, by number.
        uid: Option<u64>,
        /// Why the policy would have refused it, where the host only observes.
        would_deny: Option<String>,
    }
}

detail! {
    /// A process on a host. The account it ran as is the target's.
    Process {
        /// The arguments, the program's name first; secrets are cut.
        argv: Vec<String>,
        /// Bytes of the arguments as they were, where some are left out.
        argv_bytes: Option<u64>,
        /// The host's boot, by its random id; audit sessions and processes are numbered within one boot.
        boot: Option<String>,
        /// The arguments as a text that a shell reads as them.
        command: Option<String>,
        /// How many processes it stands for, where many of one sort are folded.
        count: Option<u64>,
        /// The working directory.
        cwd: Option<String>,
        /// When it ended.
        ended: Option<Timestamp>,
        /// The program's file.
        executable: Option<String>,
        /// The signal that ended it, as `KILL`.
        exit_signal: Option<String>,
        /// Its exit status.
        exit_status: Option<u64>,
        /// Its effective group, by number.
        gid: Option<u64>,
        /// The parent's process id.
        parent_pid: Option<u64>,
        /// Its process id.
        pid: Option<u64>,
        /// The audit session it ran in, within the boot.
        ses: Option<u64>,
        /// When it began.
        started: Option<Timestamp>,
        /// The event that said it started.
        started_event: Option<EventId>,
        /// The terminal's device name.
        terminal: Option<String>,
        /// Its effective user, by number.
        uid: Option<u64>,
        /// The service manager's unit that it ran in.
        unit: Option<String>,
    }
}

detail! {
    /// A file that was copied, or a connection that was forwarded, by a session.
    Transfer {
        /// `address:port` where a forwarded connection is listened for.
        bind: Option<String>,
        /// The host's boot, by its random id.
        boot: Option<String>,
        /// Bytes of a file's content that were carried; towards the destination, of a forwarded connection.
        bytes: Option<u64>,
        /// The name a file had while it was carried, where it was renamed at the end.
        came_as: Option<String>,
        /// Where a forwarded connection leads: `host:port` or a socket's path, as it was asked for.
        destination: Option<String>,
        /// `upload` or `download`, as seen by the person; `local`, `remote`, `dynamic`, `agent`, `x11` of what is forwarded.
        direction: Option<String>,
        /// When it ended.
        ended: Option<Timestamp>,
        /// A file's path, with the name it has in the end.
        path: Option<String>,
        /// The protocol that carried it: `sftp`, `scp`, `rsync`, `ssh`.
        protocol: Option<String>,
        /// Why it was refused, or is not whole, in words.
        reason: Option<String>,
        /// The policy rule that decided, as the policy's evaluation names it.
        rule: Option<String>,
        /// Bytes that came back over a forwarded connection.
        rx_bytes: Option<u64>,
        /// The audit session on the host, within its boot.
        ses: Option<u64>,
        /// SHA-256 of the whole file as it lay there at the end, in lower-case hex.
        sha256: Option<String>,
        /// The file's bytes at the end.
        size: Option<u64>,
        /// The first byte that was carried, where a file was resumed.
        start_offset: Option<u64>,
        /// When it began.
        started: Option<Timestamp>,
    }
}

detail! {
    /// What an agent can't see on its host. The host is the target's device.
    Coverage {
        /// The host's boot, by its random id.
        boot: Option<String>,
        /// How many were lost, where the host counts them.
        count: Option<u64>,
        /// Why, in words.
        reason: Option<String>,
        /// The first moment that is not covered.
        since: Option<Timestamp>,
        /// Where it would be read: an interface, a unit, a file.
        source: Option<String>,
        /// The moment from which it is covered again; absent while it is not.
        until: Option<Timestamp>,
        /// What is not covered: `flows`, `logins`, `processes`, `transfers`, `sessions`.
        what: Option<String>,
    }
}

detail! {
    /// A Kubernetes API request.
    KubeRequest {
        /// API group; empty for the core group.
        api_group: Option<String>,
        /// API version.
        api_version: Option<String>,
        /// The command of an exec, argument by argument; secrets are cut.
        argv: Vec<String>,
        /// The request's Audit-ID, which the API server's own audit log has too.
        audit_id: Option<String>,
        /// Request body, with secrets redacted, cut to what an event may hold.
        body: Option<String>,
        /// Bytes of the whole body as received.
        body_bytes: Option<u64>,
        /// The fingerprint of the whole body as received, `fp:KEYID:HEX`: keyed, because a hash that anybody can make tells
        /// a short secret in the body.
        body_fingerprint: Option<String>,
        /// The command of an exec as a text that a shell reads as its arguments.
        command: Option<String>,
        /// What the request changed in the object, as a readable diff; secrets are cut.
        diff: Option<String>,
        /// What the diff is against: `known` (the last state that is known) or `answer`.
        diff_base: Option<String>,
        /// The request's `dryRun`, as `All`: nothing was changed.
        dry_run: Option<String>,
        /// How the intent was made durable before the request went on: `server`, `spool`, `batch` (with others, after).
        durable: Option<String>,
        /// The fingerprint that stands for each secret that was cut from the body, by its path.
        fingerprints: Option<Json>,
        /// The container's image, of what runs one.
        image: Option<String>,
        /// How long the answer took, in nanoseconds.
        latency: Option<u64>,
        /// The API server's reason for a refusal; no part of the body.
        message: Option<String>,
        /// HTTP method.
        method: Option<String>,
        /// The object's uid.
        object_uid: Option<String>,
        /// The objects that one request took, by name and uid.
        objects: Option<Json>,
        /// URL path with query; secrets are cut.
        path: Option<String>,
        /// Query parameters; secrets are cut.
        query: Option<Json>,
        /// Resource, in the plural.
        resource: Option<String>,
        /// The object's version after the request.
        resource_version: Option<String>,
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
        /// The reporting host's boot, by its random id; audit sessions and processes are numbered within one boot.
        boot: Option<String>,
        /// How many connections it stands for, where many of one sort are folded.
        connections: Option<u64>,
        /// `address:port` of the far end.
        dst: Option<String>,
        /// The far end's device, by its stable id.
        dst_node: Option<String>,
        /// The ports of the far end that a folded record stands for, as `1-1024`.
        dst_ports: Option<String>,
        /// End of the window.
        end: Option<Timestamp>,
        /// How a connection ended: `finished`, `refused`, `reset`, `timed_out`.
        end_reason: Option<String>,
        /// The first sequence number of the reporter that a folded record stands for.
        first_seq: Option<u64>,
        /// The last sequence number of the reporter that a folded record stands for.
        last_seq: Option<u64>,
        /// `virtual`, `subnet`, `exit` or `physical`.
        layer: Option<String>,
        /// The local user.
        local_user: Option<String>,
        /// When a log service between took it.
        logged: Option<Timestamp>,
        /// Which end opened the connection: `src`, `dst`, or `unknown` where it stood before the reporter did.
        opener: Option<String>,
        /// The local process's id.
        pid: Option<u64>,
        /// The reporting process's random number.
        proc_id: Option<u64>,
        /// The report's number in that process.
        proc_seq: Option<u64>,
        /// The local process's program.
        process: Option<String>,
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
        /// Received bytes of payload. Both ends agree on payload and segments alone: packets are cut and joined on the way.
        rx_payload_bytes: Option<u64>,
        /// Received segments.
        rx_segments: Option<u64>,
        /// The audit session of the local process, within the boot.
        ses: Option<u64>,
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
        /// Sent bytes of payload.
        tx_payload_bytes: Option<u64>,
        /// Sent segments.
        tx_segments: Option<u64>,
        /// Why the local user, unit or process is not known, in words.
        unattributed: Option<String>,
        /// The service manager's unit of the local process.
        unit: Option<String>,
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
    /// A conclusion of a rule, and what became of it. One rule has one open finding of one key.
    Finding {
        /// How many events it rests on.
        count: Option<u64>,
        /// The events it rests on: the first 50 and the last 50.
        events: Vec<EventId>,
        /// The finding that changed.
        finding: Option<EventId>,
        /// The earliest of their times.
        first_time: Option<Timestamp>,
        /// What the rule tells apart, as a text that the rule makes: a user, a role and a day; one change.
        key: Option<String>,
        /// The latest of their times.
        last_time: Option<Timestamp>,
        /// Why somebody changed it, in their words.
        reason: Option<String>,
        /// The rule that concluded.
        rule: Option<String>,
        /// How urgent it is.
        severity: Option<Severity>,
        /// Whether somebody works on it.
        status: Option<FindingStatus>,
        /// What it is about.
        subject: Option<Subject>,
        /// What it says, in words.
        summary: Option<String>,
        /// A short name.
        title: Option<String>,
    }
}

detail! {
    /// An alert, or events that were handed to a destination.
    Delivery {
        /// How often it was tried.
        attempts: Option<u64>,
        /// Number of events handed over.
        count: Option<u64>,
        /// Where it went.
        destination: Option<String>,
        /// What went wrong, in words.
        error: Option<String>,
        /// The finding an alert is about.
        finding: Option<EventId>,
        /// First index handed over.
        first: Option<u64>,
        /// Last index handed over.
        last: Option<u64>,
        /// The rule of that finding.
        rule: Option<String>,
        /// How urgent that finding is.
        severity: Option<Severity>,
        /// What it says, in words.
        summary: Option<String>,
        /// That finding's short name.
        title: Option<String>,
    }
}

detail! {
    /// What Meshtrail itself did, or what somebody did with it.
    Own {
        /// `address:port` the person came from.
        address: Option<String>,
        /// How many: dropped events, exported rows.
        count: Option<u64>,
        /// Counts by name, of a statement.
        counts: Option<Json>,
        /// The day that a statement is of, as `2026-11-28`.
        day: Option<String>,
        /// What was decided, as it now stands: a rule, a silence, an exception.
        definition: Option<Json>,
        /// When a silence, an exception or a hold ends.
        expires: Option<Timestamp>,
        /// First missing sequence of a gap, or first index of a range.
        first: Option<u64>,
        /// Last missing sequence of a gap, or last index of a range.
        last: Option<u64>,
        /// The message shown to whoever was affected.
        message: Option<String>,
        /// How somebody signed in: `tailnet`, `link`, `token`.
        method: Option<String>,
        /// Who answers for it.
        owner: Option<String>,
        /// The reason that was given.
        reason: Option<String>,
        /// The earlier event that this one replaces.
        replaces: Option<EventId>,
        /// The role under which it was done.
        role: Option<String>,
        /// What it covers, in the filter language.
        scope: Option<String>,
        /// SHA-256 of a file beside the trail that belongs to it, in lower-case hex.
        sha256: Option<String>,
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
    /// Of `ssh.login`, `ssh.logout`, `host.elevated`.
    Login(Box<Login>),
    /// Of `process.*`.
    Process(Box<Process>),
    /// Of `file.transferred`, `ssh.forwarded`.
    Transfer(Box<Transfer>),
    /// Of `host.coverage`.
    Coverage(Box<Coverage>),
    /// Of `kube.request.*`.
    Kube(Box<KubeRequest>),
    /// Of `flow.*`.
    Flow(Box<Flow>),
    /// Of everything about the mesh's configuration.
    Change(Box<Change>),
    /// Of `log.line`.
    Log(Box<LogLine>),
    /// Of `finding.*`.
    Finding(Box<Finding>),
    /// Of `alert.*`, `delivery.*`.
    Delivery(Box<Delivery>),
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
            Family::Login => Self::Login(Box::default()),
            Family::Process => Self::Process(Box::default()),
            Family::Transfer => Self::Transfer(Box::default()),
            Family::Coverage => Self::Coverage(Box::default()),
            Family::Kube => Self::Kube(Box::default()),
            Family::Flow => Self::Flow(Box::default()),
            Family::Config => Self::Change(Box::default()),
            Family::Log => Self::Log(Box::default()),
            Family::Finding => Self::Finding(Box::default()),
            Family::Delivery => Self::Delivery(Box::default()),
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
            Family::Process => Self::Process(serde_json::from_str(text).map_err(wrong)?),
            Family::Transfer => Self::Transfer(serde_json::from_str(text).map_err(wrong)?),
            Family::Coverage => Self::Coverage(serde_json::from_str(text).map_err(wrong)?),
            Family::Kube => Self::Kube(serde_json::from_str(text).map_err(wrong)?),
            Family::Flow => Self::Flow(serde_json::from_str(text).map_err(wrong)?),
            Family::Config => Self::Change(serde_json::from_str(text).map_err(wrong)?),
            Family::Log => Self::Log(serde_json::from_str(text).map_err(wrong)?),
            Family::Finding => Self::Finding(serde_json::from_str(text).map_err(wrong)?),
            Family::Delivery => Self::Delivery(serde_json::from_str(text).map_err(wrong)?),
            Family::Meshtrail => Self::Own(serde_json::from_str(text).map_err(wrong)?),
            Family::Other => Self::Other(serde_json::from_str(text).map_err(wrong)?),
        })
    }
}
