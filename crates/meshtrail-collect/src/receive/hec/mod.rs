//! Splunk's HTTP Event Collector, as a target for Tailscale's log streaming.
//!
//! - A request is stored completely or not at all; status 200 means that all of it is durable.
//! - The token is accepted in every form that senders are known to use: as Basic password, after `Splunk` or `Bearer`, or
//!   alone. Tailscale's own publisher was observed to use Basic.
//! - Events are concatenated, with or without white space in between, or in one list. Flow reports and audit records are
//!   recognised by their members, anything else is a log line.
//! - With a channel, the response has an `ackId`, whose request is already durable then.
//!
//! Protocol: Splunk's "HTTP Event Collector REST API endpoints"; the publisher's side as captured in June 2026.

mod auth;
mod channels;
mod envelope;
mod splunk_response;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use http::{HeaderMap, header};
use meshtrail_event::{Detail, Draft, Kind, LogLine, Target, Timestamp};
use meshtrail_trail::run_detached;
use serde::Deserialize;

use super::body::Bounds;
use super::record::{RecordBatch, RecordWriter};
use super::token::Token;
use super::{Shared, sender_of};
use channels::Channels;
use splunk_response::{SplunkCode, SplunkResponse};

pub(crate) use auth::presented_tokens;

/// Limits on one request.
pub(super) const BOUNDS: Bounds =
    Bounds { received: 16 << 20, decoded: 64 << 20, time: Duration::from_secs(120) };

struct Hec {
    shared: Shared,
    token: Token,
    writer: RecordWriter,
    channels: Channels,
}

#[derive(Default, Deserialize)]
struct RequestQuery {
    channel: Option<String>,
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    sourcetype: Option<String>,
}

/// The collector's routes.
pub(super) fn router(shared: &Shared, token: Token) -> Router {
    let hec = Hec {
        writer: RecordWriter::new("hec", shared),
        shared: shared.clone(),
        token,
        channels: Channels::default(),
    };
    Router::new()
        .route("/services/collector", post(events))
        .route("/services/collector/event", post(events))
        .route("/services/collector/event/1.0", post(events))
        .route("/services/collector/raw", post(raw))
        .route("/services/collector/raw/1.0", post(raw))
        .route("/services/collector/ack", post(acks))
        .route("/services/collector/health", get(health))
        .route("/services/collector/health/1.0", get(health))
        .with_state(Arc::new(hec))
}

async fn health(State(hec): State<Arc<Hec>>) -> SplunkResponse {
    match hec.shared.wiring.trail.is_accepting() {
        true => SplunkResponse::new(SplunkCode::Healthy),
        false => SplunkResponse::new(SplunkCode::Unhealthy),
    }
}

async fn events(State(hec): State<Arc<Hec>>, query: Query<RequestQuery>, request: Request) -> SplunkResponse {
    let (head, body) = request.into_parts();
    let channel = match hec.authorize(&head.headers, &query.0) {
        Ok(channel) => channel,
        Err(answer) => return answer,
    };
    if let Some(media) = unsupported_media_type(&head.headers) {
        return SplunkResponse::new(SplunkCode::InvalidData)
            .with_reason(format!("Content-Type: {media:?} is not JSON"));
    }
    let read = match hec.shared.room.read(&sender_of(&head.extensions), &head.headers, body, BOUNDS).await {
        Ok(read) => read,
        Err(error) => return SplunkResponse::body_error(&error),
    };
    let records = match envelope::read("hec", &read.bytes) {
        Ok(records) => records,
        Err(answer) => return answer,
    };
    hec.store(records, read.bytes.clone(), channel).await
}

/// Plain text, one event for each line.
async fn raw(State(hec): State<Arc<Hec>>, query: Query<RequestQuery>, request: Request) -> SplunkResponse {
    let (head, body) = request.into_parts();
    let channel = match hec.authorize(&head.headers, &query.0) {
        Ok(Some(channel)) => channel,
        Ok(None) => return SplunkResponse::new(SplunkCode::NoChannel),
        Err(answer) => return answer,
    };
    let read = match hec.shared.room.read(&sender_of(&head.extensions), &head.headers, body, BOUNDS).await {
        Ok(read) => read,
        Err(error) => return SplunkResponse::body_error(&error),
    };
    let Ok(text) = std::str::from_utf8(&read.bytes) else {
        return SplunkResponse::new(SplunkCode::InvalidData).with_reason("the body is not UTF-8".to_owned());
    };
    let now = Timestamp::now();
    let mut records = RecordBatch::default();
    let RequestQuery { host, source, sourcetype, .. } = query.0;
    let named = [("host", host), ("source", source), ("sourcetype", sourcetype)];
    let metadata = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
    let metadata: serde_json::Map<String, serde_json::Value> = metadata.collect();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        records.add_text(at, line, now, &metadata);
    }
    hec.store(records, read.bytes.clone(), Some(channel)).await
}

#[derive(Deserialize)]
#[serde(expecting = "struct AckQuestion")]
struct AckRequest {
    acks: Vec<u64>,
}

async fn acks(
    State(hec): State<Arc<Hec>>,
    query: Query<RequestQuery>,
    request: Request,
) -> Result<Json<serde_json::Value>, SplunkResponse> {
    let (head, body) = request.into_parts();
    let channel =
        hec.authorize(&head.headers, &query.0)?.ok_or_else(|| SplunkResponse::new(SplunkCode::NoChannel))?;
    let bounds = Bounds { received: 1 << 20, decoded: 1 << 20, ..BOUNDS };
    let read = hec
        .shared
        .room
        .read(&sender_of(&head.extensions), &head.headers, body, bounds)
        .await
        .map_err(|error| SplunkResponse::body_error(&error))?;
    let ack_request: AckRequest = serde_json::from_slice(&read.bytes)
        .map_err(|error| SplunkResponse::new(SplunkCode::InvalidData).with_reason(error.to_string()))?;
    let acks: serde_json::Map<_, _> = ack_request
        .acks
        .iter()
        .map(|&id| (id.to_string(), hec.channels.is_durable(&channel, id).into()))
        .collect();
    Ok(Json(serde_json::json!({ "acks": acks })))
}

impl Hec {
    /// Checks the token; returns the request's channel.
    fn authorize(&self, headers: &HeaderMap, query: &RequestQuery) -> Result<Option<String>, SplunkResponse> {
        match presented_tokens(headers) {
            None => return Err(SplunkResponse::new(SplunkCode::NoToken)),
            Some(tokens) if tokens.is_empty() => {
                return Err(SplunkResponse::new(SplunkCode::BadAuthorization));
            }
            Some(tokens) if !tokens.iter().any(|token| self.token.matches(token)) => {
                return Err(SplunkResponse::new(SplunkCode::BadToken));
            }
            Some(_) => {}
        }
        let named = headers.get("x-splunk-request-channel").and_then(|value| value.to_str().ok());
        let Some(channel) = named.or(query.channel.as_deref()) else { return Ok(None) };
        match channels::is_channel(channel) {
            true => Ok(Some(channel.to_ascii_lowercase())),
            false => Err(SplunkResponse::new(SplunkCode::BadChannel)),
        }
    }

    async fn store(
        self: Arc<Self>,
        records: RecordBatch,
        body: Bytes,
        channel: Option<String>,
    ) -> SplunkResponse {
        if records.is_empty() {
            return SplunkResponse::new(SplunkCode::NoData);
        }
        let hec = self.clone();
        // Runs to its end even if the sender disconnects: a repeated body is recognised then.
        let work = tokio::spawn(async move {
            let trail = &hec.shared.wiring.trail;
            let intake = hec.writer.bodies.begin(trail, &body).await.map_err(|error| error.to_string())?;
            hec.writer.write(&hec.shared, records, &intake).await
        });
        match run_detached(work).await {
            Ok(()) => SplunkResponse::new(SplunkCode::Success)
                .with_ack_id(channel.map(|channel| self.channels.next(channel))),
            Err(reason) => {
                tracing::warn!(reason, "events could not be written down");
                SplunkResponse::new(SplunkCode::Busy)
            }
        }
    }
}

/// Whether a body would be accepted.
pub(super) fn accepts(body: &Bytes) -> bool {
    envelope::read("hec", body).is_ok_and(|records| !records.is_empty())
}

impl RecordBatch {
    fn add_text(
        &mut self,
        at: usize,
        text: &str,
        time: Timestamp,
        metadata: &serde_json::Map<String, serde_json::Value>,
    ) {
        let fields = (!metadata.is_empty()).then(|| meshtrail_event::Json::from(&metadata.clone().into()));
        let of = LogLine { collection: Some("hec".to_owned()), fields, ..LogLine::default() };
        let line = LogLine { text: Some(text.to_owned()), ..of.clone() };
        let mut drafts = match super::store::fits(&line) {
            true => {
                vec![Draft { detail: Some(Detail::Log(Box::new(line))), ..Draft::new(Kind::LogLine, time) }]
            }
            false => super::store::raw_lines(text.as_bytes(), "too long for one event", &of, time),
        };
        for draft in &mut drafts {
            draft.target = Target { of_type: Some("log".into()), ..Target::default() };
        }
        self.add_lines(at, drafts, time);
    }
}

/// The content type of a request, if it can't be JSON. Some senders send none.
fn unsupported_media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let media = value.split(';').next().unwrap_or_default().trim();
    let fits = media.is_empty()
        || media.ends_with("json")
        || matches!(media, "text/plain" | "application/octet-stream" | "application/x-www-form-urlencoded");
    (!fits).then_some(media)
}
