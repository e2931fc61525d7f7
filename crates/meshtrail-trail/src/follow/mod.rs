//! Following a trail: reading it from an index on, waiting for more, and going on.
//!
//! ```no_run
//! # use meshtrail_trail::{CursorError, Follower, NamedCursor, ReadError, Trail};
//! # async fn example(
//! #     trail: Trail,
//! #     local: &std::path::Path,
//! #     stop: tokio_util::sync::CancellationToken,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let mut cursor = NamedCursor::open(local, "detect")?;
//! let from = cursor.position(&trail)?.map_or(0, |position| position.index);
//! let mut follower = Follower::new(trail.clone(), from, stop);
//! while let Some(batch) = follower.read().await? {
//!     // ... work on batch.leaves ...
//!     follower.advance(batch.range.end);
//!     cursor.save(trail.position(follower.position())).await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - Every follower has its own position. A slow one delays nobody and misses nothing, except what retention drops.
//! - The position moves only by [`Follower::advance`]. A batch that the reader did not finish is read again, and so is
//!   one that could not be read.
//! - A batch is bounded by a number of indexes and by [`MAX_BYTES`] of leaves.
//! - A stop ends every wait and every read; it never cuts off what the reader does with a batch.
//! - Where a reader must go on after a restart, it saves its position under a name: see [`cursor`].
//!
//! What a reader does with events is not known here.

pub mod cursor;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use meshtrail_event::Family;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{ReadError, Scan, Trail};

/// The most indexes of a batch, unless the reader sets another limit.
const MAX_INDEXES: u64 = 20_000;

/// Bytes of leaves after which a batch ends.
pub const MAX_BYTES: usize = 4 << 20;

/// How long a follower waits after a failed read if the trail does not grow.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The least time between a failed read and the next, however fast the trail grows.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A reader's position in a trail, and its wait for more.
pub struct Follower {
    trail: Trail,
    size: watch::Receiver<u64>,
    stop: CancellationToken,
    families: Vec<Family>,
    max_indexes: u64,
    pause: Duration,
    position: u64,
    /// The trail's size when the follower woke up: batches up to it follow each other without a wait.
    end: u64,
    /// Set after a failed read: the trail's size that was known then.
    failed_at: Option<u64>,
}

/// Consecutive events of a trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The indexes that were read; never empty.
    pub range: Range<u64>,
    /// The events of the follower's families in that range, with their indexes, in order.
    pub leaves: Vec<(u64, Bytes)>,
    /// Whether it reaches the size that the trail had when the follower woke up: the next batch may need a wait.
    pub is_last: bool,
}

impl Follower {
    /// Follows `trail` from `position`, the first index that is read, until `stop`. A position beyond the trail's end
    /// waits until the trail gets there.
    pub fn new(trail: Trail, position: u64, stop: CancellationToken) -> Self {
        let size = trail.subscribe();
        let end = *size.borrow();
        let (families, max_indexes) = (Family::ALL.to_vec(), MAX_INDEXES);
        Self {
            trail,
            size,
            stop,
            families,
            max_indexes,
            pause: Duration::ZERO,
            position,
            end,
            failed_at: None,
        }
    }

    /// Reads these families alone. Events of others count as read.
    #[must_use]
    pub fn with_families(self, families: &[Family]) -> Self {
        Self { families: families.to_vec(), ..self }
    }

    /// Reads at most this many indexes at a time.
    #[must_use]
    pub fn with_max_indexes(self, max_indexes: u64) -> Self {
        Self { max_indexes: max_indexes.max(1), ..self }
    }

    /// Waits this long between the wake-up by a new event and reading, so that a trail that grows fast is read a few
    /// times a second only. A follower that is behind does not pause.
    #[must_use]
    pub fn with_pause(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// The index after the last event that the reader is done with.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Number of events in the trail that the reader is not done with.
    pub fn behind(&self) -> u64 {
        self.trail.size().saturating_sub(self.position)
    }

    /// Records that the reader is done with everything before `position`.
    pub fn advance(&mut self, position: u64) {
        self.position = position;
    }

    /// Skips the oldest events if the follower is more than `most` events behind. Returns how many it skipped.
    pub fn skip_backlog(&mut self, most: u64) -> u64 {
        let skipped = self.behind().saturating_sub(most);
        self.position += skipped;
        skipped
    }

    /// Waits until the trail has events at the position, and returns the indexes of the next batch. `None` after a stop,
    /// even if there is more to read.
    ///
    /// For readers that read by themselves; all others call [`Follower::read`].
    pub async fn wait(&mut self) -> Option<Range<u64>> {
        let stop = self.stop.clone();
        if stop.is_cancelled() {
            return None;
        }
        if self.position >= self.end || self.failed_at.is_some() {
            stop.run_until_cancelled(self.wait_for_more()).await?;
            // Read after the pause: what came meanwhile is part of the same wake-up.
            (self.end, self.failed_at) = (self.trail.size(), None);
        }
        Some(self.position..self.end.min(self.position.saturating_add(self.max_indexes)))
    }

    async fn wait_for_more(&mut self) {
        let (failed_at, size) = (self.failed_at, &mut self.size);
        let known = failed_at.unwrap_or(0).max(self.position);
        // Never fails: the trail, which this holds, has the sender.
        let grows = async { drop(size.wait_for(|size| *size > known).await) };
        let pause = match failed_at {
            // Something is there to be read, whether or not the trail grows.
            Some(_) => {
                drop(tokio::time::timeout(RETRY_AFTER, grows).await);
                self.pause.max(RETRY_PAUSE)
            }
            None => {
                grows.await;
                self.pause
            }
        };
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }

    /// Waits for events, and reads the next batch; `None` after a stop. The position stays until [`Follower::advance`].
    ///
    /// After an error the next call reads the same batch again. It waits until the trail grows or five seconds are over,
    /// and one second more, so that a damaged place costs little however often it is tried.
    pub fn read(&mut self) -> BoxFuture<'_, Result<Option<Batch>, ReadError>> {
        // Boxed: a bare future would be compiled again in every crate that awaits it.
        self.read_next().boxed()
    }

    async fn read_next(&mut self) -> Result<Option<Batch>, ReadError> {
        let Some(range) = self.wait().await else { return Ok(None) };
        let stop = self.stop.clone();
        match stop.run_until_cancelled(self.read_range(range)).await {
            Some(Err(error)) => {
                self.failed_at = Some(self.end);
                Err(error)
            }
            Some(Ok(batch)) => Ok(Some(batch)),
            None => Ok(None),
        }
    }

    async fn read_range(&self, mut range: Range<u64>) -> Result<Batch, ReadError> {
        let scan = Scan { families: self.families.clone(), ..Scan::oldest(range.clone()) };
        let mut rows = std::pin::pin!(self.trail.scan(scan));
        let (mut leaves, mut bytes) = (Vec::new(), 0);
        while let Some((index, leaf)) = rows.try_next().await? {
            bytes += leaf.len();
            leaves.push((index, leaf));
            if bytes >= MAX_BYTES {
                range.end = index + 1;
                break;
            }
        }
        Ok(Batch { is_last: range.end >= self.end, range, leaves })
    }
}
