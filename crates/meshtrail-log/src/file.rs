//! Files of a log: created with their room, and written to at their tail by a single writer.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::fault::{Faults, LogStep};
use super::header::HEADER_SIZE;

/// The most room that is added at a time, in bytes.
const MOST_ROOM: u64 = 32 << 20;

/// A file of a log.
#[derive(Debug)]
pub struct LogFile {
    /// Its generation, which rises from file to file and is never used again.
    pub generation: u64,
    /// Its path.
    pub path: PathBuf,
    /// The open file.
    pub file: File,
}

/// A new file with room, under a temporary name.
#[derive(Debug)]
pub struct NewFile {
    temporary: PathBuf,
    file: File,
    room: u64,
}

/// The writer of one file.
#[derive(Debug)]
pub struct LogWriter {
    log: Arc<LogFile>,
    /// The offset of the next frame; everything before it is synced.
    tail: u64,
    /// The offset up to which the file has room.
    room: u64,
    faults: Faults<LogStep>,
}

/// The files in a folder whose names are a generation and `extension`, oldest first; none without the folder.
pub fn files_in(folder: &Path, extension: &str) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        let generation = path.file_stem().and_then(|digits| digits.to_str()?.parse().ok());
        if let Some(generation) =
            generation.filter(|_| path.extension().is_some_and(|found| found == extension))
        {
            files.push((generation, path));
        }
    }
    files.sort();
    Ok(files)
}

/// Makes a folder's entries durable. An empty path, as a bare file name has for its parent, is the current folder.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?.sync_all()
}

/// Overwrites what a crash left behind `tail` with zeros, so that the next scan ends there.
pub fn clear_tail(path: &Path, tail: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    // A crash here leaves the same torn tail, or less of it.
    write_zeros(&file, tail, file.metadata()?.len(), |_| Ok(()))?;
    file.sync_all()
}

impl NewFile {
    /// Creates a file with `room` bytes, in place of one that a crash left under this temporary name.
    pub fn create(temporary: PathBuf, room: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, room) {
            // Not every file system supports it. Missing space then shows at a write.
            Err(Errno::OPNOTSUPP) => file.set_len(room)?,
            reserved => reserved?,
        }
        Ok(Self { temporary, file, room })
    }

    /// Writes all of the room, and calls `pause` after each MiB.
    ///
    /// Overwriting written blocks changes no metadata. In space that is only preallocated, each sync waits for the file
    /// system's own journal, and so for all other writes on that disk.
    pub fn write_zeros(&self, pause: impl FnMut(&File) -> io::Result<()>) -> io::Result<()> {
        write_zeros(&self.file, 0, self.room, pause)
    }

    /// Gives the file its header and its name, which are durable when this returns.
    pub fn into_log(
        self,
        path: &Path,
        generation: u64,
        header: &[u8],
        faults: Faults<LogStep>,
    ) -> io::Result<LogWriter> {
        faults.around(LogStep::Create, || {
            self.file.write_all_at(header, 0)?;
            self.file.sync_all()?;
            // A crash here leaves the temporary name, which no start reads, and which a later file takes.
            fs::rename(&self.temporary, path)?;
            // A crash here leaves the file with or without its name; it has no frames either way.
            sync_folder(path.parent().unwrap_or(Path::new("")))
        })?;
        let log = Arc::new(LogFile { generation, path: path.to_owned(), file: self.file });
        Ok(LogWriter { log, tail: HEADER_SIZE as u64, room: self.room, faults })
    }
}

impl LogWriter {
    /// The file, for readers.
    pub const fn file(&self) -> &Arc<LogFile> {
        &self.log
    }

    /// The offset of the next frame; everything before it is synced.
    pub const fn tail(&self) -> u64 {
        self.tail
    }

    /// Writes whole frames at the tail and syncs them. After an error the state on disk is unknown: write no more.
    pub fn append(&mut self, frames: &[u8]) -> io::Result<()> {
        // A crash in here leaves any part of the frames, none of them acknowledged; a scan tells them from whole ones.
        self.faults.around(LogStep::Write, || self.log.file.write_all_at(frames, self.tail))?;
        self.faults.around(LogStep::Sync, || self.log.file.sync_data())?;
        self.tail += frames.len() as u64;
        Ok(())
    }

    /// Reserves room for `bytes` behind the tail and a mark. On a full disk it fails without changing anything.
    pub fn reserve(&mut self, bytes: usize) -> io::Result<()> {
        let wanted = self.tail + bytes as u64 + 64;
        if wanted <= self.room {
            return Ok(());
        }
        let room = wanted.max(self.room + self.room.min(MOST_ROOM)).next_multiple_of(4096);
        // A crash here leaves more or fewer zeros behind the tail; a scan accepts both.
        self.faults.around(LogStep::Extend, || {
            write_zeros(&self.log.file, self.room, room, |_| Ok(()))?;
            self.log.file.sync_all()
        })?;
        self.room = room;
        Ok(())
    }

    /// Writes a frame that proves the ones before it synced; the next append overwrites it. It is not synced itself: it
    /// survives a crash of the process, and if a crash of the machine loses it, nothing else is lost.
    pub fn write_mark(&self, mark: &[u8]) -> io::Result<()> {
        self.log.file.write_all_at(mark, self.tail)
    }
}

fn write_zeros(
    file: &File,
    from: u64,
    to: u64,
    mut pause: impl FnMut(&File) -> io::Result<()>,
) -> io::Result<()> {
    const STEP: u64 = 1 << 20;
    let zeros = vec![0; to.saturating_sub(from).min(STEP) as usize];
    let mut at = from;
    while at < to {
        let length = (to - at).min(STEP);
        file.write_all_at(&zeros[..length as usize], at)?;
        at += length;
        pause(file)?;
    }
    Ok(())
}
