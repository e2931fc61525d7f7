//! End-to-end tests: the real `meshtrail`, real tailscaled, OpenSSH, Headscale and MinIO, without mocks.
//!
//! - [`Process`]: a child process that never outlives its test.
//! - [`Tailnet`] and [`Node`]: a control plane on loopback, and its machines.
//! - [`Headscale`]: a real Headscale server.
//! - [`Ssh`]: OpenSSH's client through a node.
//! - [`Server`]: `meshtrail serve`, its API and its command line.
//! - [`Bucket`]: a bucket in MinIO.
//!
//! This crate does not use Meshtrail's code: only its commands, its API and its files.
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
pub use process::{Process, child_command, peer, python, run};
pub use recording::Recording;
pub use server::{Server, Setup, VerifyOutcome, meshtrail};
pub use ssh::{Shell, Ssh};
pub use tailnet::{ENDED_MESSAGE, Enforcement, Node, REFUSED_MESSAGE, Tailnet, ssh_policy};
pub use tree::{copy_tree, files_below};
pub use upload::{Connection, HEADER, Upload, connect_from, p99};
pub use wait::{WAIT_LIMIT, until};

/// Installs a TLS provider for the HTTP client, which no test uses; can be called repeatedly.
pub(crate) fn prepare_tls() {
    // Another test of this process can have installed it.
    drop(rustls::crypto::ring::default_provider().install_default());
}

pub(crate) fn http_client() -> reqwest::Client {
    prepare_tls();
    reqwest::Client::builder()
        .timeout(WAIT_LIMIT)
        .build()
        .expect("a client without any certificate can be built")
}

/// SHA-256 in lower-case hex, as in session events.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(bytes))
}
