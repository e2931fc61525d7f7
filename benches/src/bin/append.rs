//! Durable appends with sealing, compared with Tessera's POSIX driver and a plain write-and-sync loop in the same run.
//!
//! `cargo run --release -p meshtrail-bench --bin append -- --dir DIR --seconds 60 [--tessera PATH]`
//!
//! Each case has a new trail. The rate counts from the first append until everything is acknowledged; a second rate
//! counts until the trail has sealed everything, tiles and manifests included.

#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use meshtrail_bench::generator;
use meshtrail_event::{Event, EventId, SourceName};
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
use meshtrail_trail::{Trail, TrailConfig};

/// Generated events that the senders append in turn, each under its own source name.
const POOL: usize = 20_000;

#[derive(Parser)]
struct Args {
    /// Where the trails and logs are written; removed afterwards.
    #[arg(long)]
    dir: PathBuf,
    /// How long each case runs.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The program made from tests/peers/tlog/tessera-bench.
    #[arg(long)]
    tessera: Option<PathBuf>,
    /// Only cases whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

struct Case {
    name: &'static str,
    senders: u64,
    batch: usize,
    /// Concurrent adds with which Tessera is measured for comparison.
    tessera: Option<u64>,
    /// Whether it is compared with the plain write-and-sync loop.
    bare: bool,
    target: &'static str,
}

const CASES: [Case; 3] = [
    Case {
        name: "64 senders, batches of 100",
        senders: 64,
        batch: 100,
        tessera: Some(4096),
        bare: false,
        target: "200,000/s, 3 x Tessera with 4,096 in flight",
    },
    Case {
        name: "64 senders, one event each",
        senders: 64,
        batch: 1,
        tessera: Some(64),
        bare: false,
        target: "60,000/s, 3 x Tessera with 64 in flight",
    },
    Case {
        name: "1 sender, one event",
        senders: 1,
        batch: 1,
        tessera: None,
        bare: true,
        target: "1.3 x the time of write and fdatasync",
    },
];

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    std::fs::create_dir_all(&args.dir)?;
    let pool: Arc<[Event]> = pool().into();
    let bytes: usize = pool.iter().map(|event| event.to_leaf().len()).sum();
    println!("events of {} bytes on average, {} s a case", bytes / pool.len(), args.seconds);
    for case in CASES.iter().filter(|case| case.name.contains(&args.only)) {
        let duration = Duration::from_secs(args.seconds);
        // Half before and half after: other load on the machine affects both measurements.
        let before = case.bare.then(|| bare_loop(&args.dir, duration / 4, bytes / pool.len())).transpose()?;
        let ours = measure(&args.dir, case, duration, pool.clone()).await?;
        let after = case.bare.then(|| bare_loop(&args.dir, duration / 4, bytes / pool.len())).transpose()?;
        println!("{}  (aim: {})", case.name, case.target);
        println!(
            "  meshtrail        {:>10.0}/s   {:.0}/s until sealed   p50 {:.2} ms, p99 {:.2} ms",
            ours.per_second,
            ours.per_second_sealed,
            ours.p50.as_secs_f64() * 1e3,
            ours.p99.as_secs_f64() * 1e3
        );
        if let (Some(before), Some(after)) = (before, after) {
            let bare = f64::midpoint(before, after);
            println!("  write, fdatasync {bare:>10.0}/s   {:.2} x its time", bare / ours.per_second);
        }
        if let (Some(program), Some(in_flight)) = (&args.tessera, case.tessera) {
            let theirs = tessera(program, &args.dir, in_flight, args.seconds)?;
            println!("  tessera          {theirs:>10.0}/s   {:.1} x", ours.per_second / theirs);
        }
    }
    Ok(())
}

fn pool() -> Vec<Event> {
    generator::brief_flows(1).take(POOL).collect()
}

struct Measurement {
    per_second: f64,
    per_second_sealed: f64,
    p50: Duration,
    p99: Duration,
}

async fn measure(dir: &Path, case: &Case, duration: Duration, pool: Arc<[Event]>) -> Result<Measurement> {
    let folder = tempfile::tempdir_in(dir)?;
    let store =
        Store::open(&StoreLocation::Folder(folder.path().to_owned()), &WritePolicy::default()).await?;
    let trail = Trail::open(store, &folder.path().join("local"), TrailConfig::new("main")).await?;
    let start = Instant::now();
    let senders = (0..case.senders).map(|sender| {
        let sender = Sender { trail: trail.clone(), pool: pool.clone(), number: sender, batch: case.batch };
        tokio::spawn(sender.run(start + duration))
    });
    let mut waits = Vec::new();
    for sender in senders.collect::<Vec<_>>() {
        waits.extend(sender.await??);
    }
    let acked = start.elapsed();
    let events = trail.size();
    ensure!(events as usize == waits.len() * case.batch, "events were lost or doubled");
    trail.close().await;
    let sealed = start.elapsed();
    waits.sort_unstable();
    let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize];
    Ok(Measurement {
        per_second: events as f64 / acked.as_secs_f64(),
        per_second_sealed: events as f64 / sealed.as_secs_f64(),
        p50: at(0.5),
        p99: at(0.99),
    })
}

struct Sender {
    trail: Trail,
    pool: Arc<[Event]>,
    number: u64,
    batch: usize,
}

impl Sender {
    /// Appends until `end`; returns the duration of each append.
    async fn run(self, end: Instant) -> Result<Vec<Duration>> {
        let source: SourceName = format!("agent.{}", self.number).parse()?;
        let (mut sequence, mut waits) = (0, Vec::new());
        let mut from = self.pool.iter().cycle().skip(self.number as usize * 311);
        while Instant::now() < end {
            let batch: Vec<Event> = from
                .by_ref()
                .take(self.batch)
                .map(|event| {
                    sequence += 1;
                    let mut event = event.clone();
                    event.id = EventId { source: source.clone(), epoch: 1, sequence };
                    event
                })
                .collect();
            let start = Instant::now();
            self.trail.append(batch).await?;
            waits.push(start.elapsed());
        }
        Ok(waits)
    }
}

/// Writes and syncs in a loop, into a preallocated file; returns the rate.
fn bare_loop(dir: &Path, duration: Duration, size: usize) -> Result<f64> {
    const ROOM: u64 = 64 << 20;
    let path = dir.join("bare");
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
    file.write_all_at(&vec![0; ROOM as usize], 0)?;
    file.sync_all()?;
    let (line, mut at, mut count) = (vec![b'x'; size], 0, 0u64);
    let start = Instant::now();
    while start.elapsed() < duration {
        file.write_all_at(&line, at)?;
        file.sync_data()?;
        at = (at + size as u64) % (ROOM - size as u64);
        count += 1;
    }
    let per_second = count as f64 / start.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(per_second)
}

fn tessera(program: &Path, dir: &Path, in_flight: u64, seconds: u64) -> Result<f64> {
    let output = Command::new(program)
        .args(["-size", "400", "-senders", &in_flight.to_string(), "-seconds", &seconds.to_string(), "-dir"])
        .arg(dir)
        .output()
        .with_context(|| format!("failed to run {}", program.display()))?;
    ensure!(output.status.success(), "tessera-bench: {}", String::from_utf8_lossy(&output.stderr));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    result["entries_per_second"].as_f64().context("tessera-bench printed no rate")
}
