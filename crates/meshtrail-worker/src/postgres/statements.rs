//! The statements of one Postgres client: each is recorded, gets a slot and memory, and is ended in time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Client;
use crate::memory_grants::MemoryGrant;
use crate::message::Reply;
use crate::pool::{KillTimer, QuerySlot, Workers};
use crate::process::Killer;
use crate::query::{Fault, QueryError};

/// Running statements of one client, at most; open cursors and suspended portals count.
const MAX_STATEMENTS: usize = 64;

/// The statements of one connection.
pub(crate) struct ClientStatements {
    workers: Workers,
    client: Arc<dyn Client>,
    killer: Killer,
    running: Mutex<RunningStatements>,
}

#[derive(Default)]
struct RunningStatements {
    by_number: BTreeMap<u64, Statement>,
    next: u64,
    slot: Option<QuerySlot>,
}

struct Statement {
    sql: String,
    #[expect(dead_code, reason = "stops when the statement ends")]
    timer: KillTimer,
    #[expect(dead_code, reason = "held until the statement ends")]
    grant: MemoryGrant,
}

impl ClientStatements {
    pub(crate) fn new(workers: Workers, client: Arc<dyn Client>, killer: Killer) -> Self {
        Self { workers, client, killer, running: Mutex::default() }
    }

    fn running(&self) -> MutexGuard<'_, RunningStatements> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The SQL of the newest running statement.
    pub(crate) fn newest(&self) -> Option<String> {
        self.running().by_number.values().next_back().map(|statement| statement.sql.clone())
    }

    /// Records a statement and permits it to run for at most `time`; one without SQL is only planned.
    pub(crate) async fn begin(&self, sql: Option<&str>, time: Duration) -> Result<Reply, QueryError> {
        if self.running().by_number.len() >= MAX_STATEMENTS {
            return Err(QueryError::new(
                Fault::Budget,
                format!("a connection has at most {MAX_STATEMENTS} statements running: read or close some"),
            ));
        }
        if let Some(sql) = sql {
            let recorded = self.client.record_query(sql).await;
            recorded.map_err(|reason| QueryError::new(Fault::Trail, reason))?;
        }
        // Statements of one connection run one after another and share a slot.
        let slot = if self.running().slot.is_none() {
            Some(self.workers.acquire_slot(&self.client.name()).await?)
        } else {
            None
        };
        let time = time.min(self.workers.budget().time);
        let timer = KillTimer::start(self.killer.clone(), time);
        let grant = self.workers.grant();
        let memory = grant.bytes();
        let mut running = self.running();
        running.next += 1;
        let number = running.next;
        running.slot = running.slot.take().or(slot);
        running.by_number.insert(number, Statement { sql: sql.unwrap_or_default().to_owned(), timer, grant });
        Ok(Reply::Statement { statement: number, memory })
    }

    /// Ends a statement: it uses no resources any more.
    pub(crate) fn end(&self, statement: u64) {
        let mut running = self.running();
        if running.by_number.remove(&statement).is_some() {
            self.workers.counts().answered.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        if running.by_number.is_empty() {
            running.slot = None;
        }
    }
}
