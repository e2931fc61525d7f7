//! The one place where a request is let in or turned away, wrapped around every row of the route table.
//!
//! Order: who is it (token, else cookie), is it meant for us (browsers only), may they, does a change come from
//! our own page. A handler that runs has passed all four.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, Method, header};
use meshtrail_event::Timestamp;
use meshtrail_listen::{Peer, RequestPlace};

use super::names::{self, Foreign};
use super::{Capability, Secret, Via, Viewer};
use crate::api::metrics;
use crate::problem::Problem;
use crate::state::AppState;

/// Lets a request through to its handler, with its [`Viewer`], or answers it.
pub async fn authorise(
    State((state, needs)): State<(AppState, Capability)>,
    mut request: Request,
    next: Next,
) -> Response {
    match admit(&state, needs, &request) {
        Ok(Some(viewer)) => {
            request.extensions_mut().insert(viewer);
            next.run(request).await
        }
        Ok(None) => next.run(request).await,
        Err(problem) if problem.slug == "not-signed-in" && is_page(&request) => to_sign_in(&request),
        Err(problem) => problem.into_response(),
    }
}

fn admit(state: &AppState, needs: Capability, request: &Request) -> Result<Option<Viewer>, Problem> {
    if let Some(reader) = state.reader() {
        return Ok(Some(reader));
    }
    let headers = request.headers();
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    let viewer = identify(state, headers, address)?;
    let by_token = viewer.as_ref().is_some_and(|viewer| viewer.via == Via::Token);
    let harmless = needs == Capability::Open && request.method().is_safe();
    if !by_token && !harmless {
        check_browser(state, request)?;
    }
    if let Some(viewer) = &viewer {
        count(request, viewer)?;
    }
    match viewer {
        _ if needs == Capability::Open => Ok(viewer),
        None => Err(Problem::unauthenticated()),
        Some(viewer) if viewer.role.may(needs) => Ok(Some(viewer)),
        Some(viewer) => Err(refusal(&viewer, needs)),
    }
}

/// Counts the request for whoever asks, and no longer for their address: many may come through one.
fn count(request: &Request, viewer: &Viewer) -> Result<(), Problem> {
    let Some(place) = request.extensions().get::<RequestPlace>() else { return Ok(()) };
    place
        .count_for(&Peer::known(viewer.who.identity()))
        .map_err(|full| Problem::unavailable(full.to_string()))
}

fn identify(
    state: &AppState,
    headers: &HeaderMap,
    address: Option<SocketAddr>,
) -> Result<Option<Viewer>, Problem> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let secret = bearer(value).ok_or_else(|| {
            Problem::bad_credentials("only `Authorization: Bearer TOKEN` is understood here")
                .at("Authorization")
        })?;
        let (who, role) = state.token_holder(&secret, Timestamp::now()).ok_or_else(|| {
            let detail =
                "this API token is unknown, expired or revoked; `meshtrail tokens list` shows those in force";
            Problem::bad_credentials(detail).at("Authorization")
        })?;
        return Ok(Some(Viewer { who, role, via: Via::Token, address }));
    }
    let sign_ins = state.sign_ins();
    let signed_in =
        sign_ins.cookie_of(headers).and_then(|cookie| sign_ins.find(&cookie, std::time::Instant::now()));
    Ok(signed_in.map(|(who, role)| Viewer { who, role, via: Via::Cookie, address }))
}

fn bearer(value: &http::HeaderValue) -> Option<Secret> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::presented(token.trim()))
}

fn check_browser(state: &AppState, request: &Request) -> Result<(), Problem> {
    let host = names::host_of(request.headers(), request.uri())
        .ok_or_else(|| Problem::bad_request("Host", "the request does not say which host it is for"))?;
    if !state.answers_as(host) {
        return Err(Problem::misdirected(host));
    }
    names::check_origin(request.method(), request.headers(), host).map_err(|foreign| match foreign {
        Foreign::OtherSite | Foreign::NoOrigin => Problem::forbidden(foreign.to_string()).at("Origin"),
    })
}

fn refusal(viewer: &Viewer, needs: Capability) -> Problem {
    let who = &viewer.who;
    let role = viewer.role;
    Problem::forbidden(match needs {
        Capability::Send => {
            format!("{who} has the role {role}; only a token of the role sender hands in events")
        }
        _ => format!("{who} has the role {role}; this needs the role {} or higher", needs.least_role()),
    })
}

fn is_page(request: &Request) -> bool {
    let path = request.uri().path();
    request.method() == Method::GET && !path.starts_with("/api/") && path != metrics::PATH
}

fn to_sign_in(request: &Request) -> Response {
    let wanted = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let mut escaped = String::with_capacity(wanted.len());
    for byte in wanted.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    Redirect::to(&format!("/sign-in?to={escaped}")).into_response()
}
