//! Handlers of the pages about the mesh: people, devices, changes, sources, network.
//!
//! Each calls the function behind the corresponding API route, and renders the result.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::StatusCode;
use meshtrail_api::changes::{ChangesPage as Changes, ChangesQuery, Severity};
use meshtrail_api::directory::ListQuery;
use meshtrail_api::events::EventsQuery;
use meshtrail_api::sessions::SessionsQuery;
use meshtrail_console::changes_page::{ChangesPage, changes_of};
use meshtrail_console::device_page::DevicePage;
use meshtrail_console::devices_page::DevicesPage;
use meshtrail_console::nav::Nav;
use meshtrail_console::network_page::{LAYERS, NETWORK_RANGES, NetworkPage, NetworkSelection};
use meshtrail_console::page_filter::PageFilter;
use meshtrail_console::people_page::PeoplePage;
use meshtrail_console::person_page::PersonPage;
use meshtrail_console::sources_page::SourcesPage;
use meshtrail_console::view::{ListRequest, RANGES, SessionView};
use meshtrail_event::{Event, Timestamp};
use meshtrail_query::{Filter, term};
use meshtrail_views::mesh;
use meshtrail_views::network::{self, Grouping};
use serde::Deserialize;

use super::handlers::{Frame, none_if_blank, session_view};
use crate::api::sources::source_view;
use crate::api::{changes, devices, events, listing, people, policy, sessions};
use crate::auth::Caller;
use crate::problem::Problem;
use crate::state::AppState;

/// Most sessions, and most events, in the short lists of a page about one person, device or pair.
const MAX_PREVIEW: usize = 8;

/// Changes on a page of the list of changes.
const MAX_CHANGES: usize = 60;

/// The query parameters of the page of one person or device.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ProfileParameters {
    since: String,
}

/// The query parameters of the list of changes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ChangesParameters {
    q: String,
    severity: String,
    since: String,
    cursor: String,
}

/// The list of people.
pub(crate) async fn people(
    State(state): State<AppState>,
    caller: Caller,
    Query(request): Query<ListRequest>,
) -> Result<Response, Problem> {
    let now = Timestamp::now();
    let query = ListQuery { at: None, ..list_query(&request) };
    let list = mesh::list_people(state.history(), &listing::selection(&query, now)?);
    let page = PeoplePage { request: &request, list: &list, now };
    let frame = Frame { title: "People", nav: Nav::People, plays: false };
    frame.respond(&state, &caller, StatusCode::OK, now, &page.render()).await
}

/// The list of devices.
pub(crate) async fn devices(
    State(state): State<AppState>,
    caller: Caller,
    Query(request): Query<ListRequest>,
) -> Result<Response, Problem> {
    let now = Timestamp::now();
    let list = mesh::list_devices(state.history(), &listing::selection(&list_query(&request), now)?);
    let page = DevicesPage { request: &request, list: &list, now };
    let frame = Frame { title: "Devices", nav: Nav::Devices, plays: false };
    frame.respond(&state, &caller, StatusCode::OK, now, &page.render()).await
}

fn list_query(request: &ListRequest) -> ListQuery {
    ListQuery {
        q: none_if_blank(&request.q),
        show: none_if_blank(&request.show),
        at: none_if_blank(&request.at),
        ..ListQuery::default()
    }
}

/// One person.
pub(crate) async fn person(
    State(state): State<AppState>,
    caller: Caller,
    Path(login): Path<String>,
    Query(parameters): Query<ProfileParameters>,
) -> Result<Response, Problem> {
    let now = Timestamp::now();
    let (since, from) = look_back(&parameters.since, now);
    let (profile, activity) = people::look_up(state.history(), state.trail(), &login, from, now).await?;
    let sessions = newest_sessions(&state, &term("person", &login)).await?;
    let changes = newest_events(&state, &changes_of("actor", &login)).await?;
    let page = PersonPage {
        login: profile.person.as_ref().map_or(login.as_str(), |person| &person.state.login),
        profile: &profile,
        activity: &activity,
        sessions: &sessions,
        changes: &changes,
        since,
        now,
    };
    let frame = Frame { title: &login, nav: Nav::People, plays: false };
    frame.respond(&state, &caller, StatusCode::OK, now, &page.render()).await
}

/// One device.
pub(crate) async fn device(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    Query(parameters): Query<ProfileParameters>,
) -> Result<Response, Problem> {
    let now = Timestamp::now();
    let (since, from) = look_back(&parameters.since, now);
    let (profile, activity) = devices::look_up(state.history(), state.trail(), &id, from, now).await?;
    let sessions = newest_sessions(&state, &term("device", &id)).await?;
    let changes = newest_events(&state, &changes_of("device", &id)).await?;
    let reach = policy::who_can_reach_now(&state, &id, now).await?;
    let page = DevicePage {
        id: &id,
        profile: &profile,
        activity: &activity,
        reach: reach.as_ref().map_err(String::as_str),
        sessions: &sessions,
        changes: &changes,
        since,
        now,
    };
    let frame = Frame { title: page.name(), nav: Nav::Devices, plays: false };
    frame.respond(&state, &caller, StatusCode::OK, now, &page.render()).await
}

/// The list of changes.
pub(crate) async fn changes(
    State(state): State<AppState>,
    caller: Caller,
    Query(parameters): Query<ChangesParameters>,
) -> Result<Response, Problem> {
    let now = Timestamp::now();
    let mut page_filter = PageFilter::new("/changes", parameters.q.clone());
    page_filter.error = Filter::parse(&parameters.q).err();
    let (since, _) = look_back(&parameters.since, now);
    let severity = (!parameters.severity.is_empty()).then(|| Severity::from(parameters.severity.as_str()));
    // Checked before the list, which is not read while the filter is wrong.
    severity.as_ref().map(changes::parse_severity).transpose()?;
    let query = ChangesQuery {
        q: none_if_blank(&parameters.q),
        since: Some(since.to_owned()),
        severity,
        diff: true,
        limit: Some(MAX_CHANGES),
        cursor: none_if_blank(&parameters.cursor),
        ..ChangesQuery::default()
    };
    let list = match page_filter.error {
        None => changes::page(state.trail(), &query).await?,
        Some(_) => Changes { changes: Vec::new(), next: None, read_since: None },
    };
    let status = if page_filter.error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let page = ChangesPage {
        filter: &page_filter,
        severity: &parameters.severity,
        since,
        rows: &list.changes,
        read_since: list.read_since,
        next: list.next.as_deref(),
        inside: !parameters.cursor.is_empty(),
        now,
    };
    let frame = Frame { title: "Changes", nav: Nav::Changes, plays: false };
    frame.respond(&state, &caller, status, now, &page.render()).await
}

/// The list of sources.
pub(crate) async fn sources(State(state): State<AppState>, caller: Caller) -> Result<Response, Problem> {
    let now = Timestamp::now();
    let sources: Vec<_> = state.sources().report_at(now).into_iter().map(source_view).collect();
    let page = SourcesPage { sources: &sources, now };
    let frame = Frame { title: "Sources", nav: Nav::Sources, plays: false };
    frame.respond(&state, &caller, StatusCode::OK, now, &page.render()).await
}

/// The query parameters of the network page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NetworkParameters {
    by: String,
    of: String,
    with: String,
    layer: String,
    since: String,
    from: usize,
}

/// Who exchanged traffic with whom.
pub(crate) async fn network(
    State(state): State<AppState>,
    caller: Caller,
    Query(parameters): Query<NetworkParameters>,
) -> Result<Response, Problem> {
    let now = Timestamp::now();
    let ranges = NETWORK_RANGES.iter().copied();
    let (since, hours) =
        ranges.into_iter().find(|(name, _)| *name == parameters.since).unwrap_or(("24h", 24));
    let is_layer = LAYERS.iter().any(|(_, layer)| *layer == parameters.layer);
    let layer = if is_layer { parameters.layer } else { String::new() };
    let query = network::TrafficQuery { hours, layer: layer.clone() };
    let matrix =
        state.traffic_cache().matrix(&query, now).await.map_err(|error| events::unreadable(&error))?;
    let edges = network::edges_between(&matrix.edges, &parameters.of, &parameters.with);
    let by = Grouping::named(&parameters.by);
    let selection = NetworkSelection {
        by,
        of: parameters.of,
        with: parameters.with,
        layer,
        since,
        from: parameters.from,
    };
    let flows = match selection.is_pair() {
        true => newest_events(&state, &selection.events()).await?,
        false => Vec::new(),
    };
    let page = NetworkPage { matrix: &matrix, edges: &edges, selection: &selection, flows: &flows, now };
    let frame = Frame { title: "Network", nav: Nav::Network, plays: false };
    frame.respond(&state, &caller, StatusCode::OK, now, &page.render()).await
}

/// The time range of this name, or the default: its name, and its start.
fn look_back(requested: &str, now: Timestamp) -> (&'static str, Timestamp) {
    const DAY: u64 = 86_400;
    let (name, days) = RANGES.iter().find(|(name, _)| *name == requested).copied().unwrap_or(("30d", 30));
    (name, now.before(std::time::Duration::from_secs(days * DAY)))
}

async fn newest_sessions(state: &AppState, q: &str) -> Result<Vec<SessionView>, Problem> {
    let query = SessionsQuery { q: Some(q.to_owned()), limit: Some(MAX_PREVIEW), ..SessionsQuery::default() };
    let page = sessions::page(state.trail().name(), state.recordings(), &query).await?;
    Ok(page.sessions.into_iter().map(session_view).collect())
}

async fn newest_events(state: &AppState, q: &str) -> Result<Vec<(u64, Event)>, Problem> {
    let query = EventsQuery { q: Some(q.to_owned()), limit: Some(MAX_PREVIEW), ..EventsQuery::default() };
    let rows = events::page(state.trail(), state.late_identities(), &query).await?.rows;
    let read = rows.into_iter().filter_map(|(index, leaf)| Some((index, Event::from_json(&leaf).ok()?)));
    let mut events: Vec<(u64, Event)> = read.collect();
    events.sort_by_key(|(index, event)| std::cmp::Reverse((event.time, *index)));
    Ok(events)
}
