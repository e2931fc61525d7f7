//! Taking connections.
//!
//! - [`bind`]: a port, taken before anything is served on it.
//! - [`tls`]: a certificate and its key, from PEM files.
//!
//! What is said over a connection, and who may say it, is not known here.

pub mod tls;

use std::io;
use std::net::{SocketAddr, TcpListener};

/// Takes a port; connections wait in its queue until it is served.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
