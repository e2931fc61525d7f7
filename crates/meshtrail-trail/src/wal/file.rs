//! One file of the log: made with room, written at its tail.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::WalError;
use super::frame::{HEADER_SIZE, header, mark};
use crate::fault::{Faults, Step};

/// Room that a file begins with.
const FIRST_ROOM: u64 = 1 << 20;
/// The most room that is added at a time.
const MOST_ROOM: u64 = 32 << 20;

/// A file that is written to. There is one writer.
#[derive(Debug)]
pub(crate) struct WalFile {
    pub(crate) generation: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<File>,
    /// Where the next frame goes: all before it is synced.
    tail: u64,
    /// Up to where the file is zeros on disk.
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
    /// Makes a file with room, all of it on disk before it has its name.
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
        // A crash here leaves `.new`, which replay passes over and the next file of this generation overwrites.
        fs::rename(&temporary, path)?;
        // A crash here leaves the file with or without its name; it holds nothing yet either way.
        File::open(folder)?.sync_all()?;
        Ok(file)
    }

    /// Goes on with a file that was replayed up to `tail`; what a crash left behind that is overwritten with zeros.
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

    /// Where the next frame goes.
    pub(crate) const fn tail(&self) -> u64 {
        self.tail
    }

    /// Writes whole frames at the tail and syncs them. On an error what is on disk is unknown: write no more.
    pub(crate) fn append(&mut self, frames: &[u8]) -> Result<(), WalError> {
        let failed = |doing| WalError::disk(doing, &self.path);
        // A crash in here leaves none, some or all of the frames, none acknowledged; replay keeps the whole ones at
        // the front and clears the rest.
        self.faults
            .around(Step::WalWrite, || self.file.write_all_at(frames, self.tail))
            .map_err(failed("write to"))?;
        self.faults.around(Step::WalSync, || self.file.sync_data()).map_err(failed("sync"))?;
        self.tail += frames.len() as u64;
        Ok(())
    }

    /// Makes sure that `bytes` fit behind the tail, a mark included. Fails, with nothing changed, on a full disk.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Result<(), WalError> {
        let wanted = self.tail + bytes as u64 + 64;
        if wanted <= self.room {
            return Ok(());
        }
        let room = wanted.max(self.room + self.room.min(MOST_ROOM)).next_multiple_of(4096);
        // A crash here leaves more zeros behind the tail, or fewer; replay does not mind.
        self.faults
            .around(Step::WalExtend, || {
                write_zeros(&self.file, self.room, room)?;
                self.file.sync_all()
            })
            .map_err(WalError::disk("make room in", &self.path))?;
        self.room = room;
        Ok(())
    }

    /// Says behind the last frame that it is synced. Not synced itself: a crash of the process keeps it, and a crash
    /// of the machine that loses it loses nothing else.
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
