//! Size of events on disk, compared with `zstd -3` of the same JSON lines and DuckDB's Parquet of the same columns.
//!
//! `cargo run --release -p meshtrail-bench --bin size -- [EVENTS] [FOLDER]`
//!
//! DuckDB runs through Python: `MESHTRAIL_PYTHON` (default `python3`) with the `duckdb` package; without it that
//! comparison is left out with a message. With FOLDER the files are kept there.

#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use meshtrail_bench::generator;
use meshtrail_event::{Event, Family};
use meshtrail_trail::segment::encode;

/// Bytes of tree that are stored for each event: full tiles of level 1 and above.
const PROOF: f64 = 32.0 / 255.0;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let events = arguments.next().map_or(Ok(262_144), |count| count.parse()).context("EVENTS is a number")?;
    let temporary = tempfile::tempdir()?;
    let argument = arguments.next();
    let folder = argument.as_ref().map_or(temporary.path(), Path::new);
    std::fs::create_dir_all(folder)?;
    println!("bytes per event        JSON  zstd -3  segments  DuckDB  DuckDB v2   of zstd");
    compare("mixed", generator::events(1).take(events), folder)?;
    compare("flows", generator::flows(1).take(events), folder)?;
    compare("brief", generator::brief_flows(1).take(events), folder)
}

fn compare(name: &str, source: impl Iterator<Item = Event>, folder: &Path) -> Result<()> {
    let mut families: BTreeMap<Family, Vec<(u64, Vec<u8>)>> = BTreeMap::new();
    let mut lines = Vec::new();
    for (index, event) in (0u64..).zip(source) {
        let leaf = event.to_leaf();
        lines.extend_from_slice(&leaf);
        lines.push(b'\n');
        families.entry(event.kind.family()).or_default().push((index, leaf));
    }
    let events: usize = families.values().map(Vec::len).sum();
    let (mut ours, mut duck, mut duck_v2) = (0, Some(0), Some(0));
    for (family, rows) in &families {
        let rows: Vec<(u64, &[u8])> = rows.iter().map(|(index, leaf)| (*index, leaf.as_slice())).collect();
        let file = folder.join(format!("{name}-{family}.parquet"));
        let segment = encode(*family, "main", &rows)?;
        ensure!(segment.stored_whole == 0, "{} leaves of {family} were kept whole", segment.stored_whole);
        ours += segment.bytes.len();
        std::fs::write(&file, segment.bytes)?;
        duck = duck.zip(duckdb(&file, "V1")).map(|(all, one)| all + one);
        duck_v2 = duck_v2.zip(duckdb(&file, "V2")).map(|(all, one)| all + one);
    }
    let packed = zstd::encode_all(&lines[..], 3)?.len();
    let each = |bytes: usize| bytes as f64 / events as f64;
    let maybe = |bytes: Option<usize>| bytes.map_or("-".to_owned(), |bytes| format!("{:.2}", each(bytes)));
    let ratio = (each(ours) + PROOF) / each(packed);
    println!(
        "{name:<8} {events:>9} {:>9.1} {:>8.2} {:>9.2} {:>7} {:>10} {ratio:>9.3}",
        each(lines.len()),
        each(packed),
        each(ours) + PROOF,
        maybe(duck),
        maybe(duck_v2),
    );
    Ok(())
}

/// The size of DuckDB's own file of the same columns in the same order.
fn duckdb(file: &Path, version: &str) -> Option<usize> {
    const SCRIPT: &str = "\
import sys, os, duckdb
source, target, version = sys.argv[1:]
duckdb.sql(f\"COPY (SELECT * FROM read_parquet('{source}') ORDER BY index) TO '{target}' (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION {version})\")
print(os.path.getsize(target))";
    let python = std::env::var_os("MESHTRAIL_PYTHON").unwrap_or_else(|| "python3".into());
    let target = file.with_extension(format!("duckdb-{version}"));
    let ran = Command::new(python).args(["-c", SCRIPT]).arg(file).arg(&target).arg(version).output().ok()?;
    if !ran.status.success() {
        println!("no comparison with DuckDB: {}", String::from_utf8_lossy(&ran.stderr).trim());
    }
    String::from_utf8(ran.stdout).ok()?.trim().parse().ok()
}
