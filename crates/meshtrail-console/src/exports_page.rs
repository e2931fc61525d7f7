//! The page of export jobs: a form for a new one, the progress of each, and its file.

use maud::{Markup, html};
use meshtrail_api::exports::{Export, Progress};
use meshtrail_event::Timestamp;
use serde::Deserialize;

use super::layout::empty;
use super::page_filter::under;
use super::{components, format};

/// The form's initial filter or SQL, from the address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct FormPrefill {
    filter: String,
    sql: String,
}

/// The content of the page.
pub struct ExportsPage<'a> {
    /// What the form asks for at first.
    pub prefill: &'a FormPrefill,
    /// The jobs, the newest first.
    pub exports: &'a [Export],
    /// When the page is made.
    pub now: Timestamp,
}

impl ExportsPage<'_> {
    /// The page's content.
    pub fn render(&self) -> Markup {
        html! {
            h1 { "Exports" }
            p.q { "Made on the server while you do something else, and kept for seven days. Asking for one and taking it away are written into the trail." }
            (form(self.prefill))
            @if self.exports.is_empty() {
                (empty("No exports", "Ask for one above, or on the command line:", Some("meshtrail exports create --filter 'kind:ssh.* since:7d' --output sessions.jsonl")))
            } @else {
                table.list.exports {
                    thead { tr {
                        th.c-state scope="col" { "State" } th scope="col" { "Question" } th.c-time scope="col" { "Asked for (UTC)" }
                        th.c-size.r scope="col" { "Rows" } th.c-size.r scope="col" { "Size" } th.c-owner scope="col" { "By" } th.c-few scope="col" { "File" }
                    } }
                    tbody { @for export in self.exports { (row(export, self.now)) } }
                }
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
    let (shape, word) = match &export.progress {
        Progress::Waiting => ("ended", "waiting"),
        Progress::Running => ("live", "running"),
        Progress::Done => ("connected", "done"),
        Progress::Failed => ("failed", "failed"),
        Progress::Cancelled => ("interrupted", "given up"),
        Progress::Other(word) => ("ended", &**word),
    };
    html! {
        span class={ "state " (shape) } { (word) }
        @if let (Progress::Running, Some(at), Some(of)) = (&export.progress, export.looked_at, export.of) {
            " " progress max=(of) value=(at) { (at) " of " (of) }
        }
    }
}
