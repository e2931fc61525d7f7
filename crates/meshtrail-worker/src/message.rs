//! Messages between a server and a worker over the control socket.
//!
//! A message is a JSON header and, for some, a body of bytes: see [`crate::frame`]. The data socket beside it carries
//! only the bytes of an answer, or those of a client of the Postgres wire.

use std::ops::Range;
use std::time::Duration;

use meshtrail_event::{Family, TrailName};
use meshtrail_trail::manifest::SegmentFile;
use serde::{Deserialize, Serialize};

use crate::query::{Budget, Format, QueryError};

/// The version that both programs must share; a worker reports it in its first message.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "/3");

/// The limits of a worker, passed at its start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Setup {
    /// Bytes of address space, the program's own included.
    pub address_space: u64,
    /// Bytes for caches of what was read.
    pub caches: usize,
    /// Threads of one query.
    pub threads: usize,
    /// The only folder that it may write into, for spilling.
    pub spill: std::path::PathBuf,
    /// Bytes that it may write there.
    pub spill_bytes: u64,
}

/// From the server to a worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToWorker {
    /// Runs a query, whose answer goes over the data socket.
    Ask(Ask),
    /// Serves a client of the Postgres wire over the data socket.
    Connect(Connect),
    /// Cancels the client's running statement.
    Cancel,
    /// The reply to a call.
    Reply {
        /// The call's number.
        call: u64,
        /// The reply.
        reply: Reply,
    },
}

/// A query to run, or only to check.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ask {
    /// The statement.
    pub sql: String,
    /// The format of the answer; none if the query is only to be checked.
    pub format: Option<Format>,
    /// Its limits of time and rows.
    pub budget: Budget,
    /// Ends the answer after this many rows.
    pub limit: Option<u64>,
    /// Bytes of memory for sorting, grouping and joining; beyond it, the query spills.
    pub memory: usize,
}

/// A client that was authenticated.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Connect {
    /// The process number of the connection's cancel key.
    pub process: i32,
    /// The secret of the connection's cancel key.
    pub secret: i32,
    /// The limits of each of its queries.
    pub budget: Budget,
}

/// From a worker to its server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromWorker {
    /// The worker is ready for its query.
    Ready {
        /// Its [`VERSION`].
        version: String,
        /// A description of its confinement, for the log.
        confined: String,
    },
    /// A call to the server.
    Call {
        /// Its number, which the reply repeats.
        call: u64,
        /// The call.
        what: Call,
    },
    /// A snapshot is no longer needed.
    Release {
        /// Its number.
        snapshot: u64,
    },
    /// The query that was to be checked is valid.
    Checked,
    /// Progress of the answer.
    Progress {
        /// Rows that were written to the data socket so far.
        rows: u64,
    },
    /// The answer is complete.
    Ended {
        /// Its rows.
        rows: u64,
    },
    /// The query failed, before or during its answer.
    Failed(QueryError),
    /// A statement of a Postgres client has ended and uses no resources any more.
    StatementEnded {
        /// Its number.
        statement: u64,
    },
}

/// A call of a worker to its server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Takes a snapshot of the trail; answered with [`Reply::Snapshot`].
    Snapshot {
        /// The caller has the list of files for all events before this index.
        known: u64,
    },
    /// Opens a sealed file; answered with [`Reply::File`], or [`Reply::NoFile`] if it is in a bucket.
    Open {
        /// The snapshot.
        snapshot: u64,
        /// The file.
        path: String,
    },
    /// Reads the end of a sealed file; answered with [`Reply::End`] and the bytes.
    End {
        /// The snapshot.
        snapshot: u64,
        /// The file.
        path: String,
        /// Its length.
        size: u64,
    },
    /// Reads ranges of a sealed file; answered with [`Reply::Ranges`] and the bytes.
    Ranges {
        /// The snapshot.
        snapshot: u64,
        /// The file.
        path: String,
        /// The ranges, in bytes.
        ranges: Vec<Range<u64>>,
    },
    /// Reads events that were not sealed when the snapshot was taken; answered with [`Reply::Events`] and the leaves.
    Events {
        /// The snapshot.
        snapshot: u64,
        /// Their indexes.
        range: Range<u64>,
    },
    /// Asks for permission to run a Postgres client's statement, which is recorded first; answered with
    /// [`Reply::Statement`].
    Statement {
        /// The SQL; none if a statement is only planned, which is not recorded.
        sql: Option<String>,
        /// The client's time limit; the server's own limit applies if it is shorter.
        time: Duration,
    },
}

/// A server's reply to a call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// A snapshot.
    Snapshot {
        /// Its number until it is released.
        snapshot: u64,
        /// The trail's name.
        trail: TrailName,
        /// The index of the first event that retention has left.
        first: u64,
        /// The index after the last event in a sealed file.
        sealed: u64,
        /// The index after the last event.
        end: u64,
        /// The sealed files that the caller does not have in its list, by index.
        files: Vec<SegmentFile>,
    },
    /// The file, open for reading: its descriptor is sent with the first byte of this message.
    File,
    /// Not a file of this machine: its parts must be read by calls.
    NoFile,
    /// The end of a file.
    End {
        /// The file's length in bytes.
        size: u64,
    },
    /// Ranges of a file.
    Ranges {
        /// The length of each range, in bytes.
        lengths: Vec<u64>,
    },
    /// Events.
    Events {
        /// The index, family and length in bytes of each.
        events: Vec<(u64, Family, u32)>,
        /// The index up to which events are included; the caller calls again from there.
        to: u64,
    },
    /// The statement may run.
    Statement {
        /// Its number until it ends.
        statement: u64,
        /// Bytes of memory that it may use.
        memory: usize,
    },
    /// The call failed.
    Error(QueryError),
}
