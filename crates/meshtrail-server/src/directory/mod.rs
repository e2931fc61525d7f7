//! The directory over time, kept up to date with the trail, and identities that become known late.
//!
//! - [`load`] reads every event of the config family before anything is served, most of them in the form of a
//!   [`DirectoryImage`]; [`DirectoryFollower`] follows the trail from there.
//! - [`LateIdentities`] holds who an event's people and devices turned out to be after the event was written.
//!
//! How an event changes the directory is defined in `meshtrail-identity`.

mod follower;
mod image;
mod late_identities;
mod pending;

pub use follower::{DirectoryFollower, Loaded, load};
pub use image::DirectoryImage;
pub use late_identities::LateIdentities;
