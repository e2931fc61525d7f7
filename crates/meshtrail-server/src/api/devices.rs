//! Devices: the list of them, and each one with what happened on it.

use axum::Json;
use axum::extract::{Path, State};
use meshtrail_event::Timestamp;
use serde::Serialize;

use super::listing::{ListQuery, LookBack};
use crate::extract::ValidQuery;
use crate::mesh::{self, Account, Activity, DeviceView, Holding, PropertyPeriod, Subject};
use crate::problem::Problem;
use crate::state::AppState;

/// Devices.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct DevicesAnswer {
    /// By name, each with who told of it and as of when.
    #[schema(value_type = Vec<Object>)]
    pub devices: Vec<DeviceView>,
    /// How many fit what was asked for.
    pub found: usize,
    /// How many devices were ever known.
    pub known: usize,
}

/// One device.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct DeviceAnswer {
    /// Its id.
    pub id: String,
    /// As the directory knows it; absent where only events do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub device: Option<DeviceView>,
    /// What each teller says of whose it is.
    pub accounts: Vec<Account>,
    /// What it was: name, owner or tags, addresses, routes, key over time.
    pub history: Vec<PropertyPeriod>,
    /// Who had its addresses, before and after.
    pub holdings: Vec<Holding>,
    /// What happened on and from it.
    #[serde(rename = "doings")]
    pub activity: Activity,
}

/// Lists the devices of the mesh, as they are or were at a moment.
#[utoipa::path(get, path = "/api/v1/devices", tag = "directory", operation_id = "devices",
    params(
        ("q" = Option<String>, Query, description = "A part of a name, owner, tag, address, route, system or id."),
        ("show" = Option<String>, Query, description =
            "Only devices that are `tagged`, `owned`, `routes`, `unauthorized`, `expired`, `gone` or in `doubt`."),
        ListQuery,
    ),
    responses((status = 200, body = DevicesAnswer)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    ValidQuery(query): ValidQuery<ListQuery>,
) -> Result<Json<DevicesAnswer>, Problem> {
    let listed = mesh::list_devices(&state, &query, Timestamp::now())?;
    let found = listed.rows.len();
    let devices = query.page(listed.rows)?;
    Ok(Json(DevicesAnswer { devices, found, known: listed.known }))
}

/// One device: what it is and was, who had its addresses, and what happened on and from it.
#[utoipa::path(get, path = "/api/v1/devices/{id}", tag = "directory", operation_id = "device",
    params(("id" = String, Path), LookBack), responses((status = 200, body = DeviceAnswer)))]
pub(crate) async fn show(
    State(state): State<AppState>,
    Path(id): Path<String>,
    ValidQuery(query): ValidQuery<LookBack>,
) -> Result<Json<DeviceAnswer>, Problem> {
    let now = Timestamp::now();
    let profile = mesh::device_profile(&state, &id, now);
    let activity = mesh::activity(&state, Subject::Device(&id), query.start_time(now)?).await?;
    if profile.device.is_none() && activity.events == 0 && activity.claimed == 0 {
        return Err(mesh::unknown_device(&id));
    }
    Ok(Json(DeviceAnswer {
        id,
        device: profile.device,
        accounts: profile.accounts,
        history: profile.history,
        holdings: profile.holdings,
        activity,
    }))
}
