//! Handlers of the timeline's and the sessions' pages, and the frame of all pages for signed-in people.
//!
//! Each handler calls the function behind the corresponding API route, and renders the result.

use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::response::{Redirect, Response};
use http::StatusCode;
use meshtrail_api::counts::By;
use meshtrail_api::events::{EventsQuery, Order};
use meshtrail_api::policy::DiffAnswer;
use meshtrail_api::sessions::SessionsQuery;
use meshtrail_console::Markup;
use meshtrail_console::event_page::EventPage;
use meshtrail_console::events_counts::{BARS, CountsView, MAX_VALUES};
use meshtrail_console::events_page::EventsPage;
use meshtrail_console::layout::Shell;
use meshtrail_console::nav::Nav;
use meshtrail_console::page_filter::{PageFilter, under};
use meshtrail_console::session_page::SessionPage;
use meshtrail_console::sessions_page::SessionsPage;
use meshtrail_console::view::{EventView, PageViewer, Paging, SessionView, TrailStatus};
use meshtrail_event::{Detail, Event, EventId, Kind, RelativePosition, SessionId, Timestamp};
use meshtrail_query::{Filter, term};
use meshtrail_recording::Session;
use serde::Deserialize;

use crate::api::events::counts::{CountRequest, Counts};
use crate::api::{events, policy, sessions};
use crate::auth::{Caller, Capability};
use crate::extract::parse_field;
use crate::page_response::page_response;
use crate::problem::Problem;
use crate::state::AppState;

/// Rows on a page.
const ROWS: usize = 50;

/// Most events shown on a session's page.
const MAX_SESSION_EVENTS: usize = 24;

/// Time limit for counting while a page is rendered.
const SHORT_COUNT: Duration = Duration::from_millis(60);

/// Time limit for counting with `counts=all`.
const LONG_COUNT: Duration = Duration::from_secs(3);

/// The command that makes sessions be recorded, for an empty list.
const FIRST_STEP: &str = "meshtrail serve --recorder-listen tailscale:80";

/// The query parameters of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ListParameters {
    q: String,
    state: String,
    cursor: String,
    /// `oldest` for the oldest first.
    order: String,
    /// By what bars of the timeline are divided: `kind`, else by outcome.
    by: String,
    /// `all` to count with the longer time limit.
    counts: String,
}

impl ListParameters {
    fn page_filter(&self, path: &'static str) -> PageFilter {
        let mut page_filter = PageFilter::new(path, self.q.clone());
        page_filter.state.clone_from(&self.state);
        page_filter.error = Filter::parse(&self.q).err();
        page_filter
    }

    fn paging(&self, next: Option<String>) -> Paging {
        Paging { next, inside: !self.cursor.is_empty() }
    }
}

/// The value of a query parameter; `None` where it is absent or blank.
pub(super) fn none_if_blank(text: &str) -> Option<String> {
    (!text.trim().is_empty()).then(|| text.to_owned())
}

/// `/`
pub(crate) async fn home() -> Redirect {
    Redirect::to("/events")
}

/// The list of sessions.
pub(crate) async fn sessions(
    State(state): State<AppState>,
    caller: Caller,
    Query(parameters): Query<ListParameters>,
) -> Result<Response, Problem> {
    let (page_filter, now) = (parameters.page_filter("/sessions"), Timestamp::now());
    let (mut list, mut next) = (Vec::new(), None);
    if page_filter.error.is_none() {
        let query = SessionsQuery {
            q: none_if_blank(&parameters.q),
            state: none_if_blank(&parameters.state),
            limit: Some(ROWS),
            cursor: none_if_blank(&parameters.cursor),
        };
        let page = sessions::page(state.trail().name(), state.recordings(), &query).await?;
        next = page.next;
        for session in page.sessions {
            list.push(with_index(&state, session_view(session)).await?);
        }
    }
    let status = if page_filter.error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let paging = parameters.paging(next);
    let content =
        SessionsPage { filter: &page_filter, sessions: &list, paging: &paging, first_step: FIRST_STEP, now }
            .render();
    let frame = Frame { title: "Sessions", nav: Nav::Sessions, plays: false };
    frame.respond(&state, &caller, status, now, &content).await
}

/// A session as pages show it.
pub(super) fn session_view(session: Session) -> SessionView {
    SessionView { index: session.index, session: sessions::session_view(session) }
}

/// Looks up the index of a session's terminal event, which is missing where the session was live when it was read.
async fn with_index(state: &AppState, mut view: SessionView) -> Result<SessionView, Problem> {
    if let (Some(event), None) = (&view.session.event, view.index) {
        view.index = Some(events::index_of(state.trail(), event).await?);
    }
    Ok(view)
}

/// One session.
pub(crate) async fn session(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (id, now): (SessionId, _) = (parse_field("id", &id)?, Timestamp::now());
    let session = session_view(sessions::find(state.recordings(), &id).await?);
    let view = with_index(&state, session).await?;
    let q = format!("{} -kind:recording.mark", term("session", id.as_str()));
    let query = EventsQuery {
        q: Some(q),
        limit: Some(MAX_SESSION_EVENTS),
        order: Some(Order::Oldest),
        ..EventsQuery::default()
    };
    let list = events::page(state.trail(), state.late_identities(), &query).await?;
    let events = event_views(&state, list.rows)?;
    let viewer = page_viewer(&caller);
    let page = SessionPage { view: &view, events: &events, viewer: &viewer, now };
    let frame = Frame { title: &page.title(), nav: Nav::Sessions, plays: viewer.may_replay };
    frame.respond(&state, &caller, StatusCode::OK, now, &page.render()).await
}

/// The timeline: all events, with counts over time and by value.
pub(crate) async fn events(
    State(state): State<AppState>,
    caller: Caller,
    Query(parameters): Query<ListParameters>,
) -> Result<Response, Problem> {
    let (mut page_filter, now) = (parameters.page_filter("/events"), Timestamp::now());
    page_filter.parameters = vec![("order", parameters.order.clone()), ("by", parameters.by.clone())];
    let (part, by) = if parameters.by == "kind" { (By::Kind, "kind") } else { (By::Outcome, "outcome") };
    let (mut list, mut next, mut counts) = (Vec::new(), None, None);
    if page_filter.error.is_none() {
        let order = (parameters.order == "oldest").then_some(Order::Oldest);
        let query = EventsQuery {
            q: none_if_blank(&parameters.q),
            limit: Some(ROWS),
            cursor: none_if_blank(&parameters.cursor),
            order,
        };
        let page = events::page(state.trail(), state.late_identities(), &query).await?;
        next = page.next;
        list = event_views(&state, page.rows)?;
        let budget = if parameters.counts == "all" { LONG_COUNT } else { SHORT_COUNT };
        let filter = events::parse_filter(Some(&parameters.q))?;
        let (trail, summaries) = (state.trail(), state.summaries());
        let request = CountRequest { facets: false, budget, now };
        let times = Counts::compute(trail, summaries, &filter, &request).await?;
        let request = CountRequest { facets: true, ..request };
        let values = Counts::compute(trail, summaries, &filter, &request).await?;
        counts = Some((times.histogram(BARS, part), values.facets(MAX_VALUES)));
    }
    let status = if page_filter.error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let paging = parameters.paging(next);
    let counts =
        counts.as_ref().map(|(histogram, facets)| CountsView { filter: &page_filter, histogram, facets, by });
    let may_export = caller.may(Capability::Export);
    let content = EventsPage {
        filter: &page_filter,
        events: &list,
        counts: counts.as_ref(),
        paging: &paging,
        may_export,
        now,
    }
    .render();
    let frame = Frame { title: "Timeline", nav: Nav::Timeline, plays: false };
    frame.respond(&state, &caller, status, now, &content).await
}

/// One event.
pub(crate) async fn event(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (id, now): (EventId, _) = (parse_field("id", &id)?, Timestamp::now());
    let (index, leaf) = events::leaf(state.trail(), &id).await?;
    let view = event_view(&state, index, &leaf)?;
    let effect = policy_effect(&state, &view.event).await?;
    let effect = effect.as_ref().map(|effect| effect.as_ref().map_err(String::as_str));
    let content = EventPage { view: &view, size: state.trail().size(), effect, now }.render();
    let frame = Frame { title: &format!("Event {id}"), nav: Nav::Timeline, plays: false };
    frame.respond(&state, &caller, StatusCode::OK, now, &content).await
}

/// What a change of the policy opened and closed; none of another event.
async fn policy_effect(
    state: &AppState,
    event: &Event,
) -> Result<Option<Result<DiffAnswer, String>>, Problem> {
    match &event.detail {
        Some(Detail::Change(change)) if event.kind == Kind::PolicyChanged => {
            policy::effect_of_change(state, event, change).await.map(Some)
        }
        _ => Ok(None),
    }
}

/// Redirects to the page of the event at a position.
pub(crate) async fn event_at(
    State(state): State<AppState>,
    Path(index): Path<String>,
) -> Result<Redirect, Problem> {
    let position: RelativePosition = parse_field("index", &index)?;
    let own = state.trail().name();
    let index = position.index_in(own).map_err(|error| Problem::not_found(error.to_string()).at("index"))?;
    let leaf = events::leaf_at(state.trail(), index).await?;
    Ok(Redirect::to(&under("/events", &event_view(&state, index, &leaf)?.event.id.to_string())))
}

fn event_views(state: &AppState, rows: Vec<(u64, bytes::Bytes)>) -> Result<Vec<EventView>, Problem> {
    rows.iter().map(|(index, leaf)| event_view(state, *index, leaf)).collect()
}

fn event_view(state: &AppState, index: u64, leaf: &[u8]) -> Result<EventView, Problem> {
    let event = Event::from_json(leaf).map_err(|error| unreadable(index, &error))?;
    let leaf = String::from_utf8(leaf.to_vec()).map_err(|error| unreadable(index, &error))?;
    let best_known = state
        .late_identities()
        .apply_to(leaf.as_bytes())
        .and_then(|leaf| Event::from_json(&leaf).ok())
        .map(Box::new);
    Ok(EventView { position: state.trail().position(index), event, best_known, leaf })
}

fn unreadable(index: u64, error: &dyn std::error::Error) -> Problem {
    Problem::internal(format!("the event at index {index} can't be read; run `meshtrail verify --all`"))
        .because(error)
}

fn page_viewer(caller: &Caller) -> PageViewer {
    PageViewer {
        name: caller.who.to_string(),
        role: caller.role.name(),
        may_replay: caller.may(Capability::Replay),
        may_export: caller.may(Capability::Export),
        may_kill: caller.may(Capability::Kill),
    }
}

/// The properties of a page for signed-in people.
pub(super) struct Frame<'a> {
    pub(super) title: &'a str,
    pub(super) nav: Nav,
    pub(super) plays: bool,
}

impl Frame<'_> {
    /// Responds with the page whose content is `content`.
    pub(super) async fn respond(
        &self,
        state: &AppState,
        caller: &Caller,
        status: StatusCode,
        now: Timestamp,
        content: &Markup,
    ) -> Result<Response, Problem> {
        let (viewer, trail_status) = (page_viewer(caller), trail_status(state, now).await?);
        let shell = Shell {
            title: self.title,
            nav: self.nav,
            viewer: Some(&viewer),
            trail_status: Some(&trail_status),
            plays: self.plays,
            banner: state.banner(),
        };
        Ok(page_response(status, shell.document(content)))
    }
}

/// Reads the size of the trail, and when its newest event was received.
async fn trail_status(state: &AppState, now: Timestamp) -> Result<TrailStatus, Problem> {
    #[derive(Deserialize)]
    struct Leaf {
        received: Timestamp,
    }
    let events = state.trail().size();
    let newest = match events.checked_sub(1) {
        Some(last) => {
            let leaf = events::leaf_at(state.trail(), last).await?;
            let leaf: Leaf = serde_json::from_slice(&leaf).map_err(|error| unreadable(last, &error))?;
            Some(leaf.received)
        }
        None => None,
    };
    Ok(TrailStatus { events, newest, now })
}
