//! Evidence packs: one file that replays a session and verifies itself without this server.

mod gather;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use meshtrail_event::{Kind, SessionId};
use tokio::sync::Semaphore;

use crate::audit_log::Entry;
use crate::auth::Caller;
use crate::extract::parse_field;
use crate::pack::Pack;
use crate::problem::Problem;
use crate::state::AppState;

/// Limits the packs that are built at once: each holds a whole recording in memory three times.
static SLOTS: Semaphore = Semaphore::const_new(2);

/// What a browser that opens the file from here, instead of saving it, may do: nothing.
const PACK_CSP: &str = "sandbox; default-src 'none'";

/// An evidence pack: one HTML file that replays the session and checks recording, events and proofs offline.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/pack", tag = "recordings", params(("id" = String, Path)),
    responses((status = 200, body = String, content_type = "text/html")))]
pub(crate) async fn pack(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id: SessionId = parse_field("id", &id)?;
    let _slot =
        SLOTS.try_acquire().map_err(|_| Problem::unavailable("two packs are being made; ask again soon"))?;
    let parts = gather::gather(state.trail(), state.late_identities(), state.recordings(), &id).await?;
    state.audit_log().write(&caller, Entry::new(Kind::MeshtrailExported, "pack").with_session(&id)).await?;
    let failed =
        |error: &dyn std::error::Error| Problem::internal("the pack could not be made").because(error);
    let html = tokio::task::spawn_blocking(move || Pack::build(parts).map(|pack| pack.to_html()))
        .await
        .map_err(|error| failed(&error))?
        .map_err(|error| failed(&error))?;
    let name = HeaderValue::from_str(&format!("attachment; filename=\"{id}.html\""));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_DISPOSITION, name.expect("a session's id is plain ASCII")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PACK_CSP)),
    ];
    Ok((headers, html).into_response())
}
