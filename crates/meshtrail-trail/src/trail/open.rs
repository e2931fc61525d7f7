//! Opening a trail: taking the lock, folding the manifests, replaying the log.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use meshtrail_event::{Timestamp, TrailName};
use meshtrail_log::LogFile;
use rustix::fs::{FlockOperation, flock};
use tokio::sync::{mpsc, watch};

use super::append::Epochs;
use super::file_values::FileValueCache;
use super::head::{Heads, StoredHeads};
use super::level0::Level0;
use super::log_index::{ClosedFile, Commit, LogIndex};
use super::prove::TileCache;
use super::read::ReaderCache;
use super::seal::Sealer;
use super::seal_range::SealRange;
use super::shared::{Access, Edge, SealedState, Shared, Writing};
use super::writer::Writer;
use super::{OpenError, Trail, TrailConfig};
use crate::dedupe::Dedupe;
use crate::manifest::{self, Fold};
use crate::note;
use crate::store::{GetError, Key, PutError, Store};
use crate::tree::{Hash, Tail, TileId, leaf_hash};
use crate::wal::{PlacedBatch, WalError, files_in, replay};

/// Batches that wait for the writer; beyond it senders wait.
const QUEUE: usize = 1024;
/// Attempts to read the log while a server writes to it.
const READ_ATTEMPTS: usize = 5;
const READ_PAUSE: Duration = Duration::from_millis(100);

impl Trail {
    /// Opens or creates the trail named in `config`. `local` is this machine's folder for it.
    ///
    /// Events that were acknowledged before a crash are kept; a torn write at the end of the log is dropped.
    pub fn open(store: Store, local: &Path, config: TrailConfig) -> BoxFuture<'_, Result<Self, OpenError>> {
        // Boxed: a bare future would be compiled again in every crate that awaits it.
        Self::open_to_write(store, local, config).boxed()
    }

    async fn open_to_write(store: Store, local: &Path, config: TrailConfig) -> Result<Self, OpenError> {
        let (name, root) = name_and_root(&config)?;
        let lock = lock(local)?;
        let key = key_of(&store, &root, local, &config).await?;
        let verifier = key.vkey().parse().expect("a key's public half is a verifier");
        let stored = manifest::load(&store, &root, Some(&verifier)).await?;
        let fold = stored.unwrap_or_else(|| Fold::new(config.name.clone(), key.name().to_owned()));
        let tail = tail_of(&store, &root, &fold).await?;
        // Before the log, which belongs to another trail if the head does.
        let stored_heads = StoredHeads::read(&store, &root, local, &key.vkey()).await?;
        let folder = local.join("wal");
        let failed = |source| OpenError::Local { path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(failed)?;
        let mut replayed = Replay::run(&folder, Dedupe::new(fold.dedupe()), tail)?;
        stored_heads.check(&replayed.edge.tail, local)?;
        check_stored_checkpoint(&store, &root, local, &key, &fold, &replayed.edge.tail).await?;
        // Only now: a refused start leaves the log unchanged.
        std::mem::take(&mut replayed.repairs).into_iter().try_for_each(Repair::apply)?;
        let (queue, messages) = mpsc::channel(QUEUE);
        let writing = Writing {
            queue,
            epochs: Mutex::new(Epochs::after(&replayed.dedupe, &config.name)),
            threads: Mutex::default(),
            lock: Mutex::new(Some(lock)),
            heads: Heads::new(local, stored_heads.newest()),
            key,
        };
        let Replay { dedupe, edge, next, generation, .. } = replayed;
        let level0 = Level0::open(local, &config.name);
        let parts = TrailParts { store, name, root, origin: fold.origin().to_owned(), config, level0 };
        let shared = parts.shared(Access::Write(Box::new(writing)), edge, next, SealedState::of(&fold));
        let writer = Writer::new(shared.clone(), messages, folder.clone(), dedupe, next, generation + 1);
        let range = SealRange::load(local);
        let sealer = Sealer::new(shared.clone(), fold, tokio::runtime::Handle::current(), range);
        start(&shared, writer, sealer).map_err(failed)?;
        let trail = Self::of(shared);
        // Issues a head over events that none covers yet, as in a store of a version without heads.
        if next > 0
            && let Err(error) = trail.checkpoint().await
        {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(
                trail = trail.name().as_str(),
                error,
                "no head over what is here could be kept yet"
            );
        }
        Ok(trail)
    }

    /// Opens the trail for reading, with or without a server that writes to it. Nothing is locked or written.
    ///
    /// With `local`, it includes the events that are only in the log at this moment.
    pub fn open_read_only(
        store: Store,
        local: Option<&Path>,
        config: TrailConfig,
    ) -> BoxFuture<'_, Result<Self, OpenError>> {
        Self::open_to_read(store, local, config).boxed()
    }

    async fn open_to_read(
        store: Store,
        local: Option<&Path>,
        config: TrailConfig,
    ) -> Result<Self, OpenError> {
        let mut tries = 1;
        loop {
            match Self::try_read(store.clone(), local, config.clone()).await {
                // Another process was writing, or sealed a file while it was read.
                Err(OpenError::Log(_) | OpenError::Local { .. }) if tries < READ_ATTEMPTS => {
                    tries += 1;
                    tokio::time::sleep(READ_PAUSE).await;
                }
                done => return done,
            }
        }
    }

    async fn try_read(store: Store, local: Option<&Path>, config: TrailConfig) -> Result<Self, OpenError> {
        let (name, root) = name_and_root(&config)?;
        let vkey = vkey_of(&store, &root).await?;
        let stored = manifest::load(&store, &root, None).await?;
        if stored.is_none() && vkey.is_none() {
            let store = store.facts().location.to_string();
            return Err(OpenError::NoTrail { trail: config.name, store });
        }
        let named = vkey.as_deref().and_then(|vkey| vkey.split('+').next()).unwrap_or_default();
        let fold = stored.unwrap_or_else(|| Fold::new(config.name.clone(), named));
        let tail = tail_of(&store, &root, &fold).await?;
        let (edge, next) = match local {
            Some(local) => {
                let dedupe = Dedupe::new(fold.dedupe());
                let replayed = Replay::run(&local.join("wal"), dedupe, tail)?;
                (replayed.edge, replayed.next)
            }
            None => (Edge::of(tail), fold.size()),
        };
        let level0 = Level0::default();
        let parts = TrailParts { store, name, root, origin: fold.origin().to_owned(), config, level0 };
        Ok(Self::of(parts.shared(Access::Read { vkey }, edge, next, SealedState::of(&fold))))
    }

    /// Stops accepting events, waits until accepted ones are durable, and releases the trail. On a bucket, unsealed events
    /// are sealed first.
    pub async fn close(self) {
        let shared = self.shared.clone();
        if let Access::Write(writing) = &shared.access {
            writing.heads.close().await;
        }
        close(&shared);
        let joined = tokio::task::spawn_blocking(move || {
            let Access::Write(writing) = &shared.access else { return };
            let threads =
                std::mem::take(&mut *writing.threads.lock().unwrap_or_else(PoisonError::into_inner));
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a thread of the trail ended in a panic");
                }
            }
            drop(writing.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
        });
        if joined.await.is_err() {
            tracing::error!("closing the trail was cut short");
        }
    }
}

/// Tells both threads to end. The sealer ends after the writer, so that no event stays unsealed on a bucket.
pub(super) fn close(shared: &Arc<Shared>) {
    shared.edge().closing = true;
    shared.wakeup.notify_all();
}

/// Starts both threads. The sealer, which notices that the trail closes, stops the writer.
fn start(shared: &Arc<Shared>, writer: Writer, sealer: Sealer) -> std::io::Result<()> {
    let Access::Write(writing) = &shared.access else { return Ok(()) };
    let writer = std::thread::Builder::new().name("trail-writer".into()).spawn(move || writer.run())?;
    let sealer = std::thread::Builder::new().name("trail-sealer".into()).spawn(move || sealer.run(writer))?;
    writing.threads.lock().unwrap_or_else(PoisonError::into_inner).push(sealer);
    Ok(())
}

/// The parts of a trail that do not depend on its access.
struct TrailParts {
    store: Store,
    name: TrailName,
    root: Key,
    origin: String,
    config: TrailConfig,
    level0: Level0,
}

impl TrailParts {
    fn shared(self, access: Access, edge: Edge, next: u64, sealed: Arc<SealedState>) -> Arc<Shared> {
        let Self { store, name, root, origin, config, level0 } = self;
        Arc::new(Shared {
            config,
            name,
            origin,
            store,
            root,
            access,
            size: watch::Sender::new(next),
            edge: Mutex::new(edge),
            wakeup: Condvar::new(),
            sealed: RwLock::new(sealed),
            readers: ReaderCache::default(),
            file_values: FileValueCache::default(),
            tiles: TileCache::default(),
            level0,
        })
    }
}

/// The trail's name, checked, and the root of its objects.
fn name_and_root(config: &TrailConfig) -> Result<(TrailName, Key), OpenError> {
    let named = |source| OpenError::Name { name: config.name.clone(), source };
    let name: TrailName = config.name.parse().map_err(named)?;
    let root = manifest::root_key(name.as_str()).expect("a trail's name is a part of a key");
    Ok((name, root))
}

/// Locks the folder while the trail is open; the kernel releases the lock when the process ends.
fn lock(local: &Path) -> Result<File, OpenError> {
    let path = local.join("lock");
    let failed = |source| OpenError::Local { path: path.clone(), source };
    fs::create_dir_all(local).map_err(failed)?;
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        // For the message alone: an unreadable holder is reported as unknown.
        drop(file.read_to_string(&mut holder));
        let holder = if holder.trim().is_empty() { "(not known)".into() } else { holder.trim().to_owned() };
        return Err(OpenError::Locked { path, holder });
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

async fn vkey_of(store: &Store, root: &Key) -> Result<Option<String>, OpenError> {
    let key = root.join("vkey").expect("a trail's root leaves room");
    match store.get(&key).await {
        Ok(text) => Ok(Some(String::from_utf8_lossy(&text).trim().to_owned())),
        Err(GetError::Missing { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Loads the signing key. Its public half is in the store from the trail's first start on.
async fn key_of(
    store: &Store,
    root: &Key,
    local: &Path,
    config: &TrailConfig,
) -> Result<note::Key, OpenError> {
    let path = local.join("keys").join(format!("{}.key", config.name));
    let stored = vkey_of(store, root).await?;
    let foreign = |stored: &str| OpenError::ForeignKey {
        trail: config.name.clone(),
        stored: stored.to_owned(),
        path: path.clone(),
    };
    let origin = match &stored {
        // An existing trail keeps its origin; a missing key is not replaced by a new one.
        Some(stored) if !path.exists() => return Err(foreign(stored)),
        Some(stored) => stored.split('+').next().unwrap_or_default().to_owned(),
        None if config.origin.is_empty() => format!("{}/meshtrail/{}", hostname(), config.name),
        None => config.origin.clone(),
    };
    if let Some(folder) = path.parent() {
        let failed = |source| OpenError::Local { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
    }
    // A crash after this line leaves a key without its public half in the store; the next start puts it there.
    let key = note::Key::load_or_make(&path, &origin)?;
    let stored = match stored {
        Some(stored) => stored,
        None => {
            let name = root.join("vkey").expect("a trail's root leaves room");
            match store.put_new(&name, (key.vkey() + "\n").into()).await {
                Ok(()) => key.vkey(),
                Err(PutError::Exists { .. }) => vkey_of(store, root).await?.unwrap_or_default(),
                Err(error) => return Err(error.into()),
            }
        }
    };
    if stored == key.vkey() { Ok(key) } else { Err(foreign(&stored)) }
}

/// The machine's name, without characters that an origin line can't have.
fn hostname() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let plain: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')).collect();
    if plain.is_empty() { "localhost".into() } else { plain }
}

/// Checks that all events under the store's checkpoint are present; a destroyed checkpoint is only a warning.
async fn check_stored_checkpoint(
    store: &Store,
    root: &Key,
    local: &Path,
    key: &note::Key,
    fold: &Fold,
    tail: &Tail,
) -> Result<(), OpenError> {
    let mut stored = StoredHeads::default();
    let name = root.join("checkpoint").expect("a trail's root leaves room");
    let note = store.get(&name).await;
    if let Some(wrong) = stored.add_checkpoint(note.as_deref(), &name, &key.vkey(), fold) {
        tracing::warn!(
            checkpoint = %name, wrong,
            "the stored checkpoint is not one that this trail signed: it was destroyed or removed. The next seal \
             writes another; `meshtrail verify --all` says whether all else holds"
        );
    }
    stored.check(tail, local)
}

/// Loads the tree's right edge, as of the newest manifest.
async fn tail_of(store: &Store, root: &Key, fold: &Fold) -> Result<Tail, OpenError> {
    let damaged = || OpenError::Tiles { trail: fold.trail().to_owned() };
    let mut tiles = Vec::new();
    for tile in TileId::partial(fold.size()) {
        let key = root.join(&tile.to_string()).expect("a tile's name is ours");
        let bytes = store.get(&key).await?;
        let hashes: Option<Vec<Hash>> = bytes.chunks(Hash::SIZE).map(Hash::from_slice).collect();
        tiles.push((tile, hashes.ok_or_else(damaged)?));
    }
    let tail = Tail::from_partial_tiles(fold.size(), &tiles).ok_or_else(damaged)?;
    if fold.size() > 0 && tail.root_at(fold.size()) != Some(fold.tree().root) {
        return Err(damaged());
    }
    Ok(tail)
}

impl Edge {
    fn of(tail: Tail) -> Self {
        let log_index = LogIndex::default();
        Self { tail, log_index, closed: Default::default(), stopped: None, closing: false, rotating: false }
    }
}

/// What a start does with a log file that a stop or a crash left.
enum Repair {
    /// Remove it: it was prepared but never used, or a crash came between the manifest and its removal.
    Remove(PathBuf),
    /// Clear its end: a crash interrupted a write. The bytes behind the tail were never acknowledged.
    Clear { path: PathBuf, tail: u64 },
    /// Sync it: whole frames that were not synced before a crash are accepted, and must be durable before a head covers
    /// them or a sender gets an acknowledgement.
    Sync(Arc<LogFile>),
}

impl Repair {
    fn apply(self) -> Result<(), OpenError> {
        let failed = |path: PathBuf| move |source| OpenError::Local { path, source };
        match self {
            Self::Remove(path) => fs::remove_file(&path).map_err(failed(path)),
            Self::Clear { path, tail } => {
                let cleared = meshtrail_log::clear_tail(&path, tail);
                Ok(cleared.map_err(WalError::disk("clear the tail of", path))?)
            }
            Self::Sync(log) => log.file.sync_data().map_err(failed(log.path.clone())),
        }
    }
}

/// The result of replaying the log.
struct Replay {
    dedupe: Dedupe,
    edge: Edge,
    /// The next index.
    next: u64,
    /// The newest file's generation.
    generation: u64,
    /// A file that ends in a write interrupted by a crash, and the offset of that write.
    torn: Option<(PathBuf, u64)>,
    /// Repairs of the files, if the trail is opened for writing.
    repairs: Vec<Repair>,
}

impl Replay {
    fn run(folder: &Path, dedupe: Dedupe, tail: Tail) -> Result<Self, OpenError> {
        let next = tail.size();
        let mut replay =
            Self { dedupe, edge: Edge::of(tail), next, generation: 0, torn: None, repairs: Vec::new() };
        for (generation, path) in files_in(folder)? {
            replay.generation = generation;
            replay.file(generation, path)?;
        }
        Ok(replay)
    }

    fn file(&mut self, generation: u64, path: PathBuf) -> Result<(), OpenError> {
        let failed = |source| OpenError::Local { path: path.clone(), source };
        let log_file =
            Arc::new(LogFile { generation, path: path.clone(), file: File::open(&path).map_err(failed)? });
        let (mut first, mut end) = (None, 0);
        let mut placed = Vec::new();
        let replayed = replay(generation, &path, &mut |batch| {
            let Some(begin) = batch.entries.first() else { return Ok(()) };
            // A file is written to only when the one before is complete; it may be created before that.
            if let Some((path, offset)) = self.torn.take() {
                return Err(WalError::Damaged { path, offset, what: "a later file goes on behind it" });
            }
            first.get_or_insert(begin.index);
            end = begin.index + batch.entries.len() as u64;
            let expected = self.next;
            if begin.index > expected {
                return Err(WalError::Gap { path: path.clone(), expected, found: begin.index });
            }
            placed.push(self.batch(&log_file, batch));
            Ok(())
        })?;
        placed.into_iter().collect::<Result<Vec<()>, _>>()?;
        if replayed.torn {
            self.torn = Some((path.clone(), replayed.tail));
        }
        let unsealed = self.edge.log_index.commits.front().map_or(self.next, |commit| commit.first);
        let Some(first) = first.filter(|_| end > unsealed) else {
            self.repairs.push(Repair::Remove(path));
            return Ok(());
        };
        self.repairs.push(match replayed.torn {
            true => Repair::Clear { path: path.clone(), tail: replayed.tail },
            false => Repair::Sync(log_file),
        });
        self.edge.closed.push_back(ClosedFile { generation, path, first, end, bytes: replayed.tail });
        Ok(())
    }

    fn batch(&mut self, file: &Arc<LogFile>, batch: &PlacedBatch<'_>) -> Result<(), OpenError> {
        let first = batch.entries.first().map_or(0, |entry| entry.index);
        let new = batch.entries.iter().filter(|entry| entry.index >= self.next);
        let new: Vec<_> = new.collect();
        if new.is_empty() {
            return Ok(());
        }
        self.dedupe.record(new.iter().map(|entry| &entry.id))?;
        for entry in &new {
            self.edge.tail.push(leaf_hash(entry.leaf));
        }
        self.next += new.len() as u64;
        self.edge.log_index.since.get_or_insert_with(Timestamp::now);
        let count = batch.entries.len() as u64;
        let commit = Commit { first, count, file: file.clone(), at: batch.at, length: batch.size };
        self.edge.log_index.commits.push_back(commit);
        Ok(())
    }
}
