//! The difference between two states as a list of changes, each with a sentence for people.
//!
//! - Comparison is canonical: order and white space make no difference.
//! - A member that one of the two states lacks is no change.
//! - The difference of a state to itself is empty, and each change is a real one.
//!
//! Policies are compared by `meshtrail_policy`. Events are not written here.

mod device;
mod dns;
mod key;
mod user;
pub(crate) mod words;

pub use device::{DeviceChange, device, is_expired};
pub use dns::{DnsChange, dns};
pub use key::{KeyChange, key};
pub(crate) use key::{describe_capabilities, describe_key};
pub use user::{UserChange, user};
