//! What people and devices are, were and did.
//!
//! Every state names its provider and its moment; conflicts between providers are reported, not resolved.

use meshtrail_event::{DeviceState, Timestamp, UserState};
use serde::{Deserialize, Serialize};

/// Which people or devices; what may be searched and shown is said with each list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct ListQuery {
    /// A part of what is shown.
    #[cfg_attr(feature = "schema", param(ignore))]
    pub q: Option<String>,
    /// Only some.
    #[cfg_attr(feature = "schema", param(ignore))]
    pub show: Option<String>,
    /// As they were at this moment: `2026-11-20T14:02:11Z`. Now without it.
    pub at: Option<String>,
    /// At most this many: 1 to 5000, 500 without it.
    pub limit: Option<usize>,
    /// After so many.
    pub from: Option<usize>,
}

/// How far back to look.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct LookBack {
    /// Activity from this moment on: `2026-11-20T14:02:11Z`. The last 30 days without it.
    pub since: Option<String>,
}

/// A person as reported, with the provider and the moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = KnownPerson))]
pub struct PersonView {
    /// The state reported last.
    #[cfg_attr(feature = "schema", schema(value_type = crate::schema::UserState))]
    pub state: UserState,
    /// The provider: a control plane's API, its audit log, the tailnet's own node, a file.
    pub by: String,
    /// The moment of the observation.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub as_of: Timestamp,
    /// The moment of `last_seen` and `online`, which is later than that of the rest; absent where no provider reported
    /// them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub seen_as_of: Option<Timestamp>,
    /// When it was removed; absent while it is in the mesh.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub gone: Option<Timestamp>,
    /// The conflict, if any: what another provider reports, or who else has the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<String>,
}

/// A device as reported, with the provider and the moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = KnownDevice))]
pub struct DeviceView {
    /// The state reported last.
    #[cfg_attr(feature = "schema", schema(value_type = crate::schema::DeviceState))]
    pub state: DeviceState,
    /// The provider: a control plane's API, its audit log, the tailnet's own node, a file.
    pub by: String,
    /// The moment of the observation.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub as_of: Timestamp,
    /// The moment of `last_seen` and `online`, which is later than that of the rest; absent where no provider reported
    /// them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub seen_as_of: Option<Timestamp>,
    /// When it was removed; absent while it is in the mesh.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub gone: Option<Timestamp>,
    /// The conflict, if any: what another provider reports, or who else has the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<String>,
}

/// What one source says of whose a device is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Account {
    /// Who says so.
    pub by: String,
    /// Whose it says the device is; absent where it says the device is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whose: Option<String>,
    /// When that was observed.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub as_of: Timestamp,
}

/// A property's value over a stretch of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = Stretch))]
pub struct PropertyPeriod {
    /// Which property: `name`, `owner`, `tags`, `address`, `role`, `groups`, `routes`, `key`.
    pub what: String,
    /// The value.
    pub value: String,
    /// Since when, as far as is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub from: Option<Timestamp>,
    /// Until when; absent while it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub until: Option<Timestamp>,
    /// Who told.
    pub by: String,
}

/// Who had an address, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
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
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub from: Option<Timestamp>,
    /// Until when; absent while it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub until: Option<Timestamp>,
}

/// What somebody did in a stretch of time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = Doings))]
pub struct Activity {
    /// Events that are theirs: done by the person; on or from the device.
    pub events: u64,
    /// Of these, how many were denied or failed.
    pub refused: u64,
    /// Events whose sender claims them to be of this person or device, while the mesh says otherwise.
    pub claimed: u64,
    /// The beginning of the stretch that was asked for.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub since: Timestamp,
    /// From when on everything was counted; later than `since` where there was too much.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub counted_from: Timestamp,
    /// When the first of them happened.
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub first: Option<Timestamp>,
    /// When the last of them happened.
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub last: Option<Timestamp>,
    /// Each day on which something happened, with its hours, in UTC.
    pub days: Vec<Day>,
    /// By kind.
    pub kinds: TopValues,
    /// By the person who acted.
    pub people: TopValues,
    /// By the device they came from.
    pub devices: TopValues,
    /// By the address they came from.
    pub addresses: TopValues,
    /// By what was acted on.
    pub targets: TopValues,
    /// By who told how it is known: the provider's name, or the status where there is none.
    pub known_by: TopValues,
}

/// One day of doings.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Day {
    /// As `2026-11-20`, in UTC.
    pub date: String,
    /// Events in each hour.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<u32>))]
    pub hours: [u32; 24],
    /// Of these, denied or failed.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<u32>))]
    pub refused: [u32; 24],
}

/// Counts by value.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = Counted))]
pub struct TopValues {
    /// The most frequent values, the most frequent first.
    pub top: Vec<ValueCount>,
    /// How many other values there are.
    pub others: usize,
}

/// How often one value came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = Often))]
pub struct ValueCount {
    /// The value, as people read it.
    pub value: String,
    /// The id of what it names, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How often.
    pub events: u64,
    /// When it came last.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub last: Timestamp,
}
