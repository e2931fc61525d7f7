//! Journal files: those of a log, with a line of text as their header.

use std::{io, path::Path};

use meshtrail_log::{HEADER_SIZE, LogWriter, NewFile};

use super::{JournalError, Scan, Shared, frame::scan};
use crate::faults::Step;

const VERSION: u64 = 1;
const MARK: &str = "meshtrail journal ";

/// Creates a file with preallocated space. Its name is durable when this returns.
pub(super) fn create(shared: &Shared, generation: u64) -> io::Result<LogWriter> {
    adopt(shared, new_file(shared, "new")?, generation)
}

/// Creates a file with every block written, under a name that recovery does not read.
pub(super) fn prewrite(shared: &Shared, stopped: impl Fn() -> bool) -> io::Result<NewFile> {
    let spare = new_file(shared, "spare")?;
    spare.write_zeros(|file| match stopped() {
        true => Err(io::ErrorKind::Interrupted.into()),
        // Synced in steps, so that commits get the disk in between.
        false => file.sync_data(),
    })?;
    Ok(spare)
}

/// Gives a new file its generation and its name.
pub(super) fn adopt(shared: &Shared, file: NewFile, generation: u64) -> io::Result<LogWriter> {
    let mut header = format!("{MARK}{VERSION} {generation}\n").into_bytes();
    header.resize(HEADER_SIZE, 0);
    let path = shared.folders.journal.join(format!("{generation:020}.journal"));
    file.into_log(&path, generation, &header, shared.faults.of_log(Step::Journal))
}

fn new_file(shared: &Shared, name: &str) -> io::Result<NewFile> {
    NewFile::create(shared.folders.journal.join(name), shared.limits.file_size)
}

/// Reads a file's frames; `None` if its header was never written.
pub(super) fn read<'a>(path: &Path, bytes: &'a [u8]) -> Result<Option<Scan<'a>>, JournalError> {
    let Some(generation) = read_generation(path, bytes)? else { return Ok(None) };
    Ok(Some(scan(bytes.get(HEADER_SIZE..).unwrap_or_default(), generation)))
}

/// Reads the generation from a file's head; `None` if the head was never written.
fn read_generation(path: &Path, bytes: &[u8]) -> Result<Option<u64>, JournalError> {
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
