//! Replaying the log.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use meshtrail_event::Family;
use meshtrail_log::{Broken, HEADER_SIZE, HeaderError, Rest};

use super::frame::{Entry, FORMAT, HEADER, MARK, parse_batch};
use super::{WalError, files_in};

/// The result of replaying one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplayResult {
    /// The offset of the next frame.
    pub(crate) tail: u64,
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
    match HEADER.read(bytes) {
        Ok(found) if found == generation => {}
        Ok(_) => return Err(damaged(0, "it is another file's contents")),
        Err(HeaderError::Newer(version)) => return Err(WalError::Newer { path: path.to_owned(), version }),
        Err(HeaderError::Broken(what)) => return Err(damaged(0, what)),
    }
    let scan = FORMAT.scan(bytes, HEADER_SIZE, generation);
    let mut replayed = ReplayResult { tail: scan.end as u64, torn: scan.rest != Rest::Room };
    for (at, frame) in scan.frames.into_iter().take_while(|(at, _)| *at < scan.end) {
        let size = FORMAT.size(frame.payload.len());
        if frame.kind == MARK {
            // The next frame overwrites the mark; what is behind it is torn.
            replayed = ReplayResult { tail: at as u64, torn: replayed.torn || at + size < scan.end };
            break;
        }
        let (_, entries) = parse_batch(frame.payload).map_err(|_| damaged(at, "a batch can't be read"))?;
        each(PlacedBatch { at: at as u64, size, entries })?;
    }
    match scan.rest {
        Rest::Damaged(what) => Err(damaged(scan.end, what)),
        Rest::Room | Rest::Torn => Ok(replayed),
    }
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
pub(crate) fn read_commit(bytes: &Bytes, generation: u64) -> Result<Vec<(u64, Family, Bytes)>, Broken> {
    let scan = FORMAT.scan(bytes, 0, generation);
    if scan.end < bytes.len() {
        return Err(Broken("a frame of the commit is not whole"));
    }
    let mut events = Vec::new();
    for (_, frame) in scan.frames {
        let (_, entries) = parse_batch(frame.payload)?;
        events.extend(entries.iter().map(|entry| (entry.index, entry.family, bytes.slice_ref(entry.leaf))));
    }
    Ok(events)
}
