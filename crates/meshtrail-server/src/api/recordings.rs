//! Recordings: export, replay, live view, and ending a session.
//!
//! Each use is in the trail before the first byte is sent.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::response::sse::Event;
use futures::StreamExt;
use http::{HeaderValue, header};
use meshtrail_api::recordings::{CastQuery, KillRequest, Killed, Purpose, RecordingQuery};
use meshtrail_event::text::visible;
use meshtrail_event::{Kind, SessionId};
use meshtrail_recording::{FollowEvent, Recordings};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use super::{sessions, sse};
use crate::audit_log::{AuditLog, Entry};
use crate::auth::Caller;
use crate::extract::{ValidJson, ValidQuery, parse_field};
use crate::problem::Problem;

const ASCIICAST: &str = "application/x-asciicast";

/// The longest reason or message, in bytes.
const MAX_TEXT: usize = 2000;

/// The received bytes, exactly.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/recording", tag = "recordings",
    params(("id" = String, Path), RecordingQuery),
    responses((status = 200, body = String, content_type = "application/x-asciicast")))]
pub(crate) async fn recording(
    State(recordings): State<Recordings>,
    State(audit_log): State<AuditLog>,
    caller: Caller,
    Path(id): Path<String>,
    ValidQuery(query): ValidQuery<RecordingQuery>,
) -> Result<Response, Problem> {
    let id: SessionId = parse_field("id", &id)?;
    sessions::find(&recordings, &id).await?;
    let bytes = recordings.stream_bytes(&id).await.map_err(sessions::unplayable)?;
    let entry = match query.purpose {
        Purpose::Export => Entry::new(Kind::MeshtrailExported, "recording"),
        Purpose::View => Entry::new(Kind::MeshtrailViewed, "replay"),
        Purpose::Verify => Entry::new(Kind::MeshtrailViewed, "verify"),
    };
    audit_log.write(&caller, entry.with_session(&id)).await?;
    let mut response = cast_response(Body::from_stream(bytes));
    let name = format!("attachment; filename=\"{id}.cast\"");
    let name = HeaderValue::from_str(&name).expect("a session's id is plain ASCII");
    response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

/// The recording for a player: what the stream got wrong is repaired, and times go forward.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/cast", tag = "recordings",
    params(("id" = String, Path), CastQuery),
    responses((status = 200, body = String, content_type = "application/x-asciicast")))]
pub(crate) async fn cast(
    State(recordings): State<Recordings>,
    State(audit_log): State<AuditLog>,
    caller: Caller,
    Path(id): Path<String>,
    ValidQuery(query): ValidQuery<CastQuery>,
) -> Result<Response, Problem> {
    let id: SessionId = parse_field("id", &id)?;
    let from = Duration::try_from_secs_f64(query.from.unwrap_or(0.0))
        .map_err(|_| Problem::bad_request("from", "write seconds of zero or more"))?;
    sessions::find(&recordings, &id).await?;
    let lines = recordings.playback(&id, from).await.map_err(sessions::unplayable)?;
    audit_log.write(&caller, Entry::new(Kind::MeshtrailViewed, "replay").with_session(&id)).await?;
    Ok(cast_response(Body::from_stream(lines)))
}

fn cast_response(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(ASCIICAST));
    response
}

/// A live session as it goes on: each `data:` is one line of asciicast v2, the header first. Ends with `event: done`,
/// or with `event: slow` for one who reads too slowly.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/follow", tag = "recordings", params(("id" = String, Path)),
    responses((status = 200, body = String, content_type = "text/event-stream")))]
pub(crate) async fn follow(
    State(recordings): State<Recordings>,
    State(audit_log): State<AuditLog>,
    State(stop): State<CancellationToken>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id: SessionId = parse_field("id", &id)?;
    sessions::find(&recordings, &id).await?;
    let lines = recordings.follow(&id).await.map_err(sessions::unplayable)?;
    audit_log.write(&caller, Entry::new(Kind::MeshtrailViewed, "follow").with_session(&id)).await?;
    let events = lines.map(|followed| match followed {
        FollowEvent::Line(line) => Event::default().data(line),
        FollowEvent::Ended => Event::default().event("done").data("{}"),
        FollowEvent::TooSlow => Event::default().event("slow").data("{}"),
    });
    Ok(sse::response(stop, events))
}

/// Ends a live session: the node is told that the recording failed, and ends it if its policy enforces recording.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/kill", tag = "recordings", params(("id" = String, Path)),
    request_body = KillRequest, responses((status = 200, body = Killed)))]
pub(crate) async fn kill(
    State(recordings): State<Recordings>,
    caller: Caller,
    Path(id): Path<String>,
    ValidJson(request): ValidJson<KillRequest>,
) -> Result<Json<Killed>, Problem> {
    let id: SessionId = parse_field("id", &id)?;
    sessions::find(&recordings, &id).await?;
    let reason = check_text("reason", &request.reason)?;
    let message = request.message.as_deref().unwrap_or("This session was ended by an administrator.");
    let message = check_text("message", message)?;
    sessions::end(&recordings, &caller, &id, &message, &reason).await?;
    let effect =
        "the node was told that the recording failed; it ends the session if its policy enforces recording";
    Ok(Json(Killed { session: id.to_string(), message, effect: effect.to_owned() }))
}

/// Checks the length of a typed text and escapes control characters, since it is shown in a terminal.
fn check_text(field: &str, text: &str) -> Result<String, Problem> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Problem::bad_request(field, "say it in words: this goes into the trail"));
    }
    if text.len() > MAX_TEXT {
        return Err(Problem::bad_request(field, format!("at most {MAX_TEXT} bytes")));
    }
    Ok(visible(text).into_owned())
}
