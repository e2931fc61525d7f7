//! The range of the segment that is being written, in `local/sealing`.
//!
//! The names of segment files contain the range. Whatever interrupts a seal after its first file (a crash, a store that is away),
//! the next attempt is of the same range, also when more events are due by then: else files would be left that no manifest
//! speaks of, and `verify` can't tell these from files that somebody added.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::durable::{self, Readers};

/// The range of the last segment that was begun.
pub(super) struct SealRange {
    path: PathBuf,
    range: Option<Range>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Range {
    first: u64,
    end: u64,
}

impl SealRange {
    /// Reads it from this machine's folder of the trail; one that can't be read is none.
    pub(super) fn load(local: &Path) -> Self {
        let path = local.join("sealing");
        let range = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { path, range }
    }

    /// The end of a segment from `first` on that was begun already.
    pub(super) fn end_from(&self, first: u64) -> Option<u64> {
        self.range.filter(|range| range.first == first && range.end > first).map(|range| range.end)
    }

    /// Keeps a range, durably, before the first file of its segment is written.
    pub(super) fn keep(&mut self, first: u64, end: u64) -> io::Result<()> {
        let range = Range { first, end };
        if self.range == Some(range) {
            return Ok(());
        }
        // A crash before this leaves the range of a segment before, which says nothing about this one.
        durable::replace(&self.path, Readers::Owner, &serde_json::to_vec(&range)?)?;
        self.range = Some(range);
        Ok(())
    }
}
