//! Collecting: pollers of control planes, receivers of what senders push.
//!
//! - [`config`]: the `[sources.*]` sections of the configuration.
//! - [`dedupe`]: writes each audit record once, on whichever path it arrives.
//! - [`tailscale`], `headscale`: pollers of their APIs; `localapi`: this node's own view of the mesh, where neither is
//!   configured; `policy_file`: the files of a mesh without a control plane.
//! - [`receive`]: HTTP receivers. [`setup`]: files that make nodes send flow logs here.
//! - [`start`]: opens and starts all of it.
//! - [`sources`]: the state of each source: last contact, lag, gaps.
//!
//! What a state or a record says is not known here: changes are read by [`meshtrail_change`], flows by [`meshtrail_flow`].

pub mod config;
pub mod dedupe;
mod headscale;
mod json;
mod localapi;
mod observations;
mod policy_file;
mod poll;
pub mod receive;
pub mod setup;
pub mod sources;
pub mod start;
pub mod tailscale;
mod web;

pub use policy_file::MeshFiles;
pub use start::{Collectors, OpenError, Wiring, open};
