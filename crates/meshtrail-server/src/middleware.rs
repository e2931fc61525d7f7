//! The middleware around the whole router.
//!
//! - Each request has an id: in `x-request-id`, in the log, and in the body of a problem.
//! - A handler has [`HANDLER_TIME`] to read the whole body and start its response; a stream may then continue.
//! - Every response of a demo carries `x-meshtrail-demo`.
//! - A request with more than one `Host`, or without the one it must have, is refused before any handler reads it.
//! - Refused requests are rate-limited in the log: beyond that they are only counted.
//! - Security headers are set on every response; nothing may be cached unless a handler allows it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, header};

use meshtrail_console::public_pages::problem_page;
use meshtrail_listen::Peer;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};

use crate::api::{MAX_BODY, metrics};
use crate::auth::host_names;
use crate::page_response::page_response;
use crate::problem::{PROBLEM_JSON, Problem};
use crate::state::AppState;

/// How long a handler may take before its response starts.
pub const HANDLER_TIME: Duration = Duration::from_secs(60);

/// The Content-Security-Policy of every response that sets none itself: API answers, assets, redirects. Console pages set
/// theirs in `page_response`, evidence packs in `api::packs`.
pub const FALLBACK_CSP: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self'; font-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'";

/// The id of a request: the time this server started, and the request counter.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// Adds request ids, problem documents, the time limit and headers to `router`.
pub(crate) fn wrap(router: Router<AppState>, state: AppState) -> Router {
    router
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(state.clone(), handle))
        .layer(compression())
        .with_state(state)
}

/// Recordings and live views are not compressed: byte ranges must hold, and no block has to fill up first.
fn compression() -> CompressionLayer<impl Predicate> {
    let compressible = DefaultPredicate::new()
        .and(NotForContentType::const_new("application/x-asciicast"))
        .and(NotForContentType::const_new("application/octet-stream"));
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(compressible)
}

async fn handle(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let id = RequestId(state.next_request_id());
    let is_api = request.uri().path().starts_with("/api/") || request.uri().path() == metrics::PATH;
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    request.extensions_mut().insert(id.clone());
    let started = std::time::Instant::now();
    let mut response = match host_names::check_host(&request) {
        Ok(()) => run(request, next).await,
        Err(ambiguous) => Problem::bad_request("Host", ambiguous.to_string()).into_response(),
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        log(&state, &problem, &id, (&method, &path), address);
        response =
            if is_api { as_json(&problem, &id) } else { as_page(&problem, &id, &path, state.banner()) };
    } else if response.status() == http::StatusCode::METHOD_NOT_ALLOWED && is_api {
        response = as_json(&Problem::method_not_allowed(), &id);
    }
    if response.status() == http::StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().entry(header::RETRY_AFTER).or_insert(HeaderValue::from_static("5"));
    }
    tracing::debug!(%method, path, status = response.status().as_u16(), took = ?started.elapsed(), request = id.0, "answered");
    set_headers(&mut response, &id);
    if state.banner().is_some() {
        response.headers_mut().insert("x-meshtrail-demo", HeaderValue::from_static("made up"));
    }
    response
}

async fn run(request: Request, next: Next) -> Response {
    match tokio::time::timeout(HANDLER_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::timeout("the answer was not ready within a minute; ask for less").into_response(),
    }
}

/// Every failure of this server is logged. Problems that a peer can cause are counted, and logged at a limited rate.
fn log(
    state: &AppState,
    problem: &Problem,
    id: &RequestId,
    (method, path): (&http::Method, &str),
    address: Option<SocketAddr>,
) {
    let (status, detail) = (problem.status.as_u16(), problem.detail.as_str());
    let help = "Requests that were answered with an error.";
    state
        .metrics()
        .counter("meshtrail_requests_failed_total", help, &[("status", problem.status.as_str())])
        .add();
    let cause = problem.cause.as_deref().unwrap_or("");
    let is_own_fault =
        problem.status.is_server_error() && problem.status != http::StatusCode::SERVICE_UNAVAILABLE;
    if is_own_fault {
        return tracing::error!(id = id.0, %method, path, status, detail, cause, "request failed");
    }
    let peer = Peer::from_ip(address.map_or(Ipv4Addr::UNSPECIFIED.into(), |address| address.ip()));
    let Some(left_out) = state.refused_requests().allow(&peer, std::time::Instant::now()) else { return };
    if problem.status.is_server_error() {
        tracing::error!(id = id.0, %method, path, status, detail, cause, left_out, "request failed");
    } else {
        tracing::info!(id = id.0, %method, path, status, detail, cause, left_out, "request refused");
    }
}

fn as_page(problem: &Problem, id: &RequestId, path: &str, banner: Option<&str>) -> Response {
    page_response(problem.status, problem_page(&problem.body(&id.0), path, banner))
}

fn as_json(problem: &Problem, id: &RequestId) -> Response {
    let body = serde_json::to_vec(&problem.body(&id.0)).expect("a problem's body is plain text and numbers");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = problem.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if problem.status == http::StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"meshtrail\""));
    }
    response
}

fn set_headers(response: &mut Response, id: &RequestId) {
    const FIXED: [(HeaderName, &str); 5] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::CONTENT_SECURITY_POLICY, FALLBACK_CSP),
    ];
    let headers = response.headers_mut();
    for (name, value) in FIXED {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        headers.insert("x-request-id", value);
    }
}
