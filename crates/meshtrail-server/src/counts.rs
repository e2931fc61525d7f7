//! Cached summaries of the trail, one for each stretch of [`SUMMARY_EVENTS`] events, for fast counts over the whole trail.
//!
//! - Derived from leaves alone, stored in `cache/summaries` of the state folder, and deletable at any time.
//! - Bounded: only the newest `MAX_SUMMARIES` stretches have a summary; older events are read by each count.
//! - Computed in the background with at most half of one core, the newest first.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use meshtrail_query::tally::{SLOT, SUMMARY_EVENTS, Summary, Tally, summarise};
use meshtrail_trail::{Follower, ReadError, Trail};
use tokio_util::sync::CancellationToken;

/// Most summaries held: they cover a quarter of a billion events.
const MAX_SUMMARIES: u64 = 2048;

/// Pause between two reads of the trail's end.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Size limit of a summary file, in bytes; a larger one is not read.
const MAX_FILE: u64 = 16 << 20;

/// The cached summaries. Clones share them.
#[derive(Clone, Default)]
pub struct Summaries(Arc<Inner>);

#[derive(Default)]
struct Inner {
    folder: Option<PathBuf>,
    // Held for one lookup or one insertion.
    table: RwLock<Table>,
}

#[derive(Default)]
struct Table {
    /// Summaries of full stretches, by first index.
    full: BTreeMap<u64, Arc<Summary>>,
    /// The summary of the stretch that is not full yet.
    tail: Option<Arc<Summary>>,
}

impl Summaries {
    /// Summaries stored in `folder`, which is created on the first write.
    pub fn in_folder(folder: PathBuf) -> Summaries {
        Summaries(Arc::new(Inner { folder: Some(folder), ..Inner::default() }))
    }

    /// All current summaries.
    pub fn all(&self) -> Vec<Arc<Summary>> {
        let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
        table.full.values().chain(&table.tail).cloned().collect()
    }

    /// Computes missing summaries and follows the trail until `stop` is cancelled.
    pub async fn follow(self, trail: Trail, stop: CancellationToken) {
        let mut tail = Tail::at_end(&trail);
        // Only wakes this task up: `summarise` reads, stretch by stretch and with pauses.
        let mut follower = Follower::new(trail.clone(), tail.range.end, stop.clone()).with_pause(LOOK_EVERY);
        loop {
            let size = trail.size();
            match stop.run_until_cancelled(self.step(&trail, &mut tail)).await {
                None => return,
                Some(Ok(true)) => continue,
                Some(Ok(false)) => {}
                Some(Err(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "counts are not kept up with the trail"
                    );
                    if stop.run_until_cancelled(tokio::time::sleep(10 * LOOK_EVERY)).await.is_none() {
                        return;
                    }
                    // A part of the stretch may be counted already: it is counted anew.
                    tail = Tail::at_end(&trail);
                }
            }
            // Everything before it is counted, or after an error counted again once the trail grows.
            follower.advance(size);
            if follower.wait().await.is_none() {
                return;
            }
        }
    }

    /// Counts the events appended since the last call, then one missing stretch; true while there is more to do.
    async fn step(&self, trail: &Trail, tail: &mut Tail) -> Result<bool, ReadError> {
        let size = trail.size();
        while tail.range.end < size {
            let until = size.min(tail.range.start + SUMMARY_EVENTS);
            summarise(trail, tail.range.end..until, &mut tail.tally).await?;
            tail.range.end = until;
            let summary = Arc::new(Summary::new(tail.range.clone(), &tail.tally));
            if until == tail.range.start + SUMMARY_EVENTS {
                self.write(&summary).await;
                self.put(summary);
                *tail = Tail::at(until);
            } else {
                self.with_table(|table| table.tail = Some(summary));
            }
        }
        let first = trail.snapshot().first();
        let Some(missing) = self.missing(first, tail.range.start) else { return Ok(false) };
        let summary = match self.read(&missing).await {
            Some(summary) => summary,
            None => {
                let mut tally = Tally::new(SLOT, true);
                summarise(trail, missing.clone(), &mut tally).await?;
                let summary = Arc::new(Summary::new(missing, &tally));
                self.write(&summary).await;
                summary
            }
        };
        self.put(summary);
        Ok(true)
    }

    /// The newest stretch before `end` that has no summary. Drops summaries of events before `first`.
    fn missing(&self, first: u64, end: u64) -> Option<Range<u64>> {
        let oldest = first.div_ceil(SUMMARY_EVENTS).max((end / SUMMARY_EVENTS).saturating_sub(MAX_SUMMARIES));
        self.with_table(|table| {
            table.full.retain(|&start, _| start >= oldest * SUMMARY_EVENTS);
            let number = (oldest..end / SUMMARY_EVENTS)
                .rev()
                .find(|number| !table.full.contains_key(&(number * SUMMARY_EVENTS)))?;
            Some(number * SUMMARY_EVENTS..(number + 1) * SUMMARY_EVENTS)
        })
    }

    fn with_table<T>(&self, act: impl FnOnce(&mut Table) -> T) -> T {
        act(&mut self.0.table.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds the summary of a full stretch.
    fn put(&self, summary: Arc<Summary>) {
        self.with_table(|table| {
            // The tail's stretch is full now; its events must not be counted twice.
            if table.tail.as_ref().is_some_and(|tail| tail.range().start == summary.range().start) {
                table.tail = None;
            }
            table.full.insert(summary.range().start, summary);
        });
    }

    fn file(&self, range: &Range<u64>) -> Option<PathBuf> {
        Some(self.0.folder.as_ref()?.join(format!("{:020}.json", range.start)))
    }

    async fn read(&self, range: &Range<u64>) -> Option<Arc<Summary>> {
        let (path, range) = (self.file(range)?, range.clone());
        let read = tokio::task::spawn_blocking(move || {
            let size = std::fs::metadata(&path).ok()?.len();
            let bytes = (size <= MAX_FILE).then(|| std::fs::read(&path).ok())??;
            Summary::from_bytes(&bytes, &range)
        });
        read.await.ok().flatten().map(Arc::new)
    }

    /// A summary that can't be written is computed again at the next start.
    async fn write(&self, summary: &Arc<Summary>) {
        let Some(path) = self.file(&summary.range()) else { return };
        let summary = summary.clone();
        let written = tokio::task::spawn_blocking(move || {
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            // A crash right here leaves a truncated file, which is no valid JSON and is computed again.
            std::fs::write(&path, summary.to_bytes())
        });
        if let Ok(Err(error)) = written.await {
            tracing::debug!(error = &error as &dyn std::error::Error, "a summary could not be kept");
        }
    }
}

/// Counts of the stretch that is not full yet.
struct Tail {
    range: Range<u64>,
    tally: Tally,
}

impl Tail {
    /// The stretch at the trail's end, of which nothing is counted yet.
    fn at_end(trail: &Trail) -> Tail {
        Tail::at(trail.size() / SUMMARY_EVENTS * SUMMARY_EVENTS)
    }

    fn at(first: u64) -> Tail {
        Tail { range: first..first, tally: Tally::new(SLOT, true) }
    }
}
