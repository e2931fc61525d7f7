//! The device and person behind an address, a name or a login at a time.

use std::sync::Arc;

use meshtrail_event::{Device, Identity, Person, Timestamp};
use serde::{Deserialize, Serialize};

/// About whom, and when.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct WhoQuery {
    /// An address, such as `100.64.0.7`.
    pub address: Option<String>,
    /// In place of an address: a device's name or id, or a person's login.
    pub subject: Option<String>,
    /// When: `2h` ago, `2026-11-20`, `2026-11-20T14:02Z`, `yesterday`. Now without it.
    pub at: Option<String>,
}

/// Who it was.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WhoAnswer {
    /// What was asked about.
    pub subject: String,
    /// What that was taken for: `address`, `device` or `person`.
    pub taken_for: String,
    /// The moment asked about.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub at: Timestamp,
    /// The devices: one, or none, for an address or an id; all of that name, or of that person, else.
    pub devices: Vec<WhoDevice>,
    /// The person, where a login was asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<WhoPerson>,
    /// What answers for the address right now, where nothing was said of a time: tailscaled, or the directory file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<WhoNow>,
    /// Devices whose subnet route covers the address, where no device has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routed: Option<WhoRouted>,
    /// Everybody who ever had the address, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenures: Vec<WhoTenure>,
    /// Why nobody is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A device, whose it was, and how that is known.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WhoDevice {
    /// The device as it stands in an event.
    #[cfg_attr(feature = "schema", schema(value_type = crate::schema::Device))]
    pub device: Arc<Device>,
    /// Whose it was; absent where tags owned it, or nobody told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = crate::schema::Person))]
    pub person: Option<Arc<Person>>,
    /// How far that is known, by whom, as of when, and what speaks against it.
    #[cfg_attr(feature = "schema", schema(value_type = crate::schema::Identity))]
    pub identity: Identity,
    /// Whether it was shared in from another tailnet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub external: bool,
    /// Since when what was asked about was so: the address this device's, or the device in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub since: Option<Timestamp>,
    /// Until when; absent where it still is, as far as known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub until: Option<Timestamp>,
    /// What each origin says of the device at that moment, the newest first.
    pub said: Vec<WhoSaid>,
}

/// What one origin says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WhoSaid {
    /// Who says it.
    pub provider: String,
    /// As of when.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub as_of: Timestamp,
    /// The device's name; absent where it says that the device is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whose it is: a login or tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whose: Option<String>,
    /// Whether it says that the device is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
}

/// A person.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WhoPerson {
    /// The person as they stand in an event.
    #[cfg_attr(feature = "schema", schema(value_type = crate::schema::Person))]
    pub person: Person,
    /// Their role, where told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Who told.
    pub provider: String,
    /// As of when.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub as_of: Timestamp,
}

/// Who is behind an address right now.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WhoNow {
    /// The device.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = crate::schema::Device))]
    pub device: Option<Device>,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = crate::schema::Person))]
    pub person: Option<Arc<Person>>,
    /// How that is known.
    #[cfg_attr(feature = "schema", schema(value_type = crate::schema::Identity))]
    pub identity: Identity,
}

/// A subnet and who routes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WhoRouted {
    /// The subnet.
    pub prefix: String,
    /// The devices.
    pub devices: Vec<WhoDevice>,
}

/// A time during which a device had the address.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WhoTenure {
    /// The device's id.
    pub id: String,
    /// Its name, as last known within that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whose it was.
    pub whose: String,
    /// From when.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub since: Timestamp,
    /// Until when; absent where it still is, as far as known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub until: Option<Timestamp>,
}
