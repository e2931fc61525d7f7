//! How a recorder is set up.

use std::time::Duration;

use meshtrail_listen::Limits;

use crate::{faults::Faults, journal::JournalLimits};

/// Bounds and intervals of a recorder.
#[derive(Debug, Clone)]
pub struct RecordingConfig {
    /// Bounds of the journal.
    pub journal: JournalLimits,
    /// Sessions open at a time; at more, senders are sent to another recorder.
    pub max_sessions: usize,
    /// Connections open at a time, of all ports where recordings are taken.
    pub max_connections: usize,
    /// Which part of these, of events and of bytes on their way to the disk one peer may have.
    pub limits: Limits,
    /// Free bytes on the local disk below which no session is accepted.
    pub min_free: u64,
    /// The longest time between two frames of the ack stream.
    pub keep_alive: Duration,
    /// The shortest time between two frames, however much comes.
    pub ack_every: Duration,
    /// The longest time between two marks of a session that sends.
    pub mark_every: Duration,
    /// Bytes after which a session is marked before that.
    pub mark_bytes: u64,
    /// How often a silent connection is asked whether it is still there.
    pub ping_every: Duration,
    /// How long it may take to answer.
    pub ping_patience: Duration,
    /// How long a connection may take to send another request. The first has to be there as soon as on every port.
    pub request_patience: Duration,
    /// How long a recording may take to send its header line. All after it may take as long as it takes.
    pub header_patience: Duration,
    /// How long an event may take to come whole.
    pub event_patience: Duration,
    /// Bytes that may be on their way to the bucket's chunks before the oldest are given up.
    pub max_unshipped: u64,
    /// How long an opening may take to become durable before the sender is sent to another recorder.
    pub(crate) opening_patience: Duration,
    /// What goes wrong in a test.
    pub(crate) faults: Faults,
}

impl RecordingConfig {
    /// The usual, with so many connections, of which a peer has its part by `limits`.
    pub fn within(max_connections: usize, limits: Limits) -> Self {
        Self { max_connections, limits, ..Self::default() }
    }
}

/// Connections beside those that record: probes, and events.
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
            ping_patience: Duration::from_secs(20),
            request_patience: Duration::from_secs(30),
            header_patience: Duration::from_secs(30),
            event_patience: Duration::from_secs(30),
            max_unshipped: 1 << 30,
            opening_patience: Duration::from_secs(5),
            faults: Faults::none(),
        }
    }
}
