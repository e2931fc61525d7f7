//! Export jobs: create, list, show, download and remove.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use meshtrail_api::exports::{Export, ExportList, NewExport, Progress};
use meshtrail_api::query::AnswerFormat;
use meshtrail_event::{Kind, Timestamp};
use meshtrail_worker::Workers;
use tokio_util::io::ReaderStream;

use super::query::worker_format;
use crate::audit_log::{AuditLog, Entry};
use crate::auth::Caller;
use crate::exports::{ExportContent, ExportParts, Exports, file_name};
use crate::extract::ValidJson;
use crate::problem::Problem;

/// Begins an export.
#[utoipa::path(post, path = "/api/v1/exports", tag = "exports", request_body = NewExport,
    responses((status = 202, body = Export)))]
pub(crate) async fn create(
    State(exports): State<Exports>,
    State(parts): State<ExportParts>,
    caller: Caller,
    ValidJson(new): ValidJson<NewExport>,
) -> Result<(StatusCode, Json<Export>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(start(&exports, &parts, &caller, new).await?)))
}

/// Starts an export for `caller`; the request is in the trail on return.
pub(crate) async fn start(
    exports: &Exports,
    parts: &ExportParts,
    caller: &Caller,
    new: NewExport,
) -> Result<Export, Problem> {
    let (content, question, format) = parse_request(&parts.sql, &caller.who.to_string(), new).await?;
    let now = Timestamp::now();
    let export = Export {
        bytes: 0,
        by: caller.who.to_string(),
        error: None,
        finished: None,
        format,
        id: exports.next_id(now),
        looked_at: None,
        of: None,
        progress: Progress::Waiting,
        question,
        rows: 0,
        sha256: None,
        started: now,
    };
    let entry = Entry::new(Kind::MeshtrailExported, "export")
        .with_target("export", &export.id, "")
        .with_query(&export.question);
    parts.audit_log.write(caller, entry).await?;
    let started = exports.start(parts, export, content);
    started.map_err(|error| Problem::conflict(error.to_string()))
}

async fn parse_request(
    sql_workers: &Workers,
    asker: &str,
    new: NewExport,
) -> Result<(ExportContent, String, String), Problem> {
    match (new.sql, new.filter) {
        (Some(sql), None) if !sql.trim().is_empty() => {
            let format = match new.format {
                AnswerFormat::Rows => {
                    return Err(Problem::bad_request("format", "a file is jsonl, csv, csv-safe or parquet"));
                }
                format => worker_format(format),
            };
            sql_workers.check(asker, &sql).await?;
            Ok((ExportContent::Sql { sql: sql.clone(), format }, sql, format.name().to_owned()))
        }
        (None, Some(text)) => {
            if new.format != AnswerFormat::Jsonl {
                let detail = "leaves are exported as jsonl, byte for byte; ask in SQL for other formats";
                return Err(Problem::bad_request("format", detail));
            }
            let filter = super::events::parse_filter(Some(&text))
                .map_err(|problem| Problem { field: Some("filter".to_owned()), ..problem })?;
            Ok((ExportContent::Leaves(filter), text, "jsonl".to_owned()))
        }
        _ => Err(Problem::bad_request("sql", "give one of sql and filter")),
    }
}

/// Lists the exports there are.
#[utoipa::path(get, path = "/api/v1/exports", tag = "exports", responses((status = 200, body = ExportList)))]
pub(crate) async fn list(State(exports): State<Exports>) -> Json<ExportList> {
    Json(ExportList { exports: exports.list() })
}

/// One export, and how far it is.
#[utoipa::path(get, path = "/api/v1/exports/{id}", tag = "exports", params(("id" = String, Path)),
    responses((status = 200, body = Export)))]
pub(crate) async fn show(
    State(exports): State<Exports>,
    Path(id): Path<String>,
) -> Result<Json<Export>, Problem> {
    exports.get(&id).map(Json).ok_or_else(|| unknown(&id))
}

/// The file of an export that is whole.
#[utoipa::path(get, path = "/api/v1/exports/{id}/file", tag = "exports", params(("id" = String, Path)),
    responses((status = 200, content_type = "application/octet-stream", body = String)))]
pub(crate) async fn file(
    State(exports): State<Exports>,
    State(audit_log): State<AuditLog>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let export = exports.get(&id).ok_or_else(|| unknown(&id))?;
    if export.progress != Progress::Done {
        return Err(Problem::conflict("this export is not whole: its progress says how far it is"));
    }
    let unreadable =
        |error: std::io::Error| Problem::internal("the export's file can't be read").because(&error);
    let file = tokio::fs::File::open(exports.file(&export)).await.map_err(unreadable)?;
    let name = export.sha256.as_deref().unwrap_or_default();
    let entry = Entry::new(Kind::MeshtrailExported, "export taken").with_target("export", &export.id, name);
    audit_log.write(&caller, entry).await?;
    let mut response = Response::new(Body::from_stream(ReaderStream::new(file)));
    let headers = response.headers_mut();
    let disposition = format!("attachment; filename=\"meshtrail-{}\"", file_name(&export));
    let disposition = HeaderValue::from_str(&disposition).expect("an export's id is plain ASCII");
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(export.bytes));
    Ok(response)
}

/// Gives up an export that is being made, or removes one that is done with.
#[utoipa::path(delete, path = "/api/v1/exports/{id}", tag = "exports", params(("id" = String, Path)),
    responses((status = 200, body = Export)))]
pub(crate) async fn remove(
    State(exports): State<Exports>,
    State(audit_log): State<AuditLog>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Export>, Problem> {
    exports.get(&id).ok_or_else(|| unknown(&id))?;
    let entry = Entry::new(Kind::MeshtrailConfigChanged, "export removed").with_target("export", &id, "");
    audit_log.write(&caller, entry).await?;
    let removed = exports.remove(&id);
    let failed = |error: std::io::Error| Problem::internal("the export's file stays").because(&error);
    removed.map_err(failed)?.map(Json).ok_or_else(|| unknown(&id))
}

fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("there is no export {}", meshtrail_event::text::visible(id)))
}
