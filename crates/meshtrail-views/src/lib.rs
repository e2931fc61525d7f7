//! Views of a mesh: what a trail and its directory say of people, devices, traffic and changes, as plain structs.
//!
//! ```text
//! trail ──────────→ activity, changes ─┐
//! history ────────→ lists, profiles ───┼─→ API, console
//! trail, history ─→ traffic matrix ────┘
//! ```
//!
//! - [`mesh`]: people and devices: lists, profiles over time, activity.
//! - [`network`]: who exchanged traffic with whom, as both ends counted it.
//! - [`changes`]: what changed in the mesh, each change once.
//! - [`policy`]: what the policy in force at a moment lets through.
//!
//! - A view takes the parts that it reads: the trail, the history of devices and people. It writes nothing; only traffic
//!   matrices are cached.
//! - What the API answers with has the API's structs ([`meshtrail_api`]); structs of this crate are for what no answer has.
//! - Reading the trail is bounded, and a view that is incomplete tells from when on it is complete.
//! - What could not be resolved is shown as it is; contradictions are shown, never settled.
//!
//! Requests, roles, cursors and HTML are not known here.

pub mod changes;
pub mod mesh;
pub mod network;
pub mod policy;
