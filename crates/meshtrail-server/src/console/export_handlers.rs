//! Handlers of the page of export jobs.

use axum::Form;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderValue, StatusCode, header};
use meshtrail_api::exports::NewExport;
use meshtrail_api::query::AnswerFormat;
use meshtrail_console::exports_page::{ExportsPage, FormPrefill};
use meshtrail_console::nav::Nav;
use meshtrail_event::Timestamp;
use serde::Deserialize;

use super::handlers::Frame;
use crate::api::exports::start;
use crate::auth::Caller;
use crate::exports::{ExportParts, Exports};
use crate::problem::Problem;
use crate::state::AppState;

/// Seconds after which the browser reloads a page with an unfinished export.
const REFRESH_SECONDS: HeaderValue = HeaderValue::from_static("2");

/// The form as it is submitted.
#[derive(Debug, Deserialize)]
pub(super) struct ExportForm {
    what: ExportKind,
    #[serde(default)]
    question: String,
    #[serde(default)]
    format: AnswerFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ExportKind {
    Sql,
    Filter,
}

/// The page of exports.
pub(super) async fn exports(
    State(state): State<AppState>,
    caller: Caller,
    Query(prefill): Query<FormPrefill>,
) -> Result<Response, Problem> {
    let (exports, now) = (state.exports().list(), Timestamp::now());
    let unfinished = exports.iter().any(|export| !export.progress.is_over());
    let content = ExportsPage { prefill: &prefill, exports: &exports, now }.render();
    let frame = Frame { title: "Exports", nav: Nav::Exports, plays: false };
    let mut answer = frame.respond(&state, &caller, StatusCode::OK, now, &content).await?;
    if unfinished {
        answer.headers_mut().insert(header::REFRESH, REFRESH_SECONDS);
    }
    Ok(answer)
}

/// Creates an export, and redirects to the list.
pub(super) async fn create(
    State(exports): State<Exports>,
    State(parts): State<ExportParts>,
    caller: Caller,
    Form(form): Form<ExportForm>,
) -> Result<Response, Problem> {
    let new = match form.what {
        ExportKind::Sql => NewExport { sql: Some(form.question), filter: None, format: form.format },
        ExportKind::Filter => {
            NewExport { sql: None, filter: Some(form.question), format: AnswerFormat::Jsonl }
        }
    };
    start(&exports, &parts, &caller, new).await?;
    Ok(Redirect::to("/exports").into_response())
}
