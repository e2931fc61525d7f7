//! The spool: files with the laid out bytes of each unsealed session.
//!
//! `<session>.json` is the opening, `<session>.cast` the bytes, `<session>.end.json` the closing.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use meshtrail_event::SessionId;
use meshtrail_log::LogFile;
use serde::{Serialize, de::DeserializeOwned};

use super::{Shared, lock, session_stream::StreamState};

pub(super) fn opening_path(folder: &Path, session: &SessionId) -> PathBuf {
    folder.join(format!("{session}.json"))
}

pub(super) fn closing_path(folder: &Path, session: &SessionId) -> PathBuf {
    folder.join(format!("{session}.end.json"))
}

pub(super) fn bytes_path(folder: &Path, session: &SessionId) -> PathBuf {
    folder.join(format!("{session}.cast"))
}

/// Opens the file of a session's bytes for writing; creates it if it is missing.
pub(super) fn bytes_file(folder: &Path, session: &SessionId) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(bytes_path(folder, session))
}

/// Writes an opening or a closing. It is durable after the next [`sync`].
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    // Renamed when it is complete, so that a crash never leaves half a document under its name.
    let beside = path.with_extension("json.new");
    fs::write(&beside, serde_json::to_vec(value)?)?;
    fs::rename(beside, path)
}

pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes all writes on this file system durable, with one call instead of one per session.
///
/// Since Linux 5.8 it also reports write errors since the folder was opened, so callers open the folder before they
/// write.
pub(super) fn sync(folder: &File) -> io::Result<()> {
    Ok(rustix::fs::syncfs(folder)?)
}

/// Deletes a session's files; the opening last, since recovery finds a session by its opening.
pub(super) fn remove(folder: &Path, session: &SessionId) -> io::Result<()> {
    for path in [bytes_path(folder, session), closing_path(folder, session), opening_path(folder, session)] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The location of the next bytes.
enum ReadLocation {
    Spool { length: usize },
    Journal(Vec<(Arc<LogFile>, u64, usize)>),
}

/// Reads durable bytes of a session from spool or journal. Fails with `NotFound` once the session is discarded.
pub(super) fn read(shared: &Shared, state: &StreamState, from: u64, length: usize) -> io::Result<Vec<u8>> {
    match locate(shared, state, from, length)? {
        ReadLocation::Spool { length } => {
            let mut bytes = vec![0; length];
            File::open(bytes_path(&shared.folders.spool, &state.opening.session))?
                .read_exact_at(&mut bytes, from)?;
            Ok(bytes)
        }
        ReadLocation::Journal(pieces) => {
            let mut bytes = Vec::with_capacity(pieces.iter().map(|piece| piece.2).sum());
            for (file, at, length) in pieces {
                let start = bytes.len();
                bytes.resize(start + length, 0);
                file.file.read_exact_at(&mut bytes[start..], at)?;
            }
            Ok(bytes)
        }
    }
}

fn locate(shared: &Shared, state: &StreamState, from: u64, length: usize) -> io::Result<ReadLocation> {
    let locations = lock(&state.locations);
    if from < locations.spooled {
        let left = usize::try_from(locations.spooled - from).unwrap_or(usize::MAX);
        return Ok(ReadLocation::Spool { length: length.min(left) });
    }
    // Layout removes extents from the list before it removes their file from the map. So a file is missing only for a
    // discarded session, whose extents stay in the list.
    let files = lock(&shared.files);
    let first = locations.extents.partition_point(|extent| extent.offset + u64::from(extent.length) <= from);
    let (mut pieces, mut wanted) = (Vec::new(), length);
    for extent in &locations.extents[first..] {
        if wanted == 0 {
            break;
        }
        let skip = from.saturating_sub(extent.offset);
        let available = usize::try_from(u64::from(extent.length) - skip).unwrap_or(usize::MAX);
        let file = files.get(&extent.generation).ok_or(io::ErrorKind::NotFound)?;
        pieces.push((file.clone(), extent.at + skip, available.min(wanted)));
        wanted -= available.min(wanted);
    }
    Ok(ReadLocation::Journal(pieces))
}
