//! Devices: the list of them, and each one with what happened on it.

use serde::{Deserialize, Serialize};

use crate::directory::{Account, Activity, DeviceView, Holding, PropertyPeriod};

/// Devices.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DevicesAnswer {
    /// By name, each with who told of it and as of when.
    pub devices: Vec<DeviceView>,
    /// How many fit what was asked for.
    pub found: usize,
    /// How many devices were ever known.
    pub known: usize,
}

/// One device.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DeviceAnswer {
    /// Its id.
    pub id: String,
    /// As the directory knows it; absent where only events do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceView>,
    /// What each source says of whose it is.
    pub accounts: Vec<Account>,
    /// What it was: name, owner or tags, addresses, routes, key over time.
    pub history: Vec<PropertyPeriod>,
    /// Who had its addresses, before and after.
    pub holdings: Vec<Holding>,
    /// What happened on and from it.
    #[serde(rename = "doings")]
    pub activity: Activity,
}
