//! Errors of a store, with the key and advice.

use std::error::Error;
use std::io;

use super::Key;

/// The underlying cause: an I/O error or the bucket's answer.
pub type Cause = Box<dyn Error + Send + Sync + 'static>;

/// Why a text is not a key.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum KeyError {
    #[error("a key is 1 to {most} bytes long, this one is {length}")]
    Length { length: usize, most: usize },
    /// A part that is empty, hidden, or has a character that some backend treats specially.
    #[error(
        "part {part:?} of key {key:?} is empty, begins with a dot, or has other characters than letters, digits and . _ - = @ +"
    )]
    Part { key: String, part: String },
}

/// Why a text is not a store's location.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum LocationError {
    #[error("the store's location is empty: give a folder or s3://bucket/prefix")]
    Empty,
    #[error("stores on {scheme}:// are not supported: give a folder or s3://bucket/prefix")]
    Scheme { scheme: String },
    #[error("{location:?} names no bucket: write s3://bucket/prefix")]
    Bucket { location: String },
    #[error("the prefix of the bucket is not usable")]
    Prefix { source: KeyError },
}

/// Why an operation on the store failed, or the store was refused when it was opened.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum StoreError {
    #[error("failed to {doing} {key} in {store}: {hint}")]
    Failed { doing: &'static str, key: String, store: String, hint: &'static str, source: Cause },
    #[error("the bucket of {store} can't be reached with these AWS_* settings")]
    Settings { store: String, source: Cause },
    #[error(
        "{endpoint} is plain HTTP, which would send objects in the clear: set AWS_ALLOW_HTTP=true if that is meant, or use https"
    )]
    PlainHttp { endpoint: String },
    /// The probe wrote an object twice and the second write was accepted.
    #[error(
        "{store} overwrote an existing object although asked not to (PUT with If-None-Match: *): a trail would not be safe there. Use a bucket with conditional writes, such as AWS S3, MinIO or R2"
    )]
    Overwrites { store: String },
    #[error(
        "{store} did not give back what had just been written: it lacks read-after-write consistency, or something else writes to it"
    )]
    Stale { store: String },
    #[error("{key} is written once and can't be replaced")]
    NotReplaceable { key: Key },
    #[error("{key} in {store} is locked by the bucket's retention and can't be deleted before that ends")]
    Locked { key: Key, store: String },
}

/// Why a put-if-absent did not write.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PutError {
    #[error("{key} exists already and was left as it is")]
    Exists { key: Key },
    /// An older version stands behind a delete marker: readers go on seeing that one.
    #[error(
        "{key} was deleted before and its older version still counts: someone tampered with the bucket; run `meshtrail verify`"
    )]
    Shadowed { key: Key },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an object could not be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum GetError {
    #[error("{key} is missing in {store}")]
    Missing { key: Key, store: String },
    #[error(
        "{key} is {size} bytes long, but bytes up to {end} were expected: the object is cut short or its index is wrong"
    )]
    Short { key: Key, size: u64, end: u64 },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// General advice on an I/O error.
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
