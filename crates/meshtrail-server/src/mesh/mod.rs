//! People and devices for the API and the console: lists, profiles over time, and activity.
//!
//! - State, current and past, comes from the directory's history; activity is counted from the trail.
//! - Every state names its provider and its moment; conflicts between providers are reported, not resolved.
//! - A person or device that no control plane reported is still shown from events; the answer then has no state.

mod activity;
mod lists;
mod profiles;
mod top_values;

use meshtrail_event::Timestamp;
use meshtrail_identity::{DeviceState, UserState};
use serde::Serialize;

pub use activity::{Activity, Day};
pub(crate) use activity::{Subject, activity};
pub(crate) use lists::{list_devices, list_people};
pub(crate) use profiles::{device_profile, person_profile, unknown_device, unknown_person};
pub use top_values::{TopValues, ValueCount};

/// A state with its provider and its moment.
#[derive(Debug, Clone, Serialize)]
pub struct StateView<S> {
    /// The state reported last.
    pub state: S,
    /// The provider: a control plane's API, its audit log, the tailnet's own node, a file.
    pub by: String,
    /// The moment of the observation.
    pub as_of: Timestamp,
    /// The moment of `last_seen` and `online`, which is later than that of the rest; absent where no provider reported
    /// them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_as_of: Option<Timestamp>,
    /// When it was removed; absent while it is in the mesh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone: Option<Timestamp>,
    /// The conflict, if any: what another provider reports, or who else has the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<String>,
}

/// A person as reported.
pub type PersonView = StateView<UserState>;

/// A device as reported.
pub type DeviceView = StateView<DeviceState>;

/// What one teller says of whose a device is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Account {
    /// Who says so.
    pub by: String,
    /// Whose it says the device is; absent where it says the device is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whose: Option<String>,
    /// When that was observed.
    #[schema(value_type = String)]
    pub as_of: Timestamp,
}

/// A property's value over a stretch of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = Stretch)]
pub struct PropertyPeriod {
    /// Which property: `name`, `owner`, `tags`, `address`, `role`, `groups`, `routes`, `key`.
    pub what: String,
    /// The value.
    pub value: String,
    /// Since when, as far as is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub from: Option<Timestamp>,
    /// Until when; absent while it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub until: Option<Timestamp>,
    /// Who told.
    pub by: String,
}

/// Who had an address, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Holding {
    /// The address.
    pub address: String,
    /// The device that had it, by id.
    pub device: String,
    /// Its name at the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whose it was: a login, or tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub from: Option<Timestamp>,
    /// Until when; absent while it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub until: Option<Timestamp>,
}
