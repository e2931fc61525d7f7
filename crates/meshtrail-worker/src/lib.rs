//! SQL in processes of its own: how a server starts, feeds, limits and ends them.
//!
//! - [`Workers`]: asks questions, each in a process of its own; [`Limits`]: what they may take, together and alone.
//! - [`Answer`]: an answer's bytes as they come.
//! - [`postgres`]: the port for clients of the Postgres wire, whose connections each get a process.
//! - [`message`]: what server and worker say to each other; [`frame`]: how it travels.
//! - [`QueryError`]: what is wrong with a question, and where; [`Format`]: how answers are written.
//!
//! A worker reads through its server alone: ranges of sealed files, and events of the log, up to the moment that its
//! question began. It can't reach the network, the store or the trail's keys, and whatever it does ends with it: a
//! question that takes too much memory or time ends its own process and nothing else.
//!
//! Who may ask, and where questions are written down, is not known here; nor is any SQL.

mod answer;
mod feed;
pub mod frame;
mod ledger;
pub mod message;
mod pool;
pub mod postgres;
mod process;
mod program;
mod question;
mod watch;

pub use answer::Answer;
pub use pool::{Death, Limits, Question, Workers};
pub use program::{PROGRAM, find as find_program};
pub use question::{Budget, Fault, Format, MAX_QUERY, QueryError};
pub use watch::WorkerCounts;
