//! Splunk's HTTP Event Collector, so that Tailscale's log streaming can point at Meshtrail.
//!
//! - A request is taken whole or not at all; 200 means that all of it is durable.
//! - The token is taken in every form that senders are known to use: as Basic password, after `Splunk` or `Bearer`, or
//!   bare. Tailscale's own publisher was seen to use Basic.
//! - Events stand one after another, with or without anything between, or in one list. Flow reports and audit records
//!   are told by what they hold, anything else is a log line.
//! - With a channel, an answer carries an `ackId`, which is already true then.
//!
//! Protocol: Splunk's "HTTP Event Collector REST API endpoints"; the publisher's side as captured in June 2026.

mod answer;
mod auth;
mod channels;
mod envelope;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use http::{HeaderMap, header};
use meshtrail_event::{Detail, Draft, Kind, LogLine, Target, Timestamp};
use serde::Deserialize;

use super::body::Bounds;
use super::record::{Records, Sender};
use super::token::Token;
use super::{Shared, sender_of};
use crate::joined::joined;
use answer::{Answer, Code};
use channels::Channels;

pub(crate) use auth::presented;

/// What is read of one request.
pub(super) const BOUNDS: Bounds =
    Bounds { received: 16 << 20, decoded: 64 << 20, time: Duration::from_secs(120) };

struct Hec {
    shared: Shared,
    token: Token,
    sender: Sender,
    channels: Channels,
}

#[derive(Default, Deserialize)]
struct Asked {
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
        sender: Sender::new("hec", shared),
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

async fn health(State(hec): State<Arc<Hec>>) -> Answer {
    match hec.shared.wiring.trail.is_accepting() {
        true => Answer::of(Code::Healthy),
        false => Answer::of(Code::Unhealthy),
    }
}

async fn events(State(hec): State<Arc<Hec>>, asked: Query<Asked>, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    let channel = match hec.enter(&head.headers, &asked.0) {
        Ok(channel) => channel,
        Err(answer) => return answer,
    };
    if let Some(media) = wrong_media(&head.headers) {
        return Answer::of(Code::InvalidData).because(format!("Content-Type: {media:?} is not JSON"));
    }
    let read = match hec.shared.room.read(&sender_of(&head.extensions), &head.headers, body, BOUNDS).await {
        Ok(read) => read,
        Err(error) => return Answer::body(&error),
    };
    let records = match envelope::read("hec", &read.bytes) {
        Ok(records) => records,
        Err(answer) => return answer,
    };
    hec.store(records, read.bytes.clone(), channel).await
}

/// Text, one event a line.
async fn raw(State(hec): State<Arc<Hec>>, asked: Query<Asked>, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    let channel = match hec.enter(&head.headers, &asked.0) {
        Ok(Some(channel)) => channel,
        Ok(None) => return Answer::of(Code::NoChannel),
        Err(answer) => return answer,
    };
    let read = match hec.shared.room.read(&sender_of(&head.extensions), &head.headers, body, BOUNDS).await {
        Ok(read) => read,
        Err(error) => return Answer::body(&error),
    };
    let Ok(text) = std::str::from_utf8(&read.bytes) else {
        return Answer::of(Code::InvalidData).because("the body is not UTF-8".to_owned());
    };
    let now = Timestamp::now();
    let mut records = Records::default();
    let Asked { host, source, sourcetype, .. } = asked.0;
    let said = [("host", host), ("source", source), ("sourcetype", sourcetype)];
    let beside = said.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
    let beside: serde_json::Map<String, serde_json::Value> = beside.collect();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        records.add_text(at, line, now, &beside);
    }
    hec.store(records, read.bytes.clone(), Some(channel)).await
}

#[derive(Deserialize)]
struct AckQuestion {
    acks: Vec<u64>,
}

async fn acks(
    State(hec): State<Arc<Hec>>,
    asked: Query<Asked>,
    request: Request,
) -> Result<Json<serde_json::Value>, Answer> {
    let (head, body) = request.into_parts();
    let channel = hec.enter(&head.headers, &asked.0)?.ok_or_else(|| Answer::of(Code::NoChannel))?;
    let bounds = Bounds { received: 1 << 20, decoded: 1 << 20, ..BOUNDS };
    let read = hec
        .shared
        .room
        .read(&sender_of(&head.extensions), &head.headers, body, bounds)
        .await
        .map_err(|error| Answer::body(&error))?;
    let question: AckQuestion = serde_json::from_slice(&read.bytes)
        .map_err(|error| Answer::of(Code::InvalidData).because(error.to_string()))?;
    let acks: serde_json::Map<_, _> = question
        .acks
        .iter()
        .map(|&id| (id.to_string(), hec.channels.is_durable(&channel, id).into()))
        .collect();
    Ok(Json(serde_json::json!({ "acks": acks })))
}

impl Hec {
    /// Whether the sender knows the token, and its channel.
    fn enter(&self, headers: &HeaderMap, asked: &Asked) -> Result<Option<String>, Answer> {
        match presented(headers) {
            None => return Err(Answer::of(Code::NoToken)),
            Some(tokens) if tokens.is_empty() => return Err(Answer::of(Code::BadAuthorization)),
            Some(tokens) if !tokens.iter().any(|token| self.token.is(token)) => {
                return Err(Answer::of(Code::BadToken));
            }
            Some(_) => {}
        }
        let named = headers.get("x-splunk-request-channel").and_then(|value| value.to_str().ok());
        let Some(channel) = named.or(asked.channel.as_deref()) else { return Ok(None) };
        match channels::is_channel(channel) {
            true => Ok(Some(channel.to_ascii_lowercase())),
            false => Err(Answer::of(Code::BadChannel)),
        }
    }

    async fn store(self: Arc<Self>, records: Records, body: Bytes, channel: Option<String>) -> Answer {
        if records.is_empty() {
            return Answer::of(Code::NoData);
        }
        let hec = self.clone();
        // Taking goes on to its end even if the sender goes away: what it sends again is known then.
        let work = tokio::spawn(async move {
            let trail = &hec.shared.wiring.trail;
            let taking = hec.sender.bodies.take(trail, &body).await.map_err(|error| error.to_string())?;
            hec.sender.take(&hec.shared, records, &taking).await
        });
        match joined(work).await {
            Ok(()) => {
                Answer::of(Code::Success).acknowledged(channel.map(|channel| self.channels.next(channel)))
            }
            Err(reason) => {
                tracing::warn!(reason, "events could not be written down");
                Answer::of(Code::Busy)
            }
        }
    }
}

/// Whether a body would be taken whole.
pub(super) fn takes(body: &Bytes) -> bool {
    envelope::read("hec", body).is_ok_and(|records| !records.is_empty())
}

impl Records {
    fn add_text(
        &mut self,
        at: usize,
        text: &str,
        time: Timestamp,
        beside: &serde_json::Map<String, serde_json::Value>,
    ) {
        let fields = (!beside.is_empty()).then(|| meshtrail_event::Json::from(&beside.clone().into()));
        let of = LogLine { collection: Some("hec".to_owned()), fields, ..LogLine::default() };
        let line = LogLine { text: Some(text.to_owned()), ..of.clone() };
        let mut drafts = match super::store::fits(&line) {
            true => {
                vec![Draft { detail: Some(Detail::Log(Box::new(line))), ..Draft::new(Kind::LogLine, time) }]
            }
            false => super::store::kept_raw(text.as_bytes(), "too long for one event", &of, time),
        };
        for draft in &mut drafts {
            draft.target = Target { of_type: Some("log".into()), ..Target::default() };
        }
        self.add_lines(at, drafts, time);
    }
}

/// A media type that can't hold JSON; senders that name none are known.
fn wrong_media(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let media = value.split(';').next().unwrap_or_default().trim();
    let fits = media.is_empty()
        || media.ends_with("json")
        || matches!(media, "text/plain" | "application/octet-stream" | "application/x-www-form-urlencoded");
    (!fits).then_some(media)
}
