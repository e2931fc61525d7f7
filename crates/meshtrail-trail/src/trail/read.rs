//! Reading events by index or id, from segments and from the log alike.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures::future::try_join_all;
use meshtrail_event::EventId;

use super::shared::Shared;
use super::{ReadError, Trail};
use crate::manifest::{Segment, SegmentFile};
use crate::segment::{SegmentError, SegmentReader};

/// Outlines of segments that are kept: a few hundred kilobytes each.
const KEPT: usize = 32;
/// Indexes that are read from a segment at a time.
const WINDOW: u64 = 1024;

/// The segments read last, with their outlines.
#[derive(Default)]
pub(super) struct Readers {
    kept: Mutex<VecDeque<(String, SegmentReader)>>,
}

impl Readers {
    fn get(&self, path: &str) -> Option<SegmentReader> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(name, _)| name == path)?;
        let found = kept.remove(at)?;
        let reader = found.1.clone();
        kept.push_front(found);
        Some(reader)
    }

    fn keep(&self, path: &str, reader: &SegmentReader) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(KEPT - 1);
        kept.push_front((path.to_owned(), reader.clone()));
    }
}

impl Trail {
    /// The bytes of the event at `index`.
    pub async fn leaf(&self, index: u64) -> Result<Bytes, ReadError> {
        let size = self.size();
        if index >= size {
            return Err(ReadError::Beyond { index, size });
        }
        let rows = self.shared.rows(index..index + 1).await?;
        rows.into_iter().next().map(|(_, leaf)| leaf).ok_or(ReadError::Missing { index })
    }

    /// The events of `range`, by index, until their bytes are more than `limit_bytes`; at least one if there is one.
    pub async fn read(&self, range: Range<u64>, limit_bytes: usize) -> Result<Vec<(u64, Bytes)>, ReadError> {
        let end = range.end.min(self.size());
        let (mut at, mut bytes) = (range.start, 0);
        let mut read = Vec::new();
        // The first round is small: most readers follow the end, an event at a time.
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

    /// The index of the event of this id.
    pub async fn find(&self, id: &EventId) -> Result<Option<u64>, ReadError> {
        // What is not sealed is looked at first: what moves to a segment meanwhile is found there.
        let sealed = loop {
            let before = self.shared.sealed().size;
            match self.shared.find_in_log(id).await {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => break self.shared.sealed(),
                // A log file was sealed and put to new use while it was read.
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
    /// The reader of a segment's file.
    pub(super) async fn reader(&self, file: &SegmentFile) -> Result<SegmentReader, SegmentError> {
        if let Some(reader) = self.readers.get(&file.path) {
            return Ok(reader);
        }
        let reader = SegmentReader::open(&self.store, &self.key(&file.path), file.bytes).await?;
        self.readers.keep(&file.path, &reader);
        Ok(reader)
    }

    /// The events of `range`, which is not empty and within the trail: at least the first of them, in order and
    /// without a gap.
    pub(super) async fn rows(&self, range: Range<u64>) -> Result<Vec<(u64, Bytes)>, ReadError> {
        let sealed = self.sealed();
        let index = range.start;
        let retired = sealed.retired_size();
        if index < retired {
            return Err(ReadError::Retired { index, retired });
        }
        let rows = if index < sealed.size {
            let segment = sealed.segment_of(index).ok_or(ReadError::Missing { index })?;
            self.sealed_rows(segment, index..range.end.min(segment.last + 1)).await?
        } else {
            let rows = self.logged_rows(range.clone()).await;
            // Sealed between the two looks, and its log file put to new use: it is in a segment now.
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

    async fn sealed_rows(
        &self,
        segment: &Segment,
        range: Range<u64>,
    ) -> Result<Vec<(u64, Bytes)>, ReadError> {
        let files = segment.files.iter().filter(|file| file.first < range.end && file.last >= range.start);
        // Families lie in files of their own: neighbours are read side by side.
        let reads = files.map(async |file| self.reader(file).await?.read(range.clone()).await);
        let mut rows = try_join_all(reads).await?.concat();
        rows.sort_unstable_by_key(|(index, _)| *index);
        Ok(rows)
    }

    async fn logged_rows(&self, range: Range<u64>) -> Result<Vec<(u64, Bytes)>, ReadError> {
        let commits = self.edge().hot.between(range.start, range.end);
        blocking(move || {
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
        let commits = self.edge().hot.between(0, u64::MAX);
        // The id stands in a leaf in its only spelling; a member of another event may hold the same text, which the
        // second look tells apart.
        let needle = format!("\"id\":\"{id}\"").into_bytes();
        let id = id.clone();
        blocking(move || {
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

/// Does disk work off the async threads.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Blocking work is cancelled only while the runtime goes away, and this future with it.
            Err(_) => std::future::pending().await,
        },
    }
}
