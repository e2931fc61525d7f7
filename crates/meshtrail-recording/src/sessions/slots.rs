//! Limits that senders of recordings and events share, and the peer that a connection is counted for.
//!
//! A sender is counted by its device where the mesh knows the device of its address, else by the address. The mesh is
//! asked once for each connection, at its first request.

use std::time::Duration;

use meshtrail_identity::{Connection, Provider, Resolution, Resolver};
use meshtrail_listen::{Identity, Limits, Peer, SharedRoom, Slot, SlotKind, Slots, SlotsFull};

use super::RecordingConfig;
use crate::protocol::MAX_EVENT;

/// How long the mesh may take to identify a device; then the address is counted.
const RESOLVE_TIME: Duration = Duration::from_secs(1);

/// Events that are received or appended at a time.
const EVENTS: usize = 2048;

/// Bytes of these events in memory.
const EVENT_BYTES: usize = 64 << 20;

const SESSIONS: SlotKind = SlotKind {
    what: "sessions",
    open: "meshtrail_sessions_open",
    limit: "meshtrail_sessions_limit",
    refused: "meshtrail_sessions_refused_total",
};

const EVENT_SLOTS: SlotKind = SlotKind {
    what: "events",
    open: "meshtrail_request_events_open",
    limit: "meshtrail_request_events_limit",
    refused: "meshtrail_request_events_refused_total",
};

/// The limits that all senders share.
pub(crate) struct RecorderSlots {
    pub(crate) connections: Slots,
    pub(crate) sessions: Slots,
    pub(crate) events: Slots,
    /// Bytes of events in memory.
    pub(crate) event_bytes: SharedRoom,
    /// Bytes of recordings that are received but not durable.
    pub(crate) journal: SharedRoom,
}

impl RecorderSlots {
    pub(super) fn new(config: &RecordingConfig) -> Self {
        let limits: &Limits = &config.limits;
        let slots = |kind, total| Slots::new("recorder", kind, total, limits);
        let (in_total, least) = (config.journal.in_total, config.journal.in_total.min(1 << 20));
        Self {
            connections: slots(SlotKind::CONNECTIONS, config.max_connections),
            sessions: slots(SESSIONS, config.max_sessions),
            events: slots(EVENT_SLOTS, EVENTS),
            event_bytes: SharedRoom::new("request-events", EVENT_BYTES, MAX_EVENT, limits),
            journal: SharedRoom::new("recordings", in_total, least, limits),
        }
    }
}

/// The sender of one connection.
pub(crate) struct Sender {
    connection: Connection,
    /// The connection's slot.
    slot: Slot,
    peer: tokio::sync::OnceCell<Peer>,
}

impl Sender {
    pub(crate) fn new(connection: Connection, slot: Slot) -> Self {
        Self { connection, slot, peer: tokio::sync::OnceCell::new() }
    }

    /// The peer that requests over this connection are counted for. The connection's slot is moved to its share.
    pub(crate) async fn resolve_peer(&self, resolver: &Resolver) -> Result<&Peer, SlotsFull> {
        let find = async || {
            let resolved = tokio::time::timeout(RESOLVE_TIME, resolver.who(self.connection)).await;
            let peer = resolved
                .ok()
                .and_then(|resolution| device_of(&resolution))
                .unwrap_or(Peer::from_socket(self.connection.peer));
            self.slot.assign_to(&peer)?;
            Ok(peer)
        };
        self.peer.get_or_try_init(find).await
    }
}

/// The device, if a live source knows it. An older observation is not enough: another device may have the address
/// since.
fn device_of(resolution: &Resolution) -> Option<Peer> {
    let is_live = matches!(resolution.provider, Some(Provider::LocalApi | Provider::Directory));
    let device = resolution.device.as_ref().filter(|_| is_live)?;
    let key = device.id.clone().or_else(|| device.name.clone())?;
    let names = device.name.iter().chain(&device.tags).cloned().collect::<Vec<_>>();
    Some(Peer::from_identity(Identity::new(key, names)))
}
