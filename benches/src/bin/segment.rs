//! Time of segments: encoding with its check, reading everything, reading one group of 256.
//!
//! `cargo run --release -p meshtrail-bench --bin segment -- [EVENTS]`

#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::collections::BTreeMap;
use std::time::Instant;

/// CPU time of this thread, which does not include other load on the machine.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

use anyhow::{Context, Result};
use meshtrail_bench::generator;
use meshtrail_event::{Event, Family};
use meshtrail_trail::segment::{EncodedSegment, SegmentReader, Selection, encode};
use meshtrail_trail::store::{Key, Store, StoreLocation, WritePolicy};

#[tokio::main]
async fn main() -> Result<()> {
    let events =
        std::env::args().nth(1).map_or(Ok(262_144), |count| count.parse()).context("EVENTS is a number")?;
    measure("brief flows", &by_family(generator::brief_flows(1).take(events))).await?;
    measure("flows", &by_family(generator::flows(1).take(events))).await?;
    measure("mixed", &by_family(generator::events(1).take(events))).await
}

type Rows = Vec<(u64, Vec<u8>)>;

fn by_family(events: impl Iterator<Item = Event>) -> BTreeMap<Family, Rows> {
    let mut families: BTreeMap<Family, Rows> = BTreeMap::new();
    for (index, event) in (0u64..).zip(events) {
        families.entry(event.kind.family()).or_default().push((index, event.to_leaf()));
    }
    families
}

async fn measure(name: &str, families: &BTreeMap<Family, Rows>) -> Result<()> {
    let events: usize = families.values().map(Vec::len).sum();
    let bytes: usize = families.values().flatten().map(|(_, leaf)| leaf.len()).sum();
    let per_event = |since: f64| (cpu_seconds() - since) * 1e6 / events as f64;
    println!("{name}: {events} events, {} bytes each, {} families", bytes / events, families.len());

    let mut segments: Vec<EncodedSegment> = Vec::new();
    let start = cpu_seconds();
    for (&family, rows) in families {
        let rows: Vec<(u64, &[u8])> = rows.iter().map(|(index, leaf)| (*index, leaf.as_slice())).collect();
        segments.push(encode(family, "main", &rows)?);
    }
    println!("  encode, check included   {:.2} µs per event", per_event(start));
    let size: usize = segments.iter().map(|segment| segment.bytes.len()).sum();
    println!("  segments                 {:.2} bytes per event", size as f64 / events as f64);

    let start = cpu_seconds();
    for segment in &segments {
        let reader = SegmentReader::from_bytes("segment", segment.bytes.clone().into())?;
        let (all, mut rows) = (Selection::of(0..u64::MAX), 0);
        for page in reader.pages(&all) {
            rows += reader.read_page(page, &all).await?.len();
        }
        anyhow::ensure!(rows == segment.rows, "rows are missing");
    }
    println!("  read all                 {:.2} µs per event", per_event(start));
    groups(&segments, events as u64).await
}

/// Reads 256 neighbours from files, as an inclusion proof needs them.
async fn groups(segments: &[EncodedSegment], events: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store =
        Store::open(&StoreLocation::Folder(folder.path().to_owned()), &WritePolicy::default()).await?;
    let mut readers = Vec::new();
    for (number, segment) in segments.iter().enumerate() {
        let key = Key::new(format!("{number}.parquet"))?;
        store.put_new(&key, segment.bytes.clone().into()).await?;
        let start = Instant::now();
        readers.push(SegmentReader::open(&store, &key, segment.bytes.len() as u64).await?);
        if number == 0 {
            println!("  open                     {:.0} µs", start.elapsed().as_secs_f64() * 1e6);
        }
    }
    let (mut total, mut busy, mut rounds) = (0.0, 0.0, 0);
    for group in (0..events / 256).step_by(7) {
        let start = cpu_seconds();
        let before = Instant::now();
        let mut rows = 0;
        for reader in &readers {
            rows += reader.read(group * 256..(group + 1) * 256).await?.len();
        }
        anyhow::ensure!(rows == 256, "{rows} rows in a group");
        total += before.elapsed().as_secs_f64() * 1e6;
        busy += (cpu_seconds() - start) * 1e6;
        rounds += 1;
    }
    let rounds = f64::from(rounds);
    println!(
        "  256 neighbours           {:.0} µs, {:.0} of them reading pages",
        total / rounds,
        busy / rounds
    );
    Ok(())
}
