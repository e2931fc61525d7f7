//! Who talked to whom: both ends' counts side by side, put together by person, group, tag or device.
//!
//! - What one end sent and what the other received are two counts of the same traffic; they are never added up.
//! - An end that reports nothing, or only what it sends, is said to; its silence is not taken for zero.
//! - Ends are told as they were when the traffic went: a device that changed hands is two ends.
//!
//! How flows come into the trail is not known here.

mod grid;
mod kept;
mod talks;

pub(crate) use grid::{By, Grid, Part, parts_of};
pub use kept::Kept;
pub(crate) use kept::{Asked, Picture, picture};
pub(crate) use talks::{End, Talk, Trust};
