//! What one client of the Postgres wire asks: written down, given a place and memory, and ended in time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Client;
use crate::ledger::Grant;
use crate::message::Reply;
use crate::pool::{Clock, QuestionPlace, Workers};
use crate::process::Killer;
use crate::question::{Fault, QueryError};

/// Statements that one client may have running: cursors and suspended portals among them.
const MOST: usize = 64;

/// The statements of one connection.
pub(crate) struct Statements {
    workers: Workers,
    client: Arc<dyn Client>,
    killer: Killer,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    by_number: BTreeMap<u64, Statement>,
    next: u64,
    place: Option<QuestionPlace>,
}

struct Statement {
    sql: String,
    #[expect(dead_code, reason = "stops when the statement ends")]
    clock: Clock,
    #[expect(dead_code, reason = "held until the statement ends")]
    grant: Grant,
}

impl Statements {
    pub(crate) fn new(workers: Workers, client: Arc<dyn Client>, killer: Killer) -> Self {
        Self { workers, client, killer, running: Mutex::default() }
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was asked last of what runs.
    pub(crate) fn newest(&self) -> Option<String> {
        self.running().by_number.values().next_back().map(|statement| statement.sql.clone())
    }

    /// Lets a statement run for at most `time` once it is written down; one without SQL is only planned.
    pub(crate) async fn begin(&self, sql: Option<&str>, time: Duration) -> Result<Reply, QueryError> {
        if self.running().by_number.len() >= MOST {
            return Err(QueryError::new(
                Fault::Budget,
                format!("a connection has at most {MOST} statements running: read or close some"),
            ));
        }
        if let Some(sql) = sql {
            let recorded = self.client.record_question(sql).await;
            recorded.map_err(|reason| QueryError::new(Fault::Trail, reason))?;
        }
        // Statements of one connection run by turns: they share one place.
        let place = if self.running().place.is_none() {
            Some(self.workers.place(&self.client.name()).await?)
        } else {
            None
        };
        let time = time.min(self.workers.budget().time);
        let clock = Clock::start(self.killer.clone(), time);
        let grant = self.workers.grant();
        let memory = grant.bytes();
        let mut running = self.running();
        running.next += 1;
        let number = running.next;
        running.place = running.place.take().or(place);
        running.by_number.insert(number, Statement { sql: sql.unwrap_or_default().to_owned(), clock, grant });
        Ok(Reply::Statement { statement: number, memory })
    }

    /// One takes nothing any more.
    pub(crate) fn ended(&self, statement: u64) {
        let mut running = self.running();
        if running.by_number.remove(&statement).is_some() {
            self.workers.counts().answered.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        if running.by_number.is_empty() {
            running.place = None;
        }
    }
}
