//! Maps records of control planes to events: the configuration audit log, and webhooks.
//!
//! - Every record becomes an event, also an unknown one: without a more specific kind it is `config.changed`.
//! - Nothing of a record is lost: members without a place in the event are in `detail.record`, and texts too long for one
//!   event follow in parts.
//! - Members that a record lacks are listed in `detail.lines`.
//! - The same record has the same `detail.digest`, whether polled or streamed.
//!
//! `docs/changes.md` has the whole table. How records are fetched, or received, is not known here.

mod audit;
mod group;
mod members;
mod party;
mod policy;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod webhook;

pub(crate) use audit::event_name;
pub use audit::{audit, digest};
pub use group::Groups;
pub(crate) use table::row;
pub use table::{ROWS, Row};
pub use webhook::{WEBHOOKS, webhook};

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum RecordError {
    #[error("not JSON: {reason}")]
    Syntax { reason: String },
    #[error("a record is a JSON object, this is {found}")]
    NotAnObject { found: &'static str },
    #[error("the record has no {member:?} that can be read")]
    Missing { member: &'static str },
}
