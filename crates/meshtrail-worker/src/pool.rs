//! Questions, each in a worker of its own; one more is kept ready for the next.
//!
//! - At most [`Limits::running`] run at once, half of them of one asker; one more waits, and is then told that too many
//!   do.
//! - A question that passes its time by a second has its worker killed, whatever that does.
//! - Starting is tried again at growing intervals when it fails; until then whoever asks hears why.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshtrail_trail::Trail;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use crate::answer::Answer;
use crate::feed::{Feed, Source};
use crate::ledger::{Grant, Ledger};
use crate::message::{Ask, FromWorker, Setup, ToWorker};
use crate::process::{Kill, Killer, Process};
use crate::program;
use crate::question::{Budget, Fault, Format, QueryError};
use crate::watch::{OWN_MEMORY, Watch, WorkerCounts};

/// How long past its time a question's worker lives.
pub(crate) const GRACE: Duration = Duration::from_secs(1);
/// A worker that is kept ready ends after this long without a question.
const READY_FOR: Duration = Duration::from_secs(600);
/// Once a worker was taken, the next is started when no question runs, or after so many looks: who asked comes first.
const QUIET_LOOKS: usize = 10;
const QUIET_LOOK: Duration = Duration::from_millis(100);
/// Between attempts to start a worker.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Deaths that wait to be written down; more are counted alone.
const DEATHS_WAITING: usize = 64;
/// Address space beside what questions may take: the program, threads' stacks, what the allocator sets aside.
const OWN_ADDRESSES: u64 = 1 << 30;

/// What all questions together may take, and each alone.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The worker's program; without it, the one beside this program or on `PATH`.
    pub program: Option<PathBuf>,
    /// Bytes of memory for all questions together, beside 64 MiB for each process; past it they spill, then end.
    pub memory: usize,
    /// The folder that they spill into. It must be there, and be of no other use.
    pub spill: PathBuf,
    /// Bytes of disk that they may spill together.
    pub spill_bytes: u64,
    /// What one question may take, unless it is asked with another budget.
    pub budget: Budget,
    /// How many questions run at once.
    pub running: usize,
    /// How long one waits for its turn.
    pub wait: Duration,
    /// How many threads one question uses.
    pub threads: usize,
    /// Whether a worker is kept ready after the first question.
    pub keeps_one_ready: bool,
}

impl Limits {
    /// The usual, spilling into `spill`.
    pub fn spilling_into(spill: PathBuf) -> Self {
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

/// A question for [`Workers::ask`].
#[derive(Debug, Clone)]
pub struct Question {
    /// Who asks, by a name that is theirs: one asker never has all places.
    pub asker: String,
    /// In SQL.
    pub sql: String,
    /// How the answer is written.
    pub format: Format,
    /// What it may take.
    pub budget: Budget,
    /// Rows that are wanted, at most.
    pub limit: Option<u64>,
}

/// A worker that ended before its question was answered.
#[derive(Debug, Clone)]
pub struct Death {
    /// Who asked.
    pub asker: String,
    /// What it was asked, as far as that is known.
    pub sql: String,
    /// Why it ended.
    pub error: QueryError,
}

/// SQL over one trail; cheap to clone.
#[derive(Clone)]
pub struct Workers(Arc<Inner>);

struct Inner {
    limits: Limits,
    setup: Setup,
    source: Source,
    watch: Watch,
    ledger: Ledger,
    places: Arc<Semaphore>,
    running: Mutex<HashMap<String, usize>>,
    ready: Mutex<Ready>,
    deaths: mpsc::Sender<Death>,
    deaths_to_tell: Mutex<Option<mpsc::Receiver<Death>>>,
    /// What must be there for as long as workers run.
    held: Mutex<Option<Box<dyn std::any::Any + Send>>>,
}

/// The worker that is kept ready, and when another may be started.
#[derive(Default)]
struct Ready {
    process: Option<Process>,
    is_starting: bool,
    pause: Duration,
    not_before: Option<(Instant, QueryError)>,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

impl Workers {
    /// Workers that read `trail`. None is started before somebody asks.
    pub fn new(trail: Trail, limits: Limits) -> Self {
        let setup = Setup {
            address_space: OWN_ADDRESSES + limits.memory as u64,
            caches: limits.memory / 4,
            threads: limits.threads,
            // A worker stands in another folder.
            spill: std::path::absolute(&limits.spill).unwrap_or_else(|_| limits.spill.clone()),
            spill_bytes: limits.spill_bytes,
        };
        let (deaths, deaths_to_tell) = mpsc::channel(DEATHS_WAITING);
        Self(Arc::new(Inner {
            setup,
            source: Source::new(trail, limits.memory / 8),
            watch: Watch::new(limits.memory, limits.spill_bytes),
            ledger: Ledger::new(limits.memory - limits.memory / 4),
            places: Arc::new(Semaphore::new(limits.running)),
            running: Mutex::default(),
            ready: Mutex::default(),
            deaths,
            deaths_to_tell: Mutex::new(Some(deaths_to_tell)),
            held: Mutex::default(),
            limits,
        }))
    }

    /// The same, holding something until the last of them goes: a folder that is removed then.
    #[must_use]
    pub fn holding(self, held: impl std::any::Any + Send) -> Self {
        let before = self.0.held.lock().unwrap_or_else(PoisonError::into_inner).replace(Box::new(held));
        drop(before);
        self
    }

    /// What a question may take unless it says otherwise.
    pub fn budget(&self) -> &Budget {
        &self.0.limits.budget
    }

    /// How many workers there were, and how they ended.
    pub fn counts(&self) -> &WorkerCounts {
        self.0.watch.counts()
    }

    /// Workers that end before they have answered, for whoever writes it down; given once.
    pub fn deaths(&self) -> Option<mpsc::Receiver<Death>> {
        self.0.deaths_to_tell.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether there is a program to answer.
    pub fn is_there(&self) -> Result<(), QueryError> {
        program::find(self.0.limits.program.as_deref()).map(drop)
    }

    /// Whether `sql` may be asked.
    pub async fn check(&self, asker: &str, sql: &str) -> Result<(), QueryError> {
        let budget = self.budget().clone();
        let ask = Ask { sql: sql.to_owned(), format: None, budget, limit: None, memory: 0 };
        let mut running = self.start(asker, ask).await?;
        match running.process.events.recv().await {
            Some(FromWorker::Checked) => Ok(()),
            Some(FromWorker::Failed(error)) => Err(error),
            _ => Err(running.died().await),
        }
    }

    /// Asks, and waits for the first bytes of the answer. It sees everything that was acknowledged before the call.
    pub async fn ask(&self, question: Question) -> Result<Answer, QueryError> {
        let Question { asker, sql, format, budget, limit } = question;
        let running = self.start(&asker, Ask { sql, format: Some(format), budget, limit, memory: 0 }).await?;
        Answer::begin(running, format).await
    }

    async fn start(&self, asker: &str, ask: Ask) -> Result<Running, QueryError> {
        let place = self.place(asker).await?;
        let grant = self.0.ledger.grant();
        let process = self.process().await?;
        let ask = Ask { memory: grant.bytes(), ..ask };
        let clock = Clock::start(process.killer().clone(), ask.budget.time);
        let running = Running {
            asker: asker.to_owned(),
            sql: ask.sql.clone(),
            process,
            workers: self.clone(),
            clock,
            place,
            grant,
        };
        running.process.send(&ToWorker::Ask(ask)).await?;
        Ok(running)
    }

    /// A place among the questions that run.
    pub(crate) async fn place(&self, asker: &str) -> Result<QuestionPlace, QueryError> {
        let Limits { running, wait, .. } = self.0.limits;
        let counted = Counted::new(self, asker)?;
        match tokio::time::timeout(wait, self.0.places.clone().acquire_owned()).await {
            Ok(Ok(place)) => Ok(QuestionPlace { place, counted }),
            _ => Err(QueryError::new(
                Fault::Busy,
                format!("{running} queries are running already: try again in a moment"),
            )),
        }
    }

    pub(crate) fn grant(&self) -> Grant {
        self.0.ledger.grant()
    }

    fn ready(&self) -> MutexGuard<'_, Ready> {
        self.0.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker that nobody else has: the one that is ready, or a new one.
    pub(crate) async fn process(&self) -> Result<Process, QueryError> {
        let ready = self.ready().process.take();
        let process = match ready.filter(Process::is_alive) {
            Some(process) => process,
            None => self.start_process().await?,
        };
        self.make_ready();
        Ok(process)
    }

    async fn start_process(&self) -> Result<Process, QueryError> {
        if let Some((until, error)) = &self.ready().not_before
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        let started = match program::find(self.0.limits.program.as_deref()) {
            // What is not there may be put there at any moment.
            Err(missing) => return Err(missing),
            Ok(program) => {
                let feed = Feed::new(self.0.source.clone());
                Process::start(&program, &self.0.setup, feed, &self.0.watch).await
            }
        };
        let mut ready = self.ready();
        match &started {
            Ok(_) => (ready.pause, ready.not_before) = (Duration::ZERO, None),
            Err(error) => {
                ready.pause = (ready.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                ready.not_before = Some((Instant::now() + ready.pause, error.clone()));
            }
        }
        started
    }

    /// Has another worker ready soon, if one is to be kept and there is none.
    fn make_ready(&self) {
        let mut ready = self.ready();
        if !self.0.limits.keeps_one_ready || ready.process.is_some() || ready.is_starting {
            return;
        }
        ready.is_starting = true;
        drop(ready);
        let workers = self.clone();
        tokio::spawn(async move {
            workers.wait_for_quiet().await;
            let started = workers.start_process().await;
            let mut ready = workers.ready();
            ready.is_starting = false;
            match started {
                Ok(process) => ready.process = Some(process),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "no SQL worker is kept ready");
                    return;
                }
            }
            drop(ready);
            workers.let_go_unused();
        });
    }

    async fn wait_for_quiet(&self) {
        for _ in 0..QUIET_LOOKS {
            tokio::time::sleep(QUIET_LOOK).await;
            if self.0.places.available_permits() >= self.0.limits.running {
                return;
            }
        }
    }

    /// Ends the worker that is ready now, should nobody have taken it for long.
    fn let_go_unused(&self) {
        let workers = Arc::downgrade(&self.0);
        let killer = self.ready().process.as_ref().map(|process| process.killer().clone());
        tokio::spawn(async move {
            tokio::time::sleep(READY_FOR).await;
            let Some(workers) = workers.upgrade().map(Workers) else { return };
            let mut ready = workers.ready();
            let is_same = |process: &Process| {
                killer.as_ref().is_some_and(|killer| process.killer().is_of_same_process(killer))
            };
            if ready.process.as_ref().is_some_and(is_same) {
                let unused = ready.process.take();
                drop(ready);
                drop(unused);
            }
        });
    }

    /// Counts a death, and hands it to whoever writes it down.
    pub(crate) fn record(&self, death: Death) {
        self.counts().died.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(error = %death.error, "a SQL worker ended before it had answered");
        if self.0.deaths.try_send(death).is_err() {
            tracing::warn!("more SQL workers ended than could be written down");
        }
    }
}

/// A place among the questions that run, which counts for its asker.
#[derive(Debug)]
pub(crate) struct QuestionPlace {
    #[expect(dead_code, reason = "held until it is given back")]
    place: OwnedSemaphorePermit,
    #[expect(dead_code, reason = "held until it is given back")]
    counted: Counted,
}

/// One question of an asker, running or waiting.
#[derive(Debug)]
struct Counted {
    workers: Workers,
    asker: String,
}

impl Counted {
    fn new(workers: &Workers, asker: &str) -> Result<Self, QueryError> {
        let most = workers.0.limits.running.div_ceil(2);
        let mut running = workers.0.running.lock().unwrap_or_else(PoisonError::into_inner);
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

impl Drop for Counted {
    fn drop(&mut self) {
        let mut running = self.workers.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = running.get_mut(&self.asker) {
            *own -= 1;
            if *own == 0 {
                running.remove(&self.asker);
            }
        }
    }
}

/// A question that runs. Dropped, its worker is killed.
pub(crate) struct Running {
    pub(crate) process: Process,
    asker: String,
    sql: String,
    workers: Workers,
    #[expect(dead_code, reason = "stops when the question does")]
    clock: Clock,
    #[expect(dead_code, reason = "held for as long as the question runs")]
    place: QuestionPlace,
    #[expect(dead_code, reason = "held for as long as the question runs")]
    grant: Grant,
}

impl Running {
    /// Its worker ended without a word: why, which is recorded.
    pub(crate) async fn died(&self) -> QueryError {
        let error = self.process.died().await;
        let (asker, sql) = (self.asker.clone(), self.sql.clone());
        self.workers.record(Death { asker, sql, error: error.clone() });
        error
    }

    /// Its answer is whole.
    pub(crate) fn answered(&self) {
        self.workers.counts().answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// Kills a worker whose question passes its time by a second; dropped, it does nothing any more.
#[derive(Debug)]
pub(crate) struct Clock(tokio::task::JoinHandle<()>);

impl Clock {
    pub(crate) fn start(killer: Killer, time: Duration) -> Self {
        Self(tokio::spawn(async move {
            tokio::time::sleep(time.saturating_add(GRACE)).await;
            killer.kill(Kill::Time(time));
        }))
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.0.abort();
    }
}

const _: () = assert!(OWN_MEMORY < OWN_ADDRESSES as usize, "a worker's own memory has addresses");
