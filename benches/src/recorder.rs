//! A recorder in a separate process.

use std::path::Path;

use anyhow::Result;
use meshtrail_identity::Resolver;
use meshtrail_listen::{Limits, Share, Shares};
use meshtrail_recording::{RecordingConfig, Recordings};
use meshtrail_redact::{FingerprintKey, Redactor};
use meshtrail_trail::{
    Trail, TrailConfig,
    store::{Store, StoreLocation, WritePolicy},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Serves on a free loopback port, which it prints, until it is killed.
#[expect(clippy::print_stdout, reason = "the parent process reads the address")]
pub async fn serve(folder: &Path) -> Result<()> {
    let store = Store::open(&StoreLocation::Folder(folder.to_owned()), &WritePolicy::default()).await?;
    let local = folder.join("local");
    let trail = Trail::open(store.clone(), &local, TrailConfig::new("bench")).await?;
    let resolver = Resolver::without_providers();
    // All sessions come from one address, which by default gets an eighth of them.
    let limits = Limits { shares: Shares::uniform(Share::ALL), ..Limits::default() };
    let config = RecordingConfig::within(RecordingConfig::default().max_connections, limits);
    let recordings = Recordings::open(store, &local, trail, resolver, config).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let redactor = Redactor::new(FingerprintKey::generate()?);
    recordings.serve(listener, redactor, CancellationToken::new()).await;
    Ok(())
}
