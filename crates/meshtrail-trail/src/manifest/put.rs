//! Writing the next manifest, with unknown outcomes of earlier attempts taken into account.

use meshtrail_event::Timestamp;

use super::{Fold, Manifest, ManifestChange, ManifestError, manifest_key};
use crate::note;
use crate::store::{GetError, Key, PutError, Store, StoreError};
use crate::tree::Hash;

/// Attempts that are remembered: enough for any request that a bucket may still carry out late.
const MAX_ATTEMPTS: usize = 64;

/// The outcome of writing a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is the newest manifest.
    Done,
    /// An earlier attempt, thought to have failed, turned out to be the newest: it has been applied to the fold, and the
    /// caller must compute the change again.
    Earlier,
}

/// Why the next manifest was not written.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PutNextError {
    #[error("failed to make the next manifest")]
    Change(#[from] ManifestError),
    #[error(
        "{key} was written by someone else: another server writes to this trail. Stop one of them, or give them \
         different trail names"
    )]
    SecondWriter { key: Key },
    /// The store failed. Whether the manifest is there shows at the next attempt.
    #[error("failed to write {key}")]
    Store { key: Key, source: StoreError },
    #[error("failed to read back a manifest")]
    ReadBack(#[source] GetError),
}

/// An attempt whose outcome is unknown.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    manifest: Manifest,
    hash: Hash,
}

/// Creates the next manifest with `change`, signs it, puts it and applies it to the fold.
///
/// The first put of a number wins, and a put that failed may have taken effect all the same. So each attempt is remembered
/// until a manifest of its number is found.
pub async fn put_next(
    store: &Store,
    root: &Key,
    signing: &note::Key,
    fold: &mut Fold,
    change: ManifestChange,
    made: Timestamp,
) -> Result<Put, PutNextError> {
    if settle(store, root, fold).await? {
        return Ok(Put::Earlier);
    }
    let mut manifest = fold.next(change, made)?;
    manifest.sign(signing);
    let key = manifest_key(root, manifest.number);
    let (bytes, hash) = manifest.to_bytes();
    if fold.attempts.len() == MAX_ATTEMPTS {
        fold.attempts.remove(0);
    }
    fold.attempts.push(Attempt { manifest: manifest.clone(), hash });
    match store.put_new(&key, bytes.into()).await {
        Ok(()) => {
            fold.apply(&manifest, hash)?;
            Ok(Put::Done)
        }
        Err(PutError::Exists { .. }) => match settle(store, root, fold).await? {
            true if fold.hash() == Some(hash) => Ok(Put::Done),
            true => Ok(Put::Earlier),
            false => Err(PutNextError::SecondWriter { key }),
        },
        Err(PutError::Shadowed { .. }) => Err(PutNextError::SecondWriter { key }),
        Err(PutError::Store(source)) => Err(PutNextError::Store { key, source }),
    }
}

/// Checks whether an attempt that failed has taken effect; if so, applies it to the fold and returns true.
async fn settle(store: &Store, root: &Key, fold: &mut Fold) -> Result<bool, PutNextError> {
    if fold.attempts.is_empty() {
        return Ok(false);
    }
    let key = manifest_key(root, fold.number() + 1);
    let bytes = match store.get(&key).await {
        Ok(bytes) => bytes,
        Err(GetError::Missing { .. }) => return Ok(false),
        Err(error) => return Err(PutNextError::ReadBack(error)),
    };
    let hash = Hash::of(&bytes);
    let Some(at) = fold.attempts.iter().position(|attempt| attempt.hash == hash) else {
        return Err(PutNextError::SecondWriter { key });
    };
    let Attempt { manifest, .. } = fold.attempts.swap_remove(at);
    fold.apply(&manifest, hash)?;
    Ok(true)
}
