//! The configuration of a recorder.

use std::time::Duration;

use meshtrail_listen::Limits;

use crate::{faults::Faults, journal::JournalLimits};

/// Limits and intervals of a recorder.
#[derive(Debug, Clone)]
pub struct RecordingConfig {
    /// Limits of the journal.
    pub journal: JournalLimits,
    /// Sessions open at a time; more are refused, and their senders try another recorder.
    pub max_sessions: usize,
    /// Connections open at a time, on all recorder ports together.
    pub max_connections: usize,
    /// One peer's share of sessions, connections, events, and bytes that are not durable yet.
    pub limits: Limits,
    /// Free bytes on the local disk below which no session is accepted.
    pub min_free: u64,
    /// The longest time between two frames of the ack stream.
    pub keep_alive: Duration,
    /// The shortest time between two acks, however many bytes are received.
    pub ack_every: Duration,
    /// The longest time between two marks of a session that is sending.
    pub mark_every: Duration,
    /// Bytes after which a mark is made earlier.
    pub mark_bytes: u64,
    /// The interval of HTTP/2 pings on an idle connection.
    pub ping_every: Duration,
    /// How long a ping may stay unanswered.
    pub ping_timeout: Duration,
    /// How long a connection may be without a request. The time limit of the first request is that of every port, if it
    /// is shorter.
    pub request_timeout: Duration,
    /// How long a recording may take to send its header line. The rest has no time limit.
    pub header_timeout: Duration,
    /// How long the whole body of an event may take.
    pub event_timeout: Duration,
    /// Bytes of chunks that may wait for the bucket; beyond that, the oldest chunks are dropped.
    pub max_unshipped: u64,
    /// How long an opening may take to become durable; then the recording is refused.
    pub(crate) opening_timeout: Duration,
    /// Faults that a test injects.
    pub(crate) faults: Faults,
}

impl RecordingConfig {
    /// The default configuration with these connection limits.
    pub fn within(max_connections: usize, limits: Limits) -> Self {
        Self { max_connections, limits, ..Self::default() }
    }
}

/// Connections besides those of recordings: probes and events.
const SPARE_CONNECTIONS: usize = 1024;

impl Default for RecordingConfig {
    fn default() -> Self {
        Self {
            journal: JournalLimits::default(),
            max_sessions: 20_000,
            max_connections: 20_000 + SPARE_CONNECTIONS,
            limits: Limits::default(),
            min_free: 256 << 20,
            keep_alive: Duration::from_secs(5),
            ack_every: Duration::from_millis(100),
            mark_every: Duration::from_secs(10),
            mark_bytes: 256 << 10,
            ping_every: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(20),
            request_timeout: Duration::from_secs(30),
            header_timeout: Duration::from_secs(30),
            event_timeout: Duration::from_secs(30),
            max_unshipped: 1 << 30,
            opening_timeout: Duration::from_secs(5),
            faults: Faults::none(),
        }
    }
}
