//! What control planes write of what was done, as events: the configuration audit log, and webhooks.
//!
//! - Every record becomes an event, known or not: what no finer kind fits is `config.changed`.
//! - Nothing of a record is lost: what has no member of its own stands in `detail.record`, and texts too long for one
//!   event follow in parts.
//! - What a record lacks is said in `detail.lines`.
//! - The same record has the same `detail.digest`, whichever way it came.
//!
//! `docs/changes.md` has the whole table. How records are fetched, or received, is not known here.

mod audit;
mod exact;
mod group;
mod party;
mod policy;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod webhook;

pub(crate) use audit::name;
pub use audit::{audit, digest};
pub(crate) use exact::exact;
pub use group::Groups;
pub(crate) use table::row;
pub use table::{ROWS, Row};
pub use webhook::{WEBHOOKS, webhook};

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not JSON.
    #[error("not JSON: {reason}")]
    Syntax {
        /// What the parser says, with line and column.
        reason: String,
    },
    /// JSON, but no object.
    #[error("a record is a JSON object, this is {found}")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// Without a member that there is no event without.
    #[error("the record has no {member:?} that can be read")]
    Missing {
        /// Which one.
        member: &'static str,
    },
}
