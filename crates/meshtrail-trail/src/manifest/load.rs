//! Loading the chain of manifests from a store.

use futures::stream::{self, StreamExt};

use super::fold::manifest_name;
use super::{Fault, Fold, Manifest, ManifestError, ROLLUP, manifest_key};
use crate::detached::run_blocking;
use crate::note::Verifier;
use crate::store::{GetError, Key, Store};
use crate::tree::Hash;

/// A manifest that sums up others has tens of megabytes of JSON after a year: several are parsed at a time.
const READS_AT_A_TIME: usize = 4;

/// Why the chain could not be loaded.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum LoadError {
    #[error("failed to read a manifest")]
    Read(#[source] GetError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// The number of the newest manifest below `root`, 0 if there is none.
///
/// Numbers are contiguous, so this probes a few of them instead of listing all. If one was removed, the result may be
/// too low: the checkpoint then covers more than the fold.
pub async fn newest(store: &Store, root: &Key) -> Result<u64, LoadError> {
    let (mut there, mut step) = (0, 1);
    while exists(store, root, there + step).await? {
        there += step;
        step *= 2;
    }
    // `there` exists (or is 0) and `there + step` does not.
    let mut absent = there + step;
    while absent - there > 1 {
        let middle = there + (absent - there) / 2;
        if exists(store, root, middle).await? {
            there = middle;
        } else {
            absent = middle;
        }
    }
    Ok(there)
}

/// Loads the state of the trail below `root`; none if it has no manifest yet.
///
/// The newest manifest must be signed by `verifier`; the others are protected by their hashes in later ones. Without a
/// verifier a change to the newest one goes unnoticed.
pub async fn load(store: &Store, root: &Key, verifier: Option<&Verifier>) -> Result<Option<Fold>, LoadError> {
    let newest = newest(store, root).await?;
    if newest == 0 {
        return Ok(None);
    }
    let (last, _) = read(store, root, newest).await?;
    if let Some(verifier) = verifier.filter(|verifier| !last.is_signed_by(verifier)) {
        return Err(Fault::Signature { name: verifier.name().to_owned() }
            .in_file(manifest_name(newest))
            .into());
    }
    let mut fold = match newest - newest % ROLLUP {
        0 => {
            let (first, hash) = read(store, root, 1).await?;
            let mut fold = Fold::new(first.trail.clone(), first.origin.clone());
            fold.apply(&first, hash)?;
            fold
        }
        complete => resume(store, root, complete).await?,
    };
    for number in fold.number() + 1..=newest {
        let (manifest, hash) = read(store, root, number).await?;
        fold.apply(&manifest, hash)?;
    }
    Ok(Some(fold))
}

async fn resume(store: &Store, root: &Key, number: u64) -> Result<Fold, LoadError> {
    let (manifest, hash) = read(store, root, number).await?;
    let rollups = manifest.complete.as_ref().map(|complete| complete.rollups.as_slice()).unwrap_or_default();
    let reads: Vec<_> = rollups.iter().map(|rollup| read(store, root, rollup.number)).collect();
    let mut reads = stream::iter(reads).buffered(READS_AT_A_TIME);
    let mut earlier = Vec::with_capacity(rollups.len());
    for (at, rollup) in rollups.iter().enumerate() {
        let (found, hash) = reads.next().await.expect("one for each rollup")?;
        if hash != rollup.sha256 {
            let field = format!("complete.rollups[{at}].sha256");
            return Err(Fault::value(field, "is not the SHA-256 of the manifest it names")
                .in_file(manifest_name(number))
                .into());
        }
        earlier.push(found);
    }
    Ok(Fold::resume(&manifest, hash, &earlier).map_err(|fault| fault.in_file(manifest_name(number)))?)
}

async fn read(store: &Store, root: &Key, number: u64) -> Result<(Manifest, Hash), LoadError> {
    let bytes = store.get(&manifest_key(root, number)).await.map_err(LoadError::Read)?;
    run_blocking(move || {
        let manifest = Manifest::parse(&manifest_name(number), &bytes)?;
        if manifest.number != number {
            return Err(Fault::Number { expected: number, found: manifest.number }
                .in_file(manifest_name(number))
                .into());
        }
        Ok((manifest, Hash::of(&bytes)))
    })
    .await
}

async fn exists(store: &Store, root: &Key, number: u64) -> Result<bool, LoadError> {
    match store.size(&manifest_key(root, number)).await {
        Ok(_) => Ok(true),
        Err(GetError::Missing { .. }) => Ok(false),
        Err(error) => Err(LoadError::Read(error)),
    }
}
