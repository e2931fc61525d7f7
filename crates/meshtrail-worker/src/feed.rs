//! What a worker may read: sealed files and events of the snapshots it was given, and nothing else.
//!
//! - A path that is no file of the snapshot is refused, whatever lies there.
//! - Files of a folder are handed over open, for reading only; parts of a bucket's are read here.
//! - A reply is bounded; of events a part may be told, and the rest asked for again.
//! - Ends of files are kept, so that a new worker need not read them anew.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use meshtrail_trail::segment::{SegmentEnd, SegmentError};
use meshtrail_trail::{ReadError, Snapshot, Trail};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::message::{Call, Reply};
use crate::postgres::Statements;
use crate::question::{Fault, QueryError};

/// Calls of one worker that are answered at once.
const AT_ONCE: usize = 8;
/// Bytes of files in one reply.
const MAX_RANGES: u64 = 128 << 20;
/// Snapshots that one worker may hold.
const MAX_SNAPSHOTS: usize = 64;
/// Events that are read at a time, and bytes of them in a reply.
const EVENTS_STEP: u64 = 1024;
const EVENTS_BYTES: usize = 8 << 20;

/// What all workers of a server read from.
#[derive(Clone)]
pub(crate) struct Source {
    trail: Trail,
    ends: Arc<Ends>,
}

impl Source {
    /// Reads `trail`, and keeps at most `bytes` of files' ends.
    pub(crate) fn new(trail: Trail, bytes: usize) -> Self {
        Self { trail, ends: Arc::new(Ends { kept: Mutex::default(), limit: bytes }) }
    }
}

/// What one worker reads.
pub(crate) struct Feed {
    source: Source,
    snapshots: Mutex<Snapshots>,
    room: Arc<Semaphore>,
    statements: OnceLock<Arc<Statements>>,
}

#[derive(Default)]
struct Snapshots {
    held: BTreeMap<u64, Snapshot>,
    next: u64,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").finish_non_exhaustive()
    }
}

/// What goes to a worker that called.
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) body: Vec<Bytes>,
    pub(crate) file: Option<File>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply, body: Vec::new(), file: None }
    }
}

impl Feed {
    pub(crate) fn new(source: Source) -> Arc<Self> {
        Arc::new(Self {
            source,
            snapshots: Mutex::default(),
            room: Arc::new(Semaphore::new(AT_ONCE)),
            statements: OnceLock::new(),
        })
    }

    /// From here on the worker serves a client of the Postgres wire, whose questions go through `statements`.
    pub(crate) fn connect(&self, statements: Arc<Statements>) {
        let _first = self.statements.set(statements);
    }

    /// A place for one more call.
    pub(crate) async fn room(&self) -> Option<OwnedSemaphorePermit> {
        self.room.clone().acquire_owned().await.ok()
    }

    fn snapshots(&self) -> MutexGuard<'_, Snapshots> {
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn release(&self, snapshot: u64) {
        let gone = self.snapshots().held.remove(&snapshot);
        drop(gone);
    }

    pub(crate) fn statement_ended(&self, statement: u64) {
        if let Some(statements) = self.statements.get() {
            statements.ended(statement);
        }
    }

    pub(crate) async fn answer(&self, call: Call) -> Answer {
        let answered = match call {
            Call::Snapshot { known } => self.snapshot(known),
            Call::Open { snapshot, path } => self.open(snapshot, &path).await,
            Call::End { snapshot, path, size } => self.end(snapshot, &path, size).await,
            Call::Ranges { snapshot, path, ranges } => self.ranges(snapshot, &path, ranges).await,
            Call::Events { snapshot, range } => self.events(snapshot, range).await,
            Call::Statement { sql, time } => match self.statements.get() {
                Some(statements) => statements.begin(sql.as_deref(), time).await.map(Answer::from),
                None => Err(QueryError::new(Fault::Refused, "no client is connected to this worker")),
            },
        };
        answered.unwrap_or_else(|error| Reply::Error(error).into())
    }

    fn snapshot(&self, known: u64) -> Result<Answer, QueryError> {
        let snapshot = self.source.trail.snapshot();
        let files = snapshot.files().filter(|file| file.last >= known).cloned();
        // Which sources are in a file is of no use to SQL, and most of what is told of it.
        let files =
            files.map(|file| meshtrail_trail::manifest::SegmentFile { sources: None, ..file }).collect();
        let (first, sealed, end) = (snapshot.first(), snapshot.sealed(), snapshot.end());
        let mut snapshots = self.snapshots();
        if snapshots.held.len() >= MAX_SNAPSHOTS {
            return Err(QueryError::new(
                Fault::Budget,
                format!("a worker holds at most {MAX_SNAPSHOTS} snapshots"),
            ));
        }
        snapshots.next += 1;
        let name = snapshots.next;
        snapshots.held.insert(name, snapshot);
        Ok(Reply::Snapshot { snapshot: name, first, sealed, end, files }.into())
    }

    fn held(&self, snapshot: u64) -> Result<Snapshot, QueryError> {
        let held = self.snapshots().held.get(&snapshot).cloned();
        held.ok_or_else(|| QueryError::new(Fault::Trail, "a snapshot that was released"))
    }

    fn file(&self, snapshot: u64, path: &str) -> Result<Snapshot, QueryError> {
        let snapshot = self.held(snapshot)?;
        if snapshot.files().any(|file| file.path == path) {
            return Ok(snapshot);
        }
        Err(QueryError::new(Fault::Refused, format!("{path} is no file of the snapshot")))
    }

    async fn open(&self, snapshot: u64, path: &str) -> Result<Answer, QueryError> {
        let file = self.file(snapshot, path)?.open_file(path).await.map_err(|error| damaged(&error))?;
        let reply = if file.is_some() { Reply::File } else { Reply::NoFile };
        Ok(Answer { reply, body: Vec::new(), file })
    }

    async fn end(&self, snapshot: u64, path: &str, size: u64) -> Result<Answer, QueryError> {
        let snapshot = self.file(snapshot, path)?;
        let end = match self.source.ends.get(path) {
            Some(end) => end,
            None => {
                let end = snapshot.read_end(path, size).await.map_err(|error| damaged(&error))?;
                self.source.ends.keep(path, &end);
                end
            }
        };
        Ok(Answer { reply: Reply::End { size: end.size }, body: vec![end.bytes], file: None })
    }

    async fn ranges(&self, snapshot: u64, path: &str, ranges: Vec<Range<u64>>) -> Result<Answer, QueryError> {
        let snapshot = self.file(snapshot, path)?;
        let wanted =
            ranges.iter().try_fold(0u64, |sum, range| sum.checked_add(range.end.checked_sub(range.start)?));
        if wanted.is_none_or(|bytes| bytes > MAX_RANGES) {
            return Err(QueryError::new(
                Fault::Refused,
                "ranges that are too long, or end before they begin",
            ));
        }
        let read = snapshot.read_ranges(path, ranges).await.map_err(|error| damaged(&error))?;
        let lengths = read.iter().map(|bytes| bytes.len() as u64).collect();
        Ok(Answer { reply: Reply::Ranges { lengths }, body: read, file: None })
    }

    async fn events(&self, snapshot: u64, range: Range<u64>) -> Result<Answer, QueryError> {
        let snapshot = self.held(snapshot)?;
        let range = range.start.max(snapshot.sealed()).max(snapshot.first())..range.end.min(snapshot.end());
        let (mut to, mut bytes) = (range.start, 0);
        let (mut events, mut leaves) = (Vec::new(), Vec::new());
        while to < range.end && bytes < EVENTS_BYTES {
            let step = to..range.end.min(to + EVENTS_STEP);
            for (index, family, leaf) in
                snapshot.events(step.clone()).await.map_err(|error| unread(&error))?
            {
                events.push((index, family, u32::try_from(leaf.len()).unwrap_or(u32::MAX)));
                bytes += leaf.len();
                leaves.push(leaf);
            }
            to = step.end;
        }
        Ok(Answer { reply: Reply::Events { events, to }, body: leaves, file: None })
    }
}

fn damaged(error: &SegmentError) -> QueryError {
    QueryError::new(Fault::Trail, meshtrail_event::text::with_causes(error))
}

fn unread(error: &ReadError) -> QueryError {
    QueryError::new(Fault::Trail, meshtrail_event::text::with_causes(error))
}

/// Ends of files, by path; past the limit the ones read longest ago go.
#[derive(Default)]
struct Ends {
    kept: Mutex<KeptEnds>,
    limit: usize,
}

#[derive(Default)]
struct KeptEnds {
    by_path: HashMap<String, (SegmentEnd, u64)>,
    bytes: usize,
    reads: u64,
}

impl Ends {
    fn kept(&self) -> MutexGuard<'_, KeptEnds> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, path: &str) -> Option<SegmentEnd> {
        let mut kept = self.kept();
        kept.reads += 1;
        let now = kept.reads;
        let (end, read) = kept.by_path.get_mut(path)?;
        *read = now;
        Some(end.clone())
    }

    fn keep(&self, path: &str, end: &SegmentEnd) {
        let mut kept = self.kept();
        let now = kept.reads;
        kept.bytes += end.bytes.len();
        if let Some((before, _)) = kept.by_path.insert(path.to_owned(), (end.clone(), now)) {
            kept.bytes -= before.bytes.len();
        }
        if kept.bytes > self.limit {
            // Half of them at once, so that a full cache is not sorted at each read.
            let mut reads: Vec<u64> = kept.by_path.values().map(|(_, read)| *read).collect();
            reads.sort_unstable();
            let oldest = reads[reads.len() / 2];
            kept.by_path.retain(|_, (_, read)| *read > oldest);
            kept.bytes = kept.by_path.values().map(|(end, _)| end.bytes.len()).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_files_are_kept_up_to_a_bound() {
        let ends = Ends { kept: Mutex::default(), limit: 1000 };
        let end = SegmentEnd { bytes: Bytes::from(vec![0; 100]), size: 5000 };
        for number in 0..100 {
            ends.keep(&number.to_string(), &end);
            assert!(ends.get("0").is_some() || number > 0);
            assert!(ends.kept().bytes <= 1000);
        }
        assert!(ends.get("99").is_some() && ends.get("50").is_none());
    }
}
