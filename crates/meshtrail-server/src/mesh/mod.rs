//! People and devices as the API and the console tell of them: what they are, were, and did.
//!
//! - What they are and were comes from the directory's history; what they did is counted from the trail.
//! - Who says so and as of when stands beside every state; contradictions are kept, never settled here.
//! - Somebody whom no control plane told of is still shown as far as events tell, and it is said that only they do.

mod doings;
mod listed;
mod lives;
mod tally;

use meshtrail_event::Timestamp;
use meshtrail_identity::{DeviceState, UserState};
use serde::Serialize;

pub use doings::{Day, Doings};
pub(crate) use doings::{Whose, doings};
pub(crate) use listed::{devices, people};
pub(crate) use lives::{device, person, unknown_device, unknown_person};
pub use tally::{Counted, Often};

/// A state, with who told it.
#[derive(Debug, Clone, Serialize)]
pub struct Told<S> {
    /// The state, as told last.
    pub state: S,
    /// Who told: a control plane's API, its audit log, the tailnet's own node, a file.
    pub by: String,
    /// The moment it was told of.
    pub as_of: Timestamp,
    /// The moment that `last_seen` and `online` of the state are of, which is later than the rest: absent where none was
    /// told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_as_of: Option<Timestamp>,
    /// Since when it is gone; absent while it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone: Option<Timestamp>,
    /// What speaks against it: what another teller says, or who else has the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<String>,
}

/// A person as told of.
pub type ToldPerson = Told<UserState>;

/// A device as told of.
pub type ToldDevice = Told<DeviceState>;

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
pub struct Stretch {
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
