//! `/v2/event`: a Kubernetes API request that is about to be forwarded.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use meshtrail_event::text::with_causes;
use meshtrail_event::{Detail, Draft, Json, Kind, KubeRequest, Outcome, Target, Timestamp, canonical_json};
use meshtrail_identity::Connection;
use meshtrail_listen::{PeerRoom, RoomPermit};
use serde_json::{Map, Value};

use crate::{cast::type_of, portrait, sessions::Recordings};

/// The longest event taken: the largest object an API server takes, as base64, and room around it.
pub(crate) const MAX_EVENT: usize = 8 << 20;

/// How long a sender may pause within an event, and how long room for it is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest text taken over from an event into the trail.
const MAX_TEXT: usize = 4096;

/// Why a request event is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is too long.
    #[error("body: more than {MAX_EVENT} bytes")]
    TooLong {},
    /// The sender stopped sending.
    #[error("body: nothing came for {} seconds", PATIENCE.as_secs())]
    Stalled,
    /// It took too long as a whole.
    #[error("body: it did not come whole within {patience:?}")]
    Slow {
        /// How long it may take.
        patience: Duration,
    },
    /// Too many events are in memory.
    #[error("body: no room in memory for {} seconds; send it again", PATIENCE.as_secs())]
    NoRoom,
    /// The connection broke.
    #[error("body: {how}")]
    Lost {
        /// How.
        how: String,
    },
    /// It is not JSON.
    #[error("body: not JSON: {reason}")]
    NotJson {
        /// What the parser said.
        reason: String,
    },
    /// A member is wrong.
    #[error("{field}: expected {expected}, found {found}")]
    Wrong {
        /// Which.
        field: &'static str,
        /// What would have been right.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A member is missing.
    #[error("{field}: missing")]
    Missing {
        /// Which.
        field: &'static str,
    },
}

impl RequestError {
    /// The member it is about.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Wrong { field, .. } | Self::Missing { field } => Some(field),
            _ => None,
        }
    }
}

/// A request event as it was sent; all of it is self-reported by the proxy.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestEvent {
    header: crate::cast::Header,
    time: Option<Timestamp>,
    detail: KubeRequest,
    target: Target,
}

/// Reads a request event. Unknown members and empty ones are fine; a wrong type is an error that names it.
pub fn parse_request_event(body: &[u8]) -> Result<RequestEvent, RequestError> {
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
    Ok(RequestEvent {
        header: who(source)?,
        time: integer(event, "timestamp", "timestamp")?.and_then(Timestamp::from_seconds),
        detail: detail(event, request, kubernetes)?,
        target: target(kubernetes)?,
    })
}

fn who(source: &Map<String, Value>) -> Result<crate::cast::Header, RequestError> {
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

fn detail(
    event: &Map<String, Value>,
    request: &Map<String, Value>,
    kubernetes: &Map<String, Value>,
) -> Result<KubeRequest, RequestError> {
    let query =
        object(request, "queryParameters", "request.queryParameters")?.filter(|query| !query.is_empty());
    let query = query.map(|query| Value::Object(query.clone()));
    let query = query.filter(|query| canonical_json(query).len() <= MAX_TEXT);
    // The body may hold secrets, and nothing that is shown needs it: its length is kept, itself is not.
    let encoded =
        text(request, "body", "request.body")?.map_or(0, |body| body.trim_end_matches('=').len() as u64);
    Ok(KubeRequest {
        api_group: text(kubernetes, "APIGroup", "kubernetes.APIGroup")?.map(cut),
        api_version: text(kubernetes, "APIVersion", "kubernetes.APIVersion")?.map(cut),
        body_bytes: (encoded > 0).then_some(encoded * 3 / 4),
        method: text(request, "method", "request.method")?.map(cut),
        path: text(request, "path", "request.path")?.map(cut),
        query: query.as_ref().map(Json::from),
        resource: text(kubernetes, "Resource", "kubernetes.Resource")?.map(cut),
        subresource: text(kubernetes, "Subresource", "kubernetes.Subresource")?.map(cut),
        user_agent: text(event, "userAgent", "userAgent")?.map(cut),
        verb: text(kubernetes, "Verb", "kubernetes.Verb")?.map(cut),
        ..KubeRequest::default()
    })
}

fn target(kubernetes: &Map<String, Value>) -> Result<Target, RequestError> {
    Ok(Target {
        name: text(kubernetes, "Name", "kubernetes.Name")?.map(cut),
        namespace: text(kubernetes, "Namespace", "kubernetes.Namespace")?.map(cut),
        of_type: text(kubernetes, "Resource", "kubernetes.Resource")?.map(cut),
        ..Target::default()
    })
}

fn cut(text: String) -> String {
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
    /// The event, once it was found out who sent it on whose behalf.
    pub(super) async fn into_draft(self, recordings: &Recordings, from: Connection) -> Draft {
        let now = Timestamp::now();
        let (actor, identity, proxy) = portrait::of_claim(&self.header, from, recordings.resolver()).await;
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

/// Reads a body within bounds and within `patience` as a whole; room in memory is taken as bytes come.
pub(super) async fn read_body<B>(
    body: B,
    room: &PeerRoom,
    patience: Duration,
) -> Result<(Bytes, RoomPermit), RequestError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error,
{
    let reading = tokio::time::timeout(patience, read_frames(body, room));
    reading.await.map_err(|_| RequestError::Slow { patience })?
}

async fn read_frames<B>(mut body: B, room: &PeerRoom) -> Result<(Bytes, RoomPermit), RequestError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error,
{
    let mut whole = BytesMut::new();
    let take = async |bytes: usize| {
        tokio::time::timeout(PATIENCE, room.acquire(bytes)).await.map_err(|_| RequestError::NoRoom)
    };
    let mut taken = take(0).await?;
    loop {
        let next = tokio::time::timeout(PATIENCE, body.frame()).await.map_err(|_| RequestError::Stalled)?;
        let Some(frame) = next else { return Ok((whole.freeze(), taken)) };
        let frame = frame.map_err(|error| RequestError::Lost { how: with_causes(&error) })?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > MAX_EVENT {
            return Err(RequestError::TooLong {});
        }
        taken.merge(take(data.len()).await?);
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

    #[test]
    fn an_event_is_read_and_its_body_is_not_kept() {
        let event = parse_request_event(EVENT.as_bytes()).unwrap();
        assert_eq!(event.detail.verb.as_deref(), Some("list"));
        assert_eq!((event.detail.body.as_deref(), event.detail.body_bytes), (None, Some(6)));
        assert_eq!(event.target.namespace.as_deref(), Some("default"));
        assert_eq!(event.header.src_node_user.as_deref(), Some("alice@example.com"));
        assert_eq!(event.time, Timestamp::from_seconds(1_767_225_600));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let said = |text: &str| parse_request_event(text.as_bytes()).unwrap_err().to_string();
        assert!(said("{").starts_with("body: not JSON: EOF"));
        assert_eq!(said("[]"), "body: expected an object, found a list");
        assert_eq!(said("{}"), "type: missing");
        assert_eq!(said(r#"{"type":7}"#), "type: expected a string, found a number");
        assert_eq!(
            said(r#"{"type":"other"}"#),
            "type: expected \"kubernetes-api-request\", found another type of event"
        );
        assert_eq!(said(r#"{"type":"kubernetes-api-request"}"#), "request: missing");
        let wrong = EVENT.replace(r#""verb""#, "").replace(r#""list""#, "[1]");
        assert_eq!(said(&wrong), "kubernetes.Verb: expected a string, found a list");
    }
}
