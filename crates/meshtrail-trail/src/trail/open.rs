//! Opening a trail: lock, fold the manifests, replay the log.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use meshtrail_event::{SourceName, Timestamp};
use rustix::fs::{FlockOperation, flock};
use tokio::sync::{mpsc, watch};

use super::append::Epochs;
use super::head::{Heads, KeptHeads};
use super::hot::{Closed, Commit, Hot, HotFile};
use super::level0::Level0;
use super::prove::Tiles;
use super::read::Readers;
use super::seal::Sealer;
use super::shared::{Access, Edge, Sealed, Shared, Writing};
use super::writer::Writer;
use super::{OpenError, Trail, TrailConfig};
use crate::dedupe::Dedupe;
use crate::manifest::{self, Fold};
use crate::note;
use crate::store::{GetError, Key, PutError, Store};
use crate::tree::{Hash, Tail, TileId, leaf_hash};
use crate::wal::{Placed, WalError, WalFile, files_in, replay};

/// Batches that wait for the writer; senders past it wait.
const QUEUE: usize = 1024;
/// How often the log is read again beside a server that writes to it.
const LOOKS: usize = 5;
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Trail {
    /// Opens the trail named in `config`, or begins it. `local` is this machine's folder for it.
    ///
    /// What was acknowledged before a crash is there; a torn end of the log is dropped.
    pub fn open(store: Store, local: &Path, config: TrailConfig) -> BoxFuture<'_, Result<Self, OpenError>> {
        // Boxed here: a bare future would be compiled again by every crate that awaits it.
        Self::open_to_write(store, local, config).boxed()
    }

    async fn open_to_write(store: Store, local: &Path, config: TrailConfig) -> Result<Self, OpenError> {
        let root = root_of(&config)?;
        let lock = lock(local)?;
        let key = key_of(&store, &root, local, &config).await?;
        let verifier = key.vkey().parse().expect("a key's public half is a verifier");
        let stored = manifest::load(&store, &root, Some(&verifier)).await?;
        let fold = stored.unwrap_or_else(|| Fold::new(config.name.clone(), key.name().to_owned()));
        let tail = tail_of(&store, &root, &fold).await?;
        // Before the log, which is another trail's if the head here is.
        let kept = KeptHeads::read(&store, &root, local, &key.vkey()).await?;
        let folder = local.join("wal");
        let failed = |source| OpenError::Local { path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(failed)?;
        let mut replayed = Replay::run(&folder, Dedupe::new(fold.dedupe()), tail)?;
        kept.check(&replayed.edge.tail, local)?;
        check_stored_checkpoint(&store, &root, local, &key, &fold, &replayed.edge.tail).await?;
        // Only now: a start that is refused leaves the log as it found it.
        std::mem::take(&mut replayed.mends).into_iter().try_for_each(Mend::apply)?;
        let (queue, messages) = mpsc::channel(QUEUE);
        let writing = Writing {
            queue,
            epochs: Mutex::new(Epochs::after(&replayed.seen, &config.name)),
            threads: Mutex::default(),
            lock: Mutex::new(Some(lock)),
            heads: Heads::new(local, kept.newest()),
            key,
        };
        let Replay { seen, edge, next, generation, .. } = replayed;
        let level0 = Level0::open(local, &config.name);
        let parts = Parts { store, root, origin: fold.origin().to_owned(), config, level0 };
        let shared = parts.shared(Access::Write(Box::new(writing)), edge, next, Sealed::of(&fold));
        let writer = Writer::new(shared.clone(), messages, folder.clone(), seen, next, generation + 1);
        let sealer = Sealer::new(shared.clone(), fold, tokio::runtime::Handle::current());
        start(&shared, writer, sealer).map_err(failed)?;
        let trail = Self::of(shared);
        // What no head covers yet, as in a store of a version that kept none, is bound from now on.
        if next > 0
            && let Err(error) = trail.checkpoint().await
        {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(trail = trail.name(), error, "no head over what is here could be kept yet");
        }
        Ok(trail)
    }

    /// Opens the trail for reading, beside a server that writes to it or without one. Nothing is locked or written.
    ///
    /// With `local`, events that only the log has are there as well, up to this moment.
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
            match Self::look(store.clone(), local, config.clone()).await {
                // A server beside us was writing, or sealed a file while it was read.
                Err(OpenError::Log(_) | OpenError::Local { .. }) if tries < LOOKS => {
                    tries += 1;
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                done => return done,
            }
        }
    }

    async fn look(store: Store, local: Option<&Path>, config: TrailConfig) -> Result<Self, OpenError> {
        let root = root_of(&config)?;
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
                let seen = Dedupe::new(fold.dedupe());
                let replayed = Replay::run(&local.join("wal"), seen, tail)?;
                (replayed.edge, replayed.next)
            }
            None => (Edge::of(tail), fold.size()),
        };
        let level0 = Level0::default();
        let parts = Parts { store, root, origin: fold.origin().to_owned(), config, level0 };
        Ok(Self::of(parts.shared(Access::Read { vkey }, edge, next, Sealed::of(&fold))))
    }

    /// Takes nothing more, waits until what was taken is durable, and lets the trail go. On a bucket, what is not
    /// shipped yet is shipped first.
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

/// Tells both threads to end. The sealer ends after the writer, so that nothing stays unshipped.
pub(super) fn close(shared: &Arc<Shared>) {
    shared.edge().closing = true;
    shared.bell.notify_all();
}

/// Starts both threads. The writer is told to stop by the sealer, which is the one that sees the trail close.
fn start(shared: &Arc<Shared>, writer: Writer, sealer: Sealer) -> std::io::Result<()> {
    let Access::Write(writing) = &shared.access else { return Ok(()) };
    let writer = std::thread::Builder::new().name("trail-writer".into()).spawn(move || writer.run())?;
    let sealer = std::thread::Builder::new().name("trail-sealer".into()).spawn(move || sealer.run(writer))?;
    writing.threads.lock().unwrap_or_else(PoisonError::into_inner).push(sealer);
    Ok(())
}

/// What a trail is made of, whatever it may do.
struct Parts {
    store: Store,
    root: Key,
    origin: String,
    config: TrailConfig,
    level0: Level0,
}

impl Parts {
    fn shared(self, access: Access, edge: Edge, next: u64, sealed: Arc<Sealed>) -> Arc<Shared> {
        let Self { store, root, origin, config, level0 } = self;
        Arc::new(Shared {
            config,
            origin,
            store,
            root,
            access,
            size: watch::Sender::new(next),
            edge: Mutex::new(edge),
            bell: Condvar::new(),
            sealed: RwLock::new(sealed),
            readers: Readers::default(),
            tiles: Tiles::default(),
            level0,
        })
    }
}

fn root_of(config: &TrailConfig) -> Result<Key, OpenError> {
    let named = |source| OpenError::Name { name: config.name.clone(), source };
    if config.name.parse::<SourceName>().is_err() {
        return Err(named(Key::new("").expect_err("an empty key is refused")));
    }
    manifest::root_key(&config.name).map_err(named)
}

/// Held for as long as the trail is open; the kernel lets it go when the process ends, however it ends.
fn lock(local: &Path) -> Result<File, OpenError> {
    let path = local.join("lock");
    let failed = |source| OpenError::Local { path: path.clone(), source };
    fs::create_dir_all(local).map_err(failed)?;
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        // Only for the message: a holder that can't be read is not known.
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

/// The key that signs. Its public half lies in the store from the trail's first start on.
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
        // A trail that is there keeps its origin; without its key nothing is made in its place.
        Some(stored) if !path.exists() => return Err(foreign(stored)),
        Some(stored) => stored.split('+').next().unwrap_or_default().to_owned(),
        None if config.origin.is_empty() => format!("{}/meshtrail/{}", hostname(), config.name),
        None => config.origin.clone(),
    };
    if let Some(folder) = path.parent() {
        let failed = |source| OpenError::Local { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
    }
    // A crash behind this line leaves a key without its public half in the store: the next start puts it there.
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

/// The machine's name with what an origin line can't hold left out.
fn hostname() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let plain: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')).collect();
    if plain.is_empty() { "localhost".into() } else { plain }
}

/// Whether what is here has all that the store's checkpoint signs; one that was destroyed is only warned of.
async fn check_stored_checkpoint(
    store: &Store,
    root: &Key,
    local: &Path,
    key: &note::Key,
    fold: &Fold,
    tail: &Tail,
) -> Result<(), OpenError> {
    let mut stored = KeptHeads::default();
    let name = root.join("checkpoint").expect("a trail's root leaves room");
    let note = store.get(&name).await;
    if let Some(wrong) = stored.take_stored(note.as_deref(), &name, &key.vkey(), fold) {
        tracing::warn!(
            checkpoint = %name, wrong,
            "the stored checkpoint is not one that this trail signed: it was destroyed or removed. The next seal \
             writes another; `meshtrail verify --all` says whether all else holds"
        );
    }
    stored.check(tail, local)
}

/// The tree's right edge as the newest manifest left it.
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
        let hot = Hot::default();
        Self { tail, hot, closed: Default::default(), stopped: None, closing: false, rotating: false }
    }
}

/// What a start does to a log file that a stop or a crash left.
enum Mend {
    /// Prepared and never used, or left by a crash between the manifest and its removal: all is sealed.
    Remove(PathBuf),
    /// It ends in a write that a crash cut off. Nobody was told that the bytes behind the tail are durable.
    Clear { generation: u64, path: PathBuf, tail: u64 },
    /// Whole frames that were not synced before a crash are taken as they are; before a head may cover them, or a
    /// sender hear that they are there, they have to be durable.
    Sync(Arc<HotFile>),
}

impl Mend {
    fn apply(self) -> Result<(), OpenError> {
        let failed = |path: PathBuf| move |source| OpenError::Local { path, source };
        match self {
            Self::Remove(path) => fs::remove_file(&path).map_err(failed(path)),
            Self::Clear { generation, path, tail } => {
                drop(WalFile::resume(generation, &path, tail, &crate::fault::Faults::none())?);
                Ok(())
            }
            Self::Sync(hot) => hot.file.sync_data().map_err(failed(hot.path.clone())),
        }
    }
}

/// The log, read once.
struct Replay {
    seen: Dedupe,
    edge: Edge,
    /// The index that comes next.
    next: u64,
    /// The newest file's.
    generation: u64,
    /// Where a file ends in a write that a crash cut off.
    torn: Option<(PathBuf, u64)>,
    /// What is to be done to the files, if they may be written.
    mends: Vec<Mend>,
}

impl Replay {
    fn run(folder: &Path, seen: Dedupe, tail: Tail) -> Result<Self, OpenError> {
        let next = tail.size();
        let mut replay =
            Self { seen, edge: Edge::of(tail), next, generation: 0, torn: None, mends: Vec::new() };
        for (generation, path) in files_in(folder)? {
            replay.generation = generation;
            replay.file(generation, path)?;
        }
        Ok(replay)
    }

    fn file(&mut self, generation: u64, path: PathBuf) -> Result<(), OpenError> {
        let failed = |source| OpenError::Local { path: path.clone(), source };
        let hot = Arc::new(HotFile {
            generation,
            path: path.clone(),
            file: Arc::new(File::open(&path).map_err(failed)?),
        });
        let (mut first, mut end) = (None, 0);
        let mut placed = Vec::new();
        let replayed = replay(generation, &path, &mut |batch| {
            let Some(begin) = batch.entries.first() else { return Ok(()) };
            // A file is written to only when the one before is whole; it may be made before that.
            if let Some((path, offset)) = self.torn.take() {
                return Err(WalError::Damaged { path, offset, what: "a later file goes on behind it" });
            }
            first.get_or_insert(begin.index);
            end = begin.index + batch.entries.len() as u64;
            let expected = self.next;
            if begin.index > expected {
                return Err(WalError::Gap { path: path.clone(), expected, found: begin.index });
            }
            placed.push(self.batch(&hot, batch));
            Ok(())
        })?;
        placed.into_iter().collect::<Result<Vec<()>, _>>()?;
        if replayed.torn {
            self.torn = Some((path.clone(), replayed.tail));
        }
        let unsealed = self.edge.hot.commits.front().map_or(self.next, |commit| commit.first);
        let Some(first) = first.filter(|_| end > unsealed) else {
            self.mends.push(Mend::Remove(path));
            return Ok(());
        };
        self.mends.push(match replayed.torn {
            true => Mend::Clear { generation, path: path.clone(), tail: replayed.tail },
            false => Mend::Sync(hot),
        });
        self.edge.closed.push_back(Closed { generation, path, first, end, bytes: replayed.tail });
        Ok(())
    }

    fn batch(&mut self, file: &Arc<HotFile>, batch: &Placed<'_>) -> Result<(), OpenError> {
        let first = batch.entries.first().map_or(0, |entry| entry.index);
        let new = batch.entries.iter().filter(|entry| entry.index >= self.next);
        let new: Vec<_> = new.collect();
        if new.is_empty() {
            return Ok(());
        }
        self.seen.see(new.iter().map(|entry| &entry.id))?;
        for entry in &new {
            self.edge.tail.push(leaf_hash(entry.leaf));
        }
        self.next += new.len() as u64;
        self.edge.hot.since.get_or_insert_with(Timestamp::now);
        let count = batch.entries.len() as u64;
        let commit = Commit { first, count, file: file.clone(), at: batch.at, length: batch.size };
        self.edge.hot.commits.push_back(commit);
        Ok(())
    }
}
