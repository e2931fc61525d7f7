//! Cache of traffic matrices, so that the network page is answered without delay.
//!
//! - A matrix older than [`REFRESH_AFTER`] is still returned, with its time, while a new one is computed in the
//!   background; one older than [`MAX_AGE`] is not.
//! - The first matrix of a query covers as much as is counted within [`FIRST_BUDGET`] and names the time from which it is
//!   complete; the complete one is computed in the background.
//! - At most [`MAX_ENTRIES`] matrices are held. At most one background computation runs for each query.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshtrail_event::Timestamp;
use meshtrail_flow::{FlowQuery, Grain, conversations};
use meshtrail_identity::History;
use meshtrail_trail::{ReadError, Trail};

use super::edges::{TrafficEdge, edges_of};

/// Age from which a matrix is recomputed.
const REFRESH_AFTER: Duration = Duration::from_secs(15);

/// Age from which a matrix is no longer returned.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Most matrices held; the oldest is dropped for a new one.
const MAX_ENTRIES: usize = 12;

/// Time limit for the first matrix of a query, which a reader waits for.
const FIRST_BUDGET: Duration = Duration::from_millis(120);

/// Time limit for a computation in the background.
const REFRESH_BUDGET: Duration = Duration::from_secs(60);

/// Most pairs of endpoints in a matrix.
const MAX_PAIRS: usize = 50_000;

/// Which traffic a matrix covers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TrafficQuery {
    /// How far back, in hours.
    pub hours: u64,
    /// One layer, or all where it is empty.
    pub layer: String,
}

/// Who exchanged traffic with whom, as of `until`.
pub struct TrafficMatrix {
    /// The beginning of the time it covers.
    pub since: Timestamp,
    /// The end of the time it covers.
    pub until: Timestamp,
    /// The time from which all traffic was counted, where it is later than `since`.
    pub complete_from: Option<Timestamp>,
    /// Number of pairs left out, each with less traffic than any in `edges`.
    pub omitted_pairs: usize,
    /// The busiest first.
    pub edges: Vec<TrafficEdge>,
}

/// The traffic matrices of a trail, cached by query. Clones share the cache.
#[derive(Clone)]
pub struct TrafficCache(Arc<Inner>);

struct Inner {
    trail: Trail,
    history: History,
    entries: Entries,
}

/// The cached matrices, by query.
#[derive(Default)]
struct Entries {
    // Never held across an await.
    table: Mutex<HashMap<TrafficQuery, Entry>>,
}

#[derive(Default)]
struct Entry {
    matrix: Option<Arc<TrafficMatrix>>,
    /// Whether a new matrix is being computed in the background.
    refreshing: bool,
}

impl TrafficCache {
    /// The matrices of `trail`, with the people and devices of `history`.
    pub fn new(trail: Trail, history: History) -> TrafficCache {
        TrafficCache(Arc::new(Inner { trail, history, entries: Entries::default() }))
    }

    /// The traffic matrix of `query`, from the cache or computed now.
    pub async fn matrix(
        &self,
        query: &TrafficQuery,
        now: Timestamp,
    ) -> Result<Arc<TrafficMatrix>, ReadError> {
        let Inner { trail, history, entries } = &*self.0;
        let (shown, compute_next) = entries.lookup(query, now);
        let matrix = match shown {
            Some(matrix) => matrix,
            None => compute(trail, history, query, now, FIRST_BUDGET).await?,
        };
        if compute_next && matrix.complete_from.is_none() && matrix.until == now {
            entries.store(query, Some(matrix.clone()));
        } else if compute_next {
            entries.start_refresh(query);
            tokio::spawn(self.clone().refresh(query.clone()));
        }
        Ok(matrix)
    }

    /// Computes a complete matrix and stores it.
    async fn refresh(self, query: TrafficQuery) {
        let Inner { trail, history, entries } = &*self.0;
        let matrix = compute(trail, history, &query, Timestamp::now(), REFRESH_BUDGET).await;
        let matrix = matrix.inspect_err(|error| {
            tracing::warn!(error = error as &dyn std::error::Error, "no new picture of the traffic")
        });
        entries.store(&query, matrix.ok());
    }
}

impl Entries {
    fn lock(&self) -> MutexGuard<'_, HashMap<TrafficQuery, Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cached matrix, and whether the caller must compute the next one.
    fn lookup(&self, query: &TrafficQuery, now: Timestamp) -> (Option<Arc<TrafficMatrix>>, bool) {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(query) else { return (None, true) };
        let age = |matrix: &Arc<TrafficMatrix>| now.since(matrix.until);
        let shown = entry.matrix.clone().filter(|matrix| age(matrix) < MAX_AGE);
        let compute_next =
            !entry.refreshing && entry.matrix.as_ref().is_none_or(|matrix| age(matrix) >= REFRESH_AFTER);
        (shown, compute_next)
    }

    /// Marks a background computation as running; [`store`](Self::store) ends it.
    fn start_refresh(&self, query: &TrafficQuery) {
        self.lock().entry(query.clone()).or_default().refreshing = true;
    }

    /// Stores the result of a computation; `None` after a failure, which keeps the matrix there was.
    fn store(&self, query: &TrafficQuery, matrix: Option<Arc<TrafficMatrix>>) {
        let mut entries = self.lock();
        if entries.len() >= MAX_ENTRIES && !entries.contains_key(query) {
            let until = |entry: &Entry| entry.matrix.as_ref().map(|matrix| matrix.until);
            let oldest = entries.iter().min_by_key(|(_, entry)| until(entry)).map(|(query, _)| query.clone());
            oldest.and_then(|oldest| entries.remove(&oldest));
        }
        let entry = entries.entry(query.clone()).or_default();
        entry.refreshing = false;
        entry.matrix = matrix.or_else(|| entry.matrix.take());
    }
}

async fn compute(
    trail: &Trail,
    history: &History,
    query: &TrafficQuery,
    now: Timestamp,
    budget: Duration,
) -> Result<Arc<TrafficMatrix>, ReadError> {
    let since = now.before(Duration::from_secs(query.hours * 3600));
    let ask = FlowQuery {
        since,
        until: now,
        layer: (!query.layer.is_empty()).then(|| query.layer.clone()),
        person: None,
        device: None,
        port: None,
        grain: Grain::Pair,
        limit: MAX_PAIRS,
        budget,
    };
    let found = conversations(trail, &ask).await?;
    Ok(Arc::new(TrafficMatrix {
        since,
        until: now,
        complete_from: found.reaches_back_to.filter(|at| *at > since),
        omitted_pairs: found.total.saturating_sub(found.items.len()),
        edges: edges_of(found.items, history),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(until: Timestamp) -> Arc<TrafficMatrix> {
        Arc::new(TrafficMatrix {
            since: Timestamp::default(),
            until,
            complete_from: None,
            omitted_pairs: 0,
            edges: Vec::new(),
        })
    }

    fn query(hours: u64) -> TrafficQuery {
        TrafficQuery { hours, layer: String::new() }
    }

    #[test]
    fn an_old_picture_is_shown_while_one_and_only_one_new_is_made() {
        let cache = Entries::default();
        let then = Timestamp::from_nanos(1_000_000_000_000);
        let lookup = |now: Timestamp| {
            let (shown, compute_next) = cache.lookup(&query(24), now);
            (shown.is_some(), compute_next)
        };
        assert_eq!(lookup(then), (false, true));
        cache.store(&query(24), Some(matrix(then)));
        assert_eq!(lookup(then.after(REFRESH_AFTER / 2)), (true, false));
        assert_eq!(lookup(then.after(REFRESH_AFTER)), (true, true));
        cache.start_refresh(&query(24));
        assert_eq!(lookup(then.after(REFRESH_AFTER)), (true, false), "one is being made already");
        cache.store(&query(24), None);
        assert_eq!(lookup(then.after(REFRESH_AFTER)), (true, true), "after a failure it is tried again");
        assert!(!lookup(then.after(MAX_AGE)).0);
    }

    #[test]
    fn the_oldest_picture_goes_when_there_are_too_many() {
        let cache = Entries::default();
        for hours in 0..(MAX_ENTRIES as u64 + 5) {
            cache.store(&query(hours), Some(matrix(Timestamp::from_nanos(1 + hours as i64))));
        }
        assert_eq!(cache.lock().len(), MAX_ENTRIES);
        assert!(cache.lock().contains_key(&query(MAX_ENTRIES as u64 + 4)));
        assert!(!cache.lock().contains_key(&query(0)));
    }
}
