//! Taking connections.
//!
//! - [`bind`]: a port, taken before anything is served on it.
//! - [`accept`]: connections, each in a task of its own; how many at a time, and what becomes of one more.
//! - [`HttpPort`]: HTTP on a port, from the first connection to the last answer after a stop.
//! - [`tls`]: a certificate and its key, from PEM files.
//!
//! What is said over a connection, and who may say it, is not known here.

mod accept;
mod http;
pub mod tls;

use std::io;
use std::net::{SocketAddr, TcpListener};

pub use accept::{Bound, accept};
pub use http::{DRAIN_TIME, HEADER_TIME, HttpPort, LocalAddress};

/// Takes a port; connections wait in its queue until it is served.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
