//! Sessions: list and show.

use axum::Json;
use axum::extract::{Path, State};
use meshtrail_event::text::visible;
use meshtrail_event::{Detail, Draft, EventId, Kind, SessionFacts, SessionId};
use meshtrail_recording::{Cursor, KillError, ReadError, Session, SessionKind, SessionState};
use serde::{Deserialize, Serialize};

use crate::auth::Caller;
use crate::cursor;
use crate::extract::{ValidQuery, parse_field};
use crate::problem::Problem;
use crate::state::AppState;

/// A session by its id.
pub(crate) async fn find(state: &AppState, id: &SessionId) -> Result<Session, Problem> {
    match state.recordings().session(id).await {
        Ok(Some(session)) => Ok(session),
        Ok(None) => Err(unknown(id)),
        Err(error) => Err(unreadable(&error)),
    }
}

/// The problem for a session list that can't be read.
fn unreadable(error: &ReadError) -> Problem {
    Problem::unavailable(
        "the list of sessions can't be read now; `meshtrail verify --all` tells what is wrong",
    )
    .because(error)
}

/// The problem for a recording that can't be read or followed.
pub(crate) fn unplayable(error: ReadError) -> Problem {
    match &error {
        ReadError::Unknown { session } => unknown(session),
        ReadError::NotLive { session } => {
            Problem::conflict(format!("the session {session} is over; its recording can be played"))
        }
        ReadError::Ledger(_) | ReadError::Stored(_) | ReadError::Local(_) => Problem::unavailable(
            "the recording can't be read now; `meshtrail verify` tells whether something is missing",
        )
        .because(&error),
    }
}

fn unknown(id: &SessionId) -> Problem {
    Problem::not_found(format!("there is no session {}", visible(id.as_str())))
}

/// Ends a live session; the recorder writes the audit entry before it acts.
pub(crate) async fn end(
    state: &AppState,
    caller: &Caller,
    id: &SessionId,
    message: &str,
    reason: &str,
) -> Result<(), Problem> {
    let result = state.recordings().kill(id, (message, reason), caller.who.as_actor()).await;
    result.map_err(|error| match &error {
        KillError::NotLive { session } => Problem::conflict(format!("the session {session} is not live")),
        KillError::Event(_) => Problem::unavailable(error.to_string()).because(&error),
    })
}

/// The default number of sessions on a page.
const PAGE: usize = 50;

/// The most sessions on a page.
pub const MAX_PAGE: usize = 500;

/// Which sessions, and how many.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct SessionsQuery {
    /// A filter, such as `actor:alice@example.com since:24h`.
    pub q: Option<String>,
    /// Only sessions in this state: `live`, `ended`, `interrupted` or `failed`.
    pub state: Option<String>,
    /// At most this many: 1 to 500, 50 without it.
    pub limit: Option<usize>,
    /// Where the last answer's `next` left off. All pages of a list are of the moment of its first.
    pub cursor: Option<String>,
}

/// A page of sessions.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SessionsPage {
    /// Live ones first, then the newest.
    #[schema(value_type = Vec<Object>)]
    pub sessions: Vec<Session>,
    /// Where the list goes on; absent at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Lists sessions: live ones first, then the newest.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "sessions", params(SessionsQuery),
    responses((status = 200, body = SessionsPage)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    ValidQuery(query): ValidQuery<SessionsQuery>,
) -> Result<Json<SessionsPage>, Problem> {
    Ok(Json(page(&state, &query).await?))
}

/// One session.
#[utoipa::path(get, path = "/api/v1/sessions/{id}", tag = "sessions", params(("id" = String, Path)),
    responses((status = 200, body = Object)))]
pub(crate) async fn show(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Session>, Problem> {
    Ok(Json(find(&state, &parse_field("id", &id)?).await?))
}

/// A page of sessions, for the console and the API.
pub(crate) async fn page(state: &AppState, query: &SessionsQuery) -> Result<SessionsPage, Problem> {
    let filter = super::events::parse_filter(query.q.as_deref())?;
    let limit = super::events::check_limit(query.limit, PAGE, MAX_PAGE)?;
    let wanted = query.state.as_deref().map(parse_state).transpose()?;
    let question = format!("sessions {wanted:?} {filter}");
    let start: Option<Cursor> = match &query.cursor {
        None => None,
        Some(text) => Some(parse_field("cursor", &cursor::read(&question, text)?)?),
    };
    let matches = |session: &Session| {
        wanted.is_none_or(|wanted| session.state == wanted)
            && (filter.is_everything() || filter.matches(&as_leaf(session)))
    };
    let page =
        state.recordings().sessions(start, limit, matches).await.map_err(|error| unreadable(&error))?;
    let next = page.next.map(|next| cursor::write(&question, &next.to_string()));
    Ok(SessionsPage { sessions: page.sessions, next })
}

fn parse_state(text: &str) -> Result<SessionState, Problem> {
    let states = [SessionState::Live, SessionState::Ended, SessionState::Interrupted, SessionState::Failed];
    let names = ["live", "ended", "interrupted", "failed"];
    let state = names.iter().position(|name| *name == text).map(|at| states[at]);
    state.ok_or_else(|| Problem::bad_request("state", "the states are live, ended, interrupted and failed"))
}

/// A session as the event that records it, so that one filter language works for both. A live session has none yet.
fn as_leaf(session: &Session) -> Vec<u8> {
    let kind = match (session.kind, session.state) {
        (SessionKind::Ssh, SessionState::Live) => Kind::SshSessionStarted,
        (SessionKind::Ssh, SessionState::Ended) => Kind::SshSessionEnded,
        (SessionKind::Ssh, SessionState::Interrupted) => Kind::SshSessionInterrupted,
        (SessionKind::Ssh, SessionState::Failed) => Kind::SshSessionFailed,
        (SessionKind::Kube, SessionState::Live) => Kind::KubeSessionStarted,
        (SessionKind::Kube, SessionState::Ended) => Kind::KubeSessionEnded,
        (SessionKind::Kube, SessionState::Interrupted) => Kind::KubeSessionInterrupted,
        (SessionKind::Kube, SessionState::Failed) => Kind::KubeSessionFailed,
    };
    let facts = SessionFacts {
        command: session.command.clone(),
        requested_user: session.ssh_user.clone(),
        peer: session.peer.clone(),
        recorded_by: session.recorded_by.clone(),
        imported_from: session.imported_from.clone(),
        reason: session.reason.clone(),
        sha256: session.sha256.clone(),
        ..SessionFacts::default()
    };
    let draft = Draft {
        actor: session.actor.clone(),
        target: session.target.clone(),
        identity: session.identity.clone(),
        session: Some(session.id.clone()),
        detail: Some(Detail::Session(Box::new(facts))),
        ..Draft::new(kind, session.started)
    };
    let id = session.event.clone().or_else(|| session.started_event.clone());
    let unnamed =
        EventId { source: "live".parse().expect("a plain word is a source's name"), epoch: 0, sequence: 0 };
    draft.into_event(id.unwrap_or(unnamed), session.started).to_leaf()
}
