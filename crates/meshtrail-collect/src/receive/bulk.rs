//! Elasticsearch's `_bulk`: whatever ships to Elasticsearch can ship here.
//!
//! - Each document is answered for itself, in order: 201 once it is durable, 400 where it can't be read, 409 where its
//!   `_id` was created before. Only `create` and `index` are known: nothing here is ever changed or deleted.
//! - Documents are recognised by what they hold, as those of the event collector are.
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
use meshtrail_event::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::bodies::{self, Created};
use super::body::{BodyError, Bounds};
use super::hec::presented;
use super::record::{Records, Sender, Wrapped};
use super::token::Token;
use super::{Shared, sender_of};
use crate::catalogue::Groups;
use crate::joined::joined;

/// What is read of one request.
pub(super) const BOUNDS: Bounds =
    Bounds { received: 16 << 20, decoded: 64 << 20, time: Duration::from_secs(120) };
/// The most documents of one request.
const MAX_DOCUMENTS: usize = 1 << 17;

struct Bulk {
    shared: Shared,
    token: Token,
    sender: Sender,
}

/// One document that was asked to be stored.
struct Asked<'a> {
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
    let bulk = Bulk { sender: Sender::new("bulk", shared), shared: shared.clone(), token };
    Router::new()
        .route("/", get(hello))
        .route("/_bulk", post(take).put(take))
        .route("/{index}/_bulk", post(take).put(take))
        .with_state(Arc::new(bulk))
}

/// What senders ask before they ship.
async fn hello(State(bulk): State<Arc<Bulk>>, headers: HeaderMap) -> Response {
    if let Some(refused) = bulk.refused(&headers) {
        return refused;
    }
    let version = json!({ "number": "8.17.0", "build_flavor": "default" });
    let body = json!({ "name": "meshtrail", "cluster_name": "meshtrail", "version": version, "tagline": "You Know, for Search" });
    let mut response = Json(body).into_response();
    response.headers_mut().insert("x-elastic-product", HeaderValue::from_static("Elasticsearch"));
    response
}

async fn take(State(bulk): State<Arc<Bulk>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    if let Some(refused) = bulk.refused(&head.headers) {
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
    // Taking goes on to its end even if the sender goes away.
    joined(tokio::spawn(async move { bulk.store(&read.bytes).await })).await
}

impl Bulk {
    /// The answer to somebody who does not know the token.
    fn refused(&self, headers: &HeaderMap) -> Option<Response> {
        let known = presented(headers).is_some_and(|tokens| tokens.iter().any(|token| self.token.is(token)));
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
        let asked = match read(body) {
            Ok(asked) => asked,
            Err(reason) => return refusal(StatusCode::BAD_REQUEST, "illegal_argument_exception", &reason),
        };
        let taking = match self.sender.bodies.take(&self.shared.wiring.trail, body).await {
            Ok(taking) => taking,
            Err(error) => return not_now(&error.to_string()),
        };
        let documents = asked.iter().filter_map(|one| one.document.as_ref().ok().copied());
        let groups = Groups::of(documents);
        let (mut records, mut items, mut created, mut errors) =
            (Records::default(), Vec::new(), Vec::new(), false);
        for (at, one) in asked.iter().enumerate() {
            let (status, error) = match &one.document {
                Err(reason) => (400, Some(("document_parsing_exception", reason.clone()))),
                Ok(_) if at < taking.durable => (201, None),
                Ok(_) if self.was_created(one, &created) => (
                    409,
                    Some(("version_conflict_engine_exception", "this _id was created before".to_owned())),
                ),
                Ok(document) => match records.add(at, "bulk", body, wrapped(one, document), &groups) {
                    Ok(()) => {
                        created.extend(one.key());
                        (201, None)
                    }
                    Err(reason) => (400, Some(("document_parsing_exception", reason))),
                },
            };
            errors |= error.is_some();
            items.push(one.item(status, error));
        }
        if !records.is_empty()
            && let Err(reason) = self.sender.take(&self.shared, records, &taking).await
        {
            return not_now(&reason);
        }
        self.sender.bodies.created(created);
        Json(json!({ "took": 0, "errors": errors, "items": items })).into_response()
    }

    fn was_created(&self, one: &Asked<'_>, now: &[Created]) -> bool {
        let Some(key) = one.key() else { return false };
        now.contains(&key) || self.sender.bodies.was_created(&key)
    }
}

impl Asked<'_> {
    /// What a second `create` of the same id is known by.
    fn key(&self) -> Option<Created> {
        let id = self.id.as_ref().filter(|_| self.verb == "create")?;
        Some(bodies::created(self.index.as_deref().unwrap_or_default(), id))
    }

    fn item(&self, status: u16, error: Option<(&str, String)>) -> Value {
        let mut item = json!({ "_index": self.index, "_id": self.id, "status": status });
        if let Some((of_type, reason)) = error {
            item["error"] = json!({ "type": of_type, "reason": reason });
        }
        json!({ self.verb: item })
    }
}

/// The documents of a body; an action that is no action refuses all, as it is not known what its line belongs to.
fn read(body: &[u8]) -> Result<Vec<Asked<'_>>, String> {
    if body.last() != Some(&b'\n') {
        return Err("The bulk request must be terminated by a newline [\\n]".to_owned());
    }
    let mut lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let (mut asked, mut number) = (Vec::new(), 0);
    while let Some(line) = lines.next() {
        number += 1;
        if line.is_empty() {
            continue;
        }
        if asked.len() >= MAX_DOCUMENTS {
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
        asked.push(Asked { verb, index: address.index.clone(), id: address.id.clone(), document });
    }
    Ok(asked)
}

/// How many documents a body has.
pub(super) fn documents(body: &[u8]) -> Option<usize> {
    read(body).ok().map(|asked| asked.len())
}

fn wrapped<'a>(asked: &Asked<'_>, json: &'a [u8]) -> Wrapped<'a> {
    #[derive(Deserialize)]
    struct Stamped {
        #[serde(rename = "@timestamp")]
        time: Option<Timestamp>,
    }
    let time = serde_json::from_slice::<Stamped>(json).ok().and_then(|stamped| stamped.time);
    // What was created can't be created again: its id is kept with it.
    let id = asked.id.as_ref().filter(|_| asked.verb == "create");
    let named = [("index", asked.index.as_ref()), ("id", id)];
    let named = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.clone().into())));
    let named: serde_json::Map<String, Value> = named.collect();
    let beside = (!named.is_empty()).then_some(Value::Object(named));
    Wrapped { json, time, logged: None, beside }
}

fn not_now(reason: &str) -> Response {
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
        // Senders to Elasticsearch come again after this status.
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
        let asked =
            read(b"{\"create\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{\"a\":1}\n{\"index\":{}}\n{\"a\":\n")
                .unwrap();
        assert!(asked[0].document.is_ok() && asked[1].document.is_err());
        for bad in [
            &b"{\"create\":{}}\n{}"[..],
            b"{\"delete\":{\"_id\":\"1\"}}\n",
            b"{\"create\":{}}\n",
            b"nonsense\n{}\n",
            b"{\"create\":{},\"index\":{}}\n{}\n",
        ] {
            assert!(read(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
