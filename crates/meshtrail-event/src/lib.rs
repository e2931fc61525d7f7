//! The event model: what a fact is, how it is named, and the exact bytes that are proven.
//!
//! ```
//! use meshtrail_event::{Event, Kind};
//!
//! let leaf = br#"{"id":"main.recorder.1.7","kind":"ssh.session.started","outcome":"success",
//!                 "received":"2026-11-20T14:02:11.2Z","time":"2026-11-20T14:02:11Z"}"#;
//! let event = Event::from_json(leaf)?;
//! assert_eq!(event.kind, Kind::SshSessionStarted);
//! assert_eq!(event.id.to_string(), "main.recorder.1.7");
//! // Whatever a newer version put into it comes out again, in canonical form.
//! assert!(event.to_leaf().starts_with(br#"{"id":"main.recorder.1.7","kind":"#));
//! # Ok::<(), meshtrail_event::EventError>(())
//! ```
//!
//! - [`Event`]: one fact; [`Event::to_leaf`] gives its RFC 8785 canonical JSON, which is what a trail hashes,
//!   stores and returns.
//! - [`EventId`], [`SessionId`], [`SourceName`]: names that count instead of being random.
//! - [`Kind`] and [`Family`]: what happened, and which kinds share one table.
//! - [`Detail`]: what only some kinds have.
//! - [`Layout`]: a family's members as typed columns, for whoever stores events in columns.
//! - [`Timestamp`]: an instant in UTC, to the nanosecond.
//! - [`text`]: how to show foreign text without obeying it.
//!
//! No I/O, no async, no clock but [`Timestamp::now`]: where events come from and go to is not known here.

mod canonical;
mod detail;
mod event;
mod id;
mod kind;
mod layout;
mod open_enum;
mod party;
mod schema;
pub mod text;
mod time;

pub use canonical::{Json, MAX_EXACT_INTEGER, canonical_json};
pub use detail::{
    Change, Delivery, Detail, Finding, Flow, KubeRequest, LogLine, Login, Mark, Own, SessionFacts,
};
pub use event::{Draft, Event, EventError, MAX_LEAF};
pub use id::{EventId, IdError, SessionId, SourceName};
pub use kind::{Family, Kind};
pub use layout::{Column, ColumnType, Layout, Member};
pub use party::{Actor, Claim, Device, Identity, IdentityStatus, Outcome, Person, Target};
pub use schema::json_schema;
pub use time::{TimeError, Timestamp};
