//! What a crash left: journal files that were not laid out, spool files of sessions that were open.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use meshtrail_event::SessionId;
use tracing::{error, info};

use super::{
    Chunk, Closing, Folders, JournalError, Opening, Shared, file,
    frame::{Frame, FrameKind, Scan, scan},
    spool,
};
use crate::faults::{Faults, Step};

/// A session that was not sealed when the program stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// What it started with.
    pub opening: Opening,
    /// Its end, if it had come to it.
    pub closing: Option<Closing>,
    /// Its bytes, all in the spool.
    pub bytes: u64,
    /// What is missing of it, and in which file, if something is.
    pub damage: Option<String>,
}

/// Lays out every journal file that is left and returns the sessions that are in the spool then.
pub(super) fn recover(shared: &Shared) -> Result<Vec<Recovered>, JournalError> {
    let folder = |path: &Path| {
        let path = path.to_owned();
        move |source| JournalError::Folder { path, source }
    };
    let spool = &shared.folders.spool;
    let synced = File::open(spool).map_err(folder(spool))?;
    let mut sessions = Sessions::in_spool(&shared.folders, &shared.faults).map_err(folder(spool))?;
    let mut laid_out = Vec::new();
    for path in journal_files(&shared.folders.journal).map_err(folder(&shared.folders.journal))? {
        let failed = |source| JournalError::Layout { path: path.clone(), source };
        let bytes = fs::read(&path).map_err(failed)?;
        let damaged = match file::generation(&path, &bytes)? {
            Some(generation) => {
                let found = scan(bytes.get(to_usize(file::HEAD)..).unwrap_or_default(), generation);
                let last_batch = found.frames.last().map_or(0, |(_, frame)| frame.batch);
                sessions.apply(&found, last_batch, &path).map_err(failed)?;
                found.damage.is_some()
            }
            None => false,
        };
        laid_out.push((path, damaged));
    }
    sessions.write_documents().map_err(folder(spool))?;
    // A crash up to here is repaired by doing all of this again: the journal files are still there.
    if !laid_out.is_empty() {
        shared.faults.around(Step::SyncSpool, || spool::sync(&synced)).map_err(folder(spool))?;
    }
    for (path, damaged) in laid_out {
        let failed = |source| JournalError::Layout { path: path.clone(), source };
        if damaged {
            // Kept for whoever has to find out what happened; never read again.
            fs::rename(&path, path.with_extension("damaged")).map_err(failed)?;
            continue;
        }
        shared.faults.around(Step::DeleteJournal, || fs::remove_file(&path)).map_err(failed)?;
    }
    sessions.finish().map_err(folder(spool))
}

/// The sessions of which spool or journal below `local` still hold something. Changes nothing, so that it can be asked
/// beside a recorder.
pub(crate) fn sessions_left(local: &Path) -> io::Result<HashSet<SessionId>> {
    let mut left = HashSet::new();
    for entry in folder_entries(&local.join("spool"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        left.extend(name.strip_suffix(".json").and_then(|session| session.parse::<SessionId>().ok()));
    }
    for entry in folder_entries(&local.join("journal"))? {
        let path = entry?.path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            // Laid out meanwhile: its sessions are in the spool, or sealed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let Some(generation) = file::generation(&path, &bytes).map_err(io::Error::other)? else { continue };
        let found = scan(bytes.get(to_usize(file::HEAD)..).unwrap_or_default(), generation);
        let opened = found.frames.iter().filter(|(_, frame)| frame.kind == FrameKind::Open);
        let openings = opened.filter_map(|(_, frame)| serde_json::from_slice::<Opening>(frame.payload).ok());
        left.extend(openings.map(|opening| opening.session));
    }
    Ok(left)
}

fn folder_entries(folder: &Path) -> io::Result<Box<dyn Iterator<Item = io::Result<fs::DirEntry>>>> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(Box::new(entries)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Box::new(std::iter::empty())),
        Err(error) => Err(error),
    }
}

pub(super) fn journal_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "journal") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Sessions that are being put together from what was left of them.
pub(crate) struct Sessions {
    spool: PathBuf,
    faults: Faults,
    found: BTreeMap<u64, Found>,
}

struct Found {
    opening: Opening,
    closing: Option<Closing>,
    documents_written: bool,
    end: u64,
    file: Option<File>,
    damage: Option<String>,
    done: bool,
}

impl Sessions {
    /// No sessions yet.
    pub(crate) fn none(folders: &Folders, faults: &Faults) -> Self {
        Self { spool: folders.spool.clone(), faults: faults.clone(), found: BTreeMap::new() }
    }

    fn in_spool(folders: &Folders, faults: &Faults) -> io::Result<Self> {
        let mut sessions = Self::none(folders, faults);
        for entry in fs::read_dir(&folders.spool)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.ends_with(".json") || name.ends_with(".end.json") {
                continue;
            }
            let Some(opening) = spool::read_json::<Opening>(&path)? else {
                // Left as it is: the journal may tell what it was, and nothing is deleted on a guess.
                error!(path = %path.display(), "a session's opening in the spool can't be read");
                continue;
            };
            let closing = spool::read_json(&spool::closing_path(&folders.spool, &opening.session))?;
            let end = length(&spool::bytes_path(&folders.spool, &opening.session))?;
            let found = Found {
                closing,
                documents_written: true,
                end,
                file: None,
                damage: None,
                done: false,
                opening,
            };
            sessions.found.insert(found.opening.number, found);
        }
        Ok(sessions)
    }

    /// Makes room for a session that only a chunk knows.
    pub(crate) fn add(&mut self, opening: &Opening) {
        self.found.entry(opening.number).or_insert_with(|| Found::new(opening.clone()));
    }

    /// Writes a chunk's bytes of the sessions that were added.
    pub(crate) fn apply_chunk(&mut self, chunk: &Chunk, name: &Path) -> io::Result<()> {
        // Every frame in a chunk was durable once.
        self.apply(&chunk.scan(), u64::MAX, name)
    }

    /// Writes a scan's bytes. A hole before `last_batch` is damage; in it, it may be what a crash left of
    /// frames that nobody was told of.
    fn apply(&mut self, scan: &Scan<'_>, last_batch: u64, path: &Path) -> io::Result<()> {
        if let Some(at) = scan.damage {
            error!(path = %path.display(), at, "a journal file is damaged");
        }
        // By session, so that one spool file is open at a time; each session's frames stay in order.
        let mut frames: Vec<&Frame<'_>> = scan.frames.iter().map(|(_, frame)| frame).collect();
        frames.sort_by_key(|frame| frame.number);
        for session in frames.chunk_by(|one, next| one.number == next.number) {
            for frame in session {
                let certain = scan.damage.is_some() || frame.batch < last_batch;
                self.apply_frame(frame, certain, path)?;
            }
            if let Some(found) = self.found.get_mut(&session[0].number) {
                found.file = None;
            }
        }
        Ok(())
    }

    fn apply_frame(&mut self, frame: &Frame<'_>, hole_is_damage: bool, path: &Path) -> io::Result<()> {
        if frame.kind == FrameKind::Open {
            if let Ok(opening) = serde_json::from_slice::<Opening>(frame.payload) {
                self.found.entry(frame.number).or_insert_with(|| Found::new(opening));
            }
            return Ok(());
        }
        // A session without an opening was sealed, and its journal file could not be deleted.
        let Some(found) = self.found.get_mut(&frame.number) else { return Ok(()) };
        match frame.kind {
            FrameKind::Bytes if frame.offset > found.end => {
                if hole_is_damage {
                    let Found { end, damage, .. } = found;
                    damage.get_or_insert_with(|| {
                        format!("bytes from {end} to {} are missing in {}", frame.offset, path.display())
                    });
                }
            }
            FrameKind::Bytes => self.faults.around(Step::AppendSpool, || found.write(&self.spool, frame))?,
            FrameKind::Close => {
                found.closing = serde_json::from_slice(frame.payload).ok();
                found.documents_written = false;
            }
            FrameKind::Done => found.done = true,
            FrameKind::Open => {}
        }
        Ok(())
    }

    /// Writes openings and closings; durable after the next sync.
    pub(crate) fn write_documents(&mut self) -> io::Result<()> {
        for found in self.found.values_mut().filter(|found| !found.documents_written && !found.done) {
            let session = &found.opening.session;
            spool::write_json(&spool::opening_path(&self.spool, session), &found.opening)?;
            if let Some(closing) = &found.closing {
                spool::write_json(&spool::closing_path(&self.spool, session), closing)?;
            }
            found.documents_written = true;
        }
        Ok(())
    }

    /// Makes all of it durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        spool::sync(&File::open(&self.spool)?)
    }

    /// The sessions that are not sealed.
    pub(crate) fn finish(self) -> io::Result<Vec<Recovered>> {
        let mut open = Vec::new();
        for found in self.found.into_values() {
            if found.done {
                spool::remove(&self.spool, &found.opening.session)?;
            } else {
                open.push(found.recovered());
            }
        }
        info!(sessions = open.len(), "sessions recovered");
        Ok(open)
    }
}

impl Found {
    fn new(opening: Opening) -> Self {
        Self {
            opening,
            closing: None,
            documents_written: false,
            end: 0,
            file: None,
            damage: None,
            done: false,
        }
    }

    /// Writes bytes where they belong: over what is there already they change nothing, and a torn end that a
    /// crash left is written over.
    fn write(&mut self, spool: &Path, frame: &Frame<'_>) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(spool::bytes_file(spool, &self.opening.session)?);
        }
        let file = self.file.as_ref().expect("the file was just opened");
        file.write_all_at(frame.payload, frame.offset)?;
        self.end = self.end.max(frame.offset + frame.payload.len() as u64);
        Ok(())
    }

    fn recovered(self) -> Recovered {
        let Found { opening, closing, end, mut damage, .. } = self;
        let stated = closing.as_ref().map(|closing| closing.bytes);
        if let Some(bytes) = stated.filter(|&bytes| bytes > end) {
            damage.get_or_insert_with(|| format!("bytes from {end} to {bytes} are missing"));
        }
        // Bytes past a closing were written but never acknowledged.
        Recovered { opening, closing, bytes: end.min(stated.unwrap_or(end)), damage }
    }
}

fn length(path: &Path) -> io::Result<u64> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
