//! Errors of a trail, one enum per operation.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use meshtrail_event::{EventError, EventId, PositionError};

use crate::dedupe::SequenceError;
use crate::manifest::LoadError;
use crate::note::{KeyFileError, NoteError};
use crate::segment::SegmentError;
use crate::store::{GetError, Key, PutError, StoreError};
use crate::tree::Hash;
use crate::wal::WalError;

/// Why a trail can't be opened.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum OpenError {
    #[error("{name:?} can't be a trail's name")]
    Name { name: String, source: PositionError },
    #[error("{path} is in use by process {holder}: stop that server first, or use another data folder")]
    Locked { path: PathBuf, holder: String },
    #[error("failed to open {path}")]
    Local { path: PathBuf, source: io::Error },
    #[error("failed to load the signing key")]
    Key(#[from] KeyFileError),
    #[error(
        "trail {trail} in the store is signed by another key ({stored}) than the one here: \
             put that server's key file back to {path}, or give this server another trail name"
    )]
    ForeignKey { trail: String, stored: String, path: PathBuf },
    #[error("there is no trail {trail} in {store}")]
    NoTrail { trail: String, store: String },
    #[error("failed to read the list of segments")]
    Manifests(#[from] LoadError),
    #[error("failed to read from the store")]
    Get(#[from] GetError),
    #[error("failed to write to the store")]
    Put(#[from] PutError),
    /// The tiles at the tree's right edge are not what the manifest says.
    #[error(
        "the tiles of trail {trail} do not give the root of its newest manifest: run `meshtrail verify --all`"
    )]
    Tiles { trail: String },
    #[error(
        "{head} says that a head over {size} events was given out, but only {there} are here: the log in {wal} is \
         missing, or older or shorter than it was. Put that folder back as it was. If it is lost, nothing smaller is \
         ever signed and this trail ends: keep the store, move {wal} and {file} aside, and start with another \
         `trail.name`; the first event of the new trail names the old head",
        wal = local.join("wal").display(), file = local.join("head").display()
    )]
    HeadAhead { head: String, size: u64, there: u64, local: PathBuf },
    #[error(
        "{head} signs root {signed} over {size} events, but those that are here have root {found}: events in {wal} \
         were changed, or are of another copy. Put that folder back as it was. If it is lost, no other history is \
         ever signed and this trail ends: keep the store, move {wal} and {file} aside, and start with another \
         `trail.name`; the first event of the new trail names the old head",
        wal = local.join("wal").display(), file = local.join("head").display()
    )]
    HeadChanged { head: String, size: u64, signed: Hash, found: Hash, local: PathBuf },
    #[error(
        "{head} should hold the newest head that was given out, and is not one that this trail signed. Put it back \
         from a copy. If there is none, check the trail with `meshtrail verify --all --checkpoint FILE` and a \
         checkpoint that was kept elsewhere, then move {head} aside"
    )]
    HeadDamaged { head: String, source: NoteError },
    #[error(
        "{head} is the newest head of another trail, {origin}: {local} is the folder of that trail. Give this one \
         another folder with --data, or, if the other one ended, move {wal} and {head} aside",
        local = local.display(), wal = local.join("wal").display()
    )]
    OtherTrailsHead { head: String, origin: String, local: PathBuf },
    #[error("failed to replay the log")]
    Log(#[from] WalError),
    #[error("the log contradicts what is sealed")]
    Sequence(#[from] SequenceError),
}

/// Why events were not appended.
#[derive(Debug, Clone, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum AppendError {
    #[error("event {id} can't be taken")]
    Event {
        id: EventId,
        #[source]
        reason: EventError,
    },
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// The disk has no room; nothing was taken, and the trail goes on.
    #[error("the log can't grow: {reason}. Free some disk space")]
    NoRoom { reason: Arc<str> },
    #[error("the batch is {bytes} bytes long, at most {most} are taken at once")]
    TooLarge { bytes: usize, most: usize },
    #[error("the trail takes no events: {reason}")]
    Closed { reason: Arc<str> },
}

/// Why events can't be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ReadError {
    #[error("there is no event {index}: the trail has {size}")]
    Beyond { index: u64, size: u64 },
    #[error("event {index} was dropped by retention, which keeps hashes of the first {retired} events only")]
    Retired { index: u64, retired: u64 },
    #[error("failed to read a segment")]
    Segment(#[from] SegmentError),
    #[error("failed to read {path}")]
    Log { path: PathBuf, source: io::Error },
    #[error("{path} is damaged at byte {offset}")]
    Damaged { path: PathBuf, offset: u64 },
    #[error("event {index} is in no segment: run `meshtrail verify --all`")]
    Missing { index: u64 },
}

/// Why a proof or checkpoint could not be made.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ProofError {
    #[error("there is no such proof: the trail has {size} events")]
    Bounds { size: u64 },
    #[error("failed to read leaves")]
    Read(#[from] ReadError),
    #[error("failed to read {key}")]
    Tile { key: Key, source: GetError },
    #[error("{key} is damaged: run `meshtrail verify --all`")]
    Damaged { key: Key },
    #[error("retention dropped the first {retired} events, and hashes inside that range are not kept")]
    Retired { retired: u64 },
    #[error(
        "the trail of {size} events does not begin with the {signed} that were signed before: nothing is signed; \
         run `meshtrail verify --all`"
    )]
    Forked { signed: u64, size: u64, source: crate::tree::ProofMismatch },
    #[error("the newest head could not be kept in the store, so it is not given out")]
    HeadObject(#[source] StoreError),
    #[error("the newest head could not be kept in {}, so it is not given out", path.display())]
    HeadFile { path: PathBuf, source: io::Error },
    #[error("the trail is closed: no head is made any more")]
    Closed,
    #[error("failed to read the stored checkpoint")]
    Checkpoint(#[from] GetError),
    #[error("the stored checkpoint does not hold")]
    Note(#[from] NoteError),
}

/// Why a log file's events were not sealed; sealing is retried.
#[derive(Debug, thiserror::Error)]
pub(super) enum SealError {
    #[error("failed to read the log")]
    Log(#[from] WalError),
    #[error("failed to encode a segment")]
    Encode(#[from] crate::segment::EncodeError),
    #[error("failed to write {key}")]
    Put { key: Key, source: PutError },
    #[error("failed to read back {key}")]
    ReadBack { key: Key, source: GetError },
    #[error("{key} is there with other contents")]
    Conflict { key: Key },
    #[error("failed to write the manifest")]
    Manifest(#[from] crate::manifest::PutNextError),
    #[error("failed to replace the checkpoint")]
    Checkpoint(#[from] crate::store::StoreError),
    #[error("failed to keep the range of the next segment in the local folder")]
    Range(#[source] io::Error),
    #[error("the log lacks events that were acknowledged")]
    Incomplete,
    #[error("a test broke this step")]
    OnPurpose(#[source] io::Error),
}
