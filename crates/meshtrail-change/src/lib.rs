//! Changes in a mesh: the events that say what became different.
//!
//! ```text
//! states of a control plane ─→ snapshot ─→ diff ─┐
//! audit records, webhooks ─→ catalogue ──────────┴─→ events ─→ corroborate, severity, anomalies
//! ```
//!
//! - [`snapshot`]: snapshots of a control plane's state, and the changes between two of them.
//! - [`diff`]: the difference between two states, in sentences.
//! - [`catalogue`]: audit records and webhooks as events.
//! - [`corroborate`]: groups events of several origins that report the same change.
//! - [`severity`]: the severity of a change. [`anomalies`]: findings for changes.
//!
//! How snapshots are fetched and records received is not known here; the trail is the only state.

pub mod anomalies;
pub mod catalogue;
pub mod corroborate;
pub mod diff;
pub mod severity;
pub mod snapshot;
