//! People and devices: lists, profiles over time, and activity.
//!
//! - State, current and past, comes from the directory's history; activity is counted from the trail.
//! - Every state names its provider and its moment; conflicts between providers are reported, not resolved.
//! - A person or device that no control plane reported is still shown from events; the answer then has no state.

mod activity;
mod lists;
mod profiles;
mod top_values;

pub use activity::{ActivityError, CountedActivity, Subject, activity};
pub use lists::{
    DevicesShown, DirectoryList, ListSelection, PeopleShown, UnknownSelection, list_devices, list_people,
};
pub use profiles::{DeviceProfile, PersonProfile, device_profile, person_profile};
