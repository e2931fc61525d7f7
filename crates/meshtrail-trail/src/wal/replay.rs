//! Replaying the log.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use meshtrail_event::{Family, Timestamp};

use super::frame::{self, Entry, FrameError, HEADER_SIZE, check_header, parse_batch};
use super::{WalError, files_in};

/// The result of replaying one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplayResult {
    pub(crate) generation: u64,
    pub(crate) path: PathBuf,
    /// The offset of the next frame.
    pub(crate) tail: u64,
    /// When its first batch was written.
    pub(crate) started: Option<Timestamp>,
    /// Whether it ends in a write interrupted by a crash.
    pub(crate) torn: bool,
}

/// A batch with its position in the file.
pub(crate) struct PlacedBatch<'a> {
    /// The offset of its frame.
    pub(crate) at: u64,
    /// Bytes of its frame.
    pub(crate) size: usize,
    /// Its events.
    pub(crate) entries: Vec<Entry<'a>>,
}

/// Reads one file and calls `each` with each batch.
pub(crate) fn replay(
    generation: u64,
    path: &Path,
    each: &mut dyn FnMut(&PlacedBatch<'_>) -> Result<(), WalError>,
) -> Result<ReplayResult, WalError> {
    let bytes = fs::read(path).map_err(WalError::disk("read", path))?;
    replay_bytes(generation, path, &bytes, &mut |batch| each(&batch))
}

/// Calls `each` with each batch of a file in memory.
pub(crate) fn replay_bytes<'a>(
    generation: u64,
    path: &Path,
    bytes: &'a [u8],
    each: &mut dyn FnMut(PlacedBatch<'a>) -> Result<(), WalError>,
) -> Result<ReplayResult, WalError> {
    let damaged =
        |offset: usize, what| WalError::Damaged { path: path.to_owned(), offset: offset as u64, what };
    match check_header(bytes) {
        Ok(found) if found == generation => {}
        Ok(_) => return Err(damaged(0, "it is another file's contents")),
        Err(FrameError::Newer(version)) => return Err(WalError::Newer { path: path.to_owned(), version }),
        Err(FrameError::Broken(what)) => return Err(damaged(0, what)),
        Err(FrameError::Empty) => return Err(damaged(0, "the header is empty")),
    }
    let mut at = HEADER_SIZE;
    let mut started = None;
    let torn = loop {
        match frame::read(&bytes[at..], generation) {
            Ok(frame) => {
                // The next frame overwrites the mark.
                let Some(payload) = frame.payload else {
                    break bytes[at + frame.size..].iter().any(|&byte| byte != 0);
                };
                let (now, entries) =
                    parse_batch(payload).map_err(|_| damaged(at, "a batch can't be read"))?;
                started = started.or(Some(now));
                each(PlacedBatch { at: at as u64, size: frame.size, entries })?;
                at += frame.size;
            }
            Err(FrameError::Empty) if bytes[at..].iter().all(|&byte| byte == 0) => break false,
            Err(error) => {
                if was_synced(bytes, at, generation) {
                    let what = match error {
                        FrameError::Broken(what) => what,
                        _ => "a frame is gone",
                    };
                    return Err(damaged(at, what));
                }
                break true;
            }
        }
    };
    Ok(ReplayResult { generation, path: path.to_owned(), tail: at as u64, started, torn })
}

/// Whether a frame behind `at` records that the file was synced past it.
fn was_synced(bytes: &[u8], at: usize, generation: u64) -> bool {
    (at + 8..bytes.len()).step_by(8).any(|later| {
        bytes[later] == b'M'
            && frame::read(&bytes[later..], generation).is_ok_and(|frame| frame.synced > at as u64)
    })
}

/// The result of scanning a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ScanResult {
    /// Index of the first event; none if there is no event.
    pub(crate) first: Option<u64>,
    /// Index after the last event.
    pub(crate) next: u64,
    /// The file and offset of a write interrupted by a crash.
    pub(crate) torn: Option<(PathBuf, u64)>,
}

/// Reads every event of the log in `folder`, oldest first, without writing anything.
pub(crate) fn scan(folder: &Path, each: &mut dyn FnMut(&Entry<'_>)) -> Result<ScanResult, WalError> {
    let mut found = ScanResult::default();
    for (generation, path) in files_in(folder)? {
        let mut first = true;
        let torn_before = found.torn.clone();
        let replayed = replay(generation, &path, &mut |batch| {
            // A file is written to only when the one before is complete.
            if let Some((path, offset)) = torn_before.clone().filter(|_| first) {
                return Err(WalError::Damaged { path, offset, what: "a later file goes on behind it" });
            }
            first = false;
            for entry in &batch.entries {
                let expected = if found.first.is_some() { found.next } else { entry.index };
                if entry.index != expected {
                    return Err(WalError::Gap { path: path.clone(), expected, found: entry.index });
                }
                found.first.get_or_insert(entry.index);
                found.next = entry.index + 1;
                each(entry);
            }
            Ok(())
        })?;
        if replayed.torn {
            found.torn = Some((path, replayed.tail));
        }
    }
    Ok(found)
}

/// Reads the events of frames that were written together: index, family and leaf of each.
pub(crate) fn read_commit(bytes: &Bytes, generation: u64) -> Result<Vec<(u64, Family, Bytes)>, FrameError> {
    let (mut at, mut events) = (0, Vec::new());
    while at < bytes.len() {
        let frame = frame::read(&bytes[at..], generation)?;
        if let Some(payload) = frame.payload {
            let (_, entries) = parse_batch(payload)?;
            events
                .extend(entries.iter().map(|entry| (entry.index, entry.family, bytes.slice_ref(entry.leaf))));
        }
        at += frame.size;
    }
    Ok(events)
}
