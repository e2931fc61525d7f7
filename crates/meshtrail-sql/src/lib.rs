//! SQL over a trail: a table per family of kinds, one over all, always up to date to the last acknowledged event.
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
//! - [`Engine`]: asks questions of a [`Source`], within [`Limits`].
//! - [`error`]: what the engine's errors mean to whoever asked.
//! - [`output`]: answers as bytes; [`wire`]: the Postgres wire.
//! - [`worker`]: the process that a server asks, and what it may not do.
//!
//! Nothing here writes, reads a file that is no segment, or reaches the network. Who may ask is not known here.

mod bounded;
mod budget;
mod columns;
mod engine;
pub mod error;
mod files;
mod functions;
mod json;
mod log;
mod lookup;
mod memory;
pub mod output;
mod scan;
pub mod source;
mod statement;
mod tables;
mod threads;
mod times;
pub mod wire;
pub mod worker;

pub use budget::Exceeded;
pub use engine::{Answer, Engine, Limits};
pub use source::{Moment, Source};

/// The one catalog, as Postgres clients name a database.
pub const CATALOG: &str = "meshtrail";
/// The one schema that holds tables.
pub const SCHEMA: &str = "public";
