//! The object store: named objects that are written once and read often.
//!
//! - `put_new` writes only if the key is absent, and what it acknowledged is durable.
//! - Under a key there is nothing or a whole object. On a bucket with versions the oldest version counts: later versions
//!   are reported by [`Store::audit`], and never read.
//! - A store that overwrites where it should refuse is rejected when it is opened.
//! - Retries are bounded: an unreachable bucket is an error, not a hang.
//!
//! Folders and buckets pass the same test suite. What the objects mean is not known here.

mod error;
#[cfg(test)]
mod faulty_bucket;
mod folder;
mod key;
mod location;
mod probe;
mod s3;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::AmazonS3Builder;

pub use error::{Cause, GetError, KeyError, LocationError, PutError, StoreError};
pub use folder::{RangeError, read_ranges};
pub use key::Key;
use key::is_replaceable_name;
pub use location::StoreLocation;
pub use s3::{ForeignBucket, ForeignError, ForeignObject};

use crate::run_blocking;
use folder::Folder;
use s3::Bucket;

/// A folder or bucket of objects; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    backend: Backend,
    facts: Arc<StoreFacts>,
}

/// Properties of written objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WritePolicy {
    /// How long the bucket refuses to delete written objects, if it has Object Lock.
    pub retention: Option<ObjectRetention>,
    /// The group that may read files in a folder, besides the owner.
    pub group: Option<u32>,
}

/// A retention for Object Lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectRetention {
    /// Whether it may be shortened.
    pub mode: RetentionMode,
    /// Its length, from the time of writing.
    pub keep: Duration,
}

/// Whether a retention may be shortened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionMode {
    /// It may be shortened with a special permission.
    Governance,
    /// Nobody may shorten it, not even the account's owner.
    Compliance,
}

/// Properties of a store, found when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFacts {
    /// The location.
    pub location: StoreLocation,
    /// Whether older versions of objects are kept.
    pub versioning: Versioning,
    /// Whether the bucket has Object Lock.
    pub object_lock: ObjectLock,
}

/// Whether older versions of objects are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versioning {
    /// There is only one version.
    Off,
    /// Writes and deletes keep earlier versions.
    On,
    /// It was on earlier; old versions may exist.
    Suspended,
}

/// Whether a bucket has Object Lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectLock {
    /// It has not.
    Off,
    /// It has; new objects get the retention of the [`WritePolicy`], or the bucket's default if that has none.
    On {
        /// Whether the bucket has a default retention of its own.
        has_default: bool,
    },
}

/// One object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// Its size in bytes.
    pub size: u64,
}

/// Evidence that an object which is written once was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tampering {
    /// The key in the store, as the bucket has it.
    pub key: String,
    /// What hides the first version.
    pub what: TamperingKind,
    /// The later version.
    pub version: String,
    /// Its time, as the bucket reports it.
    pub at: String,
}

/// What hides an object's first version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TamperingKind {
    /// A delete marker: other readers no longer see the object.
    DeleteMarker,
    /// Other contents, which other readers see.
    LaterVersion,
}

#[derive(Debug, Clone)]
enum Backend {
    Folder(Arc<Folder>),
    Bucket(Arc<Bucket>),
}

impl Store {
    /// Opens and probes the store; creates a missing folder, but never a bucket.
    pub async fn open(location: &StoreLocation, policy: &WritePolicy) -> Result<Self, StoreError> {
        let store = match location {
            StoreLocation::Folder(root) => {
                let (root, group) = (root.clone(), policy.group);
                let folder = run_blocking(move || Folder::open(&root, group)).await?;
                let facts = StoreFacts {
                    location: location.clone(),
                    versioning: Versioning::Off,
                    object_lock: ObjectLock::Off,
                };
                Self { backend: Backend::Folder(Arc::new(folder)), facts: Arc::new(facts) }
            }
            StoreLocation::Bucket { bucket, prefix } => {
                let settings = AmazonS3Builder::from_env();
                return Self::open_bucket(settings, bucket, prefix, policy).await;
            }
        };
        probe::probe(&store).await?;
        Ok(store)
    }

    /// Opens the store for reading only: nothing is created, probed or swept, and a missing folder is an error.
    pub async fn open_read_only(location: &StoreLocation) -> Result<Self, StoreError> {
        match location {
            StoreLocation::Folder(root) => {
                let root = root.clone();
                let folder = run_blocking(move || Folder::open_read_only(&root)).await?;
                let facts = StoreFacts {
                    location: location.clone(),
                    versioning: Versioning::Off,
                    object_lock: ObjectLock::Off,
                };
                Ok(Self { backend: Backend::Folder(Arc::new(folder)), facts: Arc::new(facts) })
            }
            StoreLocation::Bucket { bucket, prefix } => {
                let settings = AmazonS3Builder::from_env();
                let bucket = Bucket::open(settings, bucket, prefix, &WritePolicy::default()).await?;
                let facts = Arc::new(bucket.facts(location.clone()));
                Ok(Self { backend: Backend::Bucket(Arc::new(bucket)), facts })
            }
        }
    }

    async fn open_bucket(
        settings: AmazonS3Builder,
        bucket: &str,
        prefix: &str,
        policy: &WritePolicy,
    ) -> Result<Self, StoreError> {
        let location = StoreLocation::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() };
        let bucket = Bucket::open(settings, bucket, prefix, policy).await?;
        let facts = Arc::new(bucket.facts(location));
        let store = Self { backend: Backend::Bucket(Arc::new(bucket)), facts };
        probe::probe(&store).await?;
        Ok(store)
    }

    /// The store's properties.
    pub fn facts(&self) -> &StoreFacts {
        &self.facts
    }

    /// Writes an object unless the key exists. It is durable on return, and locked if the bucket has Object Lock.
    pub async fn put_new(&self, key: &Key, bytes: Bytes) -> Result<(), PutError> {
        self.put(key, bytes, Lifetime::Retained).await
    }

    /// Like [`put_new`](Self::put_new), but never locked: for objects that are deleted soon.
    pub async fn put_transient(&self, key: &Key, bytes: Bytes) -> Result<(), PutError> {
        self.put(key, bytes, Lifetime::Transient).await
    }

    /// Replaces a checkpoint or head.
    pub async fn replace(&self, key: &Key, bytes: Bytes) -> Result<(), StoreError> {
        if !key.is_replaceable() {
            return Err(StoreError::NotReplaceable { key: key.clone() });
        }
        match &self.backend {
            Backend::Folder(folder) => {
                let (folder, key) = (folder.clone(), key.clone());
                run_blocking(move || folder.replace(&key, &bytes)).await
            }
            Backend::Bucket(bucket) => bucket.replace(key, bytes).await,
        }
    }

    /// Reads the whole object: its first version, or the newest one of a key that may be replaced.
    pub async fn get(&self, key: &Key) -> Result<Bytes, GetError> {
        match &self.backend {
            Backend::Folder(folder) => {
                let (folder, key) = (folder.clone(), key.clone());
                run_blocking(move || folder.get(&key)).await
            }
            Backend::Bucket(bucket) => bucket.get(key).await,
        }
    }

    /// The size of the object in bytes.
    pub async fn size(&self, key: &Key) -> Result<u64, GetError> {
        match &self.backend {
            Backend::Folder(folder) => {
                let (folder, key) = (folder.clone(), key.clone());
                run_blocking(move || folder.size(&key)).await
            }
            Backend::Bucket(bucket) => bucket.size(key).await,
        }
    }

    /// Reads a range of the object, exactly as long as requested.
    pub async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, GetError> {
        let mut parts = self.get_ranges(key, vec![range]).await?;
        Ok(parts.pop().expect("one range gives one part"))
    }

    /// Reads several ranges of one object, in the order requested.
    pub async fn get_ranges(&self, key: &Key, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, GetError> {
        match &self.backend {
            Backend::Folder(folder) => {
                let (folder, key) = (folder.clone(), key.clone());
                run_blocking(move || folder.get_ranges(&key, &ranges)).await
            }
            Backend::Bucket(bucket) => bucket.get_ranges(key, &ranges).await,
        }
    }

    /// Opens the object as a file, which can be sent to another process; none in a bucket.
    pub async fn open_file(&self, key: &Key) -> Result<Option<File>, GetError> {
        match &self.backend {
            Backend::Folder(folder) => {
                let (folder, key) = (folder.clone(), key.clone());
                run_blocking(move || folder.open_file(&key)).await.map(Some)
            }
            Backend::Bucket(_) => Ok(None),
        }
    }

    /// Lists all objects below `prefix/`, by key.
    pub async fn list(&self, prefix: &Key) -> Result<Vec<Entry>, StoreError> {
        match &self.backend {
            Backend::Folder(folder) => {
                let (folder, prefix) = (folder.clone(), prefix.clone());
                run_blocking(move || folder.list(&prefix)).await
            }
            Backend::Bucket(bucket) => bucket.list(prefix).await,
        }
    }

    /// Deletes an object with all its versions; a missing object is no error.
    pub async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Folder(folder) => {
                let (folder, key) = (folder.clone(), key.clone());
                run_blocking(move || folder.delete(&key)).await
            }
            Backend::Bucket(bucket) => bucket.delete(key).await,
        }
    }

    /// Reports what hides first versions below `prefix/`. A folder has no versions, so there is nothing to report.
    pub async fn audit(&self, prefix: &Key) -> Result<Vec<Tampering>, StoreError> {
        match &self.backend {
            Backend::Folder(_) => Ok(Vec::new()),
            Backend::Bucket(bucket) => bucket.audit(prefix).await,
        }
    }

    async fn put(&self, key: &Key, bytes: Bytes, keep: Lifetime) -> Result<(), PutError> {
        match &self.backend {
            Backend::Folder(folder) => {
                let (folder, key) = (folder.clone(), key.clone());
                run_blocking(move || folder.put_new(&key, &bytes)).await
            }
            Backend::Bucket(bucket) => bucket.put_new(key, bytes, keep).await,
        }
    }
}

/// Whether an object gets the policy's retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    Retained,
    Transient,
}
