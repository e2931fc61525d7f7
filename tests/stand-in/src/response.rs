//! Answers to requests, correct or with an injected fault.

use std::io;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use http::request::Parts;
use http::{StatusCode, header};
use serde_json::{Value, json};

use crate::world::{InjectedFault, World};
use crate::{API_KEY, CLIENT_ID, CLIENT_SECRET};

/// The content of a correct answer.
struct Content {
    media: &'static str,
    etag: Option<String>,
    body: Vec<u8>,
}

pub(crate) fn respond(world: &mut World, head: &Parts, body: &[u8]) -> Response {
    let path = head.uri.path().to_owned();
    world.requests.push(format!("{} {}", head.method, head.uri));
    let fault = world.next_fault(&path);
    if let Some(InjectedFault::Status(status, retry_after)) = fault {
        return error_response(world, status, "the stand-in was told to", retry_after);
    }
    if path == "/api/v2/oauth/token" {
        return token(world, body);
    }
    if !is_authorized(world, head) {
        return error_response(world, 401, "API token invalid", None);
    }
    let Some(rest) = path.strip_prefix("/api/v2/tailnet/").and_then(|rest| rest.split_once('/')) else {
        return error_response(world, 404, "not found", None);
    };
    match content(world, rest.1, head.uri.query().unwrap_or_default(), fault.as_ref()) {
        Some(content) => content_response(world, content, fault),
        None => error_response(world, 404, "not found", None),
    }
}

fn is_authorized(world: &World, head: &Parts) -> bool {
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
        return error_response(world, 401, "API token invalid", None);
    }
    world.tokens += 1;
    let made = json!({
        "access_token": format!("tskey-api-token-{}", world.tokens), "token_type": "Bearer",
        "expires_in": world.token_lifetime, "scope": world.scopes,
    });
    content_response(
        world,
        Content { media: "application/json", etag: None, body: made.to_string().into_bytes() },
        None,
    )
}

fn content(world: &World, path: &str, query: &str, fault: Option<&InjectedFault>) -> Option<Content> {
    let body = match path {
        "logging/configuration" => log(world, query, fault, true)?,
        "logging/network" => log(world, query, fault, false)?,
        "devices" => list("devices", &world.devices, fault),
        "users" => list("users", &world.users, fault),
        "keys" => list("keys", &world.visible_keys(), fault),
        "webhooks" => list("webhooks", &world.webhooks, fault),
        "settings" => world.settings.to_string(),
        "dns/configuration" => world.dns.to_string(),
        "logging/configuration/stream" => world.stream.as_ref()?.to_string(),
        "acl" => {
            let etag = Some(format!("\"{:x}\"", world.policy.len()));
            return Some(Content {
                media: "application/hujson",
                etag,
                body: world.policy.clone().into_bytes(),
            });
        }
        _ => return None,
    };
    Some(Content { media: "application/json", etag: None, body: body.into_bytes() })
}

fn list(name: &str, items: &[Value], fault: Option<&InjectedFault>) -> String {
    let texts = items.iter().map(ToString::to_string).collect();
    format!("{{{}}}", named_list(name, texts, fault))
}

fn log(world: &World, query: &str, fault: Option<&InjectedFault>, audit: bool) -> Option<String> {
    let (start, end) = (time(query, "start")?, time(query, "end")?);
    let log = if audit { &world.audit } else { &world.flows };
    let list = named_list("logs", log.window(start, end, world.now()), fault);
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

/// The member with the list, with the fault applied.
fn named_list(name: &str, mut items: Vec<String>, fault: Option<&InjectedFault>) -> String {
    match fault {
        Some(InjectedFault::NoList) => return "\"message\":\"ok\"".to_owned(),
        Some(InjectedFault::NullList) => return format!("\"{name}\":null"),
        Some(InjectedFault::Shuffled) => {
            let (even, odd): (Vec<_>, Vec<_>) =
                items.into_iter().rev().enumerate().partition(|(at, _)| at % 2 == 0);
            items = even.into_iter().chain(odd).map(|(_, item)| item).collect();
        }
        Some(InjectedFault::Duplicated) => items = items.iter().chain(&items).cloned().collect(),
        Some(InjectedFault::ExtraMember(member)) => {
            items = edit_records(items, |record| {
                drop(record.insert(member.clone(), json!({"newer": [1, "two"]})))
            });
        }
        Some(InjectedFault::MissingMember(member)) => {
            items = edit_records(items, |record| drop(record.remove(member)))
        }
        _ => {}
    }
    format!("\"{name}\":[{}]", items.join(","))
}

fn edit_records(items: Vec<String>, change: impl Fn(&mut serde_json::Map<String, Value>)) -> Vec<String> {
    let change_one = |text: String| match serde_json::from_str(&text) {
        Ok(Value::Object(mut record)) => {
            change(&mut record);
            Value::Object(record).to_string()
        }
        _ => text,
    };
    items.into_iter().map(change_one).collect()
}

fn content_response(world: &World, content: Content, fault: Option<InjectedFault>) -> Response {
    let Content { mut media, etag, mut body } = content;
    let half = body.len() / 2;
    let body = match fault {
        Some(InjectedFault::CutBody) => {
            let parts = [Ok(Bytes::from(body.split_off(half))), Err(io::Error::other("told to break off"))];
            Body::from_stream(futures::stream::iter(parts))
        }
        Some(InjectedFault::HalfJson) => {
            body.truncate(half);
            Body::from(body)
        }
        Some(InjectedFault::WebPage) => {
            media = "text/html";
            Body::from("<!doctype html><title>Sign in to the proxy</title>")
        }
        Some(InjectedFault::Stall) => {
            let first = futures::stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"{"))]);
            Body::from_stream(first.chain(futures::stream::pending()))
        }
        Some(InjectedFault::Oversized(bytes)) => {
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

fn error_response(world: &World, status: u16, message: &str, retry_after: Option<u64>) -> Response {
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
