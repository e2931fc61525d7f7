//! People: the list of them, and each one with what they did.

use axum::Json;
use axum::extract::{Path, State};
use meshtrail_event::Timestamp;
use serde::Serialize;

use super::listing::{ListQuery, LookBack};
use crate::extract::ValidQuery;
use crate::mesh::{self, Activity, DeviceView, PersonView, PropertyPeriod, Subject};
use crate::problem::Problem;
use crate::state::AppState;

/// A person as the directory knows them.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PersonView)]
pub struct PersonListItem {
    /// The state, who told it and as of when.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub person: PersonView,
    /// How many devices are theirs.
    pub devices: usize,
}

/// People.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PeopleAnswer {
    /// By login.
    pub people: Vec<PersonListItem>,
    /// How many fit what was asked for.
    pub found: usize,
    /// How many people were ever known.
    pub known: usize,
}

/// One person.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PersonAnswer {
    /// The login, as it is known.
    pub login: String,
    /// As the directory knows them; absent where only events do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub person: Option<PersonView>,
    /// The devices that are theirs.
    #[schema(value_type = Vec<Object>)]
    pub devices: Vec<DeviceView>,
    /// What they were: role, status, groups, name over time.
    pub history: Vec<PropertyPeriod>,
    /// What they did.
    #[serde(rename = "doings")]
    pub activity: Activity,
}

/// Lists the people of the mesh, as they are or were at a moment.
#[utoipa::path(get, path = "/api/v1/people", tag = "directory", operation_id = "people",
    params(
        ("q" = Option<String>, Query, description = "A part of a login, name, group, role or status."),
        ("show" = Option<String>, Query, description = "Only people who are `inactive`, `gone` or in `doubt`."),
        ListQuery,
    ),
    responses((status = 200, body = PeopleAnswer)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    ValidQuery(query): ValidQuery<ListQuery>,
) -> Result<Json<PeopleAnswer>, Problem> {
    let listed = mesh::list_people(&state, &query, Timestamp::now())?;
    let found = listed.rows.len();
    let rows = query.page(listed.rows)?;
    let people =
        rows.into_iter().map(|row| PersonListItem { person: row.person, devices: row.devices }).collect();
    Ok(Json(PeopleAnswer { people, found, known: listed.known }))
}

/// One person: what they are, were and did, and which devices are theirs.
#[utoipa::path(get, path = "/api/v1/people/{login}", tag = "directory", operation_id = "person",
    params(("login" = String, Path), LookBack), responses((status = 200, body = PersonAnswer)))]
pub(crate) async fn show(
    State(state): State<AppState>,
    Path(login): Path<String>,
    ValidQuery(query): ValidQuery<LookBack>,
) -> Result<Json<PersonAnswer>, Problem> {
    let now = Timestamp::now();
    let profile = mesh::person_profile(&state, &login, now);
    let activity = mesh::activity(&state, Subject::Person(&login), query.start_time(now)?).await?;
    if profile.person.is_none() && activity.events == 0 && activity.claimed == 0 {
        return Err(mesh::unknown_person(&login));
    }
    let login = profile.person.as_ref().map_or(login, |person| person.state.login.clone());
    Ok(Json(PersonAnswer {
        login,
        person: profile.person,
        devices: profile.devices,
        history: profile.history,
        activity,
    }))
}
