//! What senders of recordings and events share, and whom a connection of theirs is counted for.
//!
//! A sender is counted by the device that the mesh knows behind its address, and by the address where nobody knows it.
//! The mesh is asked once for each connection, when something is asked over it.

use std::time::Duration;

use meshtrail_identity::{Connection, Provider, Resolution, Resolver};
use meshtrail_listen::{Full, Identity, Limits, Peer, Place, Places, SharedRoom, Sort};

use super::RecordingConfig;
use crate::protocol::MAX_EVENT;

/// How long the mesh is waited for; then the address counts.
const PATIENCE: Duration = Duration::from_secs(1);

/// Events that are read or on their way to the trail at a time.
const EVENTS: usize = 2048;

/// Bytes of these that are in memory at a time.
const EVENT_BYTES: usize = 64 << 20;

const SESSIONS: Sort = Sort {
    what: "sessions",
    open: "meshtrail_sessions_open",
    limit: "meshtrail_sessions_limit",
    refused: "meshtrail_sessions_refused_total",
};

const EVENT_PLACES: Sort = Sort {
    what: "events",
    open: "meshtrail_request_events_open",
    limit: "meshtrail_request_events_limit",
    refused: "meshtrail_request_events_refused_total",
};

/// What all senders share.
pub(crate) struct RecorderPlaces {
    pub(crate) connections: Places,
    pub(crate) sessions: Places,
    pub(crate) events: Places,
    /// Bytes of events in memory.
    pub(crate) event_bytes: SharedRoom,
    /// Bytes of recordings that are received and not durable yet.
    pub(crate) journal: SharedRoom,
}

impl RecorderPlaces {
    pub(super) fn new(config: &RecordingConfig) -> Self {
        let limits: &Limits = &config.limits;
        let places = |sort, total| Places::new("recorder", sort, total, limits);
        let (in_all, least) = (config.journal.in_all, config.journal.in_all.min(1 << 20));
        Self {
            connections: places(Sort::CONNECTIONS, config.max_connections),
            sessions: places(SESSIONS, config.max_sessions),
            events: places(EVENT_PLACES, EVENTS),
            event_bytes: SharedRoom::new("request-events", EVENT_BYTES, MAX_EVENT, limits),
            journal: SharedRoom::new("recordings", in_all, least, limits),
        }
    }
}

/// Whom one connection is counted for.
pub(crate) struct Sender {
    connection: Connection,
    place: Place,
    known: tokio::sync::OnceCell<Peer>,
}

impl Sender {
    pub(crate) fn new(connection: Connection, place: Place) -> Self {
        Self { connection, place, known: tokio::sync::OnceCell::new() }
    }

    /// Whom what is asked over this connection counts for; from now on the connection does too.
    pub(crate) async fn peer(&self, resolver: &Resolver) -> Result<&Peer, Full> {
        let find = async || {
            let asked = tokio::time::timeout(PATIENCE, resolver.who(self.connection)).await;
            let peer =
                asked.ok().and_then(|found| device_of(&found)).unwrap_or(Peer::at(self.connection.peer));
            self.place.count_for(&peer)?;
            Ok(peer)
        };
        self.known.get_or_try_init(find).await
    }
}

/// The device that the mesh knows now. What was told once is not enough: another may have the address since.
fn device_of(found: &Resolution) -> Option<Peer> {
    let known_now = matches!(found.provider, Some(Provider::LocalApi | Provider::Directory));
    let device = found.device.as_ref().filter(|_| known_now)?;
    let key = device.id.clone().or_else(|| device.name.clone())?;
    let names = device.name.iter().chain(&device.tags).cloned().collect::<Vec<_>>();
    Some(Peer::known(Identity::new(key, names)))
}
