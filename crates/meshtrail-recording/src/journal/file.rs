//! Journal files: a head with format and generation, then frames, in preallocated space.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::FallocateFlags;

use super::{JournalError, Shared};
use crate::faults::Step;

/// The length of the head, which the first frame follows.
pub(super) const HEAD: u64 = 4096;

const VERSION: u64 = 1;
const MARK: &str = "meshtrail journal ";

/// The path of a generation's file.
pub(super) fn path(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("{generation:020}.journal"))
}

/// Creates a file with preallocated space. Its name is durable when this returns.
pub(super) fn create(shared: &Shared, generation: u64) -> io::Result<File> {
    let path = path(&shared.folders.journal, generation);
    shared.faults.around(Step::CreateJournal, || {
        let file = open_empty(&path)?;
        reserve(&file, shared.limits.file_size)?;
        write_head(&file, generation)?;
        // A crash before these two syncs leaves no file, or one without frames, which recovery deletes.
        file.sync_all()?;
        sync_folder(&shared.folders.journal)?;
        Ok(file)
    })
}

/// Creates a file with every block written, under a name that recovery does not read.
///
/// Overwriting written blocks changes no metadata. In space that is only preallocated, each sync waits for the file
/// system's own journal, and so for all other writes on that disk.
pub(super) fn prewrite(shared: &Shared, stopped: impl Fn() -> bool) -> io::Result<File> {
    const STEP: usize = 1 << 20;
    let file = open_empty(&spare(shared))?;
    reserve(&file, shared.limits.file_size)?;
    let zeros = vec![0; STEP];
    let mut at = 0;
    while at < shared.limits.file_size {
        if stopped() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = usize::try_from(shared.limits.file_size - at).unwrap_or(STEP).min(STEP);
        file.write_all_at(&zeros[..length], at)?;
        // Synced in steps, so that commits get the disk in between.
        file.sync_data()?;
        at += length as u64;
    }
    Ok(file)
}

/// Gives a prewritten file its generation and its name.
pub(super) fn adopt(shared: &Shared, file: File, generation: u64) -> io::Result<File> {
    shared.faults.around(Step::CreateJournal, || {
        write_head(&file, generation)?;
        file.sync_all()?;
        // A crash before this leaves the spare file, which the next start overwrites.
        std::fs::rename(spare(shared), path(&shared.folders.journal, generation))?;
        sync_folder(&shared.folders.journal)?;
        Ok(file)
    })
}

fn spare(shared: &Shared) -> PathBuf {
    shared.folders.journal.join("spare")
}

fn open_empty(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn write_head(file: &File, generation: u64) -> io::Result<()> {
    let mut head = format!("{MARK}{VERSION} {generation}\n").into_bytes();
    head.resize(usize::try_from(HEAD).expect("the head is small"), 0);
    file.write_all_at(&head, 0)
}

/// Makes a folder's entries durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn reserve(file: &File, size: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size) {
        Ok(()) => Ok(()),
        // Not every file system supports it. Missing space then shows at a write.
        Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(size),
        Err(error) => Err(error.into()),
    }
}

/// Reads the generation from a file's head; `None` if the head was never written.
pub(super) fn read_generation(path: &Path, bytes: &[u8]) -> Result<Option<u64>, JournalError> {
    let head = bytes.get(..64).unwrap_or(bytes);
    let Some(rest) = head.strip_prefix(MARK.as_bytes()) else { return Ok(None) };
    let line = rest.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let mut words = std::str::from_utf8(line).unwrap_or_default().split(' ').map(str::parse::<u64>);
    match (words.next(), words.next()) {
        (Some(Ok(VERSION)), Some(Ok(generation))) => Ok(Some(generation)),
        (Some(Ok(found)), _) if found > VERSION => {
            Err(JournalError::Newer { path: path.to_owned(), found, known: VERSION })
        }
        _ => Ok(None),
    }
}
