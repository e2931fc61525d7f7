//! Export jobs: asking for one, how far each is, and its file.

use axum::Form;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderValue, StatusCode, header};
use maud::{Markup, html};
use meshtrail_event::Timestamp;
use serde::Deserialize;

use super::ask::under;
use super::layout::{Nav, empty};
use super::pages::Frame;
use super::{parts, words};
use crate::api::exports::{NewExport, begin};
use crate::api::query::AnswerFormat;
use crate::auth::Viewer;
use crate::exports::{Export, Progress};
use crate::problem::Problem;
use crate::state::AppState;

/// Seconds after which a page with an export that is being made is asked for again.
const AGAIN: HeaderValue = HeaderValue::from_static("2");

/// What the form is filled with: a filter or a question that another page was about.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    filter: String,
    sql: String,
}

/// The form as it is sent.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    what: What,
    #[serde(default)]
    question: String,
    #[serde(default)]
    format: AnswerFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Sql,
    Filter,
}

/// The page.
pub(super) async fn exports(
    State(state): State<AppState>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let (exports, now) = (state.exports().list(), Timestamp::now());
    let content = render(&asked, &exports, now);
    let frame = Frame { title: "Exports", nav: Nav::Exports, plays: false };
    let mut answer = frame.answer(&state, &viewer, StatusCode::OK, now, &content).await?;
    if exports.iter().any(|export| !export.progress.is_over()) {
        answer.headers_mut().insert(header::REFRESH, AGAIN);
    }
    Ok(answer)
}

/// Begins an export, and shows the list.
pub(super) async fn begun(
    State(state): State<AppState>,
    viewer: Viewer,
    Form(wanted): Form<Wanted>,
) -> Result<Response, Problem> {
    let new = match wanted.what {
        What::Sql => NewExport { sql: Some(wanted.question), filter: None, format: wanted.format },
        What::Filter => NewExport { sql: None, filter: Some(wanted.question), format: AnswerFormat::Jsonl },
    };
    begin(&state, &viewer, new).await?;
    Ok(Redirect::to("/exports").into_response())
}

fn render(asked: &Asked, exports: &[Export], now: Timestamp) -> Markup {
    html! {
        h1 { "Exports" }
        p.q { "Made on the server while you do something else, and kept for seven days. Asking for one and taking it away are written into the trail." }
        (form(asked))
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

fn form(asked: &Asked) -> Markup {
    let by_sql = asked.filter.is_empty();
    let question = if by_sql { &asked.sql } else { &asked.filter };
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
            td.at-know { code { (words::clipped(&export.question, 200)) } @if let Some(error) = &export.error { p.unsure { (words::foreign(error)) } } }
            td.at-time { (parts::moment(Some(export.started), "", now)) }
            td.at-size.r.n { (words::count(export.rows)) span.label { " rows" } }
            td.at-size.r.n { (words::size(export.bytes)) }
            td.at-owner { (words::clipped(&export.by, 40)) }
            td.at-file { @if export.progress == Progress::Done { a href=(file) download { (export.format) } } @else { span.q { "–" } } }
        }
    }
}

/// How far it is, as a word with a shape.
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
