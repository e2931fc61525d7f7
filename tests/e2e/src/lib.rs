//! End-to-end tests: the real `meshtrail`, real tailscaled, OpenSSH, Headscale and MinIO, and nothing that plays them.
//!
//! - [`Process`]: a child that never outlives its test.
//! - [`Tailnet`] and [`Node`]: a control plane on loopback, and machines in it.
//! - [`Headscale`]: a real one.
//! - [`Ssh`]: OpenSSH's client through such a node.
//! - [`Server`]: `meshtrail serve` and what a user asks of it.
//! - [`Bucket`] is MinIO.
//!
//! Nothing here knows Meshtrail's code: only its commands, its API and its files.
//! `cargo xtask e2e` builds what this needs and runs it.

mod bucket;
mod events;
mod headscale;
pub mod network;
mod process;
mod recording;
mod server;
mod ssh;
mod tailnet;
mod tree;
mod upload;
mod wait;

pub use bucket::{Bucket, Version};
pub use events::{Sender, flow};
pub use headscale::Headscale;
pub use process::{Process, mortal, peer, python, run};
pub use recording::Recording;
pub use server::{Server, Setup, Verdict, meshtrail};
pub use ssh::{Shell, Ssh};
pub use tailnet::{ENDED, Enforcement, Node, REFUSED, Tailnet, ssh_policy};
pub use tree::{copy_tree, files_below};
pub use upload::{Connection, HEADER, Upload, connect_from, p99};
pub use wait::{PATIENCE, until};

/// Makes the TLS stack of the HTTP client known, which no test uses; harmless to call again.
pub(crate) fn prepare_tls() {
    // Another test of this process may have been first.
    drop(rustls::crypto::ring::default_provider().install_default());
}

pub(crate) fn http_client() -> reqwest::Client {
    prepare_tls();
    reqwest::Client::builder()
        .timeout(PATIENCE)
        .build()
        .expect("a client without any certificate can be built")
}

/// SHA-256 in lower-case hex, as sessions carry it.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(bytes))
}
