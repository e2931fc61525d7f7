//! Journal files: a head that says what they are, then frames, in space reserved beforehand.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::FallocateFlags;

use super::{JournalError, Shared};
use crate::faults::Step;

/// Bytes before the first frame.
pub(super) const HEAD: u64 = 4096;

const VERSION: u64 = 1;
const MARK: &str = "meshtrail journal ";

/// The path of a generation's file.
pub(super) fn path(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("{generation:020}.journal"))
}

/// Makes a file with its space reserved; its name is durable when this returns.
pub(super) fn create(shared: &Shared, generation: u64) -> io::Result<File> {
    let path = path(&shared.folders.journal, generation);
    shared.faults.around(Step::CreateJournal, || {
        let file = open_empty(&path)?;
        reserve(&file, shared.limits.file)?;
        write_head(&file, generation)?;
        // A crash before these two leaves a file without frames, or none: recovery deletes it.
        file.sync_all()?;
        sync_folder(&shared.folders.journal)?;
        Ok(file)
    })
}

/// Makes a file whose every block is written already, under a name that recovery does not read.
///
/// Syncing what overwrites such blocks touches no metadata. In space that is only reserved, each sync has to
/// wait for the file system's own journal, and with it for whatever else is written on that disk.
pub(super) fn prewrite(shared: &Shared, stopped: impl Fn() -> bool) -> io::Result<File> {
    const STEP: usize = 1 << 20;
    let file = open_empty(&spare(shared))?;
    reserve(&file, shared.limits.file)?;
    let zeros = vec![0; STEP];
    let mut at = 0;
    while at < shared.limits.file {
        if stopped() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = usize::try_from(shared.limits.file - at).unwrap_or(STEP).min(STEP);
        file.write_all_at(&zeros[..length], at)?;
        // Step by step, so that commits have the disk to themselves in between.
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
        // A crash before this leaves a spare file, which the next one is written over.
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

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn reserve(file: &File, size: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size) {
        Ok(()) => Ok(()),
        // Not every file system can; then the space is found missing when it is written.
        Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(size),
        Err(error) => Err(error.into()),
    }
}

/// The generation that a file says it is; nothing if its head never got written.
pub(super) fn generation(path: &Path, bytes: &[u8]) -> Result<Option<u64>, JournalError> {
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
