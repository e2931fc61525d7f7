//! Where sealed things are kept: named objects that are written once and read often.
//!
//! - `put_new` writes only if the key is absent, and what it acknowledged is durable.
//! - A key shows nothing or its whole object. On a bucket that keeps versions the oldest version counts: what was put
//!   in front of it later is seen by [`Store::audit`], never by a reader.
//! - A store that overwrites where it should refuse is turned down when it is opened.
//! - Retries are bounded: a dead bucket is an error, not a hang.
//!
//! Folders and buckets pass the same suite. What the objects mean is not known here.

mod error;
mod folder;
mod key;
mod location;
mod probe;
mod s3;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod troubled;

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::AmazonS3Builder;

pub use error::{Cause, GetError, KeyError, LocationError, PutError, StoreError};
pub use key::Key;
use key::is_replaceable_name;
pub use location::StoreLocation;
pub use s3::{ForeignBucket, ForeignError, ForeignObject};

use folder::Folder;
use s3::Bucket;

/// A folder or bucket of objects. Clones are cheap and share everything.
#[derive(Debug, Clone)]
pub struct Store {
    backend: Backend,
    facts: Arc<StoreFacts>,
}

/// What is set on the objects that are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WritePolicy {
    /// How long the bucket shall refuse to delete what is written, where it has Object Lock.
    pub retention: Option<ObjectRetention>,
    /// The group that may read what is written into a folder, besides the owner.
    pub group: Option<u32>,
}

/// A retention as Object Lock knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectRetention {
    /// Whether anyone may shorten it.
    pub mode: RetentionMode,
    /// How long from the moment of writing.
    pub keep: Duration,
}

/// Whether a retention may be shortened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionMode {
    /// Those with a special permission may.
    Governance,
    /// Nobody may, the account's owner included.
    Compliance,
}

/// What the probe found out about a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFacts {
    /// Where it is.
    pub location: StoreLocation,
    /// Whether older versions of an object stay.
    pub versioning: Versioning,
    /// Whether the bucket can lock objects.
    pub object_lock: ObjectLock,
}

/// Whether older versions of an object stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versioning {
    /// There is one version.
    Off,
    /// Every write and delete leaves the versions before it.
    On,
    /// It was on once; old versions may be there.
    Suspended,
}

/// Whether a bucket can lock objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectLock {
    /// It can't.
    Off,
    /// It can; new objects get the retention of the [`WritePolicy`], or the bucket's default where that has none.
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

/// A sign that someone changed what is written once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tampering {
    /// The key in the store, as the bucket has it.
    pub key: String,
    /// What was put in front of the first version.
    pub what: TamperingKind,
    /// The version that was put there.
    pub version: String,
    /// When, as the bucket says.
    pub at: String,
}

/// What was put in front of an object's first version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TamperingKind {
    /// A delete marker: plain readers no longer see the object.
    DeleteMarker,
    /// Other contents: plain readers see those.
    LaterVersion,
}

#[derive(Debug, Clone)]
enum Backend {
    Folder(Arc<Folder>),
    Bucket(Arc<Bucket>),
}

impl Store {
    /// Opens and probes the store; makes the folder if it is missing, never the bucket.
    pub async fn open(location: &StoreLocation, policy: &WritePolicy) -> Result<Self, StoreError> {
        let store = match location {
            StoreLocation::Folder(root) => {
                let (root, group) = (root.clone(), policy.group);
                let folder = blocking(move || Folder::open(&root, group)).await?;
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

    /// Opens the store for reading alone: nothing is made, probed or swept, and a missing folder is an error.
    pub async fn open_read_only(location: &StoreLocation) -> Result<Self, StoreError> {
        match location {
            StoreLocation::Folder(root) => {
                let root = root.clone();
                let folder = blocking(move || Folder::open_read_only(&root)).await?;
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

    /// What the probe found.
    pub fn facts(&self) -> &StoreFacts {
        &self.facts
    }

    /// Writes an object unless the key is taken. Durable once it returns, and locked where the bucket can.
    pub async fn put_new(&self, key: &Key, bytes: Bytes) -> Result<(), PutError> {
        self.put(key, bytes, Keep::Retained).await
    }

    /// As [`put_new`](Self::put_new), but never locked: for what is to be deleted soon.
    pub async fn put_transient(&self, key: &Key, bytes: Bytes) -> Result<(), PutError> {
        self.put(key, bytes, Keep::Transient).await
    }

    /// Writes a checkpoint or head over the one before it.
    pub async fn replace(&self, key: &Key, bytes: Bytes) -> Result<(), StoreError> {
        if !key.is_replaceable() {
            return Err(StoreError::NotReplaceable { key: key.clone() });
        }
        match &self.backend {
            Backend::Folder(folder) => {
                let (folder, key) = (folder.clone(), key.clone());
                blocking(move || folder.replace(&key, &bytes)).await
            }
            Backend::Bucket(bucket) => bucket.replace(key, bytes).await,
        }
    }

    /// The whole object: its first version, or the newest of a key that may be replaced.
    pub async fn get(&self, key: &Key) -> Result<Bytes, GetError> {
        match &self.backend {
            Backend::Folder(folder) => {
                let (folder, key) = (folder.clone(), key.clone());
                blocking(move || folder.get(&key)).await
            }
            Backend::Bucket(bucket) => bucket.get(key).await,
        }
    }

    /// The size of the object in bytes.
    pub async fn size(&self, key: &Key) -> Result<u64, GetError> {
        match &self.backend {
            Backend::Folder(folder) => {
                let (folder, key) = (folder.clone(), key.clone());
                blocking(move || folder.size(&key)).await
            }
            Backend::Bucket(bucket) => bucket.size(key).await,
        }
    }

    /// A stretch of the object, exactly as long as asked for.
    pub async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, GetError> {
        let mut parts = self.get_ranges(key, vec![range]).await?;
        Ok(parts.pop().expect("one range gives one part"))
    }

    /// Several stretches of one object, in the order asked for.
    pub async fn get_ranges(&self, key: &Key, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, GetError> {
        match &self.backend {
            Backend::Folder(folder) => {
                let (folder, key) = (folder.clone(), key.clone());
                blocking(move || folder.get_ranges(&key, &ranges)).await
            }
            Backend::Bucket(bucket) => bucket.get_ranges(key, &ranges).await,
        }
    }

    /// The object as an open file, which another process can be given; none on a bucket.
    pub async fn open_file(&self, key: &Key) -> Result<Option<File>, GetError> {
        match &self.backend {
            Backend::Folder(folder) => {
                let (folder, key) = (folder.clone(), key.clone());
                blocking(move || folder.open_file(&key)).await.map(Some)
            }
            Backend::Bucket(_) => Ok(None),
        }
    }

    /// All objects below `prefix/`, by key.
    pub async fn list(&self, prefix: &Key) -> Result<Vec<Entry>, StoreError> {
        match &self.backend {
            Backend::Folder(folder) => {
                let (folder, prefix) = (folder.clone(), prefix.clone());
                blocking(move || folder.list(&prefix)).await
            }
            Backend::Bucket(bucket) => bucket.list(prefix).await,
        }
    }

    /// Removes an object with all its versions; one that is missing is no error.
    pub async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Folder(folder) => {
                let (folder, key) = (folder.clone(), key.clone());
                blocking(move || folder.delete(&key)).await
            }
            Backend::Bucket(bucket) => bucket.delete(key).await,
        }
    }

    /// What was put in front of first versions below `prefix/`. A folder has no versions and so nothing to tell.
    pub async fn audit(&self, prefix: &Key) -> Result<Vec<Tampering>, StoreError> {
        match &self.backend {
            Backend::Folder(_) => Ok(Vec::new()),
            Backend::Bucket(bucket) => bucket.audit(prefix).await,
        }
    }

    async fn put(&self, key: &Key, bytes: Bytes, keep: Keep) -> Result<(), PutError> {
        match &self.backend {
            Backend::Folder(folder) => {
                let (folder, key) = (folder.clone(), key.clone());
                blocking(move || folder.put_new(&key, &bytes)).await
            }
            Backend::Bucket(bucket) => bucket.put_new(key, bytes, keep).await,
        }
    }
}

/// Whether an object gets the policy's retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Retained,
    Transient,
}

/// Runs file operations off the async threads; a panic in them is passed on.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Blocking work is cancelled only while the runtime goes away, and this future with it.
            Err(_) => std::future::pending().await,
        },
    }
}
