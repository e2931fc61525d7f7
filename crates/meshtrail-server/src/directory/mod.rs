//! The directory over time, kept up with the trail, and what becomes known late.
//!
//! - [`load`] reads every event of the config family before anything is served; [`Keeper`] follows the trail from there.
//! - [`Learned`] holds what was found out of an event's people after it was written.
//!
//! What an event means to the directory is `meshtrail-identity`'s business.

mod keeper;
mod learned;
mod waiting;

pub use keeper::{Keeper, load};
pub use learned::{Late, Learned};
