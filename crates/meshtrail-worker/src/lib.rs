//! SQL worker processes: starting them, serving their reads, limiting and ending them.
//!
//! - [`Workers`]: runs queries, each in a process of its own; [`Limits`]: of all queries together, and of each.
//! - [`AnswerStream`]: the bytes of an answer, as they arrive.
//! - [`postgres`]: the port for clients of the Postgres wire, each of which gets a process.
//! - [`message`]: the messages between server and worker; [`frame`]: their encoding.
//! - [`QueryError`]: what is wrong with a query, and where; [`Format`]: formats of answers.
//!
//! A worker reads only through its server: ranges of sealed files and events of the log, up to the snapshot of its query.
//! It can't reach the network, the store or the trail's keys. A query that takes too much memory or time ends its own
//! process and nothing else.
//!
//! Authorisation and the audit of queries are the caller's; there is no SQL here.

mod answer_stream;
mod calls;
pub mod frame;
mod memory_grants;
pub mod message;
mod pool;
pub mod postgres;
mod process;
mod program;
mod query;
mod watch;

pub use answer_stream::AnswerStream;
pub use pool::{Death, Limits, Query, Workers};
pub use program::{PROGRAM, find as find_program};
pub use query::{Budget, Fault, Format, MAX_QUERY, QueryError};
pub use watch::WorkerCounts;
