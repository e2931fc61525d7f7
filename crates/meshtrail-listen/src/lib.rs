//! Taking connections.
//!
//! - [`bind`]: a port, taken before anything is served on it.
//! - [`accept`]: connections, each in a task of its own; how many at a time, and what becomes of one more.
//! - [`HttpPort`]: HTTP on a port, from the first connection to the last answer after a stop.
//! - [`Places`], [`SharedRoom`]: what peers share, and each peer's part of it ([`Shares`]).
//! - [`Activity`]: connections over which nothing is asked end.
//! - [`descriptors`]: how many connections there can be at all.
//! - [`metrics`]: what is counted of all this. [`Fold`]: what is logged of it.
//! - [`tls`]: a certificate and its key, from PEM files.
//!
//! What is said over a connection, and who may say it, is not known here.

mod accept;
mod activity;
pub mod descriptors;
mod fold;
mod http;
pub mod metrics;
mod places;
mod refusal;
mod shares;
pub mod tls;

use std::io;
use std::net::{SocketAddr, TcpListener};

pub use accept::accept;
pub use activity::{Activity, InUse, Patience, Unused};
pub use fold::Fold;
pub use http::{
    DRAIN_TIME, HEADER_TIME, HttpPort, IDLE_TIME, LocalAddress, PortPlaces, PortTimes, RequestPlace,
};
pub use metrics::{Counter, Metrics};
pub use places::{Full, Limits, PeerRoom, Place, Places, SharedRoom, Sort, Taken};
pub use refusal::Refusal;
pub use shares::{BadPeerName, Identity, Peer, Share, Shares};

/// Takes a port; connections wait in its queue until it is served.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
