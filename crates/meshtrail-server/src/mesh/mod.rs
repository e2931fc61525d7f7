//! People and devices for the API and the console: lists, profiles over time, and activity.
//!
//! - State, current and past, comes from the directory's history; activity is counted from the trail.
//! - Every state names its provider and its moment; conflicts between providers are reported, not resolved.
//! - A person or device that no control plane reported is still shown from events; the answer then has no state.

mod activity;
mod lists;
mod profiles;
mod top_values;

pub(crate) use activity::{ActivityError, CountedActivity, Subject, activity};
pub(crate) use lists::{ListSelection, UnknownSelection, list_devices, list_people};
pub(crate) use profiles::{device_profile, person_profile};
