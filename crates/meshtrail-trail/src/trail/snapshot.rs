//! Snapshots of a trail, for readers of many rows of few columns.
//!
//! - Each durable event is in it once: in a sealed file, or among the events of the log behind them.
//! - Taking a snapshot reads nothing. Sealed files never change; events of the log that are sealed before they are read
//!   are read from their segments.
//! - Retention may delete a file while it is read, which is an error, never a result with fewer rows.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use meshtrail_event::{Family, TrailName};

use super::log_index::Commit;
use super::scan::{self, Scan};
use super::shared::{SealedState, Shared};
use super::{ReadError, Trail};
use crate::manifest::SegmentFile;
use crate::run_blocking;
use crate::segment::{SegmentEnd, SegmentError, SegmentReader};

/// A snapshot of a trail; cheap to clone.
#[derive(Clone)]
pub struct Snapshot {
    shared: Arc<Shared>,
    sealed: Arc<SealedState>,
    commits: Arc<[Commit]>,
    end: u64,
}

impl Trail {
    /// Takes a snapshot with at least everything that was acknowledged before the call.
    pub fn snapshot(&self) -> Snapshot {
        let size = self.size();
        // A commit leaves the edge only after its segments are visible, so that reading in this order leaves no gap.
        let edge = self.shared.edge();
        let sealed = self.shared.sealed();
        let end = size.max(sealed.size);
        let commits = edge.log_index.between(sealed.size, end).into();
        drop(edge);
        Snapshot { shared: self.shared.clone(), sealed, commits, end }
    }
}

impl Snapshot {
    /// The trail's name.
    pub fn trail(&self) -> &TrailName {
        &self.shared.name
    }

    /// The index of the first event that retention has left.
    pub fn first(&self) -> u64 {
        self.sealed.retired_size()
    }

    /// The index after the last event in a sealed file.
    pub fn sealed(&self) -> u64 {
        self.sealed.size
    }

    /// The index after the last event.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The sealed files, by index.
    pub fn files(&self) -> impl DoubleEndedIterator<Item = &SegmentFile> {
        self.sealed.segments.iter().flat_map(|segment| &segment.files)
    }

    /// Reads the end of a sealed file: its footer and indexes.
    pub async fn read_end(&self, path: &str, size: u64) -> Result<SegmentEnd, SegmentError> {
        SegmentEnd::read(&self.shared.store, &self.shared.key(path), size).await
    }

    /// Reads ranges of a sealed file, in the order requested.
    pub async fn read_ranges(&self, path: &str, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, SegmentError> {
        Ok(self.shared.store.get_ranges(&self.shared.key(path), ranges).await?)
    }

    /// Opens a sealed file as a file, which can be sent to another process; none in a bucket.
    pub async fn open_file(&self, path: &str) -> Result<Option<File>, SegmentError> {
        Ok(self.shared.store.open_file(&self.shared.key(path)).await?)
    }

    /// Opens a sealed file, to read leaves.
    pub async fn open(&self, path: &str, size: u64) -> Result<SegmentReader, SegmentError> {
        SegmentReader::open(&self.shared.store, &self.shared.key(path), size).await
    }

    /// The events with an index in `range` that the snapshot has in the log, in order, with their families.
    pub async fn events(&self, range: Range<u64>) -> Result<Vec<(u64, Family, Bytes)>, ReadError> {
        let range = range.start.max(self.sealed.size)..range.end.min(self.end);
        if let Some(events) = self.read_log(range.clone()).await? {
            return Ok(events);
        }
        // Sealed meanwhile: the same events are in segments now.
        let mut events = Vec::new();
        for family in Family::ALL {
            let scan = Scan { families: vec![family], ..Scan::oldest(range.clone()) };
            let found: Vec<_> = scan::rows(self.shared.clone(), self.end, scan).try_collect().await?;
            events.extend(found.into_iter().map(|(index, leaf)| (index, family, leaf)));
        }
        events.sort_unstable_by_key(|(index, ..)| *index);
        Ok(events)
    }

    /// Reads the events of `range` from the log; none if they were sealed and their log file was removed meanwhile.
    async fn read_log(&self, range: Range<u64>) -> Result<Option<Vec<(u64, Family, Bytes)>>, ReadError> {
        if range.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let commits: Vec<Commit> = self
            .commits
            .iter()
            .filter(|commit| commit.first < range.end && commit.end() > range.start)
            .cloned()
            .collect();
        let expected = range.end - range.start;
        let wanted = range.clone();
        let read = run_blocking(move || {
            let mut rows = Vec::new();
            for commit in commits {
                rows.extend(commit.read()?.into_iter().filter(|(index, _, _)| wanted.contains(index)));
            }
            Ok(rows)
        });
        match read.await {
            Ok(rows) if rows.len() as u64 == expected => Ok(Some(rows)),
            _ if self.shared.sealed().size > self.sealed.size => Ok(None),
            Ok(_) => Err(ReadError::Missing { index: range.start }),
            Err(error) => Err(error),
        }
    }
}
