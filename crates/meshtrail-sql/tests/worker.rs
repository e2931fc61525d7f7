//! Queries to real worker processes, compared with an engine in this process that reads the same trail.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use meshtrail_event::{Draft, Event, EventId, Kind, Timestamp};
use meshtrail_sql::output::Encoder;
use meshtrail_sql::{Engine, Limits as EngineLimits};
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
use meshtrail_trail::{Trail, TrailConfig};
use meshtrail_worker::{Budget, Fault, Format, Limits, Query, QueryError, Workers};

const START: i64 = 1_780_000_000_000_000_000;

struct Fixture {
    folder: tempfile::TempDir,
    trail: Trail,
    workers: Workers,
    sequence: u64,
}

impl Fixture {
    async fn new(change: impl FnOnce(&mut Limits)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = StoreLocation::Folder(folder.path().join("store"));
        let store = Store::open(&location, &WritePolicy::default()).await.unwrap();
        let mut config = TrailConfig::new("main");
        config.segment_events = 500;
        let trail = Trail::open(store, &folder.path().join("local"), config).await.unwrap();
        let spill = folder.path().join("spill");
        std::fs::create_dir(&spill).unwrap();
        let mut limits = Limits {
            program: Some(PathBuf::from(env!("CARGO_BIN_EXE_meshtrail-sql"))),
            ..Limits::with_spill_folder(spill)
        };
        change(&mut limits);
        let workers = Workers::new(trail.clone(), limits);
        Self { folder, trail, workers, sequence: 0 }
    }

    async fn append(&mut self, count: u64) {
        let events: Vec<Event> = (0..count)
            .map(|_| {
                self.sequence += 1;
                let time =
                    Timestamp::from_nanos(START + i64::try_from(self.sequence).unwrap() * 1_000_000_001);
                let id = EventId { source: "test".parse().unwrap(), epoch: 1, sequence: self.sequence };
                Draft::new(Kind::SshLogin, time).into_event(id, time)
            })
            .collect();
        self.trail.append(events).await.unwrap();
    }

    async fn ask(&self, sql: &str) -> Result<String, QueryError> {
        self.ask_with_time(sql, self.workers.budget().time).await
    }

    async fn ask_with_time(&self, sql: &str, time: Duration) -> Result<String, QueryError> {
        let budget = Budget { time, ..self.workers.budget().clone() };
        let asker = "alice".to_owned();
        let query = Query { asker, sql: sql.to_owned(), format: Format::JsonLines, budget, limit: None };
        let mut answer = self.workers.ask(query).await?;
        let mut bytes = Vec::new();
        while let Some(part) = answer.next().await? {
            bytes.extend_from_slice(&part);
        }
        Ok(String::from_utf8(bytes).unwrap())
    }

    /// The output of an engine in this process.
    async fn expected(&self, sql: &str) -> String {
        let engine = Engine::new(self.trail.clone(), EngineLimits::default()).unwrap();
        let mut answer = engine.query(sql, engine.budget()).await.unwrap();
        let mut encoder = Encoder::new(Format::JsonLines, answer.schema.clone()).unwrap();
        let mut bytes = Vec::new();
        while let Some(batch) = answer.stream.try_next().await.unwrap() {
            bytes.extend(encoder.encode(&batch).unwrap());
        }
        bytes.extend(encoder.finish().unwrap());
        String::from_utf8(bytes).unwrap()
    }

    fn spill_folders(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("spill")).unwrap().count()
    }

    /// This fixture's worker process, if it runs: its spill folder is among its arguments.
    fn worker(&self) -> Option<u32> {
        let spill = self.folder.path().join("spill");
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let mut ids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        ids.find(|id| {
            let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            line.contains("meshtrail-sql\0worker") && line.contains(&*spill.to_string_lossy())
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_answers_as_the_engine_does_up_to_the_last_acknowledged_event() {
    let mut fixture = Fixture::new(|_| {}).await;
    for sql in [
        "select count(*) from event",
        "select \"index\", time, kind, id from event order by \"index\" desc limit 700",
        "select leaf from event where \"index\" in (0, 499, 500, 1234) order by \"index\"",
        "select kind, count(*), min(time), max(time) from login group by kind",
        "select trail, \"index\" from ssh_login where trail = 'main' order by \"index\" desc limit 700",
    ] {
        fixture.append(617).await;
        assert_eq!(fixture.ask(sql).await.unwrap(), fixture.expected(sql).await, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_before_an_answer_begins() {
    let fixture = Fixture::new(|_| {}).await;
    let error = fixture.ask("select acotr from event").await.unwrap_err();
    assert_eq!((error.fault, error.line), (Fault::Query, Some(1)), "{error}");
    assert!(error.message.contains("did you mean actor?"), "{error}");
    let error = fixture.ask("drop table event").await.unwrap_err();
    assert_eq!(error.fault, Fault::Refused, "{error}");
    assert_eq!(
        fixture.workers.check("alice", "select 1 from nothing").await.unwrap_err().fault,
        Fault::Query
    );
    fixture.workers.check("alice", "select 1 from event").await.unwrap();
}

/// The queries that the end-to-end tests send to a server while it records.
const HOSTILE: &str = include_str!("hostile.sql");

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_holds_for_every_operator_and_while_planning() {
    let mut fixture = Fixture::new(|limits| limits.memory = 256 << 20).await;
    fixture.append(10).await;
    let time = Duration::from_millis(500);
    for sql in HOSTILE.lines().filter(|line| !line.starts_with("--")) {
        let sql = sql.replace("{n}", "9");
        let mut took = Vec::new();
        // Three attempts: the machine can be busy.
        for _ in 0..3 {
            let start = Instant::now();
            let error = fixture.ask_with_time(&sql, time).await.expect_err(&sql);
            took.push(start.elapsed());
            assert!(matches!(error.fault, Fault::Budget | Fault::Query), "{sql}: {error}");
            if start.elapsed() < time + Duration::from_secs(1) {
                break;
            }
        }
        assert!(took.last().unwrap() < &(time + Duration::from_secs(1)), "{sql} took {took:?}");
        assert_eq!(fixture.ask("select count(*) as n from event").await.unwrap(), "{\"n\":10}\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_is_an_error_to_its_asker_alone_and_is_told() {
    let mut fixture = Fixture::new(|limits| limits.keeps_one_ready = false).await;
    fixture.append(10).await;
    let mut deaths = fixture.workers.take_deaths().unwrap();
    let endless = "select count(*) from generate_series(1,100000) a, generate_series(1,100000) b, generate_series(1,9) c";
    let asking = fixture.ask(endless);
    let killing = async {
        // Waits until the worker is confined (seccomp is the last step) and has a query.
        let (worker, text) = loop {
            let worker = fixture.worker();
            let status = worker.map(|id| (id, std::fs::read_to_string(format!("/proc/{id}/status"))));
            match status {
                Some((id, Ok(text))) if text.contains("Seccomp:\t2") && has_query(id) => break (id, text),
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        assert!(limit(worker, "Max core file size").starts_with('0'));
        assert!(text.contains("NoNewPrivs:\t1"), "{text}");
        assert!(!limit(worker, "Max address space").starts_with("unlimited"));
        let environment = std::fs::read(format!("/proc/{worker}/environ")).unwrap();
        assert_eq!(String::from_utf8_lossy(&environment), "MIMALLOC_ARENA_RESERVE=32M\0");
        assert!(!has_foreign_sockets(worker), "it holds what its server has open");
        let killed = std::process::Command::new("kill").args(["-KILL", &worker.to_string()]).status();
        assert!(killed.unwrap().success());
    };
    let (asked, ()) = tokio::join!(asking, killing);
    let error = asked.unwrap_err();
    assert_eq!(error.fault, Fault::Died);
    assert!(error.message.contains("signal 9"), "{error}");
    let death = deaths.recv().await.unwrap();
    assert_eq!((death.asker.as_str(), death.sql.as_str(), death.error), ("alice", endless, error));
    assert_eq!(fixture.ask("select count(*) as n from event").await.unwrap(), "{\"n\":10}\n");
    assert_eq!(fixture.workers.counts().died.load(Ordering::Relaxed), 1);
}

/// Whether a worker runs a query: it then has a `deadline` thread.
fn has_query(id: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let mut names = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok());
    names.any(|name| name.trim() == "deadline")
}

fn limit(id: u32, name: &str) -> String {
    let limits = std::fs::read_to_string(format!("/proc/{id}/limits")).unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("unlimited");
    line.trim_start().to_owned()
}

/// Whether a process has more sockets than the two that it was given, each once duplicated.
fn has_foreign_sockets(id: u32) -> bool {
    let open = std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().flatten();
    let targets = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let mut sockets: Vec<PathBuf> = targets.filter(|target| is_socket(target)).collect();
    sockets.sort();
    sockets.dedup();
    // Its runtimes have a pair of their own for signals.
    sockets.len() > 6
}

fn is_socket(target: &Path) -> bool {
    target.to_string_lossy().starts_with("socket:")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asker_that_goes_takes_its_worker_along_and_nothing_spilled_stays() {
    let fixture = Fixture::new(|limits| {
        limits.keeps_one_ready = false;
        limits.running = 1;
        limits.wait = Duration::from_millis(50);
    })
    .await;
    let budget = fixture.workers.budget().clone();
    let sql = "select value from generate_series(1, 100000000)".to_owned();
    let query = Query { asker: "bob".to_owned(), sql, format: Format::Csv, budget, limit: None };
    let mut answer = fixture.workers.ask(query).await.unwrap();
    assert!(answer.next().await.unwrap().is_some());
    assert_eq!(fixture.spill_folders(), 1);
    let error = fixture.ask("select 1").await.unwrap_err();
    assert_eq!(error.fault, Fault::Busy, "{error}");
    drop(answer);
    while fixture.spill_folders() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(fixture.workers.counts().died.load(Ordering::Relaxed), 0, "leaving is no death");
    fixture.ask("select 1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_program_one_line_says_how_to_get_it() {
    let fixture = Fixture::new(|limits| limits.program = Some("/nowhere/meshtrail-sql".into())).await;
    let error = fixture.ask("select 1").await.unwrap_err();
    assert_eq!(error.fault, Fault::Missing);
    assert!(!error.message.contains('\n') && error.message.contains("-p meshtrail-sql"), "{error}");
    let fixture = Fixture::new(|limits| limits.program = Some("/bin/false".into())).await;
    let error = fixture.ask("select 1").await.unwrap_err();
    assert!(error.message.contains("ended with status 1"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_rows_than_allowed_are_an_error_and_a_limit_is_an_end() {
    let fixture = Fixture::new(|limits| limits.budget.rows = 100_000).await;
    let error = fixture.ask("select value from generate_series(1, 1000000)").await.unwrap_err();
    assert_eq!(error.fault, Fault::Budget, "{error}");
    let budget = fixture.workers.budget().clone();
    let sql = "select value from generate_series(1, 1000000)".to_owned();
    let asker = "alice".to_owned();
    let query = Query { asker, sql, format: Format::Csv, budget, limit: Some(50_000) };
    let mut answer = fixture.workers.ask(query).await.unwrap();
    let mut lines = 0;
    while let Some(part) = answer.next().await.unwrap() {
        lines += part.iter().filter(|byte| **byte == b'\n').count();
    }
    assert_eq!((lines, answer.rows()), (50_001, 50_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_asker_has_half_of_the_places_and_another_is_answered_meanwhile() {
    let fixture = Fixture::new(|limits| {
        limits.running = 2;
        limits.wait = Duration::from_secs(60);
    })
    .await;
    let budget = fixture.workers.budget().clone();
    let sql = "select value from generate_series(1, 100000000)".to_owned();
    let query = Query { asker: "alice".to_owned(), sql, format: Format::Csv, budget, limit: None };
    let running = fixture.workers.ask(query.clone()).await.unwrap();
    let error = fixture.workers.ask(query.clone()).await.unwrap_err();
    assert_eq!(error.fault, Fault::Busy, "{error}");
    assert!(error.message.contains("of alice"), "{error}");
    let other = Query { asker: "bob".to_owned(), sql: "select 1".to_owned(), ..query.clone() };
    fixture.workers.ask(other).await.unwrap();
    drop(running);
    fixture.workers.ask(query).await.unwrap();
}
