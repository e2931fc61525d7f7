//! Shipping: copies of the journal's content in the bucket, against the loss of the machine.
//!
//! An ack says that bytes are durable on the recorder's own disk. With a bucket as store, the journal's content is
//! copied there as well: each journal file that is laid out (at most 30 s old) becomes one chunk object,
//! `recordings/journal/<trail>/<generation>.zst`, which is deleted once every session in it is sealed. With the
//! machine, at most the bytes of the last rotation interval and of one chunk upload are lost.
//!
//! Recovery: the next recorder of the trail reads the remaining chunks. Bytes of sessions that are neither sealed nor
//! in the local spool are written to the spool in the order of generations; these sessions then end as interrupted, as
//! after a crash. While the bucket can't be reached, chunks wait on disk up to a limit. Beyond it the oldest are
//! dropped; bytes are lost by that only if the machine is lost as well.

use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use meshtrail_event::SessionId;
use meshtrail_event::text::with_causes;
use meshtrail_trail::store::{GetError, Key, PutError, Store};
use tracing::{info, warn};

use crate::{
    faults::Faults,
    journal::{Chunk, Journal, RecoveredSession, Recovery},
    ledger::Ledger,
    sessions::{OpenError, Recordings},
};

/// The longest interval between two sweeps, which delete the chunks of sealed sessions.
const SWEEP: Duration = Duration::from_secs(30);

pub(crate) fn folder_key(trail: &str) -> Key {
    Key::new(format!("recordings/journal/{trail}")).expect("a trail's name can stand in a key")
}

fn chunk_key(trail: &str, generation: u64) -> Key {
    let name = format!("{generation:020}.zst");
    folder_key(trail).join(&name).expect("a number can stand in a key")
}

/// Writes the bytes of sessions that only the bucket has to the spool. `local_numbers` are the sessions that are in the
/// spool.
pub(crate) async fn restore(
    store: &Store,
    ledger: &dyn Ledger,
    journal: &Journal,
    local_numbers: HashSet<u64>,
) -> Result<Vec<RecoveredSession>, OpenError> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| OpenError::Chunks(error);
    let mut entries = store.list(&folder_key(ledger.trail())).await.map_err(|error| failed(error.into()))?;
    entries.sort_by(|one, next| one.key.cmp(&next.key));
    let mut recovery = Recovery::new(journal.folders(), &Faults::none());
    for entry in entries {
        let packed = match store.get(&entry.key).await {
            Ok(packed) => packed,
            Err(GetError::Missing { .. }) => continue,
            Err(error) => return Err(failed(error.into())),
        };
        let chunk =
            Chunk::read(&packed).map_err(|source| OpenError::Chunk { key: entry.key.to_string(), source })?;
        for opening in chunk.sessions().iter().filter(|opening| !local_numbers.contains(&opening.number)) {
            recovery.add_session(opening);
        }
        recovery.apply_chunk(&chunk, Path::new(entry.key.as_str())).map_err(OpenError::Spool)?;
    }
    recovery.write_documents().map_err(OpenError::Spool)?;
    recovery.sync().map_err(OpenError::Spool)?;
    let restored = recovery.finish().map_err(OpenError::Spool)?;
    if !restored.is_empty() {
        info!(sessions = restored.len(), "sessions of a lost machine were found in the bucket");
    }
    Ok(restored)
}

/// Starts a task that ships laid out journal files until the recorder stops.
pub(crate) fn start(recordings: &Recordings) {
    let Some(journal) = recordings.journal() else { return };
    let shipper = Shipper {
        folder: journal.folders().ship.clone(),
        recordings: recordings.clone(),
        shipped: BTreeMap::new(),
    };
    let newest_chunk = journal.watch_chunks();
    recordings.tasks().spawn(shipper.run(newest_chunk));
}

struct Shipper {
    recordings: Recordings,
    folder: PathBuf,
    /// Chunks in the bucket by generation, with their sessions that were not sealed at the last sweep.
    shipped: BTreeMap<u64, Vec<SessionId>>,
}

impl Shipper {
    async fn run(mut self, mut newest_chunk: tokio::sync::watch::Receiver<u64>) {
        if let Err(error) = self.list_shipped().await {
            warn!(error, "the chunks in the bucket can't be listed; old ones may be left there");
        }
        loop {
            self.ship_all().await;
            self.sweep().await;
            tokio::select! {
                changed = newest_chunk.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(SWEEP) => {}
                () = self.recordings.stopping().cancelled() => return self.ship_all().await,
            }
        }
    }

    /// Reads which chunks are in the bucket from before the start.
    async fn list_shipped(&mut self) -> Result<(), String> {
        let store = self.recordings.store();
        let trail = self.recordings.ledger().trail();
        for entry in store.list(&folder_key(trail)).await.map_err(|error| with_causes(&error))? {
            let packed = store.get(&entry.key).await.map_err(|error| with_causes(&error))?;
            if let Ok(chunk) = Chunk::read(&packed) {
                self.shipped.insert(chunk.generation(), sessions_of(&chunk));
            }
        }
        Ok(())
    }

    /// Ships every chunk file, oldest first; after a failure the rest waits for the next time.
    async fn ship_all(&mut self) {
        self.drop_oldest();
        for path in chunk_files(&self.folder).unwrap_or_default() {
            match self.ship(&path).await {
                Ok(()) => {}
                Err(error) => {
                    return warn!(error, path = %path.display(), "a chunk can't be shipped; trying again");
                }
            }
        }
    }

    async fn ship(&mut self, path: &Path) -> Result<(), String> {
        let packed = fs::read(path).map_err(|error| error.to_string())?;
        match Chunk::read(&packed) {
            Ok(chunk) => {
                let key = chunk_key(self.recordings.ledger().trail(), chunk.generation());
                match self.recordings.store().put_transient(&key, packed.into()).await {
                    Ok(()) | Err(PutError::Exists { .. }) => {}
                    Err(error) => return Err(with_causes(&error)),
                }
                self.shipped.insert(chunk.generation(), sessions_of(&chunk));
            }
            // A crash left an incomplete file. Its bytes are in the journal or the spool.
            Err(error) => warn!(%error, path = %path.display(), "a chunk file is no chunk and is removed"),
        }
        // After a crash here it is shipped again, which changes nothing.
        fs::remove_file(path).map_err(|error| error.to_string())
    }

    /// Deletes the chunks whose sessions are all sealed.
    async fn sweep(&mut self) {
        let recordings = self.recordings.clone();
        let mut sealed = Vec::new();
        for (generation, sessions) in &mut self.shipped {
            sessions.retain(|session| recordings.is_unsealed(session));
            if sessions.is_empty() {
                sealed.push(*generation);
            }
        }
        for generation in sealed {
            let key = chunk_key(self.recordings.ledger().trail(), generation);
            match self.recordings.store().delete(&key).await {
                Ok(()) => drop(self.shipped.remove(&generation)),
                Err(error) => {
                    return warn!(%key, error = with_causes(&error), "a chunk can't be deleted; trying again");
                }
            }
        }
    }

    /// Drops the oldest chunk files that exceed the limit.
    fn drop_oldest(&self) {
        let Ok(paths) = chunk_files(&self.folder) else { return };
        let size = |path: &PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let mut waiting: u64 = paths.iter().map(size).sum();
        for path in paths {
            if waiting <= self.recordings.config().max_unshipped {
                return;
            }
            waiting -= size(&path);
            warn!(path = %path.display(), "the bucket was away for too long: a chunk is given up");
            drop(fs::remove_file(path));
        }
    }
}

fn sessions_of(chunk: &Chunk) -> Vec<SessionId> {
    chunk.sessions().iter().map(|opening| opening.session.clone()).collect()
}

fn chunk_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "zst") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
