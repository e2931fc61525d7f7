//! Heads that were given out, kept so that no smaller one and no other history is ever signed after them.
//!
//! A head is a checkpoint over everything that is durable; events under it may still be in the log alone. It is given
//! out in this order:
//!
//! 1. Its events are synced in the log or sealed: the tree in memory has no others.
//! 2. It is held against the head before it, so that a fork is never signed.
//! 3. It is put into the store, `trails/<trail>/head`. With a bucket, a machine lost for good takes no head with it.
//! 4. It is synced to `local/head`.
//! 5. Whoever asked gets it.
//!
//! A crash before 3 leaves the head before. A crash between 3 and 5 leaves a head that nobody has seen, in one place
//! or both; its events are in the log, so the next start finds them and goes on. A start that finds less than any of
//! the copies says, or something else, refuses: see [`KeptHeads::check`].
//!
//! The store's `checkpoint` is another thing: it signs what is sealed, after the seal.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::shared::{Access, Shared};
use super::{OpenError, ProofError};
use crate::fault::{Faults, Step, When};
use crate::manifest::Fold;
use crate::note::{Checkpoint, NoteError, SignedCheckpoint, Verifier};
use crate::store::{GetError, Key, Store, StoreLocation};
use crate::tree::{Hash, Tail};

/// How long after one head the next is made: whoever asks meanwhile waits and shares it. So heads cost a disk that
/// also syncs the log a few syncs a second, however often they are asked for.
const EVERY: Duration = Duration::from_millis(100);
/// The same with a bucket, where each head is a request.
const EVERY_IN_BUCKET: Duration = Duration::from_secs(1);

/// How long closing waits for a head that is being made.
const CLOSING: Duration = Duration::from_secs(5);

/// The file below the local folder, and the object below the trail's root.
pub(crate) const FILE: &str = "head";

/// The newest head, and the making of the next.
pub(super) struct Heads {
    path: PathBuf,
    newest: Mutex<Option<SignedCheckpoint>>,
    /// Held while a head is made: the files have one writer at a time. When the last one was begun.
    making: tokio::sync::Mutex<Option<Instant>>,
    closed: AtomicBool,
}

impl Heads {
    pub(super) fn new(local: &Path, newest: Option<SignedCheckpoint>) -> Self {
        let (path, newest) = (local.join(FILE), Mutex::new(newest));
        Self { path, newest, making: Default::default(), closed: AtomicBool::new(false) }
    }

    fn newest(&self) -> Option<SignedCheckpoint> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest one, if it covers the first `wanted` events.
    fn covering(&self, wanted: u64) -> Option<SignedCheckpoint> {
        self.newest().filter(|head| head.size >= wanted)
    }

    /// Makes no head from now on, and waits for one that is being made: the lock on the folder is about to go. A store
    /// that does not answer is not waited for; `local/head` is not touched any more then.
    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        if tokio::time::timeout(CLOSING, self.making.lock()).await.is_err() {
            tracing::warn!("the store did not take the newest head in time; it is not given out");
        }
    }

    fn check_open(&self) -> Result<(), ProofError> {
        if self.closed.load(Ordering::SeqCst) { Err(ProofError::Closed) } else { Ok(()) }
    }
}

/// A signed head over the first `wanted` events at least: the newest that was given out, if that is enough.
pub(super) async fn give_out(shared: &Arc<Shared>, wanted: u64) -> Result<SignedCheckpoint, ProofError> {
    if let Access::Write(writing) = &shared.access
        && let Some(head) = writing.heads.covering(wanted)
    {
        return Ok(head);
    }
    let shared = shared.clone();
    // Made to its end, even if whoever asked has gone: the next one must not meet half of it on disk.
    let made = tokio::spawn(async move { make(&shared, wanted).await });
    match made.await {
        Ok(made) => made,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(ProofError::Closed),
        },
    }
}

async fn make(shared: &Shared, wanted: u64) -> Result<SignedCheckpoint, ProofError> {
    let Access::Write(writing) = &shared.access else { return Err(ProofError::Closed) };
    let heads = &writing.heads;
    let mut making = heads.making.lock().await;
    if let Some(head) = heads.covering(wanted) {
        return Ok(head);
    }
    heads.check_open()?;
    let every = match shared.store.facts().location {
        StoreLocation::Folder(_) => EVERY,
        StoreLocation::Bucket { .. } => EVERY_IN_BUCKET,
    };
    if let Some(pause) = making.and_then(|last| every.checked_sub(last.elapsed())) {
        tokio::time::sleep(pause).await;
    }
    *making = Some(Instant::now());
    let (size, root) = {
        let edge = shared.edge();
        let size = edge.tail.size();
        (size, edge.tail.root_at(size).unwrap_or_else(Hash::of_nothing))
    };
    if let Some(before) = heads.newest() {
        shared.check_growth(&before, size, root).await?;
    }
    let head = writing.key.sign(size, root);
    keep(shared, heads, &head).await?;
    *heads.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(head.clone());
    Ok(head)
}

async fn keep(shared: &Shared, heads: &Heads, head: &SignedCheckpoint) -> Result<(), ProofError> {
    let path = heads.path.as_path();
    let faults = shared.config.faults.clone();
    let key = shared.key(FILE);
    let on_purpose = |source| ProofError::HeadFile { path: path.to_owned(), source };
    faults.check(Step::PutHead, When::Before).map_err(on_purpose)?;
    shared.store.replace(&key, head.note.clone().into()).await.map_err(ProofError::HeadObject)?;
    faults.check(Step::PutHead, When::After).map_err(on_purpose)?;
    // A crash here leaves a head in the store that nobody was given. `local/head` is the one before; the log has the
    // events of both.
    heads.check_open()?;
    let (to, note) = (path.to_owned(), head.note.clone());
    let writing = tokio::task::spawn_blocking(move || write(&to, &note, &faults));
    let written = writing.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
    written.map_err(|source| ProofError::HeadFile { path: path.to_owned(), source })
}

fn write(path: &Path, note: &str, faults: &Faults) -> io::Result<()> {
    faults.around(Step::SyncHead, || {
        let temporary = path.with_extension("new");
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(note.as_bytes())?;
        file.sync_all()?;
        // A crash here leaves `.new`, which nobody reads and the next head overwrites.
        std::fs::rename(&temporary, path)?;
        // A crash here leaves the file as it was or as it is: both are heads whose events are durable.
        std::fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    })
}

/// The copies of the newest head that a start finds.
#[derive(Default)]
pub(super) struct KeptHeads {
    heads: Vec<(String, SignedCheckpoint)>,
}

impl KeptHeads {
    /// Reads `local/head` and the store's `head`. A copy that can't be read as one is no reason to refuse as long as
    /// the other can: both are written before a head is given out.
    pub(super) async fn read(store: &Store, root: &Key, local: &Path, vkey: &str) -> Result<Self, OpenError> {
        let path = local.join(FILE);
        let in_file = match std::fs::read(&path) {
            Ok(note) => Some(note),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(OpenError::Local { path, source }),
        };
        let key = root.join(FILE).expect("a trail's root leaves room");
        let in_store = match store.get(&key).await {
            Ok(note) => Some(note.to_vec()),
            Err(GetError::Missing { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let verifier: Verifier = vkey.parse().expect("a key's public half is a verifier");
        let found = [(path.display().to_string(), in_file), (key.to_string(), in_store)];
        let (mut kept, mut damaged) = (Self::default(), Vec::new());
        for (name, note) in found.into_iter().filter_map(|(name, note)| Some((name, note?))) {
            match signed_by(&verifier, vkey, &note) {
                Ok(head) => kept.heads.push((name, head)),
                Err(error) => damaged.push((name, note, error)),
            }
        }
        for (name, note, source) in damaged {
            let claimed = Checkpoint::claimed_origin(&note);
            if let Some(origin) = claimed.filter(|origin| origin != verifier.name()) {
                return Err(OpenError::OtherTrailsHead { head: name, origin, local: local.to_owned() });
            }
            if kept.heads.is_empty() {
                return Err(OpenError::HeadDamaged { head: name, source });
            }
            let error: &dyn std::error::Error = &source;
            tracing::warn!(
                head = name,
                error,
                "a copy of the newest head that was given out was changed; the other copy counts, and the next head \
                 replaces both"
            );
        }
        Ok(kept)
    }

    /// Refuses a trail that has less than was given out, or something else: whatever is signed over it would
    /// contradict what others hold.
    pub(super) fn check(&self, tail: &Tail, local: &Path) -> Result<(), OpenError> {
        for (name, head) in &self.heads {
            let (head_name, local) = (name.clone(), local.to_owned());
            if head.size > tail.size() {
                return Err(OpenError::HeadAhead {
                    head: head_name,
                    size: head.size,
                    there: tail.size(),
                    local,
                });
            }
            // One that ends deep in what is sealed is held against it when the next head is made.
            let found = tail.root_at(head.size).filter(|found| *found != head.root);
            if let Some(found) = found {
                let (size, signed) = (head.size, head.root);
                return Err(OpenError::HeadChanged { head: head_name, size, signed, found, local });
            }
        }
        Ok(())
    }

    /// The newest of them.
    pub(super) fn newest(self) -> Option<SignedCheckpoint> {
        self.heads.into_iter().map(|(_, head)| head).max_by_key(|head| head.size)
    }

    /// Adds the store's checkpoint of what is sealed, which is a promise like the others; gives what is wrong with it.
    pub(super) fn take_stored(
        &mut self,
        stored: Result<&[u8], &GetError>,
        key: &Key,
        vkey: &str,
        fold: &Fold,
    ) -> Option<String> {
        let verifier: Verifier = vkey.parse().expect("a key's public half is a verifier");
        match stored {
            Ok(note) => match signed_by(&verifier, vkey, note) {
                Ok(head) => {
                    self.heads.push((key.to_string(), head));
                    None
                }
                Err(error) => Some(error.to_string()),
            },
            // A crash in a trail's first seal leaves none; after that each seal replaces one.
            Err(GetError::Missing { .. }) if fold.number() > 1 => Some("it is missing".to_owned()),
            Err(_) => None,
        }
    }
}

fn signed_by(verifier: &Verifier, vkey: &str, note: &[u8]) -> Result<SignedCheckpoint, NoteError> {
    let Checkpoint { origin, size, root } = verifier.open(note)?;
    let note = String::from_utf8_lossy(note).into_owned();
    Ok(SignedCheckpoint { origin, size, root, note, vkey: vkey.to_owned() })
}

/// The newest head of each other trail in the store that is signed by its own key, by name.
pub(super) async fn of_others(shared: &Shared) -> Result<Vec<SignedCheckpoint>, ProofError> {
    let trails = Key::new("trails").expect("a plain word is a key");
    let listed = shared.store.list(&trails).await.map_err(ProofError::HeadObject)?;
    let roots = listed.iter().filter_map(|entry| entry.key.as_str().strip_suffix("/vkey"));
    let mut newest = Vec::new();
    for root in roots.filter(|root| *root != shared.root.as_str()) {
        let get = async |name: &str| {
            let key = Key::new(format!("{root}/{name}")).ok()?;
            // What can't be read or is not signed is nothing to be named.
            shared.store.get(&key).await.ok()
        };
        let Some(vkey) = get("vkey").await else { continue };
        let vkey = String::from_utf8_lossy(&vkey).trim().to_owned();
        let Ok(verifier) = vkey.parse::<Verifier>() else { continue };
        let mut heads = Vec::new();
        for name in [FILE, "checkpoint"] {
            heads.extend(get(name).await.and_then(|note| signed_by(&verifier, &vkey, &note).ok()));
        }
        newest.extend(heads.into_iter().max_by_key(|head| head.size));
    }
    Ok(newest)
}
