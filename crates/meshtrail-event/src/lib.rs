//! The event model: the event types, their ids, and the canonical bytes that a trail hashes.
//!
//! ```
//! use meshtrail_event::{Event, Kind};
//!
//! let leaf = br#"{"id":"main.recorder.1.7","kind":"ssh.session.started","outcome":"success",
//!                 "received":"2026-11-20T14:02:11.2Z","time":"2026-11-20T14:02:11Z"}"#;
//! let event = Event::from_json(leaf)?;
//! assert_eq!(event.kind, Kind::SshSessionStarted);
//! assert_eq!(event.id.to_string(), "main.recorder.1.7");
//! // Members that this version does not know are kept, in canonical form.
//! assert!(event.to_leaf().starts_with(br#"{"id":"main.recorder.1.7","kind":"#));
//! # Ok::<(), meshtrail_event::EventError>(())
//! ```
//!
//! - [`Event`]: one event; [`Event::to_leaf`] gives its RFC 8785 canonical JSON, which is what a trail hashes,
//!   stores and returns.
//! - [`EventId`], [`SessionId`], [`SourceName`]: ids made of counters, not of random bits.
//! - [`Position`]: the place of an event in a trail, with the trail's name.
//! - [`Kind`] and [`Family`]: the event kinds, and which of them share a table.
//! - [`Detail`]: the members of one family.
//! - [`rule`]: the rules that raise findings, with what each does not prove.
//! - [`Layout`]: a family's members as typed columns, for columnar storage.
//! - [`DeviceState`], [`UserState`]: the whole state of a device or a person, as events about them carry it.
//! - [`Timestamp`]: an instant in UTC, to the nanosecond.
//! - [`text`]: safe display of text that comes from other machines, and lists in sentences.
//!
//! No I/O, no async, and no clock but [`Timestamp::now`]. The crate does not know sources, storage or servers.

mod canonical;
mod detail;
mod event;
mod finding;
mod id;
mod kind;
mod layout;
mod open_enum;
mod party;
mod position;
pub mod rule;
mod schema;
mod state;
pub mod text;
mod time;

pub use canonical::{Json, MAX_EXACT_INTEGER, canonical_json};
pub use detail::{
    Change, Coverage, Delivery, Detail, Finding, Flow, KubeRequest, LogLine, Login, Mark, Own, Process,
    SessionFacts, Transfer,
};
pub use event::{Draft, Event, EventError, LEAF_VERSION, MAX_LEAF};
pub use finding::{FindingStatus, Severity, Subject};
pub use id::{EventId, IdError, SessionId, SourceName};
pub use kind::{Family, Kind};
pub use layout::{Column, ColumnType, Layout, Member, PersonalData, Whose};
pub use party::{Actor, Claim, Device, Identity, IdentityStatus, Likely, Outcome, Person, Target};
pub use position::{Position, PositionError, RelativePosition, TrailName, UnknownTrail};
pub use schema::json_schema;
pub use state::{DeviceState, UserState};
pub use time::{TimeError, Timestamp};
