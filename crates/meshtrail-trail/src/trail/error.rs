//! What can go wrong, by what the caller was doing.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use meshtrail_event::{EventError, EventId};

use crate::dedupe::SequenceError;
use crate::manifest::LoadError;
use crate::note::{KeyFileError, NoteError};
use crate::segment::SegmentError;
use crate::store::{GetError, Key, KeyError, PutError, StoreError};
use crate::tree::Hash;
use crate::wal::WalError;

/// Why a trail can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not a name.
    #[error("{name:?} can't be a trail's name")]
    Name {
        /// What was given.
        name: String,
        /// Why.
        source: KeyError,
    },
    /// Another process has it open.
    #[error("{path} is in use by process {holder}: stop that server first, or use another data folder")]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Its process id, as far as it is known.
        holder: String,
    },
    /// A local file failed.
    #[error("failed to open {path}")]
    Local {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The signing key is not there or not right.
    #[error("failed to load the signing key")]
    Key(#[from] KeyFileError),
    /// The trail belongs to another key.
    #[error(
        "trail {trail} in the store is signed by another key ({stored}) than the one here: \
             put that server's key file back to {path}, or give this server another trail name"
    )]
    ForeignKey {
        /// The trail.
        trail: String,
        /// The key that the store names.
        stored: String,
        /// Where the key file belongs.
        path: PathBuf,
    },
    /// There is no such trail.
    #[error("there is no trail {trail} in {store}")]
    NoTrail {
        /// Its name.
        trail: String,
        /// Where it was looked for.
        store: String,
    },
    /// The manifests can't be read.
    #[error("failed to read the list of segments")]
    Manifests(#[from] LoadError),
    /// An object can't be read.
    #[error("failed to read from the store")]
    Get(#[from] GetError),
    /// An object can't be written.
    #[error("failed to write to the store")]
    Put(#[from] PutError),
    /// The tiles at the tree's right edge are not what the manifest says.
    #[error(
        "the tiles of trail {trail} do not give the root of its newest manifest: run `meshtrail verify --all`"
    )]
    Tiles {
        /// The trail.
        trail: String,
    },
    /// Less is here than the newest head that was given out says.
    #[error(
        "{head} says that a head over {size} events was given out, but only {there} are here: the log in {wal} is \
         missing, or older or shorter than it was. Put that folder back as it was. If it is lost, nothing smaller is \
         ever signed and this trail ends: keep the store, move {wal} and {file} aside, and start with another \
         `trail.name`; the first event of the new trail names the old head",
        wal = local.join("wal").display(), file = local.join("head").display()
    )]
    HeadAhead {
        /// The file or object that holds the head.
        head: String,
        /// Events under it.
        size: u64,
        /// Events there are.
        there: u64,
        /// This machine's folder.
        local: PathBuf,
    },
    /// Other events are here than those under the newest head that was given out.
    #[error(
        "{head} signs root {signed} over {size} events, but those that are here have root {found}: events in {wal} \
         were changed, or are of another copy. Put that folder back as it was. If it is lost, no other history is \
         ever signed and this trail ends: keep the store, move {wal} and {file} aside, and start with another \
         `trail.name`; the first event of the new trail names the old head",
        wal = local.join("wal").display(), file = local.join("head").display()
    )]
    HeadChanged {
        /// The file or object that holds the head.
        head: String,
        /// Events under it.
        size: u64,
        /// The root it signs.
        signed: Hash,
        /// The root of what is there.
        found: Hash,
        /// This machine's folder.
        local: PathBuf,
    },
    /// The newest head that was given out can't be told.
    #[error(
        "{head} should hold the newest head that was given out, and is not one that this trail signed. Put it back \
         from a copy. If there is none, check the trail with `meshtrail verify --all --checkpoint FILE` and a \
         checkpoint that was kept elsewhere, then move {head} aside"
    )]
    HeadDamaged {
        /// The file or object.
        head: String,
        /// What is wrong with it.
        source: NoteError,
    },
    /// The folder on this machine belongs to another trail.
    #[error(
        "{head} is the newest head of another trail, {origin}: {local} is the folder of that trail. Give this one \
         another folder with --data, or, if the other one ended, move {wal} and {head} aside",
        local = local.display(), wal = local.join("wal").display()
    )]
    OtherTrailsHead {
        /// The file or object.
        head: String,
        /// The other trail's origin.
        origin: String,
        /// This machine's folder.
        local: PathBuf,
    },
    /// The log can't be read.
    #[error("failed to replay the log")]
    Log(#[from] WalError),
    /// The log has events in another order than they were taken.
    #[error("the log contradicts what is sealed")]
    Sequence(#[from] SequenceError),
}

/// Why events were not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// An event can't be held.
    #[error("event {id} can't be taken")]
    Event {
        /// Which.
        id: EventId,
        /// Why.
        #[source]
        reason: EventError,
    },
    /// It can't be told whether one was taken before.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// The disk has no room; nothing was taken, and the trail goes on.
    #[error("the log can't grow: {reason}. Free some disk space")]
    NoRoom {
        /// Why.
        reason: Arc<str>,
    },
    /// The batch is too large.
    #[error("the batch is {bytes} bytes long, at most {most} are taken at once")]
    TooLarge {
        /// Its leaves' bytes.
        bytes: usize,
        /// The most.
        most: usize,
    },
    /// The trail takes nothing.
    #[error("the trail takes no events: {reason}")]
    Closed {
        /// Why.
        reason: Arc<str>,
    },
}

/// Why events can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such event.
    #[error("there is no event {index}: the trail has {size}")]
    Beyond {
        /// The index asked for.
        index: u64,
        /// Events there are.
        size: u64,
    },
    /// Retention dropped it.
    #[error("event {index} was dropped by retention, which keeps hashes of the first {retired} events only")]
    Retired {
        /// The index asked for.
        index: u64,
        /// Events dropped.
        retired: u64,
    },
    /// A segment can't be read.
    #[error("failed to read a segment")]
    Segment(#[from] SegmentError),
    /// The log can't be read.
    #[error("failed to read {path}")]
    Log {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Bytes in the log are not what was written.
    #[error("{path} is damaged at byte {offset}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where the commit begins.
        offset: u64,
    },
    /// A segment lacks an event that its manifest counts.
    #[error("event {index} is in no segment: run `meshtrail verify --all`")]
    Missing {
        /// Which.
        index: u64,
    },
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// Sizes or index lie outside the trail.
    #[error("there is no such proof: the trail has {size} events")]
    Bounds {
        /// Events there are.
        size: u64,
    },
    /// Leaves can't be read.
    #[error("failed to read leaves")]
    Read(#[from] ReadError),
    /// A tile can't be read.
    #[error("failed to read {key}")]
    Tile {
        /// Which.
        key: Key,
        /// Why.
        source: GetError,
    },
    /// A tile is not what was written.
    #[error("{key} is damaged: run `meshtrail verify --all`")]
    Damaged {
        /// Which.
        key: Key,
    },
    /// The hash lies in what retention dropped.
    #[error("retention dropped the first {retired} events, and hashes inside that range are not kept")]
    Retired {
        /// Events dropped.
        retired: u64,
    },
    /// The tree does not go on from the head that was signed before.
    #[error(
        "the trail of {size} events does not begin with the {signed} that were signed before: nothing is signed; \
         run `meshtrail verify --all`"
    )]
    Forked {
        /// Events under the head signed before.
        signed: u64,
        /// Events now.
        size: u64,
        /// How it shows.
        source: crate::tree::ProofMismatch,
    },
    /// The head could not be put into the store.
    #[error("the newest head could not be kept in the store, so it is not given out")]
    HeadObject(#[source] StoreError),
    /// The head could not be synced to the local disk.
    #[error("the newest head could not be kept in {}, so it is not given out", path.display())]
    HeadFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The trail is closed.
    #[error("the trail is closed: no head is made any more")]
    Closed,
    /// The stored checkpoint can't be read.
    #[error("failed to read the stored checkpoint")]
    Checkpoint(#[from] GetError),
    /// The stored checkpoint is not one.
    #[error("the stored checkpoint does not hold")]
    Note(#[from] NoteError),
}

/// Why a log file's events were not sealed; tried again.
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
    #[error("the log lacks events that were acknowledged")]
    Incomplete,
    #[error("a test broke this step")]
    OnPurpose(#[source] io::Error),
}
