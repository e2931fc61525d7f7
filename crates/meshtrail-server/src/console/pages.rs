//! The handlers of pages for people who are signed in.
//!
//! Each asks what the API asks, by the same calls, and renders the answer.

use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::response::{Redirect, Response};
use http::StatusCode;
use maud::Markup;
use meshtrail_event::{Event, EventId, SessionId, Timestamp};
use meshtrail_query::Filter;
use serde::Deserialize;

use super::ask::{Ask, term, under};
use super::event_page::EventPage;
use super::events_counts::CountsView;
use super::events_page::EventsPage;
use super::layout::{Nav, Shell};
use super::session_page::SessionPage;
use super::sessions_page::SessionsPage;
use super::view::{EventView, Looker, Paging, SessionView, Sound};
use super::{PLAYING_POLICY, POLICY};
use crate::api::events::counts::{Counts, Wanted};
use crate::api::events::{self, EventsQuery, Order};
use crate::api::sessions::{self, SessionsQuery};
use crate::auth::{Capability, Viewer};
use crate::extract::parsed;
use crate::problem::Problem;
use crate::state::AppState;

/// Rows on a page.
const ROWS: usize = 50;

/// Events shown beside a session.
const BESIDE: usize = 24;

/// How long the first page may take to count: its rows are there already.
const SHORT_COUNT: Duration = Duration::from_millis(60);

/// How long a count may take that is asked for by itself.
const LONG_COUNT: Duration = Duration::from_secs(3);

/// What makes the first session come.
const FIRST_STEP: &str = "meshtrail serve --recorder-listen tailscale:80";

/// What a list's address says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    q: String,
    state: String,
    cursor: String,
    /// `oldest` for the oldest first.
    order: String,
    /// How bars of the timeline are told apart.
    by: String,
    /// `all` to count for longer.
    counts: String,
}

impl Asked {
    fn ask(&self, path: &'static str) -> Ask {
        let mut ask = Ask::new(path, self.q.clone());
        ask.state.clone_from(&self.state);
        ask.mistake = Filter::parse(&self.q).err();
        ask
    }

    fn paging(&self, next: Option<String>) -> Paging {
        Paging { next, inside: !self.cursor.is_empty() }
    }
}

fn given(text: &str) -> Option<String> {
    (!text.trim().is_empty()).then(|| text.to_owned())
}

/// `/`
pub(crate) async fn home() -> Redirect {
    Redirect::to("/events")
}

/// The list of sessions.
pub(crate) async fn sessions(
    State(state): State<AppState>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let (ask, now) = (asked.ask("/sessions"), Timestamp::now());
    let (mut list, mut next) = (Vec::new(), None);
    if ask.mistake.is_none() {
        let query = SessionsQuery {
            q: given(&asked.q),
            state: given(&asked.state),
            limit: Some(ROWS),
            cursor: given(&asked.cursor),
        };
        let page = sessions::page(&state, &query).await?;
        next = page.next;
        for session in page.sessions {
            list.push(with_place(&state, SessionView::from(session)).await?);
        }
    }
    let status = if ask.mistake.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let paging = asked.paging(next);
    let content =
        SessionsPage { ask: &ask, sessions: &list, paging: &paging, first_step: FIRST_STEP, now }.render();
    let frame = Frame { title: "Sessions", nav: Nav::Sessions, plays: false };
    frame.answer(&state, &viewer, status, now, &content).await
}

/// Looks up where the closing event of a session stands in the trail, where that is not known: the session was live
/// when it was read.
async fn with_place(state: &AppState, mut view: SessionView) -> Result<SessionView, Problem> {
    if let Some((event, place @ None)) = &mut view.proven_by {
        *place = Some(events::index_of(state, event).await?);
    }
    Ok(view)
}

/// One session.
pub(crate) async fn session(
    State(state): State<AppState>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (id, now): (SessionId, _) = (parsed("id", &id)?, Timestamp::now());
    let session = with_place(&state, SessionView::from(sessions::find(&state, &id).await?)).await?;
    let q = format!("{} -kind:recording.mark", term("session", id.as_str()));
    let query =
        EventsQuery { q: Some(q), limit: Some(BESIDE), order: Some(Order::Oldest), ..EventsQuery::default() };
    let beside = views(&state, events::page(&state, &query).await?.rows)?;
    let looker = Looker::from(&viewer);
    let page = SessionPage { session: &session, beside: &beside, looker: &looker, now };
    let frame = Frame { title: &page.title(), nav: Nav::Sessions, plays: looker.may_replay };
    frame.answer(&state, &viewer, StatusCode::OK, now, &page.render()).await
}

/// The timeline: every event, how many there are when, and with which values.
pub(crate) async fn events(
    State(state): State<AppState>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let (mut ask, now) = (asked.ask("/events"), Timestamp::now());
    ask.keep = vec![("order", asked.order.clone()), ("by", asked.by.clone())];
    let (mut list, mut next, mut counts) = (Vec::new(), None, None);
    if ask.mistake.is_none() {
        let order = (asked.order == "oldest").then_some(Order::Oldest);
        let query =
            EventsQuery { q: given(&asked.q), limit: Some(ROWS), cursor: given(&asked.cursor), order };
        let page = events::page(&state, &query).await?;
        next = page.next;
        list = views(&state, page.rows)?;
        let budget = if asked.counts == "all" { LONG_COUNT } else { SHORT_COUNT };
        let filter = events::filter(Some(&asked.q))?;
        let times = Counts::of(&state, &filter, &Wanted { facets: false, budget, now }).await?;
        let values = Counts::of(&state, &filter, &Wanted { facets: true, budget, now }).await?;
        counts = Some((times, values));
    }
    let status = if ask.mistake.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let paging = asked.paging(next);
    let by = if asked.by == "kind" { "kind" } else { "outcome" };
    let counts = counts.as_ref().map(|(times, values)| CountsView { ask: &ask, times, values, by });
    let may_export = viewer.may(Capability::Export);
    let content =
        EventsPage { ask: &ask, events: &list, counts: counts.as_ref(), paging: &paging, may_export, now }
            .render();
    let frame = Frame { title: "Timeline", nav: Nav::Timeline, plays: false };
    frame.answer(&state, &viewer, status, now, &content).await
}

/// One event.
pub(crate) async fn event(
    State(state): State<AppState>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (id, now): (EventId, _) = (parsed("id", &id)?, Timestamp::now());
    let (index, leaf) = events::leaf(&state, &id).await?;
    let view = view(&state, index, &leaf)?;
    let content = EventPage { view: &view, size: state.trail().size(), now }.render();
    let frame = Frame { title: &format!("Event {id}"), nav: Nav::Timeline, plays: false };
    frame.answer(&state, &viewer, StatusCode::OK, now, &content).await
}

/// The event at an index, under its own address.
pub(crate) async fn event_at(
    State(state): State<AppState>,
    Path(index): Path<String>,
) -> Result<Redirect, Problem> {
    let index: u64 = parsed("index", &index)?;
    let leaf = events::leaf_at(&state, index).await?;
    Ok(Redirect::to(&under("/events", &view(&state, index, &leaf)?.event.id.to_string())))
}

fn views(state: &AppState, rows: Vec<(u64, bytes::Bytes)>) -> Result<Vec<EventView>, Problem> {
    rows.iter().map(|(index, leaf)| view(state, *index, leaf)).collect()
}

fn view(state: &AppState, index: u64, leaf: &[u8]) -> Result<EventView, Problem> {
    let unreadable = || {
        Problem::internal(format!("the event at index {index} can't be read; run `meshtrail verify --all`"))
    };
    let event = Event::from_json(leaf).map_err(|error| unreadable().because(&error))?;
    let leaf = String::from_utf8(leaf.to_vec()).map_err(|error| unreadable().because(&error))?;
    let best =
        state.learned().best(leaf.as_bytes()).and_then(|best| Event::from_json(&best).ok()).map(Box::new);
    Ok(EventView { index, event, best, leaf })
}

/// What a page is within the console.
pub(super) struct Frame<'a> {
    pub(super) title: &'a str,
    pub(super) nav: Nav,
    pub(super) plays: bool,
}

impl Frame<'_> {
    /// The page with `content` in the console's frame.
    pub(super) async fn answer(
        &self,
        state: &AppState,
        viewer: &Viewer,
        status: StatusCode,
        now: Timestamp,
        content: &Markup,
    ) -> Result<Response, Problem> {
        let (looker, sound) = (Looker::from(viewer), sound(state).await?);
        let shell = Shell {
            title: self.title,
            nav: self.nav,
            looker: Some(&looker),
            sound: Some(&sound),
            now,
            plays: self.plays,
            banner: state.banner(),
        };
        let policy = if self.plays { PLAYING_POLICY } else { POLICY };
        Ok(super::page(status, policy, shell.page(content)))
    }
}

/// How the trail stands: its size, and when its newest event came in.
async fn sound(state: &AppState) -> Result<Sound, Problem> {
    let events = state.trail().size();
    let newest = match events.checked_sub(1) {
        Some(last) => Some(view(state, last, &events::leaf_at(state, last).await?)?.event.received),
        None => None,
    };
    Ok(Sound { events, newest })
}
