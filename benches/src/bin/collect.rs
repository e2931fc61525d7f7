//! Configuration audit records pulled from a local stand-in for Tailscale's API into a durable trail.
//!
//! `cargo run --release -p meshtrail-bench --bin collect -- --dir DIR [--records 1000000]`
//!
//! The stand-in generates its answers in the same process, which costs processor time that a real API would not. The
//! time counts from the start of the pollers until every record is durable; a second start checks for duplicates.

#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use meshtrail_bench as _;
use meshtrail_collect::Wiring;
use meshtrail_collect::config::{SourcesConfig, SourcesFile};
use meshtrail_collect::sources::Sources;
use meshtrail_event::{Family, Timestamp};
use meshtrail_identity::History;
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
use meshtrail_trail::{Scan, Trail, TrailConfig};
use tailscale_api_stand_in::{API_KEY, Log, StandIn, World};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The largest allowed time.
const AIM: Duration = Duration::from_secs(60);

#[derive(Parser)]
struct Args {
    /// Where the trail is written; removed afterwards.
    #[arg(long)]
    dir: PathBuf,
    /// How many records.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    std::fs::create_dir_all(&args.dir)?;
    let folder = tempfile::tempdir_in(&args.dir)?;
    // Only the first call in a process can install a provider; this is the first call.
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    let key = folder.path().join("api.key");
    std::fs::write(&key, API_KEY)?;
    // Records of the 80 days before now: this measures backfilling.
    let days = 80 * 86_400 * 1_000_000_000_i64;
    let step = days / i64::try_from(args.records)?;
    let from = Timestamp::now().as_nanos() - days - 3_600 * 1_000_000_000;
    let world = World { audit: Log::Generated { count: args.records, from, step }, ..World::default() };
    let api = StandIn::with_world(world).await?;
    let config = config(api.url(), &key)?;

    let took = pull(&folder, config.clone(), args.records).await?;
    let rate = args.records as f64 / took.as_secs_f64();
    println!(
        "{} records durable after {:.1} s: {rate:.0}/s; aim {} s",
        args.records,
        took.as_secs_f64(),
        AIM.as_secs()
    );
    let again = pull(&folder, config, args.records).await?;
    println!("started again: up to date after {:.1} s, nothing twice", again.as_secs_f64());
    Ok(())
}

fn config(url: &str, key: &std::path::Path) -> Result<SourcesConfig> {
    let file =
        serde_json::json!({ "tailscale": { "api_url": url, "api_key_file": key, "flow_logs": false } });
    let file: SourcesFile = serde_json::from_value(file)?;
    Ok(SourcesConfig::try_from(file)?)
}

/// Starts the pollers over the trail in `folder` and waits until the audit log is read to its end.
async fn pull(folder: &tempfile::TempDir, config: SourcesConfig, records: u64) -> Result<Duration> {
    let store =
        Store::open(&StoreLocation::Folder(folder.path().to_owned()), &WritePolicy::default()).await?;
    let trail = Trail::open(store, &folder.path().join("local"), TrailConfig::new("main")).await?;
    let sources = Sources::new(trail.emitter("sources"));
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let wiring = Wiring::new(trail.clone(), History::new(), sources.clone(), tasks.clone(), stop.clone());
    let before = count_audit_events(&trail).await?;
    let start = Instant::now();
    meshtrail_collect::open(config)?.start(&wiring);
    let mut size = trail.subscribe();
    let took = loop {
        let report = sources.report().into_iter().find(|report| report.name == "tailscale.audit");
        let report = report.context("the poller is not registered")?;
        ensure!(report.trouble.is_none(), "{:?}", report.trouble);
        if before + report.events >= records && report.last_heard.is_some() {
            break start.elapsed();
        }
        let _either = tokio::time::timeout(Duration::from_millis(20), size.changed()).await;
    };
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    let count = count_audit_events(&trail).await?;
    ensure!(count == records, "the trail holds {count} records, not {records}");
    trail.close().await;
    Ok(took)
}

/// The number of audit log events in the trail.
async fn count_audit_events(trail: &Trail) -> Result<u64> {
    use futures::TryStreamExt as _;
    let scan = Scan { families: vec![Family::Config], ..Scan::oldest(0..trail.size()) };
    let mut rows = std::pin::pin!(trail.scan(scan));
    let mut count = 0;
    while let Some((_, leaf)) = rows.try_next().await? {
        count += u64::from(leaf.windows(20).any(|part| part == b"\"origin\":\"audit-log\""));
    }
    Ok(count)
}
