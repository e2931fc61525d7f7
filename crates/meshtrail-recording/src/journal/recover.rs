//! Recovery after a crash or a stop: from journal files that were not laid out, and spool files of unsealed sessions.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use meshtrail_event::SessionId;
use meshtrail_log::files_in;
use tracing::{error, info};

use super::{
    Chunk, Closing, Folders, JournalError, Opening, Shared, file,
    frame::{Frame, FrameKind, Scan},
    spool,
};
use crate::faults::{Faults, Step};

/// A session that was not sealed when the program stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredSession {
    /// The session's opening.
    pub opening: Opening,
    /// The session's closing, if it was durable.
    pub closing: Option<Closing>,
    /// The number of its bytes, which are all in the spool.
    pub bytes: u64,
    /// Which bytes are missing and in which file, in words; `None` if it is complete.
    pub damage: Option<String>,
}

/// Lays out every journal file, and returns the unsealed sessions, which are in the spool then.
pub(super) fn recover(shared: &Shared) -> Result<Vec<RecoveredSession>, JournalError> {
    let folder = |path: &Path| {
        let path = path.to_owned();
        move |source| JournalError::Folder { path, source }
    };
    let spool = &shared.folders.spool;
    let synced = File::open(spool).map_err(folder(spool))?;
    let mut recovery = Recovery::from_spool(&shared.folders, &shared.faults).map_err(folder(spool))?;
    let mut laid_out = Vec::new();
    let journal = &shared.folders.journal;
    for (_, path) in files_in(journal, "journal").map_err(folder(journal))? {
        let failed = |source| JournalError::Layout { path: path.clone(), source };
        let bytes = fs::read(&path).map_err(failed)?;
        let damaged = match file::read(&path, &bytes)? {
            Some(found) => {
                let last_batch = found.frames.last().map_or(0, |(_, frame)| frame.batch);
                recovery.apply(&found, last_batch, &path).map_err(failed)?;
                found.damage.is_some()
            }
            None => false,
        };
        laid_out.push((path, damaged));
    }
    recovery.write_documents().map_err(folder(spool))?;
    // After a crash up to here all of this is repeated: the journal files still exist.
    if !laid_out.is_empty() {
        shared.faults.around(Step::SyncSpool, || spool::sync(&synced)).map_err(folder(spool))?;
    }
    for (path, damaged) in laid_out {
        let failed = |source| JournalError::Layout { path: path.clone(), source };
        if damaged {
            // Kept for an investigation; a recovery does not read it again.
            fs::rename(&path, path.with_extension("damaged")).map_err(failed)?;
            continue;
        }
        shared.faults.around(Step::DeleteJournal, || fs::remove_file(&path)).map_err(failed)?;
    }
    recovery.finish().map_err(folder(spool))
}

/// The sessions that have an opening in spool or journal below `local`. Changes nothing, so it can be called while a
/// recorder runs.
pub(crate) fn unsealed_on_disk(local: &Path) -> io::Result<HashSet<SessionId>> {
    let mut unsealed = HashSet::new();
    for entry in folder_entries(&local.join("spool"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        unsealed.extend(name.strip_suffix(".json").and_then(|session| session.parse::<SessionId>().ok()));
    }
    for entry in folder_entries(&local.join("journal"))? {
        let path = entry?.path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            // It was laid out meanwhile: its sessions are in the spool, or sealed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let Some(found) = file::read(&path, &bytes).map_err(io::Error::other)? else { continue };
        let open_frames = found.frames.iter().filter(|(_, frame)| frame.kind == FrameKind::Open);
        let openings =
            open_frames.filter_map(|(_, frame)| serde_json::from_slice::<Opening>(frame.payload).ok());
        unsealed.extend(openings.map(|opening| opening.session));
    }
    Ok(unsealed)
}

fn folder_entries(folder: &Path) -> io::Result<Box<dyn Iterator<Item = io::Result<fs::DirEntry>>>> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(Box::new(entries)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Box::new(std::iter::empty())),
        Err(error) => Err(error),
    }
}

/// Restores unsealed sessions in the spool from journal files or chunks.
pub(crate) struct Recovery {
    spool: PathBuf,
    faults: Faults,
    /// By number.
    sessions: BTreeMap<u64, PartialSession>,
}

/// A session of which not all frames may have been applied.
struct PartialSession {
    opening: Opening,
    closing: Option<Closing>,
    documents_written: bool,
    /// The end of its bytes in the spool.
    end: u64,
    file: Option<File>,
    damage: Option<String>,
    /// It was sealed.
    sealed: bool,
}

impl Recovery {
    /// Without any session.
    pub(crate) fn new(folders: &Folders, faults: &Faults) -> Self {
        Self { spool: folders.spool.clone(), faults: faults.clone(), sessions: BTreeMap::new() }
    }

    /// With the sessions that have an opening in the spool.
    fn from_spool(folders: &Folders, faults: &Faults) -> io::Result<Self> {
        let mut recovery = Self::new(folders, faults);
        for entry in fs::read_dir(&folders.spool)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.ends_with(".json") || name.ends_with(".end.json") {
                continue;
            }
            let Some(opening) = spool::read_json::<Opening>(&path)? else {
                // Left as it is: the journal may contain the opening, and no recording is deleted on a guess.
                error!(path = %path.display(), "a session's opening in the spool can't be read");
                continue;
            };
            let closing = spool::read_json(&spool::closing_path(&folders.spool, &opening.session))?;
            let end = length(&spool::bytes_path(&folders.spool, &opening.session))?;
            let session = PartialSession {
                closing,
                documents_written: true,
                end,
                file: None,
                damage: None,
                sealed: false,
                opening,
            };
            recovery.sessions.insert(session.opening.number, session);
        }
        Ok(recovery)
    }

    /// Adds a session of a chunk, unless it is known.
    pub(crate) fn add_session(&mut self, opening: &Opening) {
        self.sessions.entry(opening.number).or_insert_with(|| PartialSession::new(opening.clone()));
    }

    /// Writes a chunk's bytes of the known sessions to the spool.
    pub(crate) fn apply_chunk(&mut self, chunk: &Chunk, name: &Path) -> io::Result<()> {
        // Every frame in a chunk was durable, so every hole is damage.
        self.apply(&chunk.scan(), u64::MAX, name)
    }

    /// Writes a scan's bytes to the spool. A hole before `last_batch` is damage. In the last batch a crash may have
    /// left it, and its frames were never acknowledged.
    fn apply(&mut self, scan: &Scan<'_>, last_batch: u64, path: &Path) -> io::Result<()> {
        if let Some(at) = scan.damage {
            error!(path = %path.display(), at, "a journal file is damaged");
        }
        // By session, so that one spool file is open at a time. The sort is stable: each session's frames stay in
        // order.
        let mut frames: Vec<&Frame<'_>> = scan.frames.iter().map(|(_, frame)| frame).collect();
        frames.sort_by_key(|frame| frame.number);
        for session in frames.chunk_by(|one, next| one.number == next.number) {
            for frame in session {
                let hole_is_damage = scan.damage.is_some() || frame.batch < last_batch;
                self.apply_frame(frame, hole_is_damage, path)?;
            }
            if let Some(partial) = self.sessions.get_mut(&session[0].number) {
                partial.file = None;
            }
        }
        Ok(())
    }

    fn apply_frame(&mut self, frame: &Frame<'_>, hole_is_damage: bool, path: &Path) -> io::Result<()> {
        if frame.kind == FrameKind::Open {
            if let Ok(opening) = serde_json::from_slice::<Opening>(frame.payload) {
                self.sessions.entry(frame.number).or_insert_with(|| PartialSession::new(opening));
            }
            return Ok(());
        }
        // A session without an opening was sealed, and its journal file could not be deleted.
        let Some(session) = self.sessions.get_mut(&frame.number) else { return Ok(()) };
        match frame.kind {
            FrameKind::Bytes if frame.offset > session.end => {
                if hole_is_damage {
                    let PartialSession { end, damage, .. } = session;
                    damage.get_or_insert_with(|| {
                        format!("bytes from {end} to {} are missing in {}", frame.offset, path.display())
                    });
                }
            }
            FrameKind::Bytes => {
                self.faults.around(Step::AppendSpool, || session.write(&self.spool, frame))?
            }
            FrameKind::Close => {
                session.closing = serde_json::from_slice(frame.payload).ok();
                session.documents_written = false;
            }
            FrameKind::Done => session.sealed = true,
            FrameKind::Open => {}
        }
        Ok(())
    }

    /// Writes openings and closings; durable after the next sync.
    pub(crate) fn write_documents(&mut self) -> io::Result<()> {
        for session in
            self.sessions.values_mut().filter(|session| !session.documents_written && !session.sealed)
        {
            let id = &session.opening.session;
            spool::write_json(&spool::opening_path(&self.spool, id), &session.opening)?;
            if let Some(closing) = &session.closing {
                spool::write_json(&spool::closing_path(&self.spool, id), closing)?;
            }
            session.documents_written = true;
        }
        Ok(())
    }

    /// Makes all writes durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        spool::sync(&File::open(&self.spool)?)
    }

    /// Removes the files of sealed sessions, and returns the others.
    pub(crate) fn finish(self) -> io::Result<Vec<RecoveredSession>> {
        let mut recovered = Vec::new();
        for session in self.sessions.into_values() {
            if session.sealed {
                spool::remove(&self.spool, &session.opening.session)?;
            } else {
                recovered.push(session.into_recovered());
            }
        }
        info!(sessions = recovered.len(), "sessions recovered");
        Ok(recovered)
    }
}

impl PartialSession {
    fn new(opening: Opening) -> Self {
        Self {
            opening,
            closing: None,
            documents_written: false,
            end: 0,
            file: None,
            damage: None,
            sealed: false,
        }
    }

    /// Writes bytes at their offset. Bytes that are there already are overwritten with the same, and the torn end that
    /// a crash left is overwritten.
    fn write(&mut self, spool: &Path, frame: &Frame<'_>) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(spool::bytes_file(spool, &self.opening.session)?);
        }
        let file = self.file.as_ref().expect("the file was just opened");
        file.write_all_at(frame.payload, frame.offset)?;
        self.end = self.end.max(frame.offset + frame.payload.len() as u64);
        Ok(())
    }

    fn into_recovered(self) -> RecoveredSession {
        let PartialSession { opening, closing, end, mut damage, .. } = self;
        let closed_at = closing.as_ref().map(|closing| closing.bytes);
        if let Some(bytes) = closed_at.filter(|&bytes| bytes > end) {
            damage.get_or_insert_with(|| format!("bytes from {end} to {bytes} are missing"));
        }
        // Bytes after a closing were written but never acknowledged.
        RecoveredSession { opening, closing, bytes: end.min(closed_at.unwrap_or(end)), damage }
    }
}

fn length(path: &Path) -> io::Result<u64> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}
