//! The write-ahead log: events that were acknowledged but not sealed yet, on local disk.
//!
//! - A file begins with its version; its room is filled with zeros and synced before use, so that syncing a batch touches
//!   no metadata. Files and frames are those of `meshtrail_log`.
//! - A frame holds one batch, completely or not at all.
//! - Every frame records how far the file was synced when it was written. A broken frame that no later frame records as
//!   synced is a write interrupted by a crash: it was never acknowledged. Any other broken frame was acknowledged, which
//!   is an error with file and offset, and nothing behind it is dropped.
//! - While there is nothing to write a mark follows the last frame, so that damage to that frame is detected as well.
//!
//! The meaning of leaves, and when a file is sealed, is left to the callers.

mod frame;
mod replay;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use meshtrail_log::{LogWriter, NewFile};

pub(crate) use frame::{BATCH, Batch, FORMAT, begin_batch};
pub use frame::{Entry, HEADER, parse_batch};
pub(crate) use replay::{PlacedBatch, ScanResult, read_commit, replay, replay_bytes, scan};

use crate::fault::{Faults, Step};

/// The initial room of a file, in bytes.
const FIRST_ROOM: u64 = 1 << 20;

/// The log's files, oldest first, with their generations.
pub(crate) fn files_in(folder: &Path) -> Result<Vec<(u64, PathBuf)>, WalError> {
    meshtrail_log::files_in(folder, "log").map_err(WalError::disk("read the folder", folder))
}

/// Creates a file with room, all of it on disk before the file gets its name.
pub(crate) fn create(
    folder: &Path,
    generation: u64,
    room: u64,
    faults: &Faults,
) -> Result<LogWriter, WalError> {
    let path = folder.join(format!("{generation:016}.log"));
    let create = || {
        // A crash leaves `.new`, which the next file of this generation overwrites.
        let file = NewFile::create(path.with_extension("new"), room.max(FIRST_ROOM))?;
        file.write_zeros(|_| Ok(()))?;
        file.into_log(&path, generation, &HEADER.page(generation), faults.of_log(Step::Log))
    };
    create().map_err(WalError::disk("make", &path))
}

/// Marks in the log that the last frame is synced, so that damage to it is detected as well.
pub(crate) fn mark(log: &LogWriter) -> io::Result<()> {
    let mut mark = Vec::new();
    FORMAT.write(&mut mark, log.file().generation, frame::MARK, [log.tail()], |_| {});
    log.write_mark(&mark)
}

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
