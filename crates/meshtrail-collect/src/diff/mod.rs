//! What changed between two states, said as a person would.
//!
//! - Comparison is canonical: order and white space make no difference.
//! - What one of the two states does not tell is no change.
//! - `diff(a, a)` is empty, and a change that is told was there.
//!
//! Events are not made here.

mod device;
mod dns;
mod json;
mod key;
mod policy;
pub mod unified;
mod user;
pub(crate) mod words;

pub use device::{DeviceChange, device, is_expired};
pub use dns::{DnsChange, dns};
pub use json::json;
pub(crate) use json::sorted;
pub use key::{KeyChange, key};
pub(crate) use key::{named as named_key, powers};
pub use policy::{PolicyChange, groups, policy};
pub use user::{UserChange, user};
