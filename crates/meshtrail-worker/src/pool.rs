//! Queries, each in a worker process of its own, and a spare worker for the next one.
//!
//! - At most [`Limits::running`] queries run at once, at most half of them of one asker; further ones wait for
//!   [`Limits::wait`], then fail.
//! - A worker is killed one second after its query's time limit, whatever it is doing.
//! - A failed start is retried at growing intervals; queries meanwhile fail with its error.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshtrail_trail::Trail;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use crate::answer_stream::AnswerStream;
use crate::calls::{CallHandler, TrailSource};
use crate::memory_grants::{MemoryGrant, MemoryGrants};
use crate::message::{Ask, FromWorker, Setup, ToWorker};
use crate::process::{KillReason, Killer, Process};
use crate::program;
use crate::query::{Budget, Fault, Format, QueryError};
use crate::watch::{OWN_MEMORY, ResourceWatch, WorkerCounts};

/// How long a worker may outlive its query's time limit.
pub(crate) const GRACE: Duration = Duration::from_secs(1);
/// How long a spare worker is kept without a query.
const SPARE_TIME: Duration = Duration::from_secs(600);
/// A spare worker is started once no query runs, or after this many checks: it must not slow down the current query.
const IDLE_CHECKS: usize = 10;
const IDLE_CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Pauses between attempts to start a worker, doubled at each failure.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Deaths that wait to be recorded; beyond it they are only counted.
const DEATHS_WAITING: usize = 64;
/// Address space beside that of queries: the program, threads' stacks, the allocator's reserve.
const OWN_ADDRESS_SPACE: u64 = 1 << 30;

/// Limits of all queries together, and of each.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The worker's program; if none, the one beside this program or on `PATH`.
    pub program: Option<PathBuf>,
    /// Bytes of memory for all queries together, beside 64 MiB for each process; beyond it they spill, then end.
    pub memory: usize,
    /// The folder for spilling. It must exist, and not be used for anything else.
    pub spill: PathBuf,
    /// Bytes of disk that all queries together may spill.
    pub spill_bytes: u64,
    /// The limits of a query that does not bring its own.
    pub budget: Budget,
    /// Queries that run at once.
    pub running: usize,
    /// How long a query waits for a slot.
    pub wait: Duration,
    /// Threads of one query.
    pub threads: usize,
    /// Whether a spare worker is kept after the first query.
    pub keeps_one_ready: bool,
}

impl Limits {
    /// The default limits, with `spill` as the folder for spilling.
    pub fn with_spill_folder(spill: PathBuf) -> Self {
        Self {
            program: None,
            memory: 512 << 20,
            spill,
            spill_bytes: 8 << 30,
            budget: Budget { time: Duration::from_secs(60), rows: 1_000_000 },
            running: 8,
            wait: Duration::from_secs(5),
            threads: std::thread::available_parallelism().map_or(2, usize::from).min(8),
            keeps_one_ready: true,
        }
    }
}

/// A query for [`Workers::ask`].
#[derive(Debug, Clone)]
pub struct Query {
    /// The stable name of who asks: one asker gets at most half of the slots.
    pub asker: String,
    /// The SQL.
    pub sql: String,
    /// The format of the answer.
    pub format: Format,
    /// Its limits of time and rows.
    pub budget: Budget,
    /// Ends the answer after this many rows.
    pub limit: Option<u64>,
}

/// The end of a worker before its query was answered.
#[derive(Debug, Clone)]
pub struct Death {
    /// Who asked.
    pub asker: String,
    /// The query, as far as it is known.
    pub sql: String,
    /// Why it ended.
    pub error: QueryError,
}

/// Runs SQL queries over one trail in worker processes; cheap to clone.
#[derive(Clone)]
pub struct Workers(Arc<Inner>);

struct Inner {
    limits: Limits,
    setup: Setup,
    source: TrailSource,
    watch: ResourceWatch,
    grants: MemoryGrants,
    slots: Arc<Semaphore>,
    by_asker: Mutex<HashMap<String, usize>>,
    spare: Mutex<Spare>,
    deaths: mpsc::Sender<Death>,
    death_receiver: Mutex<Option<mpsc::Receiver<Death>>>,
    /// Dropped after the last worker.
    guard: Mutex<Option<Box<dyn std::any::Any + Send>>>,
}

/// The spare worker, and when the next start may be tried.
#[derive(Default)]
struct Spare {
    process: Option<Process>,
    is_starting: bool,
    pause: Duration,
    retry_at: Option<(Instant, QueryError)>,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

impl Workers {
    /// Workers that read `trail`. None is started before the first query.
    pub fn new(trail: Trail, limits: Limits) -> Self {
        let setup = Setup {
            address_space: OWN_ADDRESS_SPACE + limits.memory as u64,
            caches: limits.memory / 4,
            threads: limits.threads,
            // A worker's working directory is `/`.
            spill: std::path::absolute(&limits.spill).unwrap_or_else(|_| limits.spill.clone()),
            spill_bytes: limits.spill_bytes,
        };
        let (deaths, death_receiver) = mpsc::channel(DEATHS_WAITING);
        Self(Arc::new(Inner {
            setup,
            source: TrailSource::new(trail, limits.memory / 8),
            watch: ResourceWatch::new(limits.memory, limits.spill_bytes),
            grants: MemoryGrants::new(limits.memory - limits.memory / 4),
            slots: Arc::new(Semaphore::new(limits.running)),
            by_asker: Mutex::default(),
            spare: Mutex::default(),
            deaths,
            death_receiver: Mutex::new(Some(death_receiver)),
            guard: Mutex::default(),
            limits,
        }))
    }

    /// Keeps `guard` until the last worker has ended, such as a temporary folder.
    #[must_use]
    pub fn with_guard(self, guard: impl std::any::Any + Send) -> Self {
        let before = self.0.guard.lock().unwrap_or_else(PoisonError::into_inner).replace(Box::new(guard));
        drop(before);
        self
    }

    /// The limits of a query that does not bring its own.
    pub fn budget(&self) -> &Budget {
        &self.0.limits.budget
    }

    /// Counts of workers, and of how they ended.
    pub fn counts(&self) -> &WorkerCounts {
        self.0.watch.counts()
    }

    /// Takes the receiver of deaths, for the audit; returns it once.
    pub fn take_deaths(&self) -> Option<mpsc::Receiver<Death>> {
        self.0.death_receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Checks that the worker's program exists.
    pub fn check_program(&self) -> Result<(), QueryError> {
        program::find(self.0.limits.program.as_deref()).map(drop)
    }

    /// Checks `sql` without running it.
    pub async fn check(&self, asker: &str, sql: &str) -> Result<(), QueryError> {
        let budget = self.budget().clone();
        let ask = Ask { sql: sql.to_owned(), format: None, budget, limit: None, memory: 0 };
        let mut running = self.start(asker, ask).await?;
        match running.process.events.recv().await {
            Some(FromWorker::Checked) => Ok(()),
            Some(FromWorker::Failed(error)) => Err(error),
            _ => Err(running.record_death().await),
        }
    }

    /// Runs a query and waits for the first bytes of its answer. It sees everything acknowledged before the call.
    pub async fn ask(&self, query: Query) -> Result<AnswerStream, QueryError> {
        let Query { asker, sql, format, budget, limit } = query;
        let running = self.start(&asker, Ask { sql, format: Some(format), budget, limit, memory: 0 }).await?;
        AnswerStream::begin(running, format).await
    }

    async fn start(&self, asker: &str, ask: Ask) -> Result<RunningQuery, QueryError> {
        let slot = self.acquire_slot(asker).await?;
        let grant = self.0.grants.grant();
        let process = self.process().await?;
        let ask = Ask { memory: grant.bytes(), ..ask };
        let timer = KillTimer::start(process.killer().clone(), ask.budget.time);
        let running = RunningQuery {
            asker: asker.to_owned(),
            sql: ask.sql.clone(),
            process,
            workers: self.clone(),
            timer,
            slot,
            grant,
        };
        running.process.send(&ToWorker::Ask(ask)).await?;
        Ok(running)
    }

    /// Waits for a query slot.
    pub(crate) async fn acquire_slot(&self, asker: &str) -> Result<QuerySlot, QueryError> {
        let Limits { running, wait, .. } = self.0.limits;
        let asker_count = AskerCount::new(self, asker)?;
        match tokio::time::timeout(wait, self.0.slots.clone().acquire_owned()).await {
            Ok(Ok(slot)) => Ok(QuerySlot { slot, asker_count }),
            _ => Err(QueryError::new(
                Fault::Busy,
                format!("{running} queries are running already: try again in a moment"),
            )),
        }
    }

    pub(crate) fn grant(&self) -> MemoryGrant {
        self.0.grants.grant()
    }

    fn spare(&self) -> MutexGuard<'_, Spare> {
        self.0.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the spare worker, or starts a new one.
    pub(crate) async fn process(&self) -> Result<Process, QueryError> {
        let spare = self.spare().process.take();
        let process = match spare.filter(Process::is_alive) {
            Some(process) => process,
            None => self.start_process().await?,
        };
        self.start_spare();
        Ok(process)
    }

    async fn start_process(&self) -> Result<Process, QueryError> {
        if let Some((until, error)) = &self.spare().retry_at
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        let started = match program::find(self.0.limits.program.as_deref()) {
            // Not retried later: the program may be installed at any moment.
            Err(missing) => return Err(missing),
            Ok(program) => {
                let calls = CallHandler::new(self.0.source.clone());
                Process::start(&program, &self.0.setup, calls, &self.0.watch).await
            }
        };
        let mut spare = self.spare();
        match &started {
            Ok(_) => (spare.pause, spare.retry_at) = (Duration::ZERO, None),
            Err(error) => {
                spare.pause = (spare.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                spare.retry_at = Some((Instant::now() + spare.pause, error.clone()));
            }
        }
        started
    }

    /// Starts a spare worker in the background, if one is wanted and there is none.
    fn start_spare(&self) {
        let mut spare = self.spare();
        if !self.0.limits.keeps_one_ready || spare.process.is_some() || spare.is_starting {
            return;
        }
        spare.is_starting = true;
        drop(spare);
        let workers = self.clone();
        tokio::spawn(async move {
            workers.wait_until_idle().await;
            let started = workers.start_process().await;
            let mut spare = workers.spare();
            spare.is_starting = false;
            match started {
                Ok(process) => spare.process = Some(process),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "no SQL worker is kept ready");
                    return;
                }
            }
            drop(spare);
            workers.end_when_unused();
        });
    }

    async fn wait_until_idle(&self) {
        for _ in 0..IDLE_CHECKS {
            tokio::time::sleep(IDLE_CHECK_INTERVAL).await;
            if self.0.slots.available_permits() >= self.0.limits.running {
                return;
            }
        }
    }

    /// Ends the current spare worker if it is still unused after [`SPARE_TIME`].
    fn end_when_unused(&self) {
        let workers = Arc::downgrade(&self.0);
        let killer = self.spare().process.as_ref().map(|process| process.killer().clone());
        tokio::spawn(async move {
            tokio::time::sleep(SPARE_TIME).await;
            let Some(workers) = workers.upgrade().map(Workers) else { return };
            let mut spare = workers.spare();
            let is_same = |process: &Process| {
                killer.as_ref().is_some_and(|killer| process.killer().is_of_same_process(killer))
            };
            if spare.process.as_ref().is_some_and(is_same) {
                let unused = spare.process.take();
                drop(spare);
                drop(unused);
            }
        });
    }

    /// Counts a death, and sends it to the receiver that records it.
    pub(crate) fn record(&self, death: Death) {
        self.counts().died.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(error = %death.error, "a SQL worker ended before it had answered");
        if self.0.deaths.try_send(death).is_err() {
            tracing::warn!("more SQL workers ended than could be written down");
        }
    }
}

/// One of the query slots, counted for its asker.
#[derive(Debug)]
pub(crate) struct QuerySlot {
    #[expect(dead_code, reason = "held until the query ends")]
    slot: OwnedSemaphorePermit,
    #[expect(dead_code, reason = "held until the query ends")]
    asker_count: AskerCount,
}

/// One query of an asker, running or waiting, in the count of their queries.
#[derive(Debug)]
struct AskerCount {
    workers: Workers,
    asker: String,
}

impl AskerCount {
    fn new(workers: &Workers, asker: &str) -> Result<Self, QueryError> {
        let most = workers.0.limits.running.div_ceil(2);
        let mut running = workers.0.by_asker.lock().unwrap_or_else(PoisonError::into_inner);
        let own = running.entry(asker.to_owned()).or_default();
        if *own >= most {
            return Err(QueryError::new(
                Fault::Busy,
                format!(
                    "{own} queries of {asker} are running already, half of all that may: try again in a moment"
                ),
            ));
        }
        *own += 1;
        Ok(Self { workers: workers.clone(), asker: asker.to_owned() })
    }
}

impl Drop for AskerCount {
    fn drop(&mut self) {
        let mut running = self.workers.0.by_asker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = running.get_mut(&self.asker) {
            *own -= 1;
            if *own == 0 {
                running.remove(&self.asker);
            }
        }
    }
}

/// A running query; dropping it kills its worker.
pub(crate) struct RunningQuery {
    pub(crate) process: Process,
    asker: String,
    sql: String,
    workers: Workers,
    #[expect(dead_code, reason = "disarmed when the query ends")]
    timer: KillTimer,
    #[expect(dead_code, reason = "held until the query ends")]
    slot: QuerySlot,
    #[expect(dead_code, reason = "held until the query ends")]
    grant: MemoryGrant,
}

impl RunningQuery {
    /// Records that the worker died, and returns why.
    pub(crate) async fn record_death(&self) -> QueryError {
        let error = self.process.exit_error().await;
        let (asker, sql) = (self.asker.clone(), self.sql.clone());
        self.workers.record(Death { asker, sql, error: error.clone() });
        error
    }

    /// Counts a complete answer.
    pub(crate) fn count_answer(&self) {
        self.workers.counts().answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// Kills a worker [`GRACE`] after its query's time limit; dropping it disarms it.
#[derive(Debug)]
pub(crate) struct KillTimer(tokio::task::JoinHandle<()>);

impl KillTimer {
    pub(crate) fn start(killer: Killer, time: Duration) -> Self {
        Self(tokio::spawn(async move {
            tokio::time::sleep(time.saturating_add(GRACE)).await;
            killer.kill(KillReason::Time(time));
        }))
    }
}

impl Drop for KillTimer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

const _: () = assert!(OWN_MEMORY < OWN_ADDRESS_SPACE as usize, "a worker's own memory has addresses");
