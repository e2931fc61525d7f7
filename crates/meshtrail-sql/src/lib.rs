//! SQL over a trail: a table per family of kinds, one over all, always up to date to the last acknowledged event.
//!
//! ```no_run
//! # async fn example(trail: meshtrail_trail::Trail) -> Result<(), meshtrail_sql::QueryError> {
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
//! - [`Engine`]: asks questions, within [`Limits`]; [`Budget`]: what one may take.
//! - [`QueryError`]: what is wrong, and where.
//! - [`output`]: answers as bytes; [`wire`]: the Postgres wire.
//!
//! Nothing here writes, reads a file that is no segment, or reaches the network. Who may ask is not known here.

mod budget;
mod columns;
mod engine;
mod error;
mod files;
mod functions;
mod json;
mod log;
mod lookup;
pub mod output;
mod scan;
mod statement;
mod tables;
mod threads;
pub mod wire;

pub use budget::{Budget, Exceeded};
pub use engine::{Answer, Engine, Limits};
pub use error::{Fault, QueryError};
pub use statement::MAX_QUERY;

/// The one catalog, as Postgres clients name a database.
pub const CATALOG: &str = "meshtrail";
/// The one schema that holds tables.
pub const SCHEMA: &str = "public";
