//! Devices: the list of them, and each one with what happened on it.

use axum::Json;
use axum::extract::{Path, State};
use meshtrail_api::devices::{DeviceAnswer, DevicesAnswer};
use meshtrail_api::directory::{ListQuery, LookBack};
use meshtrail_event::Timestamp;
use meshtrail_event::text::shorten;
use meshtrail_identity::History;
use meshtrail_trail::Trail;
use meshtrail_views::mesh::{self, CountedActivity, DeviceProfile, Subject};

use super::listing;
use crate::extract::ValidQuery;
use crate::problem::Problem;

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
    State(history): State<History>,
    ValidQuery(query): ValidQuery<ListQuery>,
) -> Result<Json<DevicesAnswer>, Problem> {
    let listed = mesh::list_devices(&history, &listing::selection(&query, Timestamp::now())?);
    let found = listed.rows.len();
    let devices = listing::page(&query, listed.rows)?;
    Ok(Json(DevicesAnswer { devices, found, known: listed.known }))
}

/// One device: what it is and was, who had its addresses, and what happened on and from it.
#[utoipa::path(get, path = "/api/v1/devices/{id}", tag = "directory", operation_id = "device",
    params(("id" = String, Path), LookBack), responses((status = 200, body = DeviceAnswer)))]
pub(crate) async fn show(
    State(history): State<History>,
    State(trail): State<Trail>,
    Path(id): Path<String>,
    ValidQuery(query): ValidQuery<LookBack>,
) -> Result<Json<DeviceAnswer>, Problem> {
    let now = Timestamp::now();
    let since = listing::start_time(&query, now)?;
    let (profile, activity) = look_up(&history, &trail, &id, since, now).await?;
    Ok(Json(DeviceAnswer {
        id,
        device: profile.device,
        accounts: profile.accounts,
        history: profile.history,
        holdings: profile.holdings,
        activity: activity.counts,
    }))
}

/// A device's profile, and its activity from `since` on; a problem where neither the directory nor any event of this
/// time names it.
pub(crate) async fn look_up(
    history: &History,
    trail: &Trail,
    id: &str,
    since: Timestamp,
    now: Timestamp,
) -> Result<(DeviceProfile, CountedActivity), Problem> {
    let profile = mesh::device_profile(history, id, now);
    let activity = mesh::activity(trail, Subject::Device(id), since).await?;
    if profile.device.is_none() && activity.counts.events == 0 && activity.counts.claimed == 0 {
        let shown = shorten(id, 120);
        let detail = format!("no device has the id {shown} here, and no event of this time names it");
        return Err(Problem::not_found(detail));
    }
    Ok((profile, activity))
}
