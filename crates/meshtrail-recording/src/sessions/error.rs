//! Errors of opening, ending and reading recordings. Why a recording is refused is in `refusal.rs`.

use std::io;

use meshtrail_event::SessionId;

use crate::{
    journal::{ChunkError, JournalError},
    ledger::LedgerError,
    seal::StoredError,
};

/// Why recordings can't be opened.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum OpenError {
    #[error("failed to open the journal")]
    Journal(#[from] JournalError),
    #[error("failed to read what became of open sessions")]
    Ledger(#[from] LedgerError),
    /// The store can't list or read them.
    #[error("failed to read the journal's chunks in the store")]
    Chunks(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store's object is no chunk.
    #[error("failed to read {key}")]
    Chunk { key: String, source: ChunkError },
    /// Bytes from chunks can't be written to the spool.
    #[error("failed to write recovered bytes")]
    Spool(#[source] io::Error),
}

/// Why a session can't be ended by an operator.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum KillError {
    #[error("session {session} is not live")]
    NotLive { session: SessionId },
    #[error("the session goes on, since the event that ends it could not be written")]
    Event(#[source] LedgerError),
}

/// Why a session can't be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ReadError {
    #[error("session {session} is not known")]
    Unknown { session: SessionId },
    /// A session that is over can't be followed.
    #[error("session {session} is not live")]
    NotLive { session: SessionId },
    #[error("failed to read the trail")]
    Ledger(#[from] LedgerError),
    #[error("failed to read the recording")]
    Stored(#[from] StoredError),
    #[error("failed to read the recording from the local disk")]
    Local(#[source] io::Error),
}
