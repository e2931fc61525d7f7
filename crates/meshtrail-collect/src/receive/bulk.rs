//! Elasticsearch's `_bulk`, for shippers that support Elasticsearch.
//!
//! - Each document has a status of its own, in order: 201 once it is durable, 400 if it can't be parsed, 409 if its `_id`
//!   was created before. Only `create` and `index` are supported: nothing here is ever changed or deleted.
//! - The type of a document is recognised by its members, as with the event collector.
//!
//! Protocol: Elastic's "Bulk index or delete documents".

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use meshtrail_change::catalogue::Groups;
use meshtrail_event::Timestamp;
use meshtrail_trail::run_detached;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{BodyError, Bounds};
use super::body_dedup::{self, CreatedKey};
use super::hec::presented_tokens;
use super::record::{IncomingRecord, RecordBatch, RecordWriter};
use super::token::Token;
use super::{Shared, sender_of};

/// Limits on one request.
pub(super) const BOUNDS: Bounds =
    Bounds { received: 16 << 20, decoded: 64 << 20, time: Duration::from_secs(120) };
/// The most documents of one request.
const MAX_DOCUMENTS: usize = 1 << 17;

struct Bulk {
    shared: Shared,
    token: Token,
    writer: RecordWriter,
}

/// One action of a request, with its document.
struct BulkItem<'a> {
    verb: &'static str,
    index: Option<String>,
    id: Option<String>,
    document: Result<&'a [u8], String>,
}

#[derive(Deserialize)]
struct Address {
    #[serde(rename = "_index")]
    index: Option<String>,
    #[serde(rename = "_id")]
    id: Option<String>,
}

/// The receiver's routes.
pub(super) fn router(shared: &Shared, token: Token) -> Router {
    let bulk = Bulk { writer: RecordWriter::new("bulk", shared), shared: shared.clone(), token };
    Router::new()
        .route("/", get(cluster_info))
        .route("/_bulk", post(bulk_request).put(bulk_request))
        .route("/{index}/_bulk", post(bulk_request).put(bulk_request))
        .with_state(Arc::new(bulk))
}

/// The cluster's version, which senders request before they ship.
async fn cluster_info(State(bulk): State<Arc<Bulk>>, headers: HeaderMap) -> Response {
    if let Some(refused) = bulk.unauthorized(&headers) {
        return refused;
    }
    let version = json!({ "number": "8.17.0", "build_flavor": "default" });
    let body = json!({ "name": "meshtrail", "cluster_name": "meshtrail", "version": version, "tagline": "You Know, for Search" });
    let mut response = Json(body).into_response();
    response.headers_mut().insert("x-elastic-product", HeaderValue::from_static("Elasticsearch"));
    response
}

async fn bulk_request(State(bulk): State<Arc<Bulk>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    if let Some(refused) = bulk.unauthorized(&head.headers) {
        return refused;
    }
    let media =
        head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !media.split(';').next().unwrap_or_default().trim().ends_with("json") {
        let reason = format!("Content-Type header [{media}] is not supported");
        return refusal(StatusCode::NOT_ACCEPTABLE, "media_type_header_exception", &reason);
    }
    let read = match bulk.shared.room.read(&sender_of(&head.extensions), &head.headers, body, BOUNDS).await {
        Ok(read) => read,
        Err(error) => return body_refusal(&error),
    };
    // Runs to its end even if the sender disconnects.
    run_detached(tokio::spawn(async move { bulk.store(&read.bytes).await })).await
}

impl Bulk {
    /// The response to a request without the right token; none if it has it.
    fn unauthorized(&self, headers: &HeaderMap) -> Option<Response> {
        let known = presented_tokens(headers)
            .is_some_and(|tokens| tokens.iter().any(|token| self.token.matches(token)));
        if known {
            return None;
        }
        let mut response = refusal(
            StatusCode::UNAUTHORIZED,
            "security_exception",
            "missing or wrong credentials: send the token as ApiKey, Bearer or Basic password",
        );
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey"));
        Some(response)
    }

    async fn store(&self, body: &Bytes) -> Response {
        let requested = match parse_items(body) {
            Ok(requested) => requested,
            Err(reason) => return refusal(StatusCode::BAD_REQUEST, "illegal_argument_exception", &reason),
        };
        let intake = match self.writer.bodies.begin(&self.shared.wiring.trail, body).await {
            Ok(intake) => intake,
            Err(error) => return trail_unavailable(&error.to_string()),
        };
        let documents = requested.iter().filter_map(|one| one.document.as_ref().ok().copied());
        let groups = Groups::of(documents);
        let (mut records, mut items, mut created, mut errors) =
            (RecordBatch::default(), Vec::new(), Vec::new(), false);
        for (at, one) in requested.iter().enumerate() {
            let (status, error) = match &one.document {
                Err(reason) => (400, Some(("document_parsing_exception", reason.clone()))),
                Ok(_) if at < intake.durable => (201, None),
                Ok(_) if self.was_created(one, &created) => (
                    409,
                    Some(("version_conflict_engine_exception", "this _id was created before".to_owned())),
                ),
                Ok(document) => match records.add(at, "bulk", body, to_record(one, document), &groups) {
                    Ok(()) => {
                        created.extend(one.created_key());
                        (201, None)
                    }
                    Err(reason) => (400, Some(("document_parsing_exception", reason))),
                },
            };
            errors |= error.is_some();
            items.push(one.item(status, error));
        }
        if !records.is_empty()
            && let Err(reason) = self.writer.write(&self.shared, records, &intake).await
        {
            return trail_unavailable(&reason);
        }
        self.writer.bodies.record_created(created);
        Json(json!({ "took": 0, "errors": errors, "items": items })).into_response()
    }

    fn was_created(&self, one: &BulkItem<'_>, now: &[CreatedKey]) -> bool {
        let Some(key) = one.created_key() else { return false };
        now.contains(&key) || self.writer.bodies.was_created(&key)
    }
}

impl BulkItem<'_> {
    /// The key that a second `create` of the same id is found by.
    fn created_key(&self) -> Option<CreatedKey> {
        let id = self.id.as_ref().filter(|_| self.verb == "create")?;
        Some(body_dedup::created_key(self.index.as_deref().unwrap_or_default(), id))
    }

    fn item(&self, status: u16, error: Option<(&str, String)>) -> Value {
        let mut item = json!({ "_index": self.index, "_id": self.id, "status": status });
        if let Some((of_type, reason)) = error {
            item["error"] = json!({ "type": of_type, "reason": reason });
        }
        json!({ self.verb: item })
    }
}

/// Parses a body. An invalid action line refuses the whole body, since it is unclear what the next line belongs to.
fn parse_items(body: &[u8]) -> Result<Vec<BulkItem<'_>>, String> {
    if body.last() != Some(&b'\n') {
        return Err("The bulk request must be terminated by a newline [\\n]".to_owned());
    }
    let mut lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let (mut items, mut number) = (Vec::new(), 0);
    while let Some(line) = lines.next() {
        number += 1;
        if line.is_empty() {
            continue;
        }
        if items.len() >= MAX_DOCUMENTS {
            return Err(format!("more than {MAX_DOCUMENTS} documents in one request"));
        }
        let action: std::collections::BTreeMap<String, Address> = serde_json::from_slice(line)
            .map_err(|error| format!("Malformed action/metadata line [{number}]: {error}"))?;
        let (Some((verb, address)), 1) = (action.iter().next(), action.len()) else {
            return Err(format!("Malformed action/metadata line [{number}]: one action is expected"));
        };
        let verb = match verb.as_str() {
            "create" => "create",
            "index" => "index",
            "update" | "delete" => {
                return Err(format!("line [{number}]: {verb} is not taken, a trail only grows"));
            }
            other => {
                return Err(format!("Malformed action/metadata line [{number}]: unknown action {other:?}"));
            }
        };
        number += 1;
        let document = lines.next().filter(|line| !line.is_empty());
        let document = document.ok_or_else(|| format!("line [{number}]: a document is missing"))?;
        let is_object =
            serde_json::from_slice::<std::collections::HashMap<String, serde::de::IgnoredAny>>(document);
        let document = is_object.map(|_| document).map_err(|error| format!("failed to parse: {error}"));
        items.push(BulkItem { verb, index: address.index.clone(), id: address.id.clone(), document });
    }
    Ok(items)
}

/// Number of documents in a body.
pub(super) fn count_documents(body: &[u8]) -> Option<usize> {
    parse_items(body).ok().map(|items| items.len())
}

fn to_record<'a>(item: &BulkItem<'_>, json: &'a [u8]) -> IncomingRecord<'a> {
    #[derive(Deserialize)]
    struct Stamped {
        #[serde(rename = "@timestamp")]
        time: Option<Timestamp>,
    }
    let time = serde_json::from_slice::<Stamped>(json).ok().and_then(|stamped| stamped.time);
    // The id of a created document is stored with it, so that creating it again is refused.
    let id = item.id.as_ref().filter(|_| item.verb == "create");
    let named = [("index", item.index.as_ref()), ("id", id)];
    let named = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.clone().into())));
    let named: serde_json::Map<String, Value> = named.collect();
    let metadata = (!named.is_empty()).then_some(Value::Object(named));
    IncomingRecord { json, time, logged: None, metadata }
}

fn trail_unavailable(reason: &str) -> Response {
    tracing::warn!(reason, "documents could not be written down");
    refusal(
        StatusCode::TOO_MANY_REQUESTS,
        "es_rejected_execution_exception",
        "the trail takes nothing now; send it again",
    )
}

fn refusal(status: StatusCode, of_type: &str, reason: &str) -> Response {
    let error = json!({ "type": of_type, "reason": reason });
    (status, Json(json!({ "error": error, "status": status.as_u16() }))).into_response()
}

fn body_refusal(error: &BodyError) -> Response {
    if let BodyError::NoRoom = error {
        // Elasticsearch's clients retry after this status.
        let status = StatusCode::TOO_MANY_REQUESTS;
        return refusal(status, "es_rejected_execution_exception", &error.to_string());
    }
    refusal(error.status(), "illegal_argument_exception", &error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_document_stands_alone_and_a_broken_action_refuses_all() {
        let items = parse_items(
            b"{\"create\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{\"a\":1}\n{\"index\":{}}\n{\"a\":\n",
        )
        .unwrap();
        assert!(items[0].document.is_ok() && items[1].document.is_err());
        for bad in [
            &b"{\"create\":{}}\n{}"[..],
            b"{\"delete\":{\"_id\":\"1\"}}\n",
            b"{\"create\":{}}\n",
            b"nonsense\n{}\n",
            b"{\"create\":{},\"index\":{}}\n{}\n",
        ] {
            assert!(parse_items(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
