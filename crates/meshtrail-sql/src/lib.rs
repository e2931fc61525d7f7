//! SQL over a trail: one table per family of kinds and one over all, up to date to the last acknowledged event.
//!
//! ```no_run
//! # async fn example(trail: meshtrail_trail::Trail) -> Result<(), meshtrail_worker::QueryError> {
//! use meshtrail_sql::{Engine, Limits};
//!
//! let engine = Engine::new(trail, Limits::default())?;
//! let sql = "select actor, count(*) from ssh_session where time > now() - interval '7 days' group by 1";
//! let answer = engine.query(sql, engine.budget()).await?;
//! # let _stream = answer.stream;
//! # Ok(())
//! # }
//! ```
//!
//! - [`Engine`]: runs queries over a [`Source`], within [`Limits`].
//! - [`error`]: maps DataFusion's errors to messages, faults and places in the query.
//! - [`output`]: rows encoded as JSON lines, CSV or Parquet; [`wire`]: the Postgres wire protocol.
//! - [`worker`]: the process that the server starts for each query, and how it is confined.
//!
//! Nothing here writes, reads a file other than segments, or reaches the network. Authorisation is not decided here.

mod budget;
mod columns;
mod engine;
pub mod error;
mod files;
mod function_limits;
mod functions;
mod json;
mod log;
mod memory;
pub mod output;
mod pruning;
mod scan;
pub mod source;
mod statement;
mod tables;
mod threads;
mod times;
pub mod wire;
pub mod worker;

pub use budget::Exceeded;
pub use engine::{Engine, Limits, QueryOutput};
pub use source::{Source, SourceSnapshot};

/// The only catalog: what Postgres clients call a database.
pub const CATALOG: &str = "meshtrail";
/// The only schema that holds tables.
pub const SCHEMA: &str = "public";
