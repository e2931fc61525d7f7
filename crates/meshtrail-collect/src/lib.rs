//! What the mesh and its control planes tell.
//!
//! - [`config`]: the `[sources.*]` sections of the configuration.
//! - [`snapshot`]: what a control plane is like, and what changed since it was last looked at.
//! - [`diff`]: what changed between two states, in sentences.
//! - [`catalogue`]: audit records and webhooks as events.
//! - [`once`]: an audit record is in the trail once.
//! - [`witness`], [`anomalies`]: one change that several tell of, and what is worth a finding.
//! - [`weight`]: how much a change matters.
//! - [`tailscale`], `headscale`: their APIs, asked again and again; `localapi`: this node's own view, without either.
//! - [`start`]: everything that collects, opened and started.
//! - [`sources`]: how each source does.

pub mod anomalies;
pub mod catalogue;
pub mod config;
pub mod diff;
pub mod flow;
mod headscale;
pub mod hujson;
mod joined;
mod json;
mod localapi;
pub mod once;
pub mod receive;
pub mod setup;
pub mod snapshot;
pub mod sources;
pub mod start;
pub mod tailscale;
mod turn;
mod web;
pub mod weight;
pub mod witness;

pub use start::{Collectors, OpenError, Wiring, open};
