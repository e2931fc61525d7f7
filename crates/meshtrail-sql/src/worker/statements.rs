//! What a client of the Postgres wire has running, as the server is told.
//!
//! - A statement runs only after the server let it: it is written down by then, and has a place, memory and a time.
//! - A statement has ended when nothing of it computes any more, not when its rows were taken: the server goes on
//!   counting its time until then.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshtrail_worker::QueryError;
use meshtrail_worker::message::{Call, FromWorker, Reply};

use super::confine;
use super::link::Link;
use crate::engine::Engine;

/// How often it is looked whether a statement's tasks have ended.
const LOOK: Duration = Duration::from_millis(2);
/// Beside what its threads may take, the process's own.
const OWN_TIME: Duration = Duration::from_secs(5);

/// Processor time for a question that may run for `time`.
pub(super) fn processor_time(time: Duration, threads: usize) -> Duration {
    let threads = u32::try_from(threads).unwrap_or(u32::MAX);
    time.saturating_mul(threads.saturating_add(1)).saturating_add(OWN_TIME)
}

/// The statements of one client; cheap to clone.
#[derive(Clone)]
pub(crate) struct Statements(Arc<Inner>);

struct Inner {
    link: Arc<Link>,
    engine: Engine,
    running: AtomicUsize,
    /// Bytes that the server has granted to what runs.
    granted: AtomicUsize,
    current: Mutex<Vec<Guard>>,
}

/// A statement that runs; dropped, it ends.
pub(crate) struct Guard {
    statements: Statements,
    statement: u64,
    memory: usize,
}

impl fmt::Debug for Statements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statements").finish_non_exhaustive()
    }
}

impl Statements {
    pub(super) fn new(link: Arc<Link>, engine: Engine) -> Self {
        Self(Arc::new(Inner {
            link,
            engine,
            running: AtomicUsize::new(0),
            granted: AtomicUsize::new(0),
            current: Mutex::default(),
        }))
    }

    /// Has the server let a statement run, which it writes down first; `sql` is none if it is only planned.
    pub(crate) async fn begin(&self, sql: Option<&str>, time: Duration) -> Result<Guard, QueryError> {
        let call = Call::Statement { sql: sql.map(str::to_owned), time };
        let Reply::Statement { statement, memory } = self.0.link.call(call).await?.reply else {
            return Err(super::remote::unexpected());
        };
        self.0.running.fetch_add(1, Ordering::Relaxed);
        let granted = self.0.granted.fetch_add(memory, Ordering::Relaxed) + memory;
        self.0.engine.grant(granted);
        confine::allow_processor(processor_time(time, self.0.engine.threads()));
        Ok(Guard { statements: self.clone(), statement, memory })
    }

    /// Keeps a statement for whoever makes its rows.
    pub(crate) fn set_current(&self, guard: Guard) {
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner).push(guard);
    }

    /// Takes the statements that were kept.
    pub(crate) fn take_current(&self) -> Vec<Guard> {
        std::mem::take(&mut *self.0.current.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let (statements, statement) = (self.statements.clone(), self.statement);
        let granted = statements.0.granted.fetch_sub(self.memory, Ordering::Relaxed) - self.memory;
        if granted > 0 {
            statements.0.engine.grant(granted);
        }
        let watcher = std::thread::Builder::new().name("statement".to_owned());
        let started = watcher.spawn(move || {
            let Inner { link, engine, running, .. } = &*statements.0;
            // Tasks of several statements can't be told apart: the last one waits for all.
            if running.fetch_sub(1, Ordering::Relaxed) == 1 {
                while engine.handle().metrics().num_alive_tasks() > 0 && running.load(Ordering::Relaxed) == 0
                {
                    std::thread::sleep(LOOK);
                }
            }
            link.send(&FromWorker::StatementEnded { statement });
        });
        // Without the thread the server goes on counting, which is the safe side.
        drop(started);
    }
}
