//! One file of the log: preallocated, and written at its tail.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::WalError;
use super::frame::{HEADER_SIZE, header, mark};
use crate::fault::{Faults, Step};

/// The initial room of a file, in bytes.
const FIRST_ROOM: u64 = 1 << 20;
/// The most room that is added at a time, in bytes.
const MOST_ROOM: u64 = 32 << 20;

/// A log file that is written to, by a single writer.
#[derive(Debug)]
pub(crate) struct WalFile {
    pub(crate) generation: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<File>,
    /// The offset of the next frame; everything before it is synced.
    tail: u64,
    /// The offset up to which the file is preallocated with zeros.
    room: u64,
    faults: Faults,
}

pub(crate) fn file_name(generation: u64) -> String {
    format!("{generation:016}.log")
}

/// The log's files, oldest first, with their generations.
pub(crate) fn files_in(folder: &Path) -> Result<Vec<(u64, PathBuf)>, WalError> {
    let mut files = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(WalError::disk("read the folder", folder)(error)),
    };
    for entry in entries {
        let path = entry.map_err(WalError::disk("read the folder", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let generation = name.strip_suffix(".log").and_then(|digits| digits.parse().ok());
        if let Some(generation) = generation {
            files.push((generation, path));
        }
    }
    files.sort();
    Ok(files)
}

impl WalFile {
    /// Creates a file with room, all of it on disk before the file gets its name.
    pub(crate) fn create(
        folder: &Path,
        generation: u64,
        room: u64,
        faults: &Faults,
    ) -> Result<Self, WalError> {
        let path = folder.join(file_name(generation));
        let made =
            faults.around(Step::WalCreate, || Self::make(folder, &path, generation, room.max(FIRST_ROOM)));
        let file = made.map_err(WalError::disk("make", &path))?;
        let (tail, room) = (HEADER_SIZE as u64, room.max(FIRST_ROOM));
        Ok(Self { generation, path, file: Arc::new(file), tail, room, faults: faults.clone() })
    }

    fn make(folder: &Path, path: &Path, generation: u64, room: u64) -> io::Result<File> {
        let temporary = path.with_extension("new");
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all_at(&header(generation), 0)?;
        write_zeros(&file, HEADER_SIZE as u64, room)?;
        file.sync_all()?;
        // A crash here leaves `.new`, which replay ignores and the next file of this generation overwrites.
        fs::rename(&temporary, path)?;
        // A crash here leaves the file with or without its name; it is still empty either way.
        File::open(folder)?.sync_all()?;
        Ok(file)
    }

    /// Continues a file that was replayed up to `tail`; what a crash left behind it is overwritten with zeros.
    pub(crate) fn resume(generation: u64, path: &Path, tail: u64, faults: &Faults) -> Result<Self, WalError> {
        let failed = |doing| WalError::disk(doing, path);
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed("open"))?;
        let room = file.metadata().map_err(failed("open"))?.len();
        // A crash here leaves the same torn tail, or less of it.
        let cleared = write_zeros(&file, tail, room).and_then(|()| file.sync_all());
        cleared.map_err(failed("clear the tail of"))?;
        Ok(Self {
            generation,
            path: path.to_owned(),
            file: Arc::new(file),
            tail,
            room,
            faults: faults.clone(),
        })
    }

    /// The offset of the next frame.
    pub(crate) const fn tail(&self) -> u64 {
        self.tail
    }

    /// Writes whole frames at the tail and syncs them. After an error the state on disk is unknown: write no more.
    pub(crate) fn append(&mut self, frames: &[u8]) -> Result<(), WalError> {
        let failed = |doing| WalError::disk(doing, &self.path);
        // A crash in here leaves none, some or all of the frames, none of them acknowledged; replay keeps the leading
        // whole ones and clears the rest.
        self.faults
            .around(Step::WalWrite, || self.file.write_all_at(frames, self.tail))
            .map_err(failed("write to"))?;
        self.faults.around(Step::WalSync, || self.file.sync_data()).map_err(failed("sync"))?;
        self.tail += frames.len() as u64;
        Ok(())
    }

    /// Reserves room for `bytes` behind the tail and a mark. On a full disk it fails without changing anything.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Result<(), WalError> {
        let wanted = self.tail + bytes as u64 + 64;
        if wanted <= self.room {
            return Ok(());
        }
        let room = wanted.max(self.room + self.room.min(MOST_ROOM)).next_multiple_of(4096);
        // A crash here leaves more or fewer zeros behind the tail; replay accepts both.
        self.faults
            .around(Step::WalExtend, || {
                write_zeros(&self.file, self.room, room)?;
                self.file.sync_all()
            })
            .map_err(WalError::disk("make room in", &self.path))?;
        self.room = room;
        Ok(())
    }

    /// Writes a mark that the last frame is synced. The mark itself is not synced: it survives a crash of the process, and
    /// if a crash of the machine loses it, nothing else is lost.
    pub(crate) fn mark(&self) -> io::Result<()> {
        self.file.write_all_at(&mark(self.generation, self.tail), self.tail)
    }
}

fn write_zeros(file: &File, from: u64, to: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    let mut at = from;
    while at < to {
        let length = usize::try_from(to - at).unwrap_or(usize::MAX).min(ZEROS.len());
        file.write_all_at(&ZEROS[..length], at)?;
        at += length as u64;
    }
    Ok(())
}
