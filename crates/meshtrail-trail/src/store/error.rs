//! What can go wrong with a store, each with the key and what to do about it.

use std::error::Error;
use std::io;

use super::Key;

/// The cause below the store: an I/O error or the bucket's answer.
pub type Cause = Box<dyn Error + Send + Sync + 'static>;

/// Why a text is not a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Empty or too long.
    #[error("a key is 1 to {most} bytes long, this one is {length}")]
    Length {
        /// Bytes found.
        length: usize,
        /// Bytes allowed.
        most: usize,
    },
    /// A part that is empty, hidden, or has a character that some backend treats specially.
    #[error(
        "part {part:?} of key {key:?} is empty, begins with a dot, or has other characters than letters, digits and . _ - = @ +"
    )]
    Part {
        /// The key, cut to a readable length.
        key: String,
        /// The part, cut to a readable length.
        part: String,
    },
}

/// Why a text does not say where a store is.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    /// Nothing given.
    #[error("the store's location is empty: give a folder or s3://bucket/prefix")]
    Empty,
    /// A scheme other than s3.
    #[error("stores on {scheme}:// are not supported: give a folder or s3://bucket/prefix")]
    Scheme {
        /// What stood before `://`.
        scheme: String,
    },
    /// No bucket, or not a bucket's name.
    #[error("{location:?} names no bucket: write s3://bucket/prefix")]
    Bucket {
        /// What was given.
        location: String,
    },
    /// The prefix is not a key.
    #[error("the prefix of the bucket is not usable")]
    Prefix {
        /// Why not.
        source: KeyError,
    },
}

/// Why an operation on the store failed, or the store was turned down at opening.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The backend failed after bounded retries.
    #[error("failed to {doing} {key} in {store}: {hint}")]
    Failed {
        /// What was tried.
        doing: &'static str,
        /// The key, or prefix.
        key: String,
        /// The store.
        store: String,
        /// What to look at.
        hint: &'static str,
        /// What the backend said.
        source: Cause,
    },
    /// Settings in the environment are missing or contradictory.
    #[error("the bucket of {store} can't be reached with these AWS_* settings")]
    Settings {
        /// The store.
        store: String,
        /// Which.
        source: Cause,
    },
    /// The endpoint has no TLS, and nobody said that this is meant.
    #[error(
        "{endpoint} is plain HTTP, which would send objects in the clear: set AWS_ALLOW_HTTP=true if that is meant, or use https"
    )]
    PlainHttp {
        /// Where requests would go.
        endpoint: String,
    },
    /// The probe wrote an object twice and the second write was accepted.
    #[error(
        "{store} overwrote an existing object although asked not to (PUT with If-None-Match: *): a trail would not be safe there. Use a bucket with conditional writes, such as AWS S3, MinIO or R2"
    )]
    Overwrites {
        /// The store.
        store: String,
    },
    /// The probe read something else than it had written.
    #[error(
        "{store} did not give back what had just been written: it lacks read-after-write consistency, or something else writes to it"
    )]
    Stale {
        /// The store.
        store: String,
    },
    /// A key that is written once was to be replaced.
    #[error("{key} is written once and can't be replaced")]
    NotReplaceable {
        /// The key.
        key: Key,
    },
    /// An object under retention can't be deleted yet.
    #[error("{key} in {store} is locked by the bucket's retention and can't be deleted before that ends")]
    Locked {
        /// The key.
        key: Key,
        /// The store.
        store: String,
    },
}

/// Why a put-if-absent did not write.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The key is there already; nothing was changed.
    #[error("{key} exists already and was left as it is")]
    Exists {
        /// The key.
        key: Key,
    },
    /// An older version stands behind a delete marker: readers go on seeing that one.
    #[error(
        "{key} was deleted before and its older version still counts: someone tampered with the bucket; run `meshtrail verify`"
    )]
    Shadowed {
        /// The key.
        key: Key,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an object could not be read.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// No such object.
    #[error("{key} is missing in {store}")]
    Missing {
        /// The key.
        key: Key,
        /// The store.
        store: String,
    },
    /// The range asked for reaches past the end.
    #[error(
        "{key} is {size} bytes long, but bytes up to {end} were expected: the object is cut short or its index is wrong"
    )]
    Short {
        /// The key.
        key: Key,
        /// Bytes there are.
        size: u64,
        /// End of the range.
        end: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The usual advice on an I/O error.
pub(super) fn io_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full; make room or shorten retention"
        }
        io::ErrorKind::PermissionDenied => "check the folder's owner and mode",
        io::ErrorKind::ReadOnlyFilesystem => "the file system is mounted read-only",
        io::ErrorKind::NotADirectory => "a file lies where a folder is expected",
        _ => "check the disk",
    }
}
