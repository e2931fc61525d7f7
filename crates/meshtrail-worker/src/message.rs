//! What a server and a worker say to each other over the control socket.
//!
//! A message is a JSON header and, for some, a body of bytes: see [`crate::frame`]. The data socket beside it carries
//! an answer's bytes, or a client's of the Postgres wire, and nothing else.

use std::ops::Range;
use std::time::Duration;

use meshtrail_event::Family;
use meshtrail_trail::manifest::SegmentFile;
use serde::{Deserialize, Serialize};

use crate::question::{Budget, Format, QueryError};

/// What both programs must have in common; told by a worker before anything else.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "/2");

/// What a worker may take, from its start on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Setup {
    /// Bytes of address space, the program's own included.
    pub address_space: u64,
    /// Bytes kept of what was read before.
    pub caches: usize,
    /// Threads that one question uses.
    pub threads: usize,
    /// The folder that it may write into: what does not fit into memory.
    pub spill: std::path::PathBuf,
    /// Bytes it may write there.
    pub spill_bytes: u64,
}

/// From the server to a worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToWorker {
    /// A question whose answer goes out over the data socket.
    Ask(Ask),
    /// A client of the Postgres wire stands behind the data socket.
    Connect(Connect),
    /// The client wants what it asked last to be ended.
    Cancel,
    /// The answer to a call.
    Reply {
        /// To which.
        call: u64,
        /// What.
        reply: Reply,
    },
}

/// A question.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ask {
    /// In SQL.
    pub sql: String,
    /// How the answer is written; none if the question is only to be checked.
    pub format: Option<Format>,
    /// What it may take.
    pub budget: Budget,
    /// Rows that are wanted, at most.
    pub limit: Option<u64>,
    /// Bytes of memory for sorting, grouping and joining; beyond, it spills.
    pub memory: usize,
}

/// A client that was let in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Connect {
    /// Names the connection when something is to be cancelled.
    pub process: i32,
    /// Proves that who cancels is who asked.
    pub secret: i32,
    /// What one of its questions may take.
    pub budget: Budget,
}

/// From a worker to its server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromWorker {
    /// It is ready to be asked.
    Ready {
        /// Its [`VERSION`].
        version: String,
        /// What confines it, in words.
        confined: String,
    },
    /// It needs something.
    Call {
        /// The reply names it.
        call: u64,
        /// What.
        what: Call,
    },
    /// A snapshot is not read any more.
    Release {
        /// Which.
        snapshot: u64,
    },
    /// A question that was only to be checked may be asked.
    Checked,
    /// So many rows were written to the data socket so far.
    Progress {
        /// How many.
        rows: u64,
    },
    /// The answer is whole.
    Ended {
        /// Rows of it.
        rows: u64,
    },
    /// There is no answer, or no more of it.
    Failed(QueryError),
    /// A statement of a Postgres client takes nothing any more.
    StatementEnded {
        /// Which.
        statement: u64,
    },
}

/// What a worker needs of its server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// The trail as it is now; gives [`Reply::Snapshot`].
    Snapshot {
        /// The caller knows the files of all events before this index.
        known: u64,
    },
    /// A sealed file; gives [`Reply::File`], or [`Reply::NoFile`] where it lies in a bucket.
    Open {
        /// Of which snapshot.
        snapshot: u64,
        /// The file.
        path: String,
    },
    /// The end of a sealed file; gives [`Reply::End`] with the bytes.
    End {
        /// Of which snapshot.
        snapshot: u64,
        /// The file.
        path: String,
        /// Its length.
        size: u64,
    },
    /// Ranges of a sealed file; gives [`Reply::Ranges`] with the bytes.
    Ranges {
        /// Of which snapshot.
        snapshot: u64,
        /// The file.
        path: String,
        /// Which bytes.
        ranges: Vec<Range<u64>>,
    },
    /// Events that were not sealed when the snapshot was taken; gives [`Reply::Events`] with the leaves.
    Events {
        /// Of which snapshot.
        snapshot: u64,
        /// Their indexes.
        range: Range<u64>,
    },
    /// A Postgres client asks a question, which is written down first; gives [`Reply::Statement`].
    Statement {
        /// In SQL; none if a statement is only planned, which is not written down.
        sql: Option<String>,
        /// How long it is to run at most; never longer than it may.
        time: Duration,
    },
}

/// What a server gives to a call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// A snapshot.
    Snapshot {
        /// Its name until it is released.
        snapshot: u64,
        /// The index of the first event that is there.
        first: u64,
        /// The index after the last event in a sealed file.
        sealed: u64,
        /// The index after the last event.
        end: u64,
        /// The sealed files that the caller does not know, by index.
        files: Vec<SegmentFile>,
    },
    /// The file, open for reading: its descriptor comes with the first byte of this message.
    File,
    /// It is no file of this machine: ask for its parts.
    NoFile,
    /// The end of a file.
    End {
        /// Bytes of the whole file.
        size: u64,
    },
    /// Ranges of a file.
    Ranges {
        /// How many bytes each has.
        lengths: Vec<u64>,
    },
    /// Events.
    Events {
        /// The index, family and length in bytes of each.
        events: Vec<(u64, Family, u32)>,
        /// The index up to which they are told: ask again from there.
        to: u64,
    },
    /// The question may run.
    Statement {
        /// Its name until it ends.
        statement: u64,
        /// Bytes of memory it may take.
        memory: usize,
    },
    /// It can't be had.
    Error(QueryError),
}
