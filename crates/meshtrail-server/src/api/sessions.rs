//! Sessions: list and show.

use axum::Json;
use axum::extract::{Path, State};
use meshtrail_api::sessions::{self as view, SessionsPage, SessionsQuery};
use meshtrail_event::text::visible;
use meshtrail_event::{Detail, Draft, EventId, Kind, SessionFacts, SessionId, TrailName};
use meshtrail_recording::{Cursor, KillError, ReadError, Recordings, Session, SessionKind, SessionState};
use meshtrail_trail::Trail;

use crate::auth::Caller;
use crate::cursor;
use crate::extract::{ValidQuery, parse_field};
use crate::problem::Problem;

/// A session by its id.
pub(crate) async fn find(recordings: &Recordings, id: &SessionId) -> Result<Session, Problem> {
    match recordings.session(id).await {
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
    recordings: &Recordings,
    caller: &Caller,
    id: &SessionId,
    message: &str,
    reason: &str,
) -> Result<(), Problem> {
    let result = recordings.kill(id, (message, reason), caller.who.as_actor()).await;
    result.map_err(|error| match &error {
        KillError::NotLive { session } => Problem::conflict(format!("the session {session} is not live")),
        KillError::Event(_) => Problem::unavailable(error.to_string()).because(&error),
    })
}

/// The default number of sessions on a page.
const PAGE: usize = 50;

/// The most sessions on a page.
pub const MAX_PAGE: usize = 500;

/// Lists sessions: live ones first, then the newest.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "sessions", params(SessionsQuery),
    responses((status = 200, body = SessionsPage)))]
pub(crate) async fn list(
    State(trail): State<Trail>,
    State(recordings): State<Recordings>,
    ValidQuery(query): ValidQuery<SessionsQuery>,
) -> Result<Json<SessionsPage>, Problem> {
    let SessionsPage { sessions, next } = page(trail.name(), &recordings, &query).await?;
    Ok(Json(SessionsPage { sessions: sessions.into_iter().map(session_view).collect(), next }))
}

/// One session.
#[utoipa::path(get, path = "/api/v1/sessions/{id}", tag = "sessions", params(("id" = String, Path)),
    responses((status = 200, body = view::Session)))]
pub(crate) async fn show(
    State(recordings): State<Recordings>,
    Path(id): Path<String>,
) -> Result<Json<view::Session>, Problem> {
    Ok(Json(session_view(find(&recordings, &parse_field("id", &id)?).await?)))
}

/// A session as the API returns it.
pub(crate) fn session_view(session: Session) -> view::Session {
    view::Session {
        id: session.id,
        kind: match session.kind {
            SessionKind::Ssh => view::SessionKind::Ssh,
            SessionKind::Kube => view::SessionKind::Kube,
        },
        state: match session.state {
            SessionState::Live => view::SessionState::Live,
            SessionState::Ended => view::SessionState::Ended,
            SessionState::Interrupted => view::SessionState::Interrupted,
            SessionState::Failed => view::SessionState::Failed,
        },
        actor: session.actor,
        target: session.target,
        identity: session.identity,
        command: session.command,
        started: session.started,
        ended: session.ended,
        bytes: session.bytes,
        sha256: session.sha256,
        width: session.width,
        height: session.height,
        terminal: session.terminal,
        local_user: session.local_user,
        ssh_user: session.ssh_user,
        reason: session.reason,
        not_seen: session.not_seen,
        anomalies: session.anomalies,
        event: session.event,
        started_event: session.started_event,
        marks: session.marks,
        peer: session.peer,
        recorded_by: session.recorded_by,
        connection: session.connection,
        protocol: session.protocol,
        imported_from: session.imported_from,
        index_sha256: session.index_sha256,
        last_output: session.last_output,
    }
}

/// A page of sessions, for the console and the API.
pub(crate) async fn page(
    trail: &TrailName,
    recordings: &Recordings,
    query: &SessionsQuery,
) -> Result<SessionsPage<Session>, Problem> {
    let filter = super::events::parse_filter(query.q.as_deref())?;
    let limit = super::events::check_limit(query.limit, PAGE, MAX_PAGE)?;
    let wanted = query.state.as_deref().map(parse_state).transpose()?;
    let question = format!("sessions {wanted:?} {filter}");
    let start: Option<Cursor> = match &query.cursor {
        None => None,
        Some(text) => {
            let cursor = Cursor::read(&cursor::read(&question, text)?, trail);
            Some(cursor.map_err(|error| Problem::bad_request("cursor", error.to_string()))?)
        }
    };
    let matches = |session: &Session| {
        wanted.is_none_or(|wanted| session.state == wanted)
            && (filter.is_everything() || filter.matches(&as_leaf(session)))
    };
    let page = recordings.sessions(start, limit, matches).await.map_err(|error| unreadable(&error))?;
    let next = page.next.map(|next| cursor::write(&question, &next.write(trail)));
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
