//! A recorder as a process of its own.

use std::path::Path;

use anyhow::Result;
use meshtrail_identity::Resolver;
use meshtrail_listen::{Limits, Share, Shares};
use meshtrail_recording::{RecordingConfig, Recordings};
use meshtrail_trail::{
    Trail, TrailConfig,
    store::{Store, StoreLocation, WritePolicy},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Serves on a free port of loopback, which it prints, until it is killed.
#[expect(clippy::print_stdout, reason = "its address is what it is started for")]
pub async fn serve(folder: &Path) -> Result<()> {
    let store = Store::open(&StoreLocation::Folder(folder.to_owned()), &WritePolicy::default()).await?;
    let local = folder.join("local");
    let trail = Trail::open(store.clone(), &local, TrailConfig::new("bench")).await?;
    let resolver = Resolver::knowing_nobody();
    // All sessions come from one address here, which elsewhere has an eighth of them.
    let limits = Limits { shares: Shares::uniform(Share::ALL), ..Limits::default() };
    let config = RecordingConfig::within(RecordingConfig::default().max_connections, limits);
    let recordings = Recordings::open(store, &local, trail, resolver, config).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    recordings.serve(listener, CancellationToken::new()).await;
    Ok(())
}
