//! Answers to a worker's calls: snapshots, sealed files and log events of these snapshots, and nothing else.
//!
//! - A path that is not a file of the snapshot is refused.
//! - Files of a folder are sent open, for reading only; parts of objects in a bucket are read here.
//! - Replies are bounded; a reply with events may be partial, and the worker calls again for the rest.
//! - Ends of files are cached, so that new workers don't cause new reads.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use meshtrail_trail::segment::SegmentEnd;
use meshtrail_trail::{Snapshot, Trail};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::message::{Call, Reply};
use crate::postgres::ClientStatements;
use crate::query::{Fault, QueryError};

/// Concurrent calls of one worker.
const CONCURRENT_CALLS: usize = 8;
/// Bytes of files in one reply, at most.
const MAX_RANGES: u64 = 128 << 20;
/// Snapshots that one worker may hold, at most.
const MAX_SNAPSHOTS: usize = 64;
/// Events that are read at a time, and the bytes after which a reply with events ends.
const EVENTS_STEP: u64 = 1024;
const EVENTS_BYTES: usize = 8 << 20;

/// What all workers of a server read from: the trail, and a cache of ends of files.
#[derive(Clone)]
pub(crate) struct TrailSource {
    trail: Trail,
    ends: Arc<EndCache>,
}

impl TrailSource {
    /// Reads `trail`, and caches at most `bytes` of ends of files.
    pub(crate) fn new(trail: Trail, bytes: usize) -> Self {
        Self { trail, ends: Arc::new(EndCache { entries: Mutex::default(), limit: bytes }) }
    }
}

/// Answers the calls of one worker.
pub(crate) struct CallHandler {
    source: TrailSource,
    snapshots: Mutex<Snapshots>,
    slots: Arc<Semaphore>,
    statements: OnceLock<Arc<ClientStatements>>,
}

#[derive(Default)]
struct Snapshots {
    by_number: BTreeMap<u64, Snapshot>,
    next: u64,
}

impl fmt::Debug for CallHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallHandler").finish_non_exhaustive()
    }
}

/// A reply, the bytes that follow it, and a file that is sent with it.
pub(crate) struct ReplyParts {
    pub(crate) reply: Reply,
    pub(crate) body: Vec<Bytes>,
    pub(crate) file: Option<File>,
}

impl From<Reply> for ReplyParts {
    fn from(reply: Reply) -> Self {
        Self { reply, body: Vec::new(), file: None }
    }
}

impl CallHandler {
    pub(crate) fn new(source: TrailSource) -> Arc<Self> {
        Arc::new(Self {
            source,
            snapshots: Mutex::default(),
            slots: Arc::new(Semaphore::new(CONCURRENT_CALLS)),
            statements: OnceLock::new(),
        })
    }

    /// Connects the worker to a Postgres client, whose statements `statements` permits.
    pub(crate) fn connect(&self, statements: Arc<ClientStatements>) {
        let _first = self.statements.set(statements);
    }

    /// Waits until one more call may be answered.
    pub(crate) async fn acquire_slot(&self) -> Option<OwnedSemaphorePermit> {
        self.slots.clone().acquire_owned().await.ok()
    }

    fn snapshots(&self) -> MutexGuard<'_, Snapshots> {
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn release(&self, snapshot: u64) {
        let gone = self.snapshots().by_number.remove(&snapshot);
        drop(gone);
    }

    pub(crate) fn end_statement(&self, statement: u64) {
        if let Some(statements) = self.statements.get() {
            statements.end(statement);
        }
    }

    pub(crate) async fn answer(&self, call: Call) -> ReplyParts {
        let answered = match call {
            Call::Snapshot { known } => self.snapshot(known),
            Call::Open { snapshot, path } => self.open(snapshot, &path).await,
            Call::End { snapshot, path, size } => self.end(snapshot, &path, size).await,
            Call::Ranges { snapshot, path, ranges } => self.ranges(snapshot, &path, ranges).await,
            Call::Events { snapshot, range } => self.events(snapshot, range).await,
            Call::Statement { sql, time } => match self.statements.get() {
                Some(statements) => statements.begin(sql.as_deref(), time).await.map(ReplyParts::from),
                None => Err(QueryError::new(Fault::Refused, "no client is connected to this worker")),
            },
        };
        answered.unwrap_or_else(|error| Reply::Error(error).into())
    }

    fn snapshot(&self, known: u64) -> Result<ReplyParts, QueryError> {
        let snapshot = self.source.trail.snapshot();
        let files = snapshot.files().filter(|file| file.last >= known).cloned();
        // The sources in a file are the largest part of its entry, and SQL does not use them.
        let files =
            files.map(|file| meshtrail_trail::manifest::SegmentFile { sources: None, ..file }).collect();
        let trail = snapshot.trail().clone();
        let (first, sealed, end) = (snapshot.first(), snapshot.sealed(), snapshot.end());
        let mut snapshots = self.snapshots();
        if snapshots.by_number.len() >= MAX_SNAPSHOTS {
            return Err(QueryError::new(
                Fault::Budget,
                format!("a worker holds at most {MAX_SNAPSHOTS} snapshots"),
            ));
        }
        snapshots.next += 1;
        let name = snapshots.next;
        snapshots.by_number.insert(name, snapshot);
        Ok(Reply::Snapshot { snapshot: name, trail, first, sealed, end, files }.into())
    }

    fn find_snapshot(&self, snapshot: u64) -> Result<Snapshot, QueryError> {
        let snapshot = self.snapshots().by_number.get(&snapshot).cloned();
        snapshot.ok_or_else(|| QueryError::new(Fault::Trail, "a snapshot that was released"))
    }

    fn snapshot_of_file(&self, snapshot: u64, path: &str) -> Result<Snapshot, QueryError> {
        let snapshot = self.find_snapshot(snapshot)?;
        if snapshot.files().any(|file| file.path == path) {
            return Ok(snapshot);
        }
        Err(QueryError::new(Fault::Refused, format!("{path} is no file of the snapshot")))
    }

    async fn open(&self, snapshot: u64, path: &str) -> Result<ReplyParts, QueryError> {
        let snapshot = self.snapshot_of_file(snapshot, path)?;
        let file = snapshot.open_file(path).await?;
        let reply = if file.is_some() { Reply::File } else { Reply::NoFile };
        Ok(ReplyParts { reply, body: Vec::new(), file })
    }

    async fn end(&self, snapshot: u64, path: &str, size: u64) -> Result<ReplyParts, QueryError> {
        let snapshot = self.snapshot_of_file(snapshot, path)?;
        let end = match self.source.ends.get(path) {
            Some(end) => end,
            None => {
                let end = snapshot.read_end(path, size).await?;
                self.source.ends.insert(path, &end);
                end
            }
        };
        Ok(ReplyParts { reply: Reply::End { size: end.size }, body: vec![end.bytes], file: None })
    }

    async fn ranges(
        &self,
        snapshot: u64,
        path: &str,
        ranges: Vec<Range<u64>>,
    ) -> Result<ReplyParts, QueryError> {
        let snapshot = self.snapshot_of_file(snapshot, path)?;
        let wanted =
            ranges.iter().try_fold(0u64, |sum, range| sum.checked_add(range.end.checked_sub(range.start)?));
        if wanted.is_none_or(|bytes| bytes > MAX_RANGES) {
            return Err(QueryError::new(
                Fault::Refused,
                "ranges that are too long, or end before they begin",
            ));
        }
        let read = snapshot.read_ranges(path, ranges).await?;
        let lengths = read.iter().map(|bytes| bytes.len() as u64).collect();
        Ok(ReplyParts { reply: Reply::Ranges { lengths }, body: read, file: None })
    }

    async fn events(&self, snapshot: u64, range: Range<u64>) -> Result<ReplyParts, QueryError> {
        let snapshot = self.find_snapshot(snapshot)?;
        let range = range.start.max(snapshot.sealed()).max(snapshot.first())..range.end.min(snapshot.end());
        let (mut to, mut bytes) = (range.start, 0);
        let (mut events, mut leaves) = (Vec::new(), Vec::new());
        while to < range.end && bytes < EVENTS_BYTES {
            let step = to..range.end.min(to + EVENTS_STEP);
            for (index, family, leaf) in snapshot.events(step.clone()).await? {
                events.push((index, family, u32::try_from(leaf.len()).unwrap_or(u32::MAX)));
                bytes += leaf.len();
                leaves.push(leaf);
            }
            to = step.end;
        }
        Ok(ReplyParts { reply: Reply::Events { events, to }, body: leaves, file: None })
    }
}

/// Ends of files, by path; beyond the limit the least recently read half is evicted.
#[derive(Default)]
struct EndCache {
    entries: Mutex<EndCacheEntries>,
    limit: usize,
}

#[derive(Default)]
struct EndCacheEntries {
    by_path: HashMap<String, (SegmentEnd, u64)>,
    bytes: usize,
    reads: u64,
}

impl EndCache {
    fn lock(&self) -> MutexGuard<'_, EndCacheEntries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, path: &str) -> Option<SegmentEnd> {
        let mut entries = self.lock();
        entries.reads += 1;
        let now = entries.reads;
        let (end, read) = entries.by_path.get_mut(path)?;
        *read = now;
        Some(end.clone())
    }

    fn insert(&self, path: &str, end: &SegmentEnd) {
        let mut entries = self.lock();
        let now = entries.reads;
        entries.bytes += end.bytes.len();
        if let Some((before, _)) = entries.by_path.insert(path.to_owned(), (end.clone(), now)) {
            entries.bytes -= before.bytes.len();
        }
        if entries.bytes > self.limit {
            // Half of them at once, so that a full cache is not sorted at each read.
            let mut reads: Vec<u64> = entries.by_path.values().map(|(_, read)| *read).collect();
            reads.sort_unstable();
            let oldest = reads[reads.len() / 2];
            entries.by_path.retain(|_, (_, read)| *read > oldest);
            entries.bytes = entries.by_path.values().map(|(end, _)| end.bytes.len()).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_files_are_kept_up_to_a_bound() {
        let ends = EndCache { entries: Mutex::default(), limit: 1000 };
        let end = SegmentEnd { bytes: Bytes::from(vec![0; 100]), size: 5000 };
        for number in 0..100 {
            ends.insert(&number.to_string(), &end);
            assert!(ends.get("0").is_some() || number > 0);
            assert!(ends.lock().bytes <= 1000);
        }
        assert!(ends.get("99").is_some() && ends.get("50").is_none());
    }
}
