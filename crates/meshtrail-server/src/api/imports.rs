//! Imports of recordings: one request per file.
//!
//! A client looks the file's SHA-256 up first, so that nothing is sent twice. An upload of at most [`MAX_IMPORT`] bytes
//! is written to a temporary file beside the journal, which is removed after the import.

use std::path::PathBuf;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use futures::StreamExt;
use http::StatusCode;
use meshtrail_api::sessions::{ImportAnswer, ImportQuery};
use meshtrail_event::{Kind, SessionId, Timestamp};
use meshtrail_recording::{Import, ImportError, ImportOutcome, MAX_IMPORT, Recordings, SessionState};
use tokio::io::AsyncWriteExt as _;

use crate::audit_log::Entry;
use crate::auth::Caller;
use crate::extract::ValidQuery;
use crate::problem::Problem;
use crate::state::AppState;

fn known(session: &SessionId) -> ImportAnswer {
    ImportAnswer { outcome: "known".to_owned(), session: session.to_string(), state: None, reason: None }
}

/// The session that has exactly these bytes.
#[utoipa::path(get, path = "/api/v1/sessions/imports/{sha256}", tag = "sessions",
    params(("sha256" = String, Path)), responses((status = 200, body = ImportAnswer), (status = 404)))]
pub(crate) async fn find(
    State(recordings): State<Recordings>,
    Path(sha256): Path<String>,
) -> Result<Json<ImportAnswer>, Problem> {
    let is_digest = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_digest {
        return Err(Problem::bad_request("sha256", "a SHA-256 is 64 hexadecimal digits"));
    }
    match recordings.find_by_sha256(&sha256).await {
        Ok(Some(session)) => Ok(Json(known(&session))),
        Ok(None) => Err(Problem::not_found("no recording has these bytes")),
        Err(error) => Err(Problem::unavailable("the trail can't be read now").because(&error)),
    }
}

/// Takes a recording in: the body is its bytes, an asciicast of version 2.
#[utoipa::path(post, path = "/api/v1/sessions/imports", tag = "sessions", params(ImportQuery),
    request_body(content_type = "application/x-asciicast"),
    responses((status = 201, body = ImportAnswer), (status = 200, body = ImportAnswer)))]
pub(crate) async fn import(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    ValidQuery(query): ValidQuery<ImportQuery>,
    body: Body,
) -> Result<(StatusCode, Json<ImportAnswer>), Problem> {
    if state.banner().is_some() {
        return Err(Problem::conflict("this is a demo: it takes no real recordings"));
    }
    if query.from.is_empty() || query.from.len() > 1024 {
        return Err(Problem::bad_request("from", "say where it lay, in 1 to 1024 bytes"));
    }
    let started = query.started.as_deref().map(|text| text.parse::<Timestamp>());
    let named_start =
        started.transpose().map_err(|error| Problem::bad_request("started", error.to_string()))?;
    let file = receive(&state, body).await?;
    let import = Import {
        file: file.path(),
        from: &query.from,
        named_start,
        node: query.node.as_deref(),
        history: state.history(),
    };
    match state.recordings().import(import).await.map_err(import_problem)? {
        ImportOutcome::Existing(session) => Ok((StatusCode::OK, Json(known(&session)))),
        ImportOutcome::New(session) => {
            let mut entry = Entry::new(Kind::MeshtrailImported, "recording").with_session(&session.id);
            entry.own.source = Some(query.from);
            state.audit_log().write(&caller, entry).await?;
            let cut = session.state == SessionState::Interrupted;
            let answer = ImportAnswer {
                outcome: "imported".to_owned(),
                session: session.id.to_string(),
                state: Some(if cut { "interrupted" } else { "ended" }.to_owned()),
                reason: session.reason,
            };
            Ok((StatusCode::CREATED, Json(answer)))
        }
    }
}

/// An uploaded file, removed on drop.
struct UploadFile(PathBuf);

impl UploadFile {
    fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for UploadFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "a file that was handed in could not be removed");
        }
    }
}

async fn receive(state: &AppState, body: Body) -> Result<UploadFile, Problem> {
    let failed = |error: std::io::Error| {
        Problem::unavailable("the recording could not be written to the local disk").because(&error)
    };
    let folder = state.recordings().local().join("imports");
    tokio::fs::create_dir_all(&folder).await.map_err(failed)?;
    let upload = UploadFile(folder.join(format!("{}.cast", state.next_request_id())));
    let mut file = tokio::fs::File::create(upload.path()).await.map_err(failed)?;
    let mut parts = body.into_data_stream();
    let mut bytes = 0;
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| {
            Problem::bad_request("body", "the recording did not come whole").because(&error)
        })?;
        bytes += part.len() as u64;
        if bytes > MAX_IMPORT {
            return Err(Problem::bad_request("body", ImportError::TooLarge { bytes }.to_string()));
        }
        file.write_all(&part).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    Ok(upload)
}

fn import_problem(error: ImportError) -> Problem {
    match &error {
        ImportError::CastFile(error) => Problem::bad_request("body", error.to_string()),
        ImportError::TooLarge { .. } => Problem::bad_request("body", error.to_string()),
        ImportError::ReadOnly => Problem::conflict(error.to_string()),
        ImportError::Read(_) | ImportError::Store(_) | ImportError::Ledger(_) => {
            Problem::unavailable("the recording could not be kept; nothing of it was taken in")
                .because(&error)
        }
    }
}
