//! The authorisation middleware around every route of the table.
//!
//! A request is identified (by token, else by cookie); a browser's `Host` must be this server's and, for a request that
//! changes something, its `Origin` as well; it is counted against the caller's share of requests; and the role must hold
//! the route's capability. A handler that runs has passed all of these.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, Method, header};
use meshtrail_event::Timestamp;
use meshtrail_listen::{Peer, RequestSlot};

use crate::api::metrics;
use crate::auth::host_names::{self, OriginError};
use crate::auth::{AuthMethod, Caller, Capability, Secret};
use crate::problem::Problem;
use crate::state::AppState;

/// Passes a request to its handler with its [`Caller`] as an extension, or answers it.
pub async fn authorise(
    State((state, needs)): State<(AppState, Capability)>,
    mut request: Request,
    next: Next,
) -> Response {
    match check_request(&state, needs, &request) {
        Ok(Some(caller)) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Ok(None) => next.run(request).await,
        Err(problem) if problem.slug == "not-signed-in" && is_page(&request) => redirect_to_sign_in(&request),
        Err(problem) => problem.into_response(),
    }
}

fn check_request(state: &AppState, needs: Capability, request: &Request) -> Result<Option<Caller>, Problem> {
    if let Some(caller) = state.local_caller() {
        return Ok(Some(caller));
    }
    let headers = request.headers();
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    let caller = identify(state, headers, address)?;
    let by_token = caller.as_ref().is_some_and(|caller| caller.auth_method == AuthMethod::Token);
    let is_open_read = needs == Capability::Open && request.method().is_safe();
    if !by_token && !is_open_read {
        check_browser(state, request)?;
    }
    if let Some(caller) = &caller {
        count_for_caller(request, caller)?;
    }
    match caller {
        _ if needs == Capability::Open => Ok(caller),
        None => Err(Problem::unauthenticated()),
        Some(caller) if caller.role.may(needs) => Ok(Some(caller)),
        Some(caller) => Err(refusal(&caller, needs)),
    }
}

/// Counts the request against the caller's share, and no longer against the address, which many callers may share.
fn count_for_caller(request: &Request, caller: &Caller) -> Result<(), Problem> {
    let Some(slot) = request.extensions().get::<RequestSlot>() else { return Ok(()) };
    slot.assign_to(&Peer::from_identity(caller.who.identity()))
        .map_err(|full| Problem::unavailable(full.to_string()))
}

fn identify(
    state: &AppState,
    headers: &HeaderMap,
    address: Option<SocketAddr>,
) -> Result<Option<Caller>, Problem> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let secret = bearer_token(value).ok_or_else(|| {
            Problem::bad_credentials("only `Authorization: Bearer TOKEN` is understood here")
                .at("Authorization")
        })?;
        let (who, role) = state.authenticate_token(&secret, Timestamp::now()).ok_or_else(|| {
            let detail =
                "this API token is unknown, expired or revoked; `meshtrail tokens list` shows those in force";
            Problem::bad_credentials(detail).at("Authorization")
        })?;
        return Ok(Some(Caller { who, role, auth_method: AuthMethod::Token, address }));
    }
    let sign_ins = state.sign_ins();
    let signed_in =
        sign_ins.cookie_of(headers).and_then(|cookie| sign_ins.find(&cookie, std::time::Instant::now()));
    Ok(signed_in.map(|(who, role)| Caller { who, role, auth_method: AuthMethod::Cookie, address }))
}

fn bearer_token(value: &http::HeaderValue) -> Option<Secret> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::from_text(token.trim()))
}

fn check_browser(state: &AppState, request: &Request) -> Result<(), Problem> {
    let host = host_names::host_of(request.headers(), request.uri())
        .ok_or_else(|| Problem::bad_request("Host", "the request does not say which host it is for"))?;
    if !state.serves_host(host) {
        return Err(Problem::misdirected(host));
    }
    host_names::check_origin(request.method(), request.headers(), host).map_err(|foreign| match foreign {
        OriginError::OtherSite | OriginError::NoOrigin => {
            Problem::forbidden(foreign.to_string()).at("Origin")
        }
    })
}

fn refusal(caller: &Caller, needs: Capability) -> Problem {
    let who = &caller.who;
    let role = caller.role;
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

fn redirect_to_sign_in(request: &Request) -> Response {
    let target = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let mut escaped = String::with_capacity(target.len());
    for byte in target.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    Redirect::to(&format!("/sign-in?to={escaped}")).into_response()
}
