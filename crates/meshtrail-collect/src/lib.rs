//! Collecting: pollers of control planes, receivers of what senders push, and what is derived from both.
//!
//! - [`config`]: the `[sources.*]` sections of the configuration.
//! - [`snapshot`]: snapshots of a control plane's state, and the changes between two of them.
//! - [`diff`]: the difference between two states, in sentences.
//! - [`catalogue`]: audit records and webhooks as events.
//! - [`dedupe`]: writes each audit record once, on whichever path it arrives.
//! - [`corroborate`]: groups events of several origins that report the same change. [`anomalies`]: findings for changes.
//! - [`severity`]: the severity of a change.
//! - [`tailscale`], `headscale`: pollers of their APIs; `localapi`: this node's own view of the mesh, where neither is
//!   configured.
//! - [`receive`]: HTTP receivers. [`setup`]: files that make nodes send flow logs here.
//! - [`start`]: opens and starts all of it.
//! - [`sources`]: the state of each source: last contact, lag, gaps.

pub mod anomalies;
pub mod catalogue;
pub mod config;
pub mod corroborate;
pub mod dedupe;
pub mod diff;
mod headscale;
mod json;
mod localapi;
mod poll;
pub mod receive;
pub mod setup;
pub mod severity;
pub mod snapshot;
pub mod sources;
pub mod start;
pub mod tailscale;
mod web;

pub use start::{Collectors, OpenError, Wiring, open};
