//! Reading events by index or id, from segments and from the log.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures::future::try_join_all;
use meshtrail_event::EventId;

use super::shared::Shared;
use super::{ReadError, Trail};
use crate::manifest::{Segment, SegmentFile};
use crate::run_blocking;
use crate::segment::{SegmentError, SegmentReader};

/// Segment readers in the cache, a few hundred kilobytes each.
const MAX_CACHED: usize = 32;
/// Indexes that are read from a segment at a time.
const WINDOW: u64 = 1024;

/// A cache of the segment readers used last, with their outlines.
#[derive(Default)]
pub(super) struct ReaderCache {
    entries: Mutex<VecDeque<(String, SegmentReader)>>,
}

impl ReaderCache {
    fn get(&self, path: &str) -> Option<SegmentReader> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let at = entries.iter().position(|(name, _)| name == path)?;
        let found = entries.remove(at)?;
        let reader = found.1.clone();
        entries.push_front(found);
        Some(reader)
    }

    fn insert(&self, path: &str, reader: &SegmentReader) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.truncate(MAX_CACHED - 1);
        entries.push_front((path.to_owned(), reader.clone()));
    }
}

impl Trail {
    /// Reads the bytes of the event at `index`.
    pub async fn leaf(&self, index: u64) -> Result<Bytes, ReadError> {
        let size = self.size();
        if index >= size {
            return Err(ReadError::Beyond { index, size });
        }
        let rows = self.shared.rows(index..index + 1).await?;
        rows.into_iter().next().map(|(_, leaf)| leaf).ok_or(ReadError::Missing { index })
    }

    /// Reads the events of `range`, by index, until their bytes exceed `limit_bytes`; at least one if there is one.
    pub async fn read(&self, range: Range<u64>, limit_bytes: usize) -> Result<Vec<(u64, Bytes)>, ReadError> {
        let end = range.end.min(self.size());
        let (mut at, mut bytes) = (range.start, 0);
        let mut read = Vec::new();
        // The first round is small: most readers follow the end of the trail.
        let mut window = 64;
        while at < end {
            for (index, leaf) in self.shared.rows(at..end.min(at + window)).await? {
                bytes += leaf.len();
                if bytes > limit_bytes && !read.is_empty() {
                    return Ok(read);
                }
                read.push((index, leaf));
                at = index + 1;
            }
            window = WINDOW;
        }
        Ok(read)
    }

    /// Finds the index of the event with this id.
    pub async fn find(&self, id: &EventId) -> Result<Option<u64>, ReadError> {
        // The log first: events that are sealed meanwhile are found in a segment.
        let sealed = loop {
            let before = self.shared.sealed().size;
            match self.shared.find_in_log(id).await {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => break self.shared.sealed(),
                // A log file was sealed and removed while it was read.
                Err(_) if self.shared.sealed().size > before => {}
                Err(error) => return Err(error),
            }
        };
        for segment in sealed.segments.iter().rev() {
            for file in segment.files.iter().filter(|file| file.may_hold(id)) {
                let found = self.shared.reader(file).await?.find(id).await?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }
}

impl Shared {
    /// Returns the reader of a segment's file.
    pub(super) async fn reader(&self, file: &SegmentFile) -> Result<SegmentReader, SegmentError> {
        if let Some(reader) = self.readers.get(&file.path) {
            return Ok(reader);
        }
        let reader = SegmentReader::open(&self.store, &self.key(&file.path), file.bytes).await?;
        self.readers.insert(&file.path, &reader);
        Ok(reader)
    }

    /// Reads events of `range`, which is not empty and within the trail: at least the first one, in order and without a
    /// gap.
    pub(super) async fn rows(&self, range: Range<u64>) -> Result<Vec<(u64, Bytes)>, ReadError> {
        let sealed = self.sealed();
        let index = range.start;
        let retired = sealed.retired_size();
        if index < retired {
            return Err(ReadError::Retired { index, retired });
        }
        let rows = if index < sealed.size {
            let segment = sealed.segment_of(index).ok_or(ReadError::Missing { index })?;
            self.read_sealed(segment, index..range.end.min(segment.last + 1)).await?
        } else {
            let rows = self.read_log(range.clone()).await;
            // Sealed meanwhile, and its log file removed: it is in a segment now.
            if !rows.as_ref().is_ok_and(|rows| !rows.is_empty()) && self.sealed().size > index {
                return Box::pin(self.rows(range)).await;
            }
            rows?
        };
        match rows.iter().zip(index..).find(|((found, _), expected)| found != expected) {
            Some((_, expected)) => Err(ReadError::Missing { index: expected }),
            None if rows.is_empty() => Err(ReadError::Missing { index }),
            None => Ok(rows),
        }
    }

    async fn read_sealed(
        &self,
        segment: &Segment,
        range: Range<u64>,
    ) -> Result<Vec<(u64, Bytes)>, ReadError> {
        let files = segment.files.iter().filter(|file| file.first < range.end && file.last >= range.start);
        // Each family has its own file: neighbouring events are read from several files.
        let reads = files.map(async |file| self.reader(file).await?.read(range.clone()).await);
        let mut rows = try_join_all(reads).await?.concat();
        rows.sort_unstable_by_key(|(index, _)| *index);
        Ok(rows)
    }

    async fn read_log(&self, range: Range<u64>) -> Result<Vec<(u64, Bytes)>, ReadError> {
        let commits = self.edge().log_index.between(range.start, range.end);
        run_blocking(move || {
            let mut rows = Vec::new();
            for commit in commits {
                let read = commit.read()?;
                rows.extend(
                    read.into_iter()
                        .filter(|(index, _, _)| range.contains(index))
                        .map(|(index, _, leaf)| (index, leaf)),
                );
            }
            Ok(rows)
        })
        .await
    }

    async fn find_in_log(&self, id: &EventId) -> Result<Option<u64>, ReadError> {
        let commits = self.edge().log_index.between(0, u64::MAX);
        // The id has only one spelling in a leaf; another event may contain the same text, which parsing excludes.
        let needle = format!("\"id\":\"{id}\"").into_bytes();
        let id = id.clone();
        run_blocking(move || {
            for commit in commits.iter().rev() {
                for (index, _, leaf) in commit.read()? {
                    let has = leaf.windows(needle.len()).any(|window| window == needle);
                    if has && meshtrail_event::Event::from_json(&leaf).is_ok_and(|event| event.id == id) {
                        return Ok(Some(index));
                    }
                }
            }
            Ok(None)
        })
        .await
    }
}
