//! The positions of unsealed events in the log.

use std::collections::VecDeque;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use meshtrail_event::{Family, Timestamp};
use meshtrail_log::LogFile;

use super::ReadError;
use crate::wal::read_commit;

/// One commit in the log: events written and synced together.
#[derive(Debug, Clone)]
pub(super) struct Commit {
    pub(super) first: u64,
    pub(super) count: u64,
    pub(super) file: Arc<LogFile>,
    pub(super) at: u64,
    pub(super) length: usize,
}

/// A log file that is complete and waits to be sealed.
#[derive(Debug, Clone)]
pub(super) struct ClosedFile {
    pub(super) generation: u64,
    pub(super) path: PathBuf,
    /// Index of its first event.
    pub(super) first: u64,
    /// Index after its last event.
    pub(super) end: u64,
    /// Bytes of its frames.
    pub(super) bytes: u64,
}

/// The commits that are not sealed yet, by index.
#[derive(Debug, Default)]
pub(super) struct LogIndex {
    pub(super) commits: VecDeque<Commit>,
    /// When the oldest unsealed event was appended.
    pub(super) since: Option<Timestamp>,
}

impl Commit {
    /// Reads its events: index, family and leaf.
    pub(super) fn read(&self) -> Result<Vec<(u64, Family, Bytes)>, ReadError> {
        let path = || self.file.path.clone();
        let mut bytes = vec![0; self.length];
        let read = self.file.file.read_exact_at(&mut bytes, self.at);
        read.map_err(|source| ReadError::Log { path: path(), source })?;
        read_commit(&bytes.into(), self.file.generation)
            .map_err(|_| ReadError::Damaged { path: path(), offset: self.at })
    }

    pub(super) const fn end(&self) -> u64 {
        self.first + self.count
    }
}

impl LogIndex {
    /// The commits with any of the indexes `from..to`, by index.
    pub(super) fn between(&self, from: u64, to: u64) -> Vec<Commit> {
        let start = self.commits.partition_point(|commit| commit.end() <= from);
        self.commits.iter().skip(start).take_while(|commit| commit.first < to).cloned().collect()
    }

    /// Removes the commits that are sealed up to `size`. A commit that is sealed in part stays.
    pub(super) fn forget_before(&mut self, size: u64, now: Timestamp) {
        while self.commits.front().is_some_and(|commit| commit.end() <= size) {
            self.commits.pop_front();
        }
        self.since = (!self.commits.is_empty()).then_some(now);
    }
}
