//! What can go wrong between a session and its reader, by who can do something about it.

use std::io;

use meshtrail_event::SessionId;
use meshtrail_listen::SlotsFull;

use crate::{
    journal::{ChunkError, JournalError},
    ledger::LedgerError,
    seal::StoredError,
};

/// Why recordings can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The journal can't be opened.
    #[error("failed to open the journal")]
    Journal(#[from] JournalError),
    /// The trail can't tell what became of sessions.
    #[error("failed to read what became of open sessions")]
    Ledger(#[from] LedgerError),
    /// Chunks in the bucket can't be read.
    #[error("failed to read the journal's chunks in the store")]
    Chunks(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// One chunk is wrong.
    #[error("failed to read {key}")]
    Chunk {
        /// Which.
        key: String,
        /// Why.
        source: ChunkError,
    },
    /// Bytes from the bucket can't be written to the spool.
    #[error("failed to write recovered bytes")]
    Spool(#[source] io::Error),
}

/// Why a session is not accepted. The sender tries the next recorder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The recorder is about to stop.
    #[error("this recorder is stopping")]
    Stopping,
    /// There are enough.
    #[error("{limit} sessions are open, which is the limit")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The sender has as many as one may have.
    #[error(transparent)]
    Share(#[from] SlotsFull),
    /// The disk is nearly full.
    #[error("the recorder's disk has {free} bytes left, {least} are needed")]
    DiskFull {
        /// Bytes left.
        free: u64,
        /// Bytes needed.
        least: u64,
    },
    /// The trail takes no events.
    #[error("the trail takes no events: {why}")]
    Trail {
        /// Why.
        why: String,
    },
    /// The journal can't be written.
    #[error("the journal can't be written: {why}")]
    Journal {
        /// Why.
        why: String,
    },
    /// The journal took too long.
    #[error("the journal takes too long")]
    Slow,
    /// Recordings are only read here.
    #[error("nothing is recorded here")]
    ReadOnly,
}

impl Refusal {
    /// The reason as a label of the counter of refusals.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::TooMany { .. } | Self::Share(SlotsFull::All { .. }) => "all",
            Self::Share(SlotsFull::Share { .. }) => "share",
            Self::DiskFull { .. } => "disk",
            Self::Trail { .. } => "trail",
            Self::Journal { .. } => "journal",
            Self::Slow => "slow",
            Self::ReadOnly => "read-only",
        }
    }
}

/// Why a session can't be ended.
#[derive(Debug, thiserror::Error)]
pub enum KillError {
    /// It is not live.
    #[error("session {session} is not live")]
    NotLive {
        /// Which.
        session: SessionId,
    },
    /// The event that says who ended it could not be written, so it goes on.
    #[error("the session goes on, since the event that ends it could not be written")]
    Event(#[source] LedgerError),
}

/// Why a session can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such session.
    #[error("session {session} is not known")]
    Unknown {
        /// Which.
        session: SessionId,
    },
    /// It is over: there is nothing to follow.
    #[error("session {session} is not live")]
    NotLive {
        /// Which.
        session: SessionId,
    },
    /// The trail can't be read.
    #[error("failed to read the trail")]
    Ledger(#[from] LedgerError),
    /// The recording can't be read from the store.
    #[error("failed to read the recording")]
    Stored(#[from] StoredError),
    /// The recording can't be read from the local disk.
    #[error("failed to read the recording from the local disk")]
    Local(#[source] io::Error),
}
