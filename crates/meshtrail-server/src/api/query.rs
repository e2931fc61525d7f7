//! SQL over the trail.
//!
//! The query is in the trail before it runs. A result that fails midway is aborted, never ended normally, so that a
//! program can tell it from a complete one. In line-based formats the last line says why.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderValue, header};
use meshtrail_api::query::{AnswerFormat, Question};
use meshtrail_event::Kind;
use meshtrail_worker::{AnswerStream, Budget, Fault, Format, QueryError, Workers};
use tokio_util::sync::CancellationToken;

use crate::audit_log::{AuditLog, Entry};
use crate::auth::Caller;
use crate::extract::ValidJson;
use crate::problem::Problem;

/// The longest time limit that a request may set, in seconds.
const MAX_SECONDS: u64 = 3600;

/// The worker's name for a format.
pub(crate) fn worker_format(format: AnswerFormat) -> Format {
    match format {
        AnswerFormat::Jsonl => Format::JsonLines,
        AnswerFormat::Csv => Format::Csv,
        AnswerFormat::CsvSafe => Format::CsvSafe,
        AnswerFormat::Parquet => Format::Parquet,
        AnswerFormat::Rows => Format::Rows,
    }
}

/// Asks the trail in SQL; the answer streams.
#[utoipa::path(post, path = "/api/v1/query", tag = "query", request_body = Question,
    responses((status = 200, content_type = "application/x-ndjson", body = String)))]
pub(crate) async fn query(
    State(sql): State<Workers>,
    State(audit_log): State<AuditLog>,
    State(stop): State<CancellationToken>,
    caller: Caller,
    ValidJson(question): ValidJson<Question>,
) -> Result<Response, Problem> {
    let budget = budget(&question, sql.budget())?;
    let entry = Entry::new(Kind::MeshtrailViewed, "query").with_query(&question.sql);
    audit_log.write(&caller, entry).await?;
    let format = worker_format(question.format);
    let asker = caller.who.to_string();
    let question =
        meshtrail_worker::Query { asker, sql: question.sql, format, budget, limit: question.limit };
    let answer = sql.ask(question).await?;
    let mut response = Response::new(Body::from_stream(abort_on_stop(answer_stream(answer), stop)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The budget of a query: its own time limit if it sets one, and the rows that the server allows.
fn budget(question: &Question, default: &Budget) -> Result<Budget, Problem> {
    let time = match question.timeout {
        None => default.time,
        Some(seconds) if (1..=MAX_SECONDS).contains(&seconds) => Duration::from_secs(seconds),
        Some(_) => {
            return Err(Problem::bad_request("timeout", format!("ask for 1 to {MAX_SECONDS} seconds")));
        }
    };
    if question.limit == Some(0) {
        return Err(Problem::bad_request("limit", "ask for at least one row"));
    }
    Ok(Budget { time, rows: default.rows })
}

/// The bytes of a result. An error ends the stream with an error, which aborts the body, after a line that says why
/// in line-based formats.
fn answer_stream(answer: AnswerStream) -> impl futures::Stream<Item = Result<Bytes, QueryError>> + Send {
    let state = Some((answer, None));
    futures::stream::unfold(state, |state| async move {
        let (mut answer, failed) = state?;
        if let Some(error) = failed {
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

/// Aborts the stream when the server stops, so that a partial result never looks complete.
fn abort_on_stop(
    parts: impl futures::Stream<Item = Result<Bytes, QueryError>> + Send,
    stop: CancellationToken,
) -> impl futures::Stream<Item = Result<Bytes, QueryError>> + Send {
    let stopped = futures::stream::once(stop.cancelled_owned())
        .map(|()| Some(Err(QueryError::new(Fault::Busy, "the server stops: ask again in a moment"))));
    let parts = parts.map(Some).chain(futures::stream::iter([None]));
    futures::stream::select(parts, stopped).scan(false, |failed, part| {
        let next = if *failed { None } else { part };
        *failed |= matches!(next, Some(Err(_)));
        futures::future::ready(next)
    })
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Problem {
        let detail = error.to_string();
        match error.fault {
            Fault::Query | Fault::Budget => Problem::bad_request("sql", detail),
            Fault::Refused => Problem { field: Some("sql".to_owned()), ..Problem::forbidden(detail) },
            Fault::Busy | Fault::Missing => Problem::unavailable(detail),
            Fault::Died => Problem::internal(detail),
            Fault::Trail => Problem::internal("the question could not be answered").because(&error),
        }
    }
}
