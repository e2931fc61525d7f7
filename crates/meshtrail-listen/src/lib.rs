//! Listening: ports, connections, their limits, and HTTP.
//!
//! - [`bind`]: binds a port before anything is served on it.
//! - [`accept`]: accepts connections, each in a task of its own, and refuses those beyond the limits.
//! - [`HttpPort`]: HTTP on a port, from the first connection to the last answer after a stop.
//! - [`Slots`], [`SharedRoom`]: limits that peers share, and each peer's part of them ([`Shares`]).
//! - [`RequestActivity`]: detects connections without requests.
//! - [`descriptors`]: the limit of file descriptors.
//! - [`metrics`]: counters for Prometheus. [`LogThrottle`]: limits on log lines that peers cause.
//! - [`tls`]: TLS acceptors from PEM files.
//!
//! The protocols above HTTP, and who may use them, are not known here.

mod accept;
pub mod descriptors;
mod http;
mod idle;
mod log_throttle;
pub mod metrics;
mod refusal;
mod shares;
mod slots;
pub mod tls;

use std::io;
use std::net::{SocketAddr, TcpListener};

pub use accept::accept;
pub use http::{
    DRAIN_TIME, HEADER_TIME, HttpPort, IDLE_TIME, LocalAddress, PortSlots, PortTimeouts, RequestSlot,
};
pub use idle::{IdleLimits, IdleReason, RequestActivity, RequestGuard};
pub use log_throttle::LogThrottle;
pub use metrics::{Counter, Metrics};
pub use refusal::Refusal;
pub use shares::{BadPeerName, Identity, Peer, Share, Shares};
pub use slots::{Limits, PeerRoom, RoomPermit, SharedRoom, Slot, SlotKind, Slots, SlotsFull};

/// Binds a port; connections wait in its backlog until it is served.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
