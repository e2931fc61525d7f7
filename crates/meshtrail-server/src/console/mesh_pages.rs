//! The handlers of the pages about the mesh: people, devices, changes, sources.
//!
//! Each asks what the API asks, by the same calls, and renders the answer.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::StatusCode;
use meshtrail_collect::weight::Severity;
use meshtrail_event::{Event, Timestamp};
use meshtrail_query::Filter;
use serde::Deserialize;

use super::ask::{Ask, term};
use super::changes_page::{ChangesPage, changes_of};
use super::device_page::DevicePage;
use super::devices_page::DevicesPage;
use super::layout::Nav;
use super::network_page::{NetworkPage, Question, events_between};
use super::pages::Frame;
use super::parts::{RANGES, Slice};
use super::people_page::{PeoplePage, PersonRow};
use super::person_page::PersonPage;
use super::sources_page::SourcesPage;
use super::view::SessionView;
use crate::api::changes::{self, ChangesPage as Changes, ChangesQuery};
use crate::api::events::{self, EventsQuery};
use crate::api::listing::ListQuery;
use crate::api::sessions::{self, SessionsQuery};
use crate::auth::Viewer;
use crate::mesh::{self, Whose};
use crate::network::{self, By};
use crate::problem::Problem;
use crate::state::AppState;

/// Sessions and changes shown on a person's or a device's page.
const FEW: usize = 8;

/// Changes on a page.
const CHANGES: usize = 60;

/// What the address of a list of people or devices says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ListAsked {
    q: String,
    show: String,
    at: String,
    from: usize,
}

/// What the address of a person or a device says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct OneAsked {
    since: String,
}

/// What the address of the list of changes says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ChangesAsked {
    q: String,
    severity: String,
    since: String,
    cursor: String,
}

fn given(text: &str) -> Option<String> {
    (!text.trim().is_empty()).then(|| text.to_owned())
}

/// The list of people.
pub(crate) async fn people(
    State(state): State<AppState>,
    viewer: Viewer,
    Query(asked): Query<ListAsked>,
) -> Result<Response, Problem> {
    let now = Timestamp::now();
    let query = ListQuery { q: given(&asked.q), show: given(&asked.show), ..ListQuery::default() };
    let list = mesh::people(&state, &query, now)?;
    let slice = Slice::new(asked.from, list.rows.len());
    let rows: Vec<PersonRow<'_>> = list.rows[slice.range()]
        .iter()
        .map(|person| PersonRow { told: &person.told, devices: person.devices })
        .collect();
    let page =
        PeoplePage { text: &asked.q, show: &asked.show, rows: &rows, slice, nobody: list.known == 0, now };
    let frame = Frame { title: "People", nav: Nav::People, plays: false };
    frame.answer(&state, &viewer, StatusCode::OK, now, &page.render()).await
}

/// One person.
pub(crate) async fn person(
    State(state): State<AppState>,
    viewer: Viewer,
    Path(login): Path<String>,
    Query(asked): Query<OneAsked>,
) -> Result<Response, Problem> {
    let now = Timestamp::now();
    let (since, from) = look_back(&asked.since, now);
    let about = mesh::person(&state, &login, now);
    let doings = mesh::doings(&state, Whose::Person(&login), from).await?;
    if about.told.is_none() && doings.events == 0 && doings.claimed == 0 {
        return Err(mesh::unknown_person(&login));
    }
    let sessions = few_sessions(&state, &term("person", &login)).await?;
    let changes = few_events(&state, &changes_of("actor", &login)).await?;
    let page = PersonPage {
        login: about.told.as_ref().map_or(login.as_str(), |told| &told.state.login),
        told: about.told.as_ref(),
        devices: &about.devices,
        history: &about.history,
        doings: &doings,
        sessions: &sessions,
        changes: &changes,
        since,
        now,
    };
    let frame = Frame { title: &login, nav: Nav::People, plays: false };
    frame.answer(&state, &viewer, StatusCode::OK, now, &page.render()).await
}

/// The list of devices.
pub(crate) async fn devices(
    State(state): State<AppState>,
    viewer: Viewer,
    Query(asked): Query<ListAsked>,
) -> Result<Response, Problem> {
    let now = Timestamp::now();
    let query = ListQuery {
        q: given(&asked.q),
        show: given(&asked.show),
        at: given(&asked.at),
        ..ListQuery::default()
    };
    let list = mesh::devices(&state, &query, now)?;
    let slice = Slice::new(asked.from, list.rows.len());
    let rows: Vec<_> = list.rows[slice.range()].iter().collect();
    let page = DevicesPage {
        text: &asked.q,
        show: &asked.show,
        at: &asked.at,
        rows: &rows,
        slice,
        none: list.known == 0,
        now,
    };
    let frame = Frame { title: "Devices", nav: Nav::Devices, plays: false };
    frame.answer(&state, &viewer, StatusCode::OK, now, &page.render()).await
}

/// One device.
pub(crate) async fn device(
    State(state): State<AppState>,
    viewer: Viewer,
    Path(id): Path<String>,
    Query(asked): Query<OneAsked>,
) -> Result<Response, Problem> {
    let now = Timestamp::now();
    let (since, from) = look_back(&asked.since, now);
    let about = mesh::device(&state, &id, now);
    let doings = mesh::doings(&state, Whose::Device(&id), from).await?;
    if about.told.is_none() && doings.events == 0 && doings.claimed == 0 {
        return Err(mesh::unknown_device(&id));
    }
    let sessions = few_sessions(&state, &term("device", &id)).await?;
    let changes = few_events(&state, &changes_of("device", &id)).await?;
    let page = DevicePage {
        id: &id,
        told: about.told.as_ref(),
        accounts: &about.accounts,
        history: &about.history,
        holdings: &about.holdings,
        doings: &doings,
        sessions: &sessions,
        changes: &changes,
        since,
        now,
    };
    let frame = Frame { title: page.name(), nav: Nav::Devices, plays: false };
    frame.answer(&state, &viewer, StatusCode::OK, now, &page.render()).await
}

/// The changes.
pub(crate) async fn changes(
    State(state): State<AppState>,
    viewer: Viewer,
    Query(asked): Query<ChangesAsked>,
) -> Result<Response, Problem> {
    let now = Timestamp::now();
    let mut ask = Ask::new("/changes", asked.q.clone());
    ask.mistake = Filter::parse(&asked.q).err();
    let (since, _) = look_back(&asked.since, now);
    let query = ChangesQuery {
        q: given(&asked.q),
        since: Some(since.to_owned()),
        severity: severity(&asked.severity)?,
        diff: true,
        limit: Some(CHANGES),
        cursor: given(&asked.cursor),
        ..ChangesQuery::default()
    };
    let found = match ask.mistake {
        None => changes::page(&state, &query).await?,
        Some(_) => Changes { changes: Vec::new(), next: None, read_since: None },
    };
    let status = if ask.mistake.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let page = ChangesPage {
        ask: &ask,
        severity: &asked.severity,
        since,
        rows: &found.changes,
        read_since: found.read_since,
        next: found.next.as_deref(),
        inside: !asked.cursor.is_empty(),
        now,
    };
    let frame = Frame { title: "Changes", nav: Nav::Changes, plays: false };
    frame.answer(&state, &viewer, status, now, &page.render()).await
}

fn severity(word: &str) -> Result<Option<Severity>, Problem> {
    let all = [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
    match word {
        "" => Ok(None),
        word => {
            all.into_iter().find(|one| one.as_str() == word).map(Some).ok_or_else(|| {
                Problem::bad_request("severity", "ask for info, low, medium, high or critical")
            })
        }
    }
}

/// The sources.
pub(crate) async fn sources(State(state): State<AppState>, viewer: Viewer) -> Result<Response, Problem> {
    let now = Timestamp::now();
    let sources = state.sources().report_at(now);
    let page = SourcesPage { sources: &sources, now };
    let frame = Frame { title: "Sources", nav: Nav::Sources, plays: false };
    frame.answer(&state, &viewer, StatusCode::OK, now, &page.render()).await
}

/// How far back the network page can look, in hours.
pub(super) const NETWORK_RANGES: &[(&str, u64)] = &[("1h", 1), ("24h", 24), ("7d", 168), ("30d", 720)];

/// What the address of the network page says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NetworkAsked {
    by: String,
    of: String,
    with: String,
    layer: String,
    since: String,
    from: usize,
}

/// Who talks to whom.
pub(crate) async fn network(
    State(state): State<AppState>,
    viewer: Viewer,
    Query(asked): Query<NetworkAsked>,
) -> Result<Response, Problem> {
    let now = Timestamp::now();
    let ranges = NETWORK_RANGES.iter().copied();
    let (since, hours) = ranges.into_iter().find(|(name, _)| *name == asked.since).unwrap_or(("24h", 24));
    let layers = ["virtual", "subnet", "exit", "physical"];
    let layer = asked.layer.as_str();
    let layer = if layers.contains(&layer) { layer.to_owned() } else { String::new() };
    let picture = network::picture(&state, &network::Asked { hours, layer: layer.clone() }, now).await?;
    let talks = network::parts_of(&picture.talks, &asked.of, &asked.with);
    let by = By::named(&asked.by);
    let question = Question { by, of: asked.of, with: asked.with, layer, since, from: asked.from };
    let mut page = NetworkPage { picture: &picture, talks: &talks, asked: &question, flows: &[], now };
    let flows = match page.is_pair() {
        true => few_events(&state, &events_between(&question)).await?,
        false => Vec::new(),
    };
    page.flows = &flows;
    let frame = Frame { title: "Network", nav: Nav::Network, plays: false };
    frame.answer(&state, &viewer, StatusCode::OK, now, &page.render()).await
}

/// The stretch of time that is looked back over: its name, and where it begins.
pub(super) fn look_back(asked: &str, now: Timestamp) -> (&'static str, Timestamp) {
    const DAY: u64 = 86_400;
    let (name, days) = RANGES.iter().find(|(name, _)| *name == asked).copied().unwrap_or(("30d", 30));
    (name, now.before(std::time::Duration::from_secs(days * DAY)))
}

async fn few_sessions(state: &AppState, q: &str) -> Result<Vec<SessionView>, Problem> {
    let query = SessionsQuery { q: Some(q.to_owned()), limit: Some(FEW), ..SessionsQuery::default() };
    Ok(sessions::page(state, &query).await?.sessions.into_iter().map(SessionView::from).collect())
}

async fn few_events(state: &AppState, q: &str) -> Result<Vec<(u64, Event)>, Problem> {
    let query = EventsQuery { q: Some(q.to_owned()), limit: Some(FEW), ..EventsQuery::default() };
    let rows = events::page(state, &query).await?.rows;
    let read = rows.into_iter().filter_map(|(index, leaf)| Some((index, Event::from_json(&leaf).ok()?)));
    let mut events: Vec<(u64, Event)> = read.collect();
    events.sort_by_key(|(index, event)| std::cmp::Reverse((event.time, *index)));
    Ok(events)
}
