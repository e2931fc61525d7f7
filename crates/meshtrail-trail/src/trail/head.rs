//! Issued heads, stored so that no smaller one and no other history is ever signed after them.
//!
//! A head is a checkpoint over everything that is durable; events under it may still be in the log alone. It is issued in
//! this order:
//!
//! 1. Its events are synced in the log or sealed: the tree in memory has no others.
//! 2. It is checked for consistency with the head before it, so that a fork is never signed.
//! 3. It is put into the store, `trails/<trail>/head`. With a bucket, it survives the loss of the machine.
//! 4. It is synced to `local/head`.
//! 5. It is returned to the caller.
//!
//! A crash before 3 leaves the previous head. A crash between 3 and 5 leaves a head that was not returned to anyone, in
//! one place or both; its events are in the log, so the next start finds them and continues. A start that finds fewer
//! events than a copy signs, or other ones, is refused: see [`StoredHeads::check`].
//!
//! The store's `checkpoint` is different: it signs the sealed events, after each seal.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::shared::{Access, Shared};
use super::{OpenError, ProofError};
use crate::durable::{self, Readers};
use crate::fault::{Moment, Step};
use crate::manifest::Fold;
use crate::note::{Checkpoint, NoteError, SignedCheckpoint, Verifier};
use crate::store::{GetError, Key, Store, StoreLocation};
use crate::tree::{Hash, Tail};

/// The least time between two heads: callers meanwhile wait and share the next one. So heads cost the disk only a few
/// syncs a second, however often they are requested.
const HEAD_INTERVAL: Duration = Duration::from_millis(100);
/// The same for a bucket, where each head is a request.
const BUCKET_HEAD_INTERVAL: Duration = Duration::from_secs(1);

/// How long closing waits for a head that is being issued.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The file below the local folder, and the object below the trail's root.
pub(crate) const FILE: &str = "head";

/// The newest head, and the state of issuing the next.
pub(super) struct Heads {
    path: PathBuf,
    newest: Mutex<Option<SignedCheckpoint>>,
    /// When the last head was begun. Locked while a head is issued, so that its files have one writer at a time.
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

    /// The newest head, if it covers the first `wanted` events.
    fn covering(&self, wanted: u64) -> Option<SignedCheckpoint> {
        self.newest().filter(|head| head.size >= wanted)
    }

    /// Stops issuing heads, and waits for the one that is being issued, because the lock on the folder is about to be
    /// released. It does not wait for a store that does not answer; `local/head` is not written any more then.
    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        if tokio::time::timeout(CLOSE_TIMEOUT, self.making.lock()).await.is_err() {
            tracing::warn!("the store did not take the newest head in time; it is not given out");
        }
    }

    fn check_open(&self) -> Result<(), ProofError> {
        if self.closed.load(Ordering::SeqCst) { Err(ProofError::Closed) } else { Ok(()) }
    }
}

/// Returns a signed head over at least the first `wanted` events: the newest issued one, if that is enough.
pub(super) async fn issue(shared: &Arc<Shared>, wanted: u64) -> Result<SignedCheckpoint, ProofError> {
    if let Access::Write(writing) = &shared.access
        && let Some(head) = writing.heads.covering(wanted)
    {
        return Ok(head);
    }
    let shared = shared.clone();
    // Runs to its end even if the caller is dropped: the next head must not find a partial one on disk.
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
        StoreLocation::Folder(_) => HEAD_INTERVAL,
        StoreLocation::Bucket { .. } => BUCKET_HEAD_INTERVAL,
    };
    if let Some(pause) = making.and_then(|last| every.checked_sub(last.elapsed())) {
        tokio::time::sleep(pause).await;
    }
    *making = Some(Instant::now());
    let (size, root) = {
        let edge = shared.edge();
        let size = edge.tail.size();
        (size, edge.tail.root_at(size).unwrap_or_else(Hash::empty_root))
    };
    if let Some(before) = heads.newest() {
        shared.check_growth(&before, size, root).await?;
    }
    let head = writing.key.sign(size, root);
    persist(shared, heads, &head).await?;
    *heads.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(head.clone());
    Ok(head)
}

async fn persist(shared: &Shared, heads: &Heads, head: &SignedCheckpoint) -> Result<(), ProofError> {
    let path = heads.path.as_path();
    let faults = shared.config.faults.clone();
    let key = shared.key(FILE);
    let on_purpose = |source| ProofError::HeadFile { path: path.to_owned(), source };
    faults.check(Step::PutHead, Moment::Before).map_err(on_purpose)?;
    shared.store.replace(&key, head.note.clone().into()).await.map_err(ProofError::HeadObject)?;
    faults.check(Step::PutHead, Moment::After).map_err(on_purpose)?;
    // A crash here leaves a head in the store that was not returned to anyone. `local/head` is the previous one; the log
    // has the events of both.
    heads.check_open()?;
    let (to, note) = (path.to_owned(), head.note.clone());
    let writing = tokio::task::spawn_blocking(move || {
        // A crash leaves the old file or the new one: both are heads whose events are durable.
        faults.around(Step::SyncHead, || durable::replace(&to, Readers::Owner, note.as_bytes()))
    });
    let written = writing.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
    written.map_err(|source| ProofError::HeadFile { path: path.to_owned(), source })
}

/// The stored copies of the newest head that a start finds.
#[derive(Default)]
pub(super) struct StoredHeads {
    heads: Vec<(String, SignedCheckpoint)>,
}

impl StoredHeads {
    /// Reads `local/head` and the store's `head`. One unreadable copy is tolerated if the other is valid: both are written
    /// before a head is returned.
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
        let (mut stored, mut damaged) = (Self::default(), Vec::new());
        for (name, note) in found.into_iter().filter_map(|(name, note)| Some((name, note?))) {
            match verify_head(&verifier, vkey, &note) {
                Ok(head) => stored.heads.push((name, head)),
                Err(error) => damaged.push((name, note, error)),
            }
        }
        for (name, note, source) in damaged {
            let claimed = Checkpoint::claimed_origin(&note);
            if let Some(origin) = claimed.filter(|origin| origin != verifier.name()) {
                return Err(OpenError::OtherTrailsHead { head: name, origin, local: local.to_owned() });
            }
            if stored.heads.is_empty() {
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
        Ok(stored)
    }

    /// Refuses a trail that has fewer events than an issued head, or other ones: signing it would contradict heads that
    /// others have.
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
            // A head that ends deep in the sealed events is checked when the next head is issued.
            let found = tail.root_at(head.size).filter(|found| *found != head.root);
            if let Some(found) = found {
                let (size, signed) = (head.size, head.root);
                return Err(OpenError::HeadChanged { head: head_name, size, signed, found, local });
            }
        }
        Ok(())
    }

    /// Returns the newest one.
    pub(super) fn newest(self) -> Option<SignedCheckpoint> {
        self.heads.into_iter().map(|(_, head)| head).max_by_key(|head| head.size)
    }

    /// Adds the store's checkpoint over the sealed events, which is as binding as a head; returns what is wrong with it.
    pub(super) fn add_checkpoint(
        &mut self,
        stored: Result<&[u8], &GetError>,
        key: &Key,
        vkey: &str,
        fold: &Fold,
    ) -> Option<String> {
        let verifier: Verifier = vkey.parse().expect("a key's public half is a verifier");
        match stored {
            Ok(note) => match verify_head(&verifier, vkey, note) {
                Ok(head) => {
                    self.heads.push((key.to_string(), head));
                    None
                }
                Err(error) => Some(error.to_string()),
            },
            // A crash in a trail's first seal leaves none; each later seal replaces one.
            Err(GetError::Missing { .. }) if fold.number() > 1 => Some("it is missing".to_owned()),
            Err(_) => None,
        }
    }
}

fn verify_head(verifier: &Verifier, vkey: &str, note: &[u8]) -> Result<SignedCheckpoint, NoteError> {
    let Checkpoint { origin, size, root } = verifier.open(note)?;
    let note = String::from_utf8_lossy(note).into_owned();
    Ok(SignedCheckpoint { origin, size, root, note, vkey: vkey.to_owned() })
}

/// The newest head of each other trail in the store, if it is signed by that trail's key, by name.
pub(super) async fn other_trails(shared: &Shared) -> Result<Vec<SignedCheckpoint>, ProofError> {
    let trails = Key::new("trails").expect("a plain word is a key");
    let listed = shared.store.list(&trails).await.map_err(ProofError::HeadObject)?;
    let roots = listed.iter().filter_map(|entry| entry.key.as_str().strip_suffix("/vkey"));
    let mut newest = Vec::new();
    for root in roots.filter(|root| *root != shared.root.as_str()) {
        let get = async |name: &str| {
            let key = Key::new(format!("{root}/{name}")).ok()?;
            // Unreadable and unsigned heads are left out.
            shared.store.get(&key).await.ok()
        };
        let Some(vkey) = get("vkey").await else { continue };
        let vkey = String::from_utf8_lossy(&vkey).trim().to_owned();
        let Ok(verifier) = vkey.parse::<Verifier>() else { continue };
        let mut heads = Vec::new();
        for name in [FILE, "checkpoint"] {
            heads.extend(get(name).await.and_then(|note| verify_head(&verifier, &vkey, &note).ok()));
        }
        newest.extend(heads.into_iter().max_by_key(|head| head.size));
    }
    Ok(newest)
}
