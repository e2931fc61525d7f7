//! SQL over the trail.
//!
//! The question is in the trail before it runs. An answer that breaks off midway is cut off, never ended: a program
//! can tell it from a whole one.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use futures::{StreamExt, TryStreamExt};
use http::{HeaderValue, header};
use meshtrail_event::{Kind, Own};
use meshtrail_sql::output::{Encoder, Format, OutputError};
use meshtrail_sql::{Answer, Budget, Fault, QueryError};
use serde::Deserialize;

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
    /// Comma-separated values with headings.
    Csv,
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
    let answer = state.sql().query(&question.sql, &budget).await?;
    let format = Format::from(question.format);
    let encoder = Encoder::new(format, answer.schema.clone()).map_err(unwritable)?;
    let stop = state.stop().clone().cancelled_owned();
    let mut response =
        Response::new(Body::from_stream(encoded(answer, encoder, question.limit).take_until(stop)));
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

/// The bytes of an answer's first rows; an error in it ends the stream with an error, which cuts the body off.
fn encoded(
    answer: Answer,
    encoder: Encoder,
    limit: Option<u64>,
) -> impl futures::Stream<Item = Result<Vec<u8>, CutOff>> + Send {
    let left = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let state = (Some(encoder), answer.stream, left);
    futures::stream::try_unfold(state, |(encoder, mut batches, left)| async move {
        let Some(mut encoder) = encoder else { return Ok(None) };
        let next = if left == 0 { None } else { batches.try_next().await.map_err(cut)? };
        match next {
            Some(batch) => {
                let batch = batch.slice(0, batch.num_rows().min(left));
                let bytes = encoder.encode(&batch).map_err(CutOff::Output)?;
                Ok(Some((bytes, (Some(encoder), batches, left - batch.num_rows()))))
            }
            None => Ok(Some((encoder.finish().map_err(CutOff::Output)?, (None, batches, 0)))),
        }
    })
    .inspect_err(|error| {
        tracing::warn!(error = error as &dyn std::error::Error, "an answer in SQL was cut off");
    })
}

fn cut(error: impl Into<QueryError>) -> CutOff {
    CutOff::Query(error.into())
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Problem {
        let told = error.to_string();
        match error.fault {
            Fault::Query | Fault::Budget => Problem::bad_request("sql", told),
            Fault::Refused => Problem { field: Some("sql".to_owned()), ..Problem::forbidden(told) },
            Fault::Busy => Problem::unavailable(told),
            Fault::Trail => Problem::internal("the question could not be answered").because(&error),
        }
    }
}

/// Why an answer broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CutOff {
    /// The question failed while it ran.
    #[error("the question failed while it ran")]
    Query(#[source] QueryError),
    /// The answer could not be written.
    #[error("the answer could not be written")]
    Output(#[source] OutputError),
}

fn unwritable(error: OutputError) -> Problem {
    Problem::internal("the answer can't be written in this format").because(&error)
}
