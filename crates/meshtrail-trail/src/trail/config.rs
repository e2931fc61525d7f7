//! Settings of a trail: sizes of files, and retention.

use std::time::Duration;

use crate::fault::Faults;

/// A trail's settings.
#[derive(Debug, Clone)]
pub struct TrailConfig {
    /// Its name, a [`TrailName`](meshtrail_event::TrailName): opening a trail of another name fails.
    pub name: String,
    /// The origin line of a new trail's checkpoints; `<hostname>/meshtrail/<name>` if empty. An existing trail keeps its
    /// own.
    pub origin: String,
    /// Events after which a segment is sealed.
    pub segment_events: u64,
    /// Bytes of leaves after which a segment is sealed.
    pub segment_bytes: u64,
    /// The longest time until an event is sealed, on a folder.
    pub segment_age: Duration,
    /// The longest time until an event is sealed, on a bucket: the events that are lost with the machine.
    pub ship_every: Duration,
    /// How long segments are kept; for ever if none.
    pub retention: Option<Duration>,
    /// Bytes of log files that wait for the store; beyond it senders wait.
    pub log_limit: u64,
    /// Injected faults, for tests.
    pub faults: Faults,
}

impl TrailConfig {
    /// The defaults for a trail of this name.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            origin: String::new(),
            segment_events: 1 << 18,
            segment_bytes: 96 << 20,
            segment_age: Duration::from_secs(3600),
            ship_every: Duration::from_secs(30),
            retention: None,
            log_limit: 1 << 30,
            faults: Faults::none(),
        }
    }
}
