//! Queries of a trail on disk, compared with DuckDB on the same files in the same run.
//!
//! `cargo run --release -p meshtrail-bench --bin query -- --dir DIR [--events 100000000] [--duckdb PYTHON]`
//!
//! - The trail is generated from a seed if it does not exist: people, devices and working hours over a year. It stays
//!   for the next run and for `first_page`.
//! - A needle is one person's events of one day: another person and day each time, so that no result comes from a
//!   cache. Full scans read every row of a table.
//! - With `--program`, each query also runs in a worker process, as in a server: the result comes as CSV over its
//!   socket. Engine and worker alternate, so that other load on the machine affects both.
//! - DuckDB gets the same two threads, the same memory and the same files by name; its views are created before the
//!   measurement, and its results stay in its memory, so that no time goes into Python objects. `--duckdb` names a
//!   Python that has the package.

#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use futures::TryStreamExt;
use meshtrail_bench as _;
use meshtrail_demo::{Company, Size, SyntheticEvents};
use meshtrail_event::{Event, Timestamp};
use meshtrail_sql::{Engine, Limits};
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
use meshtrail_trail::{Trail, TrailConfig};
use meshtrail_worker::{Budget, Format, Query, Workers};

/// How large the made-up company is.
const SIZE: Size = Size { people: 400, devices: 1000 };
/// Events given to the trail at once.
const BATCH: usize = 2000;
const SEGMENT_AGE: Duration = Duration::from_secs(10);
/// The last day of the made-up year.
const UNTIL: &str = "2026-11-20T00:00:00.000000000Z";
/// The pause before each query, as between two queries of a person: the next worker is started in it.
const PAUSE: Duration = Duration::from_secs(1);
const DAY: i64 = 86_400 * 1_000_000_000;

#[derive(Parser)]
struct Args {
    /// The worker's program, `meshtrail-sql`: asks each question of a worker too.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Where the trail is, or is made.
    #[arg(long)]
    dir: PathBuf,
    /// Events to make, if there is no trail yet.
    #[arg(long, default_value_t = 100_000_000)]
    events: u64,
    /// Days they are spread over.
    #[arg(long, default_value_t = 365)]
    days: u64,
    /// What the events are made from.
    #[arg(long, default_value_t = 4)]
    seed: u64,
    /// Needles to look for.
    #[arg(long, default_value_t = 60)]
    needles: usize,
    /// Times each full scan is run.
    #[arg(long, default_value_t = 3)]
    scans: usize,
    /// Threads of a query, here and there.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Megabytes of memory, here and there.
    #[arg(long, default_value_t = 512)]
    memory: usize,
    /// A Python with DuckDB; without it there is nothing beside.
    #[arg(long)]
    duckdb: Option<PathBuf>,
    /// Only cases whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

struct Case {
    name: &'static str,
    sql: &'static str,
    is_needle: bool,
}

const CASES: &[Case] = &[
    Case {
        name: "needle: one actor's flows of one day",
        sql: "select index, time, src, dst, dst_port, tx_bytes, rx_bytes from flow where actor_login = '{person}' \
              and time >= '{from}' and time < '{to}'",
        is_needle: true,
    },
    Case {
        name: "needle: one actor's sessions of one day",
        sql: "select index, time, kind, command from session where actor_login = '{person}' \
              and time >= '{from}' and time < '{to}'",
        is_needle: true,
    },
    Case {
        name: "needle: everything one actor did in one day",
        sql: "select index, time, kind, outcome, actor_device_name from event where actor_login = '{person}' \
              and time >= '{from}' and time < '{to}'",
        is_needle: true,
    },
    Case {
        name: "scan: bytes by actor",
        sql: "select actor_login, sum(tx_bytes), count(*) from flow group by actor_login",
        is_needle: false,
    },
    Case {
        name: "scan: events by kind and outcome",
        sql: "select kind, outcome, count(*) from event group by kind, outcome",
        is_needle: false,
    },
    Case {
        name: "scan: requests by verb and status, slowest",
        sql: "select verb, status, count(*), max(latency) from kube group by verb, status",
        is_needle: false,
    },
    Case {
        name: "scan: flows to one port by far end",
        sql: "select dst, count(*), sum(rx_bytes) from flow where dst_port = 22 group by dst",
        is_needle: false,
    },
];

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    make_trail(&args).await?;
    let trail = open(&args.dir, true).await?;
    println!("{} events, {} threads, {} MB", trail.size(), args.threads, args.memory);
    let limits = Limits {
        memory: args.memory << 20,
        threads: args.threads,
        budget: Budget { time: Duration::from_secs(600), rows: u64::MAX },
        ..Limits::default()
    };
    let budget = limits.budget.clone();
    let engine = Engine::new(trail.clone(), limits)?;
    let spill = tempfile::tempdir()?;
    let workers = args.program.as_ref().map(|program| {
        let limits = meshtrail_worker::Limits {
            program: Some(program.clone()),
            memory: args.memory << 20,
            threads: args.threads,
            budget,
            ..meshtrail_worker::Limits::with_spill_folder(spill.path().to_owned())
        };
        Workers::new(trail, limits)
    });
    let mut duck = args.duckdb.as_ref().map(|python| DuckDb::start(python, &args)).transpose()?;
    println!(
        "| question | p50 | p95 | rows | worker p50 | p95 | DuckDB p50 | engine of it | peak memory |\n|---|---|---|---|---|---|---|---|---|"
    );
    for case in CASES.iter().filter(|case| case.name.contains(&args.only)) {
        measure(&args, case, &engine, workers.as_ref(), duck.as_mut()).await?;
    }
    Ok(())
}

async fn open(dir: &Path, read_only: bool) -> Result<Trail> {
    let location = StoreLocation::Folder(dir.to_owned());
    let mut config = TrailConfig::new("main");
    // DuckDB reads only sealed events, so the last events have to be sealed soon.
    config.segment_age = SEGMENT_AGE;
    if read_only {
        let store = Store::open_read_only(&location).await?;
        return Ok(Trail::open_read_only(store, Some(&dir.join("local")), config).await?);
    }
    let store = Store::open(&location, &WritePolicy::default()).await?;
    Ok(Trail::open(store, &dir.join("local"), config).await?)
}

async fn make_trail(args: &Args) -> Result<()> {
    if args.dir.join("trails").exists() {
        return Ok(());
    }
    std::fs::create_dir_all(&args.dir)?;
    let start = Instant::now();
    let trail = open(&args.dir, false).await?;
    let synthetic = synthetic(args)?;
    let (send, mut batches) = tokio::sync::mpsc::channel::<Vec<Event>>(8);
    let generator = std::thread::spawn(move || {
        let mut events = synthetic.iter();
        loop {
            let batch: Vec<Event> = events.by_ref().take(BATCH).collect();
            if batch.is_empty() || send.blocking_send(batch).is_err() {
                return;
            }
        }
    });
    while let Some(batch) = batches.recv().await {
        trail.append(batch).await?;
    }
    ensure!(generator.join().is_ok(), "the maker of events failed");
    while trail.snapshot().sealed() < trail.size() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    trail.close().await;
    println!("made {} events in {:.0?}", args.events, start.elapsed());
    Ok(())
}

fn synthetic(args: &Args) -> Result<SyntheticEvents> {
    let until: Timestamp = UNTIL.parse().context("a time written here")?;
    Ok(SyntheticEvents { seed: args.seed, size: SIZE, until, days: args.days, events: args.events })
}

/// The query of one round: another person and another day each time.
fn query_text(args: &Args, case: &Case, round: usize) -> Result<String> {
    let synthetic = synthetic(args)?;
    let company = Company::new(synthetic.seed, synthetic.size, synthetic.until);
    let person = &company.people[(round * 17 + 3) % company.people.len()].state.login;
    let day = (round * 37 + 11) as i64 % args.days as i64;
    let from = synthetic.until.as_nanos() - (day + 1) * DAY;
    let (from, to) = (Timestamp::from_nanos(from), Timestamp::from_nanos(from + DAY));
    Ok(case
        .sql
        .replace("{person}", person)
        .replace("{from}", &from.to_string())
        .replace("{to}", &to.to_string()))
}

async fn measure(
    args: &Args,
    case: &Case,
    engine: &Engine,
    workers: Option<&Workers>,
    mut duck: Option<&mut DuckDb>,
) -> Result<()> {
    let rounds = if case.is_needle { args.needles } else { args.scans };
    let (mut engine_times, mut worker_times, mut duck_times, mut rows) =
        (Vec::new(), Vec::new(), Vec::new(), 0);
    for round in 0..rounds {
        let sql = query_text(args, case, round)?;
        if workers.is_some() {
            tokio::time::sleep(PAUSE).await;
        }
        let start = Instant::now();
        let answer = engine.query(&sql, engine.budget()).await?;
        let batches: Vec<_> = answer.stream.try_collect().await?;
        engine_times.push(start.elapsed());
        rows = batches.iter().map(|batch| batch.num_rows()).sum();
        if let Some(workers) = workers {
            tokio::time::sleep(PAUSE).await;
            worker_times.push(ask_worker(workers, &sql, rows).await?);
        }
        if let Some(duck) = duck.as_deref_mut() {
            let (took, found) = duck.ask(&sql)?;
            ensure!(found == rows, "{}: {rows} rows here, {found} there: {sql}", case.name);
            duck_times.push(took);
        }
    }
    let (p50, p95) = (percentile(&mut engine_times, 50), percentile(&mut engine_times, 95));
    let mut line = format!("| {} | {p50:.1?} | {p95:.1?} | {rows} |", case.name);
    match worker_times.is_empty() {
        true => line.push_str(" | |"),
        false => write!(
            line,
            " {:.1?} | {:.1?} |",
            percentile(&mut worker_times, 50),
            percentile(&mut worker_times, 95)
        )?,
    }
    if duck_times.is_empty() {
        line.push_str(" | |");
    } else {
        let other = percentile(&mut duck_times, 50);
        write!(line, " {other:.1?} | {:.2} |", p50.as_secs_f64() / other.as_secs_f64())?;
    }
    println!("{line} {} MB |", peak_memory()?);
    Ok(())
}

async fn ask_worker(workers: &Workers, sql: &str, rows: usize) -> Result<Duration> {
    let budget = workers.budget().clone();
    let start = Instant::now();
    let asker = "bench".to_owned();
    let query = Query { asker, sql: sql.to_owned(), format: Format::Csv, budget, limit: None };
    let mut answer = workers.ask(query).await?;
    while answer.next().await?.is_some() {}
    let took = start.elapsed();
    ensure!(answer.rows() == rows as u64, "{rows} rows here, {} of a worker: {sql}", answer.rows());
    Ok(took)
}

fn percentile(took: &mut [Duration], percent: usize) -> Duration {
    took.sort_unstable();
    took[(took.len() * percent / 100).min(took.len() - 1)]
}

/// The peak memory of this process in MB.
fn peak_memory() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? / 1024)
}

/// DuckDB in a separate process.
struct DuckDb {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

/// Reads one query a line; answers with seconds and rows.
const SCRIPT: &str = r#"
import sys, time, duckdb
root, threads, memory = sys.argv[1], int(sys.argv[2]), sys.argv[3]
db = duckdb.connect(config={"threads": threads, "memory_limit": memory + "MB"})
for family in ["session", "flow", "kube"]:
    db.sql(f"create view {family} as select * from read_parquet('{root}/family={family}/*/*.parquet')")
db.sql(f"create view event as select * from read_parquet('{root}/family=*/*/*.parquet', union_by_name=true)")
print("ready", flush=True)
for line in sys.stdin:
    begun = time.perf_counter()
    db.execute("create or replace temp table answer as " + line)
    took = time.perf_counter() - begun
    print(took, db.execute("select count(*) from answer").fetchone()[0], flush=True)
"#;

impl DuckDb {
    fn start(python: &Path, args: &Args) -> Result<Self> {
        let root = args.dir.join("trails/main/segments");
        let mut child = Command::new(python)
            .args(["-c", SCRIPT])
            .arg(root)
            .arg(args.threads.to_string())
            .arg(args.memory.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} does not start", python.display()))?;
        let to = child.stdin.take().context("no stdin")?;
        let from = BufReader::new(child.stdout.take().context("no stdout")?);
        let mut duck = Self { child, to, from };
        ensure!(duck.line()?.trim() == "ready", "DuckDB is not ready: pip install duckdb");
        Ok(duck)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        Ok(line)
    }

    fn ask(&mut self, sql: &str) -> Result<(Duration, usize)> {
        writeln!(self.to, "{sql}")?;
        let line = self.line()?;
        let (took, rows) = line.trim().split_once(' ').with_context(|| format!("DuckDB failed on: {sql}"))?;
        Ok((Duration::from_secs_f64(took.parse()?), rows.parse()?))
    }
}

impl Drop for DuckDb {
    fn drop(&mut self) {
        // It ends by itself when its input closes; killing it again does no harm.
        let _ended = self.child.kill();
        let _gone = self.child.wait();
    }
}
