//! Checks of a store when it is opened.

use bytes::Bytes;

use super::error::{GetError, PutError, StoreError};
use super::{Key, Store};

/// Writes an object twice: the second write must be refused, and the first one read back.
pub(super) async fn probe(store: &Store) -> Result<(), StoreError> {
    let key = Key::new(format!("probe/{}", random_name())).expect("hex digits make a key");
    let first = Bytes::from_static(b"meshtrail: is put-if-absent honoured here?\n");
    match store.put_transient(&key, first.clone()).await {
        Ok(()) => {}
        Err(PutError::Store(error)) => return Err(error),
        Err(PutError::Exists { .. } | PutError::Shadowed { .. }) => return Err(stale(store)),
    }
    let answer = check_answers(store, &key, &first).await;
    // A crash before this leaves one small object below `probe/`, which is never read.
    let removed = store.delete(&key).await;
    answer?;
    if let Err(error) = removed {
        // Write-once credentials may not delete, and a bucket's default retention refuses it as well.
        tracing::debug!(%key, %error, "the probe's object stays");
    }
    Ok(())
}

async fn check_answers(store: &Store, key: &Key, first: &Bytes) -> Result<(), StoreError> {
    match store.put_transient(key, Bytes::from_static(b"overwritten\n")).await {
        Err(PutError::Exists { .. }) => {}
        Ok(()) | Err(PutError::Shadowed { .. }) => {
            return Err(StoreError::Overwrites { store: store.facts().location.to_string() });
        }
        Err(PutError::Store(error)) => return Err(error),
    }
    match store.get(key).await {
        Ok(found) if found == *first => Ok(()),
        Ok(_) | Err(GetError::Missing { .. } | GetError::Short { .. }) => Err(stale(store)),
        Err(GetError::Store(error)) => Err(error),
    }
}

fn stale(store: &Store) -> StoreError {
    StoreError::Stale { store: store.facts().location.to_string() }
}

fn random_name() -> String {
    let mut bytes = [0u8; 12];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    hex::encode(bytes)
}
