//! People: the list of them, and each one with what they did.

use axum::Json;
use axum::extract::{Path, State};
use meshtrail_event::Timestamp;
use serde::Serialize;

use super::listing::{ListQuery, LookBack};
use crate::extract::Asked;
use crate::mesh::{self, Doings, Stretch, ToldDevice, ToldPerson, Whose};
use crate::problem::Problem;
use crate::state::AppState;

/// A person as the directory knows them.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PersonView {
    /// The state, who told it and as of when.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub told: ToldPerson,
    /// How many devices are theirs.
    pub devices: usize,
}

/// People.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PeopleAnswer {
    /// By login.
    pub people: Vec<PersonView>,
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
    pub person: Option<ToldPerson>,
    /// The devices that are theirs.
    #[schema(value_type = Vec<Object>)]
    pub devices: Vec<ToldDevice>,
    /// What they were: role, status, groups, name over time.
    pub history: Vec<Stretch>,
    /// What they did.
    pub doings: Doings,
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
    Asked(query): Asked<ListQuery>,
) -> Result<Json<PeopleAnswer>, Problem> {
    let listed = mesh::people(&state, &query, Timestamp::now())?;
    let found = listed.rows.len();
    let rows = query.part(listed.rows)?;
    let people = rows.into_iter().map(|row| PersonView { told: row.told, devices: row.devices }).collect();
    Ok(Json(PeopleAnswer { people, found, known: listed.known }))
}

/// One person: what they are, were and did, and which devices are theirs.
#[utoipa::path(get, path = "/api/v1/people/{login}", tag = "directory", operation_id = "person",
    params(("login" = String, Path), LookBack), responses((status = 200, body = PersonAnswer)))]
pub(crate) async fn show(
    State(state): State<AppState>,
    Path(login): Path<String>,
    Asked(query): Asked<LookBack>,
) -> Result<Json<PersonAnswer>, Problem> {
    let now = Timestamp::now();
    let life = mesh::person(&state, &login, now);
    let doings = mesh::doings(&state, Whose::Person(&login), query.moment(now)?).await?;
    if life.told.is_none() && doings.events == 0 && doings.claimed == 0 {
        return Err(mesh::unknown_person(&login));
    }
    let login = life.told.as_ref().map_or(login, |told| told.state.login.clone());
    Ok(Json(PersonAnswer { login, person: life.told, devices: life.devices, history: life.history, doings }))
}
