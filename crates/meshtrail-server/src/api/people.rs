//! People: the list of them, and each one with what they did.

use axum::Json;
use axum::extract::{Path, State};
use meshtrail_event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::extract::{Asked, parsed};
use crate::mesh::{self, Doings, Stretch, ToldDevice, ToldPerson, Whose};
use crate::problem::Problem;
use crate::state::AppState;

/// People on a page when nothing is said.
const PAGE: usize = 500;

/// The most people or devices on a page.
pub const MAX_PAGE: usize = 5_000;

/// How far back doings are counted when nothing is said.
const SINCE: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);

/// Which people.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct PeopleQuery {
    /// A part of a login, name, group, role or status.
    pub q: Option<String>,
    /// Only people who are `inactive`, `gone` or in `doubt`.
    pub show: Option<String>,
    /// As they were at this moment: `2026-11-20T14:02:11Z`. Now without it.
    pub at: Option<String>,
    /// At most this many: 1 to 5000, 500 without it.
    pub limit: Option<usize>,
    /// After so many.
    pub from: Option<usize>,
}

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

/// How far back to look.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct LookBack {
    /// Doings from this moment on: `2026-11-20T14:02:11Z`. The last 30 days without it.
    pub since: Option<String>,
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

impl LookBack {
    /// The moment from which on to look.
    pub(crate) fn moment(&self, now: Timestamp) -> Result<Timestamp, Problem> {
        match &self.since {
            Some(since) => parsed("since", since),
            None => Ok(now.before(SINCE)),
        }
    }
}

/// The part of a list that is asked for.
pub(crate) fn part<T>(rows: Vec<T>, from: Option<usize>, limit: Option<usize>) -> Result<Vec<T>, Problem> {
    let limit = super::events::limit(limit, PAGE, MAX_PAGE)?;
    Ok(rows.into_iter().skip(from.unwrap_or(0)).take(limit).collect())
}

/// Lists the people of the mesh, as they are or were at a moment.
#[utoipa::path(get, path = "/api/v1/people", tag = "directory", params(PeopleQuery), operation_id = "people",
    responses((status = 200, body = PeopleAnswer)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    Asked(query): Asked<PeopleQuery>,
) -> Result<Json<PeopleAnswer>, Problem> {
    let listed = mesh::people(&state, &query, Timestamp::now())?;
    let found = listed.rows.len();
    let rows = part(listed.rows, query.from, query.limit)?;
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
    let life = mesh::person(&state, &login, now).await?;
    let doings = mesh::doings(&state, Whose::Person(&login), query.moment(now)?).await?;
    if life.told.is_none() && doings.events == 0 && doings.claimed == 0 {
        return Err(mesh::unknown_person(&login));
    }
    let login = life.told.as_ref().map_or(login, |told| told.state.login.clone());
    Ok(Json(PersonAnswer { login, person: life.told, devices: life.devices, history: life.history, doings }))
}
