//! People: the list of them, and each one with what they did.

use serde::{Deserialize, Serialize};

use crate::directory::{Activity, DeviceView, PersonView, PropertyPeriod};

/// A person as the directory knows them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = PersonView))]
pub struct PersonListItem {
    /// The state, who told it and as of when.
    #[serde(flatten)]
    pub person: PersonView,
    /// How many devices are theirs.
    pub devices: usize,
}

/// People.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PeopleAnswer {
    /// By login.
    pub people: Vec<PersonListItem>,
    /// How many fit what was asked for.
    pub found: usize,
    /// How many people were ever known.
    pub known: usize,
}

/// One person.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PersonAnswer {
    /// The login, as it is known.
    pub login: String,
    /// As the directory knows them; absent where only events do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonView>,
    /// The devices that are theirs.
    pub devices: Vec<DeviceView>,
    /// What they were: role, status, groups, name over time.
    pub history: Vec<PropertyPeriod>,
    /// What they did.
    #[serde(rename = "doings")]
    pub activity: Activity,
}
