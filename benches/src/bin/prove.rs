//! Inclusion proofs, opening a trail, and verification of all events, compared with `sha256sum`.
//!
//! `cargo run --release -p meshtrail-bench --bin prove -- --dir DIR [--events 10000000] [--verify 1000000]`
//!
//! The trails are generated once and stay in DIR for the next run.

#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use meshtrail_bench::generator::{self, Random};
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
use meshtrail_trail::tree::verify_inclusion;
use meshtrail_trail::verify::{Scope, VerifyRequest, verify};
use meshtrail_trail::{Trail, TrailConfig};

const PROOFS: usize = 2_000;
const BATCH: usize = 1_000;

#[derive(Parser)]
struct Args {
    /// Where the trails are made and kept.
    #[arg(long)]
    dir: PathBuf,
    /// Events of the trail that proofs are made in.
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// Events of the trail that is verified whole.
    #[arg(long, default_value_t = 1_000_000)]
    verify: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    proofs(&prepare_trail(&args.dir, args.events).await?).await?;
    verification(&prepare_trail(&args.dir, args.verify).await?, args.verify).await
}

async fn open(folder: &Path) -> Result<(Store, Trail)> {
    let store = Store::open(&StoreLocation::Folder(folder.to_owned()), &WritePolicy::default()).await?;
    let trail = Trail::open(store.clone(), &folder.join("local"), TrailConfig::new("main")).await?;
    Ok((store, trail))
}

/// A sealed trail of `events` generated events; written if it does not exist.
async fn prepare_trail(dir: &Path, events: u64) -> Result<PathBuf> {
    let folder = dir.join(format!("trail-{events}"));
    std::fs::create_dir_all(&folder)?;
    let (_, trail) = open(&folder).await?;
    if trail.size() == 0 {
        let mut generator = generator::events(1).take(usize::try_from(events)?);
        let start = Instant::now();
        loop {
            let batch: Vec<_> = generator.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            trail.append(batch).await?;
        }
        println!("made {events} events in {:.0} s", start.elapsed().as_secs_f64());
    }
    // The generator's own numbering decides how many are new.
    ensure!(trail.size() > events / 2, "the trail in {} is not whole: remove it", folder.display());
    trail.close().await;
    Ok(folder)
}

async fn proofs(folder: &Path) -> Result<()> {
    let start = Instant::now();
    let (_, trail) = open(folder).await?;
    println!("open with {} events: {:.0} ms", trail.size(), start.elapsed().as_secs_f64() * 1e3);
    let size = trail.size();
    let mut random = Random::new(7);
    let places: Vec<u64> = (0..PROOFS).map(|_| random.any() % size).collect();
    for round in ["first", "again"] {
        let mut times = Vec::with_capacity(PROOFS);
        for &index in &places {
            let start = Instant::now();
            let proof = trail.inclusion(index, size).await?;
            times.push(start.elapsed());
            verify_inclusion(&proof)?;
        }
        print_times(&format!("inclusion proof, {round}"), times);
    }
    trail.close().await;
    Ok(())
}

fn print_times(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!("{name}: p50 {:.3} ms, p99 {:.3} ms, most {:.3} ms", at(0.5), at(0.99), at(1.0));
}

async fn verification(folder: &Path, events: u64) -> Result<()> {
    let json = folder.with_extension("jsonl");
    if !json.exists() {
        let mut out = BufWriter::new(std::fs::File::create(&json)?);
        for event in generator::events(1).take(usize::try_from(events)?) {
            out.write_all(&event.to_leaf())?;
            out.write_all(b"\n")?;
        }
        out.flush()?;
    }
    let store = Store::open(&StoreLocation::Folder(folder.to_owned()), &WritePolicy::default()).await?;
    let request = VerifyRequest { trail: "main".into(), scope: Scope::All, vkey: None, against: Vec::new() };
    for _ in 0..3 {
        let start = Instant::now();
        let done = Command::new("sha256sum").arg(&json).output().context("failed to run sha256sum")?;
        ensure!(done.status.success(), "sha256sum failed");
        let plain = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let report = verify(&store, Some(&folder.join("local")), &request, &|_| {}).await;
        let ours = start.elapsed().as_secs_f64();
        ensure!(report.holds(), "does not hold: {:?}", report.problems);
        println!(
            "verify {} events: {ours:.2} s; sha256sum of their JSON: {plain:.2} s; {:.2} x",
            report.checked.events,
            ours / plain
        );
    }
    Ok(())
}
