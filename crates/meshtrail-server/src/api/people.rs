//! People: the list of them, and each one with what they did.

use axum::Json;
use axum::extract::{Path, State};
use meshtrail_api::directory::{ListQuery, LookBack};
use meshtrail_api::people::{PeopleAnswer, PersonAnswer};
use meshtrail_event::Timestamp;
use meshtrail_event::text::shorten;
use meshtrail_identity::History;
use meshtrail_trail::Trail;
use meshtrail_views::mesh::{self, CountedActivity, PersonProfile, Subject};

use super::listing;
use crate::extract::ValidQuery;
use crate::problem::Problem;

/// Lists the people of the mesh, as they are or were at a moment.
#[utoipa::path(get, path = "/api/v1/people", tag = "directory", operation_id = "people",
    params(
        ("q" = Option<String>, Query, description = "A part of a login, name, group, role or status."),
        ("show" = Option<String>, Query, description = "Only people who are `inactive`, `gone` or in `doubt`."),
        ListQuery,
    ),
    responses((status = 200, body = PeopleAnswer)))]
pub(crate) async fn list(
    State(history): State<History>,
    ValidQuery(query): ValidQuery<ListQuery>,
) -> Result<Json<PeopleAnswer>, Problem> {
    let listed = mesh::list_people(&history, &listing::selection(&query, Timestamp::now())?);
    let found = listed.rows.len();
    let people = listing::page(&query, listed.rows)?;
    Ok(Json(PeopleAnswer { people, found, known: listed.known }))
}

/// One person: what they are, were and did, and which devices are theirs.
#[utoipa::path(get, path = "/api/v1/people/{login}", tag = "directory", operation_id = "person",
    params(("login" = String, Path), LookBack), responses((status = 200, body = PersonAnswer)))]
pub(crate) async fn show(
    State(history): State<History>,
    State(trail): State<Trail>,
    Path(login): Path<String>,
    ValidQuery(query): ValidQuery<LookBack>,
) -> Result<Json<PersonAnswer>, Problem> {
    let now = Timestamp::now();
    let since = listing::start_time(&query, now)?;
    let (profile, activity) = look_up(&history, &trail, &login, since, now).await?;
    let login = profile.person.as_ref().map_or(login, |person| person.state.login.clone());
    Ok(Json(PersonAnswer {
        login,
        person: profile.person,
        devices: profile.devices,
        history: profile.history,
        activity: activity.counts,
    }))
}

/// A person's profile, and their activity from `since` on; a problem where neither the directory nor any event of this
/// time names them.
pub(crate) async fn look_up(
    history: &History,
    trail: &Trail,
    login: &str,
    since: Timestamp,
    now: Timestamp,
) -> Result<(PersonProfile, CountedActivity), Problem> {
    let profile = mesh::person_profile(history, login, now);
    let activity = mesh::activity(trail, Subject::Person(login), since).await?;
    if profile.person.is_none() && activity.counts.events == 0 && activity.counts.claimed == 0 {
        let shown = shorten(login, 120);
        let detail = format!("nobody is called {shown} here, and no event of this time names them");
        return Err(Problem::not_found(detail));
    }
    Ok((profile, activity))
}
