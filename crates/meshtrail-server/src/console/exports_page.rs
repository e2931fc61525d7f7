//! The page of export jobs: a form for a new one, the progress of each, and its file.

use axum::Form;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderValue, StatusCode, header};
use maud::{Markup, html};
use meshtrail_api::exports::NewExport;
use meshtrail_api::query::AnswerFormat;
use meshtrail_event::Timestamp;
use serde::Deserialize;

use super::handlers::Frame;
use super::layout::empty;
use super::nav::Nav;
use super::page_filter::under;
use super::{components, format};
use crate::api::exports::start;
use crate::auth::Caller;
use crate::exports::{Export, ExportParts, Exports, Progress};
use crate::problem::Problem;
use crate::state::AppState;

/// Seconds after which the browser reloads a page with an unfinished export.
const REFRESH_SECONDS: HeaderValue = HeaderValue::from_static("2");

/// The form's initial filter or SQL, from the address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FormPrefill {
    filter: String,
    sql: String,
}

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
    let content = render(&prefill, &exports, now);
    let frame = Frame { title: "Exports", nav: Nav::Exports, plays: false };
    let mut answer = frame.respond(&state, &caller, StatusCode::OK, now, &content).await?;
    if exports.iter().any(|export| !export.progress.is_over()) {
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

fn render(prefill: &FormPrefill, exports: &[Export], now: Timestamp) -> Markup {
    html! {
        h1 { "Exports" }
        p.q { "Made on the server while you do something else, and kept for seven days. Asking for one and taking it away are written into the trail." }
        (form(prefill))
        @if exports.is_empty() {
            (empty("No exports", "Ask for one above, or on the command line:", Some("meshtrail exports create --filter 'kind:ssh.* since:7d' --output sessions.jsonl")))
        } @else {
            table.list.exports {
                thead { tr {
                    th.c-state scope="col" { "State" } th scope="col" { "Question" } th.c-time scope="col" { "Asked for (UTC)" }
                    th.c-size.r scope="col" { "Rows" } th.c-size.r scope="col" { "Size" } th.c-owner scope="col" { "By" } th.c-few scope="col" { "File" }
                } }
                tbody { @for export in exports { (row(export, now)) } }
            }
        }
    }
}

fn form(prefill: &FormPrefill) -> Markup {
    let by_sql = prefill.filter.is_empty();
    let question = if by_sql { &prefill.sql } else { &prefill.filter };
    html! {
        form.export method="post" action="/exports" {
            label { "Ask by " select name="what" {
                option value="filter" selected[!by_sql] { "filter: events as they are proven" }
                option value="sql" selected[by_sql] { "SQL: an answer" }
            } }
            label { "File " select name="format" {
                option value="jsonl" { "JSON lines" } option value="csv" { "CSV (SQL)" } option value="parquet" { "Parquet (SQL)" }
            } }
            label.question { span.unseen { "Question" } textarea name="question" rows="3" required spellcheck="false" placeholder="select * from flow where time > now() - interval '1 day'" { (question) } }
            button.main { "Make the export" }
        }
    }
}

fn row(export: &Export, now: Timestamp) -> Markup {
    let file = format!("{}/file", under("/api/v1/exports", &export.id));
    html! {
        tr data-row {
            td.at-state { (state(export)) }
            td.at-know { code { (format::clipped(&export.question, 200)) } @if let Some(error) = &export.error { p.unsure { (format::untrusted(error)) } } }
            td.at-time { (components::moment(Some(export.started), "", now)) }
            td.at-size.r.n { (format::count(export.rows)) span.label { " rows" } }
            td.at-size.r.n { (format::size(export.bytes)) }
            td.at-owner { (format::clipped(&export.by, 40)) }
            td.at-file { @if export.progress == Progress::Done { a href=(file) download { (export.format) } } @else { span.q { "–" } } }
        }
    }
}

/// The progress as a word with a shape.
fn state(export: &Export) -> Markup {
    let (shape, word) = match export.progress {
        Progress::Waiting => ("ended", "waiting"),
        Progress::Running => ("live", "running"),
        Progress::Done => ("connected", "done"),
        Progress::Failed => ("failed", "failed"),
        Progress::Cancelled => ("interrupted", "given up"),
    };
    html! {
        span class={ "state " (shape) } { (word) }
        @if let (Progress::Running, Some(at), Some(of)) = (export.progress, export.looked_at, export.of) {
            " " progress max=(of) value=(at) { (at) " of " (of) }
        }
    }
}
