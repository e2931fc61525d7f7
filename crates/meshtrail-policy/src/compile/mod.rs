//! A policy compiled for a mesh: each rule with the devices that its selectors name.
//!
//! - Selectors are resolved once each, however many rules name them.
//! - Nothing is dropped: a rule whose posture, members or unknown parts can't be evaluated keeps them, and answers name
//!   them.

mod access;
mod members;
mod policy;
mod postures;
mod selectors;
mod ssh;

pub(crate) use access::{CompiledAccess, DestinationId, SourceId};
pub(crate) use members::Families;
pub use policy::{Policy, PolicySize};
pub(crate) use postures::{Holds, PostureId};
pub(crate) use selectors::{DestinationSet, SourceSet, families_of};
pub(crate) use ssh::CompiledSsh;
