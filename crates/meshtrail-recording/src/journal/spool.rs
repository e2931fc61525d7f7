//! The spool: what was laid out of each open session.
//!
//! `<session>.json` is its opening, `<session>.cast` its bytes, `<session>.end.json` its closing once it has one.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use meshtrail_event::SessionId;
use serde::{Serialize, de::DeserializeOwned};

use super::{Shared, locked, tape::TapeState};

pub(super) fn opening_path(folder: &Path, session: &SessionId) -> PathBuf {
    folder.join(format!("{session}.json"))
}

pub(super) fn closing_path(folder: &Path, session: &SessionId) -> PathBuf {
    folder.join(format!("{session}.end.json"))
}

pub(super) fn bytes_path(folder: &Path, session: &SessionId) -> PathBuf {
    folder.join(format!("{session}.cast"))
}

/// Opens a session's bytes for writing, making the file if it is not there.
pub(super) fn bytes_file(folder: &Path, session: &SessionId) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(bytes_path(folder, session))
}

/// Writes a small document; durable after the next [`sync`].
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    // Written beside and renamed, so that a crash never leaves half of it under its name.
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

/// Makes all that was written on this file system durable, with one call instead of one per session.
///
/// Since Linux 5.8 it also reports write errors that happened since the folder was opened, which is why the
/// caller opens it before it writes.
pub(super) fn sync(folder: &File) -> io::Result<()> {
    Ok(rustix::fs::syncfs(folder)?)
}

/// Deletes a session's files; its opening last, since without it the others mean nothing.
pub(super) fn remove(folder: &Path, session: &SessionId) -> io::Result<()> {
    for path in [bytes_path(folder, session), closing_path(folder, session), opening_path(folder, session)] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Where the next bytes are to be read.
enum Place {
    Spool { length: usize },
    Journal(Vec<(Arc<File>, u64, usize)>),
}

/// Reads durable bytes of a session from wherever they lie; not found once it is sealed.
pub(super) fn read(shared: &Shared, state: &TapeState, from: u64, length: usize) -> io::Result<Vec<u8>> {
    match place(shared, state, from, length)? {
        Place::Spool { length } => {
            let mut bytes = vec![0; length];
            File::open(bytes_path(&shared.folders.spool, &state.opening.session))?
                .read_exact_at(&mut bytes, from)?;
            Ok(bytes)
        }
        Place::Journal(pieces) => {
            let mut bytes = Vec::with_capacity(pieces.iter().map(|piece| piece.2).sum());
            for (file, at, length) in pieces {
                let start = bytes.len();
                bytes.resize(start + length, 0);
                file.read_exact_at(&mut bytes[start..], at)?;
            }
            Ok(bytes)
        }
    }
}

fn place(shared: &Shared, state: &TapeState, from: u64, length: usize) -> io::Result<Place> {
    let placed = locked(&state.placed);
    if from < placed.spooled {
        let left = usize::try_from(placed.spooled - from).unwrap_or(usize::MAX);
        return Ok(Place::Spool { length: length.min(left) });
    }
    // Extents leave the list before their file leaves the map, so each of these is there but for a session
    // that is done, which nobody lays out any more.
    let files = locked(&shared.files);
    let first = placed.extents.partition_point(|extent| extent.offset + u64::from(extent.length) <= from);
    let (mut pieces, mut wanted) = (Vec::new(), length);
    for extent in &placed.extents[first..] {
        if wanted == 0 {
            break;
        }
        let skip = from.saturating_sub(extent.offset);
        let there = usize::try_from(u64::from(extent.length) - skip).unwrap_or(usize::MAX);
        let file = files.get(&extent.generation).ok_or(io::ErrorKind::NotFound)?;
        pieces.push((file.clone(), extent.at + skip, there.min(wanted)));
        wanted -= there.min(wanted);
    }
    Ok(Place::Journal(pieces))
}
