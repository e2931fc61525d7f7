//! From a request to an answer, right or wrong.

use std::io;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use http::request::Parts;
use http::{StatusCode, header};
use serde_json::{Value, json};

use crate::world::{Misdeed, World};
use crate::{API_KEY, CLIENT_ID, CLIENT_SECRET};

/// What is answered when all is well.
struct Fine {
    media: &'static str,
    etag: Option<String>,
    body: Vec<u8>,
}

pub(crate) fn answer(world: &mut World, head: &Parts, body: &[u8]) -> Response {
    let path = head.uri.path().to_owned();
    world.requests.push(format!("{} {}", head.method, head.uri));
    let misdeed = world.misdeed(&path);
    if let Some(Misdeed::Status(status, retry_after)) = misdeed {
        return refused(world, status, "the stand-in was told to", retry_after);
    }
    if path == "/api/v2/oauth/token" {
        return token(world, body);
    }
    if !is_let_in(world, head) {
        return refused(world, 401, "API token invalid", None);
    }
    let Some(rest) = path.strip_prefix("/api/v2/tailnet/").and_then(|rest| rest.split_once('/')) else {
        return refused(world, 404, "not found", None);
    };
    match fine(world, rest.1, head.uri.query().unwrap_or_default(), misdeed.as_ref()) {
        Some(fine) => sent(world, fine, misdeed),
        None => refused(world, 404, "not found", None),
    }
}

fn is_let_in(world: &World, head: &Parts) -> bool {
    let shown = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(bearer) = shown.and_then(|text| text.strip_prefix("Bearer ")) else { return false };
    let given = bearer.strip_prefix("tskey-api-token-").and_then(|number| number.parse::<u64>().ok());
    bearer == API_KEY || given.is_some_and(|number| number > world.revoked_tokens && number <= world.tokens)
}

fn token(world: &mut World, body: &[u8]) -> Response {
    let form = String::from_utf8_lossy(body);
    let wanted = [
        format!("client_id={CLIENT_ID}"),
        format!("client_secret={CLIENT_SECRET}"),
        "grant_type=client_credentials".to_owned(),
    ];
    if !wanted.iter().all(|pair| form.split('&').any(|given| given == pair)) {
        return refused(world, 401, "API token invalid", None);
    }
    world.tokens += 1;
    let made = json!({
        "access_token": format!("tskey-api-token-{}", world.tokens), "token_type": "Bearer",
        "expires_in": world.token_lives, "scope": world.scopes,
    });
    sent(world, Fine { media: "application/json", etag: None, body: made.to_string().into_bytes() }, None)
}

fn fine(world: &World, path: &str, query: &str, misdeed: Option<&Misdeed>) -> Option<Fine> {
    let body = match path {
        "logging/configuration" => log(world, query, misdeed, true)?,
        "logging/network" => log(world, query, misdeed, false)?,
        "devices" => list("devices", &world.devices, misdeed),
        "users" => list("users", &world.users, misdeed),
        "keys" => list("keys", &world.seen_keys(), misdeed),
        "webhooks" => list("webhooks", &world.webhooks, misdeed),
        "settings" => world.settings.to_string(),
        "dns/configuration" => world.dns.to_string(),
        "logging/configuration/stream" => world.stream.as_ref()?.to_string(),
        "acl" => {
            let etag = Some(format!("\"{:x}\"", world.policy.len()));
            return Some(Fine { media: "application/hujson", etag, body: world.policy.clone().into_bytes() });
        }
        _ => return None,
    };
    Some(Fine { media: "application/json", etag: None, body: body.into_bytes() })
}

fn list(name: &str, items: &[Value], misdeed: Option<&Misdeed>) -> String {
    let texts = items.iter().map(ToString::to_string).collect();
    format!("{{{}}}", named_list(name, texts, misdeed))
}

fn log(world: &World, query: &str, misdeed: Option<&Misdeed>, audit: bool) -> Option<String> {
    let (start, end) = (time(query, "start")?, time(query, "end")?);
    let log = if audit { &world.audit } else { &world.flows };
    let list = named_list("logs", log.window(start, end, world.now()), misdeed);
    // The wire says tailnetId where the description says tailnet.
    Some(if audit {
        format!("{{\"version\":\"1.1\",\"tailnetId\":\"example.com\",{list}}}")
    } else {
        format!("{{{list}}}")
    })
}

fn time(query: &str, name: &str) -> Option<i64> {
    let text = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    let time: jiff::Timestamp = text.replace("%3A", ":").parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

/// The member that holds a list, as it is done wrong.
fn named_list(name: &str, mut items: Vec<String>, misdeed: Option<&Misdeed>) -> String {
    match misdeed {
        Some(Misdeed::NoList) => return "\"message\":\"ok\"".to_owned(),
        Some(Misdeed::NullList) => return format!("\"{name}\":null"),
        Some(Misdeed::Shuffled) => {
            let (even, odd): (Vec<_>, Vec<_>) =
                items.into_iter().rev().enumerate().partition(|(at, _)| at % 2 == 0);
            items = even.into_iter().chain(odd).map(|(_, item)| item).collect();
        }
        Some(Misdeed::Doubled) => items = items.iter().chain(&items).cloned().collect(),
        Some(Misdeed::Unknown(member)) => {
            items =
                changed(items, |record| drop(record.insert(member.clone(), json!({"newer": [1, "two"]}))));
        }
        Some(Misdeed::Without(member)) => items = changed(items, |record| drop(record.remove(member))),
        _ => {}
    }
    format!("\"{name}\":[{}]", items.join(","))
}

fn changed(items: Vec<String>, change: impl Fn(&mut serde_json::Map<String, Value>)) -> Vec<String> {
    let change_one = |text: String| match serde_json::from_str(&text) {
        Ok(Value::Object(mut record)) => {
            change(&mut record);
            Value::Object(record).to_string()
        }
        _ => text,
    };
    items.into_iter().map(change_one).collect()
}

fn sent(world: &World, fine: Fine, misdeed: Option<Misdeed>) -> Response {
    let Fine { mut media, etag, mut body } = fine;
    let half = body.len() / 2;
    let body = match misdeed {
        Some(Misdeed::BreaksOff) => {
            let parts = [Ok(Bytes::from(body.split_off(half))), Err(io::Error::other("told to break off"))];
            Body::from_stream(futures::stream::iter(parts))
        }
        Some(Misdeed::HalfJson) => {
            body.truncate(half);
            Body::from(body)
        }
        Some(Misdeed::WebPage) => {
            media = "text/html";
            Body::from("<!doctype html><title>Sign in to the proxy</title>")
        }
        Some(Misdeed::GoesSilent) => {
            let first = futures::stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"{"))]);
            Body::from_stream(first.chain(futures::stream::pending()))
        }
        Some(Misdeed::Swollen(bytes)) => {
            body.extend(std::iter::repeat_n(b' ', bytes));
            Body::from(body)
        }
        _ => Body::from(body),
    };
    let mut response = Response::new(body);
    head(world, &mut response, media);
    if let Some(etag) = etag.and_then(|etag| etag.parse().ok()) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

fn refused(world: &World, status: u16, message: &str, retry_after: Option<u64>) -> Response {
    let mut response = Response::new(Body::from(json!({ "message": message }).to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    head(world, &mut response, "application/json");
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn head(world: &World, response: &mut Response, media: &'static str) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static(media));
    let now = jiff::Timestamp::from_nanosecond(i128::from(world.now())).unwrap_or_default();
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now);
    if let Some(date) = date.ok().and_then(|date| date.parse().ok()) {
        headers.insert(header::DATE, date);
    }
}
