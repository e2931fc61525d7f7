//! Request events (`/v2/event`): a Kubernetes API request that the proxy is about to forward.
//!
//! Every text of it is chosen by a client: `kubectl exec` has the command in path and query, passwords in it as well. What
//! is stored has fingerprints in place of secrets, and of the body only its length.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use meshtrail_event::text::with_causes;
use meshtrail_event::{Detail, Draft, Json, Kind, KubeRequest, Outcome, Target, Timestamp, canonical_json};
use meshtrail_identity::Connection;
use meshtrail_listen::{PeerRoom, RoomPermit};
use meshtrail_redact::Redactor;
use serde_json::{Map, Value};

use crate::{cast::type_of, session_identity::resolve_claim, sessions::Recordings};

/// The longest event: base64 of the largest object that an API server accepts, and the members around it.
pub(crate) const MAX_EVENT: usize = 8 << 20;

/// How long a sender may pause within an event, and how long the event waits for memory.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest text of an event that is copied into the trail.
const MAX_TEXT: usize = 4096;

/// The longest text that is searched for secrets: this is done on the thread that serves the connection.
const MAX_SEARCHED: usize = 32 << 10;

/// Why a request event is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum RequestError {
    #[error("body: more than {MAX_EVENT} bytes")]
    TooLong {},
    #[error("body: nothing came for {} seconds", STALL_TIMEOUT.as_secs())]
    Stalled,
    #[error("body: it did not come whole within {timeout:?}")]
    Slow { timeout: Duration },
    /// Too many events are in memory.
    #[error("body: no room in memory for {} seconds; send it again", STALL_TIMEOUT.as_secs())]
    NoRoom,
    /// The connection broke.
    #[error("body: {how}")]
    Lost { how: String },
    #[error("body: not JSON: {reason}")]
    NotJson { reason: String },
    #[error("{field}: expected {expected}, found {found}")]
    Wrong { field: &'static str, expected: &'static str, found: &'static str },
    #[error("{field}: missing")]
    Missing { field: &'static str },
}

impl RequestError {
    /// The member that the error is about.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Wrong { field, .. } | Self::Missing { field } => Some(field),
            _ => None,
        }
    }
}

/// A request event as received; everything in it is reported by the proxy itself.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestEvent {
    header: crate::cast::Header,
    time: Option<Timestamp>,
    detail: KubeRequest,
    target: Target,
}

/// Parses a request event, and cuts secrets from all that is kept of it. Unknown and empty members are accepted; a wrong
/// type is an error that names the member.
pub fn parse_request_event(body: &[u8], redactor: &Redactor) -> Result<RequestEvent, RequestError> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| RequestError::NotJson { reason: error.to_string() })?;
    let Value::Object(event) = &value else {
        return Err(RequestError::Wrong { field: "body", expected: "an object", found: type_of(&value) });
    };
    match text(event, "type", "type")? {
        Some(kind) if kind == "kubernetes-api-request" => {}
        Some(_) => {
            let expected = "\"kubernetes-api-request\"";
            return Err(RequestError::Wrong { field: "type", expected, found: "another type of event" });
        }
        None => return Err(RequestError::Missing { field: "type" }),
    }
    let nothing = Map::new();
    let request = object(event, "request", "request")?.ok_or(RequestError::Missing { field: "request" })?;
    let kubernetes = object(event, "kubernetes", "kubernetes")?.unwrap_or(&nothing);
    let source = object(event, "source", "source")?.ok_or(RequestError::Missing { field: "source" })?;
    let header = parse_source(source)?;
    let time = integer(event, "timestamp", "timestamp")?.and_then(Timestamp::from_seconds);
    let (detail, target) = parse_request(event, request, kubernetes, redactor)?;
    Ok(RequestEvent { header, time, detail, target })
}

fn parse_source(source: &Map<String, Value>) -> Result<crate::cast::Header, RequestError> {
    let tags = match source.get("nodeTags") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(tags)) => tags.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(other) => return Err(wrong("source.nodeTags", "a list of strings", other)),
    };
    Ok(crate::cast::Header {
        src_node: text(source, "node", "source.node")?,
        src_node_id: text(source, "nodeID", "source.nodeID")?,
        src_node_tags: tags,
        src_node_user_id: integer(source, "nodeUserID", "source.nodeUserID")?,
        src_node_user: text(source, "nodeUser", "source.nodeUser")?,
        ..crate::cast::Header::default()
    })
}

/// What was asked, and of which object.
fn parse_request(
    event: &Map<String, Value>,
    request: &Map<String, Value>,
    kubernetes: &Map<String, Value>,
    redactor: &Redactor,
) -> Result<(KubeRequest, Target), RequestError> {
    let query =
        object(request, "queryParameters", "request.queryParameters")?.filter(|query| !query.is_empty());
    let query = query.filter(|query| query_bytes(query) <= MAX_SEARCHED);
    let query = query.map(|query| Value::Object(redactor.query(query)));
    let query = query.filter(|query| canonical_json(query).len() <= MAX_TEXT);
    // The body may contain secrets and is not needed: only its length is stored.
    let encoded =
        text(request, "body", "request.body")?.map_or(0, |body| body.trim_end_matches('=').len() as u64);
    let name = |text: String| shorten(redactor.text(searchable(&text)).text);
    let path = |text: String| shorten(redactor.target(searchable(&text)).text);
    let detail = KubeRequest {
        api_group: text(kubernetes, "APIGroup", "kubernetes.APIGroup")?.map(name),
        api_version: text(kubernetes, "APIVersion", "kubernetes.APIVersion")?.map(name),
        body_bytes: (encoded > 0).then_some(encoded * 3 / 4),
        method: text(request, "method", "request.method")?.map(name),
        path: text(request, "path", "request.path")?.map(path),
        query: query.as_ref().map(Json::from),
        resource: text(kubernetes, "Resource", "kubernetes.Resource")?.map(name),
        subresource: text(kubernetes, "Subresource", "kubernetes.Subresource")?.map(name),
        user_agent: text(event, "userAgent", "userAgent")?.map(name),
        verb: text(kubernetes, "Verb", "kubernetes.Verb")?.map(name),
        ..KubeRequest::default()
    };
    let target = Target {
        name: text(kubernetes, "Name", "kubernetes.Name")?.map(name),
        namespace: text(kubernetes, "Namespace", "kubernetes.Namespace")?.map(name),
        of_type: detail.resource.clone(),
        ..Target::default()
    };
    Ok((detail, target))
}

/// As much of a text as is searched for secrets. It ends where no secret is cut in two, or there is nothing left of it.
fn searchable(text: &str) -> &str {
    if text.len() <= MAX_SEARCHED {
        return text;
    }
    let text = &text[..text.floor_char_boundary(MAX_SEARCHED)];
    &text[..text.rfind(['&', ' ']).unwrap_or(0)]
}

/// About as many bytes as a query's parameters have.
fn query_bytes(query: &Map<String, Value>) -> usize {
    let bytes = |value: &Value| match value {
        Value::Array(values) => values.iter().map(|value| value.as_str().map_or(64, str::len) + 3).sum(),
        other => other.as_str().map_or(64, str::len),
    };
    query.iter().map(|(name, values)| name.len() + bytes(values)).sum()
}

fn shorten(text: String) -> String {
    if text.len() <= MAX_TEXT { text } else { format!("{}…", &text[..text.floor_char_boundary(MAX_TEXT)]) }
}

fn text(
    members: &Map<String, Value>,
    name: &str,
    field: &'static str,
) -> Result<Option<String>, RequestError> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok((!text.is_empty()).then(|| text.clone())),
        Some(other) => Err(wrong(field, "a string", other)),
    }
}

fn integer(
    members: &Map<String, Value>,
    name: &str,
    field: &'static str,
) -> Result<Option<i64>, RequestError> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or_else(|| wrong(field, "an integer", value)),
    }
}

fn object<'a>(
    members: &'a Map<String, Value>,
    name: &str,
    field: &'static str,
) -> Result<Option<&'a Map<String, Value>>, RequestError> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(members)) => Ok(Some(members)),
        Some(other) => Err(wrong(field, "an object", other)),
    }
}

fn wrong(field: &'static str, expected: &'static str, found: &Value) -> RequestError {
    RequestError::Wrong { field, expected, found: type_of(found) }
}

impl RequestEvent {
    /// Resolves who made the request and which device sent it, and makes the event.
    pub(super) async fn into_draft(self, recordings: &Recordings, from: Connection) -> Draft {
        let now = Timestamp::now();
        let (actor, identity, proxy) = resolve_claim(&self.header, from, recordings.resolver()).await;
        let target = Target { device: proxy, ..self.target };
        Draft {
            actor,
            detail: Some(Detail::Kube(Box::new(self.detail))),
            identity,
            outcome: Outcome::Unknown,
            target,
            ..Draft::new(Kind::KubeRequestIntended, self.time.unwrap_or(now))
        }
    }
}

/// Reads a body of at most [`MAX_EVENT`] bytes within `timeout`. Memory is reserved in `room` as bytes are received.
pub(super) async fn read_body<B>(
    body: B,
    room: &PeerRoom,
    timeout: Duration,
) -> Result<(Bytes, RoomPermit), RequestError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error,
{
    let reading = tokio::time::timeout(timeout, read_frames(body, room));
    reading.await.map_err(|_| RequestError::Slow { timeout })?
}

async fn read_frames<B>(mut body: B, room: &PeerRoom) -> Result<(Bytes, RoomPermit), RequestError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error,
{
    let mut whole = BytesMut::new();
    let reserve = async |bytes: usize| {
        tokio::time::timeout(STALL_TIMEOUT, room.acquire(bytes)).await.map_err(|_| RequestError::NoRoom)
    };
    let mut memory = reserve(0).await?;
    loop {
        let next =
            tokio::time::timeout(STALL_TIMEOUT, body.frame()).await.map_err(|_| RequestError::Stalled)?;
        let Some(frame) = next else { return Ok((whole.freeze(), memory)) };
        let frame = frame.map_err(|error| RequestError::Lost { how: with_causes(&error) })?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > MAX_EVENT {
            return Err(RequestError::TooLong {});
        }
        memory.merge(reserve(data.len()).await?);
        whole.extend_from_slice(&data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"type":"kubernetes-api-request","id":"","timestamp":1767225600,"userAgent":"kubectl/v1.33.3",
        "request":{"method":"GET","path":"/api/v1/pods?limit=5","body":"c2VjcmV0","queryParameters":{"limit":["5"]}},
        "kubernetes":{"IsResourceRequest":true,"Verb":"list","APIVersion":"v1","Namespace":"default",
          "Resource":"pods","Name":"","Parts":["pods"]},
        "source":{"node":"laptop.tail.example","nodeID":"7","nodeUserID":3,"nodeUser":"alice@example.com"},
        "destination":{"node":"","nodeID":""}}"#;

    fn parse(body: &[u8]) -> Result<RequestEvent, RequestError> {
        parse_request_event(body, &crate::testing::redactor())
    }

    #[test]
    fn an_event_is_read_and_its_body_is_not_kept() {
        let event = parse(EVENT.as_bytes()).unwrap();
        assert_eq!(event.detail.verb.as_deref(), Some("list"));
        assert_eq!((event.detail.body.as_deref(), event.detail.body_bytes), (None, Some(6)));
        assert_eq!(event.target.namespace.as_deref(), Some("default"));
        assert_eq!(event.header.src_node_user.as_deref(), Some("alice@example.com"));
        assert_eq!(event.time, Timestamp::from_seconds(1_767_225_600));
    }

    #[test]
    fn texts_that_are_too_long_to_search_are_not_kept_where_they_would_be_cut() {
        let path = format!("/x?a=1&token={}", "s3cr3t".repeat(10_000));
        let event = EVENT
            .replace("/api/v1/pods?limit=5", &path)
            .replace("\"5\"", &format!("\"{}\"", "s3cr3t".repeat(10_000)));
        let event = parse(event.as_bytes()).unwrap();
        assert_eq!(event.detail.path.as_deref(), Some("/x?a=1"));
        assert_eq!(event.detail.query, None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error("{").starts_with("body: not JSON: EOF"));
        assert_eq!(error("[]"), "body: expected an object, found a list");
        assert_eq!(error("{}"), "type: missing");
        assert_eq!(error(r#"{"type":7}"#), "type: expected a string, found a number");
        assert_eq!(
            error(r#"{"type":"other"}"#),
            "type: expected \"kubernetes-api-request\", found another type of event"
        );
        assert_eq!(error(r#"{"type":"kubernetes-api-request"}"#), "request: missing");
        let wrong = EVENT.replace(r#""verb""#, "").replace(r#""list""#, "[1]");
        assert_eq!(error(&wrong), "kubernetes.Verb: expected a string, found a list");
    }
}
