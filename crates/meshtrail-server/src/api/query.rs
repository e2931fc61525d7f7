//! SQL over the trail.
//!
//! The question is in the trail before it runs. An answer that breaks off midway is cut off, never ended: a program
//! can tell it from a whole one. Where the format has room for it, its last line says why.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderValue, header};
use meshtrail_event::{Kind, Own};
use meshtrail_worker::{Answer, Budget, Fault, Format, QueryError};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::auth::Viewer;
use crate::diary::Entry;
use crate::extract::Sent;
use crate::problem::Problem;
use crate::state::AppState;

/// The longest question in bytes that is kept word for word in the trail.
const MAX_KEPT: usize = 8 << 10;

/// The longest that a question may ask for, in seconds.
const MAX_SECONDS: u64 = 3600;

/// How an answer is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AnswerFormat {
    /// One JSON object a line.
    #[default]
    Jsonl,
    /// Comma-separated values with headings; every value exactly as it is.
    Csv,
    /// The same for spreadsheets: a text that one would take for a formula begins with an apostrophe.
    #[serde(rename = "csv-safe")]
    CsvSafe,
    /// A Parquet file.
    Parquet,
    /// A line that names the columns, one JSON array a row, and a line that counts them.
    Rows,
}

/// A question in SQL.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// One `select` over the tables of docs/sql.md.
    pub sql: String,
    /// How the answer is written; `jsonl` without it.
    #[serde(default)]
    pub format: AnswerFormat,
    /// At most this many rows; without it, as many as the server allows.
    #[serde(default)]
    pub limit: Option<u64>,
    /// Seconds it may take, 1 to 3600; without it, as long as the server allows.
    #[serde(default)]
    pub timeout: Option<u64>,
}

impl From<AnswerFormat> for Format {
    fn from(format: AnswerFormat) -> Format {
        match format {
            AnswerFormat::Jsonl => Format::JsonLines,
            AnswerFormat::Csv => Format::Csv,
            AnswerFormat::CsvSafe => Format::CsvSafe,
            AnswerFormat::Parquet => Format::Parquet,
            AnswerFormat::Rows => Format::Rows,
        }
    }
}

/// Asks the trail in SQL; the answer streams.
#[utoipa::path(post, path = "/api/v1/query", tag = "query", request_body = Question,
    responses((status = 200, content_type = "application/x-ndjson", body = String)))]
pub(crate) async fn query(
    State(state): State<AppState>,
    viewer: Viewer,
    Sent(question): Sent<Question>,
) -> Result<Response, Problem> {
    let budget = budget(&question, state.sql().budget())?;
    write_down(&state, &viewer, "query", &question.sql).await?;
    let format = Format::from(question.format);
    let asker = viewer.who.to_string();
    let asked =
        meshtrail_worker::Question { asker, sql: question.sql, format, budget, limit: question.limit };
    let answer = state.sql().ask(asked).await?;
    let mut response = Response::new(Body::from_stream(until_stop(parts(answer), state.stop().clone())));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Writes down who asks what; durable on return.
pub(crate) async fn write_down(
    state: &AppState,
    viewer: &Viewer,
    what: &str,
    sql: &str,
) -> Result<(), Problem> {
    let mut entry = Entry::new(Kind::MeshtrailViewed, what);
    entry.own = Own { message: Some(kept(sql)), ..entry.own };
    state.diary().write(viewer, entry).await
}

/// A question as it is kept: whole, or cut with its length.
pub(crate) fn kept(sql: &str) -> String {
    if sql.len() <= MAX_KEPT {
        return sql.to_owned();
    }
    let end = (0..=MAX_KEPT).rev().find(|&at| sql.is_char_boundary(at)).unwrap_or(0);
    format!("{}… ({} bytes in all)", &sql[..end], sql.len())
}

/// What a question may take: what it asks for, and never more rows than `usual`.
fn budget(question: &Question, usual: &Budget) -> Result<Budget, Problem> {
    let time = match question.timeout {
        None => usual.time,
        Some(seconds) if (1..=MAX_SECONDS).contains(&seconds) => Duration::from_secs(seconds),
        Some(_) => {
            return Err(Problem::bad_request("timeout", format!("ask for 1 to {MAX_SECONDS} seconds")));
        }
    };
    if question.limit == Some(0) {
        return Err(Problem::bad_request("limit", "ask for at least one row"));
    }
    Ok(Budget { time, rows: usual.rows })
}

/// The bytes of an answer. An error in it ends the stream with an error, which cuts the body off, after a line that says
/// why where the format has lines.
fn parts(answer: Answer) -> impl futures::Stream<Item = Result<Bytes, QueryError>> + Send {
    let state = Some((answer, None));
    futures::stream::unfold(state, |state| async move {
        let (mut answer, broken) = state?;
        if let Some(error) = broken {
            return Some((Err(error), None));
        }
        match answer.next().await {
            Ok(None) => None,
            Ok(Some(bytes)) => Some((Ok(bytes), Some((answer, None)))),
            Err(error) => {
                tracing::warn!(%error, "an answer in SQL was cut off");
                match answer.format().error_line(&error) {
                    Some(line) => Some((Ok(line.into()), Some((answer, Some(error))))),
                    None => Some((Err(error), None)),
                }
            }
        }
    })
}

/// The same, cut off when the server stops: an answer that breaks off never looks whole.
fn until_stop(
    parts: impl futures::Stream<Item = Result<Bytes, QueryError>> + Send,
    stop: CancellationToken,
) -> impl futures::Stream<Item = Result<Bytes, QueryError>> + Send {
    let stopped = futures::stream::once(stop.cancelled_owned())
        .map(|()| Some(Err(QueryError::new(Fault::Busy, "the server stops: ask again in a moment"))));
    let parts = parts.map(Some).chain(futures::stream::iter([None]));
    futures::stream::select(parts, stopped).scan(false, |broken, part| {
        let next = if *broken { None } else { part };
        *broken |= matches!(next, Some(Err(_)));
        futures::future::ready(next)
    })
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Problem {
        let told = error.to_string();
        match error.fault {
            Fault::Query | Fault::Budget => Problem::bad_request("sql", told),
            Fault::Refused => Problem { field: Some("sql".to_owned()), ..Problem::forbidden(told) },
            Fault::Busy | Fault::Missing => Problem::unavailable(told),
            Fault::Died => Problem::internal(told),
            Fault::Trail => Problem::internal("the question could not be answered").because(&error),
        }
    }
}
