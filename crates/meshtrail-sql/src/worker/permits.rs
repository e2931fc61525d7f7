//! Permits for the statements of a Postgres client, which the server grants.
//!
//! - A statement runs only with a permit: by then the server has recorded it and given it a slot, memory and a time limit.
//! - A statement has ended when none of its tasks runs any more, not when its rows were read: the server's timer runs until
//!   then.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshtrail_worker::QueryError;
use meshtrail_worker::message::{Call, FromWorker, Reply};

use super::confine;
use super::link::Link;
use crate::engine::Engine;

/// How often a finished statement's tasks are checked for their end.
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// Processor time of the process beside that of the query's threads.
const EXTRA_TIME: Duration = Duration::from_secs(5);

/// The processor time of a query that may run for `time`.
pub(super) fn processor_time(time: Duration, threads: usize) -> Duration {
    let threads = u32::try_from(threads).unwrap_or(u32::MAX);
    time.saturating_mul(threads.saturating_add(1)).saturating_add(EXTRA_TIME)
}

/// Requests permits for the statements of one client; cheap to clone.
#[derive(Clone)]
pub(crate) struct StatementPermits(Arc<Inner>);

struct Inner {
    link: Arc<Link>,
    engine: Engine,
    running: AtomicUsize,
    /// Bytes of memory that the server has granted to running statements.
    granted: AtomicUsize,
    current: Mutex<Vec<StatementPermit>>,
}

/// Permission to run one statement; dropping it reports the statement's end.
pub(crate) struct StatementPermit {
    statements: StatementPermits,
    statement: u64,
    memory: usize,
}

impl fmt::Debug for StatementPermits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatementPermits").finish_non_exhaustive()
    }
}

impl StatementPermits {
    pub(super) fn new(link: Arc<Link>, engine: Engine) -> Self {
        Self(Arc::new(Inner {
            link,
            engine,
            running: AtomicUsize::new(0),
            granted: AtomicUsize::new(0),
            current: Mutex::default(),
        }))
    }

    /// Asks the server to record and permit a statement; `sql` is none if it is only planned, which is not recorded.
    pub(crate) async fn begin(
        &self,
        sql: Option<&str>,
        time: Duration,
    ) -> Result<StatementPermit, QueryError> {
        let call = Call::Statement { sql: sql.map(str::to_owned), time };
        let Reply::Statement { statement, memory } = self.0.link.call(call).await?.reply else {
            return Err(super::remote::unexpected_reply());
        };
        self.0.running.fetch_add(1, Ordering::Relaxed);
        let granted = self.0.granted.fetch_add(memory, Ordering::Relaxed) + memory;
        self.0.engine.grant(granted);
        confine::allow_processor(processor_time(time, self.0.engine.threads()));
        Ok(StatementPermit { statements: self.clone(), statement, memory })
    }

    /// Stores a permit until the statement's rows take it over.
    pub(crate) fn set_current(&self, permit: StatementPermit) {
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner).push(permit);
    }

    /// Takes the stored permits.
    pub(crate) fn take_current(&self) -> Vec<StatementPermit> {
        std::mem::take(&mut *self.0.current.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for StatementPermit {
    fn drop(&mut self) {
        let (statements, statement) = (self.statements.clone(), self.statement);
        let granted = statements.0.granted.fetch_sub(self.memory, Ordering::Relaxed) - self.memory;
        if granted > 0 {
            statements.0.engine.grant(granted);
        }
        let watcher = std::thread::Builder::new().name("statement".to_owned());
        let started = watcher.spawn(move || {
            let Inner { link, engine, running, .. } = &*statements.0;
            // Tasks can't be assigned to statements: the last statement waits for all tasks.
            if running.fetch_sub(1, Ordering::Relaxed) == 1 {
                while engine.handle().metrics().num_alive_tasks() > 0 && running.load(Ordering::Relaxed) == 0
                {
                    std::thread::sleep(POLL_INTERVAL);
                }
            }
            link.send(&FromWorker::StatementEnded { statement });
        });
        // Without the thread the server's timer keeps running, which is safe.
        drop(started);
    }
}
