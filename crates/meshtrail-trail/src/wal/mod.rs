//! The write-ahead log: what was acknowledged and is not sealed yet, on local disk.
//!
//! - A file begins with its version; its room is written with zeros and synced before it is used, so that syncing a
//!   batch touches no metadata.
//! - A frame holds one batch, all of it or nothing: `magic, length, checksum, kind, synced, payload`, padded to 8.
//! - Every frame says how far the file was known to be synced when it was written. A broken frame at or behind that
//!   point of every later frame is a write that a crash cut off: it was never acknowledged. A broken frame before it
//!   was acknowledged: that is an error that names file and offset, and nothing behind it is dropped.
//! - While nothing is to be written a mark lies behind the last frame, so that damage to that frame shows as well.
//!
//! What leaves mean, and when a file is sealed, is not known here.

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
pub(crate) use replay::{Placed, Scanned, read_commit, replay, replay_bytes, scan};

/// Why the log can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The disk failed.
    #[error("failed to {doing} {}", path.display())]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Bytes that were acknowledged are not what was written.
    #[error(
        "{} is damaged at byte {offset}: events that were acknowledged can't be read ({what}). Nothing was dropped: \
         restore the file, or move it away and lose what it holds from there on",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What shows it.
        what: &'static str,
    },
    /// Written by a newer version.
    #[error("{} has version {version}, which is newer than this program", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// Events are missing between two files, or between the sealed part and the log.
    #[error("{} begins at event {found}, but event {expected} comes next: a file of the log is missing, or the store was rolled back", path.display())]
    Gap {
        /// The file.
        path: PathBuf,
        /// The index that comes next.
        expected: u64,
        /// The index found.
        found: u64,
    },
}

impl WalError {
    pub(crate) fn disk(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Disk { doing, path, source }
    }
}
