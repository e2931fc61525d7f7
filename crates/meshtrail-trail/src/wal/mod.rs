//! The write-ahead log: events that were acknowledged but not sealed yet, on local disk.
//!
//! - A file begins with its version; its room is filled with zeros and synced before use, so that syncing a batch touches
//!   no metadata.
//! - A frame holds one batch, completely or not at all: `magic, length, checksum, kind, synced, payload`, padded to 8.
//! - Every frame records how far the file was synced when it was written. A broken frame that no later frame records as
//!   synced is a write interrupted by a crash: it was never acknowledged. Any other broken frame was acknowledged, which
//!   is an error with file and offset, and nothing behind it is dropped.
//! - While there is nothing to write a mark follows the last frame, so that damage to that frame is detected as well.
//!
//! The meaning of leaves, and when a file is sealed, is left to the callers.

mod file;
mod frame;
mod replay;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

pub(crate) use file::{WalFile, files_in};
pub(crate) use frame::{Batch, begin, finish};
pub use frame::{Entry, FrameError, HEADER_SIZE, check_header, parse_batch};
pub(crate) use replay::{PlacedBatch, ScanResult, read_commit, replay, replay_bytes, scan};

/// Why the log can't be read or written.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum WalError {
    #[error("failed to {doing} {}", path.display())]
    Disk { doing: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "{} is damaged at byte {offset}: events that were acknowledged can't be read ({what}). Nothing was dropped: \
         restore the file, or move it away and lose what it holds from there on",
        path.display()
    )]
    Damaged { path: PathBuf, offset: u64, what: &'static str },
    #[error("{} has version {version}, which is newer than this program", path.display())]
    Newer { path: PathBuf, version: u32 },
    /// Events are missing between two files, or between the sealed part and the log.
    #[error("{} begins at event {found}, but event {expected} comes next: a file of the log is missing, or the store was rolled back", path.display())]
    Gap { path: PathBuf, expected: u64, found: u64 },
}

impl WalError {
    pub(crate) fn disk(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Disk { doing, path, source }
    }
}
