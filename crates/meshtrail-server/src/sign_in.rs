//! Signing in and out: by tailnet identity, by a one-time link, by an API token.
//!
//! - A sign-in is in the trail before the cookie is sent.
//! - tailscaled is queried only here, on an explicit sign-in; never per request.
//! - After a sign-in the browser is redirected to a path of this server, whatever `to` says.

use std::net::SocketAddr;
use std::time::Instant;

use axum::extract::rejection::FormRejection;
use axum::extract::{ConnectInfo, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Form};
use http::{HeaderMap, HeaderValue, header};
use meshtrail_event::{Kind, Outcome, Timestamp};
use meshtrail_identity::{Connection, ResolutionStatus, Unresolved};
use meshtrail_listen::LocalAddress;
use serde::Deserialize;

use crate::audit_log::Entry;
use crate::auth::{AuthMethod, Caller, Capability, Principal, Role, Secret};
use crate::extract::ValidQuery;
use crate::problem::Problem;
use crate::route::Route;
use crate::state::AppState;

/// The routes for signing in and out.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::form("/sign-in/tailnet", Capability::Open, post(by_tailnet)),
        Route::form("/sign-in/token", Capability::Open, post(by_token)),
        Route::page("/sign-in/link", Capability::Open, get(by_link)),
        Route::form("/sign-out", Capability::SelfService, post(sign_out)),
    ]
}

#[derive(Debug, Deserialize)]
struct TailnetForm {
    #[serde(default)]
    to: String,
}

#[derive(Deserialize)]
struct TokenForm {
    token: String,
    #[serde(default)]
    to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkQuery {
    token: String,
}

/// Signs in the person or device that the mesh reports behind this connection.
async fn by_tailnet(
    State(state): State<AppState>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    local: Option<Extension<LocalAddress>>,
    form: Result<Form<TailnetForm>, FormRejection>,
) -> Result<Response, Problem> {
    let Form(form) = form.map_err(|error| bad_form(&error))?;
    let resolution = state.resolver().who(connection(peer, local)).await;
    let (identity, certain) = (resolution.identity(), resolution.is_certain());
    let actor = match (&resolution.status, resolution.actor) {
        (ResolutionStatus::Resolved, Some(actor)) if certain => actor,
        (ResolutionStatus::Unresolved { why: why @ Unresolved::OwnMachine }, _) => {
            return Err(Problem::bad_credentials(format!(
                "{why}; `meshtrail sign-in` prints a link for a browser here, to whoever may have one"
            )));
        }
        (ResolutionStatus::Resolved, _) | (ResolutionStatus::Unresolved { .. }, _) => {
            let why = identity.reason.unwrap_or_else(|| "nobody is known behind this address".to_owned());
            return Err(Problem::bad_credentials(format!(
                "the mesh does not say who you are ({why}); open this console by the server's Tailscale address, or use a token"
            )));
        }
        (ResolutionStatus::Conflicting { .. }, _) => {
            return Err(Problem::bad_credentials(
                "tailscaled and the directory file disagree about who you are; use a token until they agree",
            ));
        }
    };
    let role = state.grants().role_of(&actor);
    let who = Principal::Mesh { actor: Box::new(actor), identity: Box::new(identity) };
    let caller = Caller {
        who,
        role: role.unwrap_or(Role::Viewer),
        auth_method: AuthMethod::Cookie,
        address: Some(peer),
    };
    if role.is_none() {
        return Err(refuse_without_role(&state, caller).await);
    }
    complete_sign_in(&state, caller, "tailnet", &form.to).await
}

fn connection(peer: SocketAddr, local: Option<Extension<LocalAddress>>) -> Connection {
    Connection { peer, local: local.map(|Extension(LocalAddress(local))| local) }
}

/// Whether the browser is on this machine: a loopback peer that is not a connection forwarded by a userspace tailscaled.
async fn is_on_this_machine(state: &AppState, connection: Connection) -> bool {
    if !connection.peer.ip().to_canonical().is_loopback() {
        return false;
    }
    let resolution = state.resolver().who(connection).await;
    resolution.device.is_none()
        || resolution.status == ResolutionStatus::Unresolved { why: Unresolved::OwnMachine }
}

/// The problem for somebody whom the mesh knows, but who has no role here.
async fn refuse_without_role(state: &AppState, caller: Caller) -> Problem {
    let mut entry = Entry::new(Kind::MeshtrailSignedIn, "sign-in").with_outcome(Outcome::Denied);
    entry.own.method = Some("tailnet".to_owned());
    entry.own.reason = Some("no role".to_owned());
    if state.may_record_refusal(Instant::now())
        && let Err(problem) = state.audit_log().write(&caller, entry).await
    {
        return problem;
    }
    Problem::forbidden(format!(
        "the mesh knows you as {}, but you have no role here; an administrator gives one in [roles] of the configuration",
        caller.who
    ))
}

/// Signs in the holder of an API token.
async fn by_token(
    State(state): State<AppState>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    form: Result<Form<TokenForm>, FormRejection>,
) -> Result<Response, Problem> {
    let Form(form) = form.map_err(|error| bad_form(&error))?;
    let (who, role) = state
        .authenticate_token(&Secret::from_text(form.token.trim()), Timestamp::now())
        .ok_or_else(|| Problem::bad_credentials("this token is unknown, expired or revoked").at("token"))?;
    if role == Role::Sender {
        return Err(Problem::forbidden("a sender's token hands in events and opens no console").at("token"));
    }
    let caller = Caller { who, role, auth_method: AuthMethod::Cookie, address: Some(peer) };
    complete_sign_in(&state, caller, "token", &form.to).await
}

/// Signs in a browser on this machine with a one-time link.
async fn by_link(
    State(state): State<AppState>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    local: Option<Extension<LocalAddress>>,
    method: http::Method,
    ValidQuery(query): ValidQuery<LinkQuery>,
) -> Result<Response, Problem> {
    if method == http::Method::HEAD {
        return Ok(http::StatusCode::OK.into_response());
    }
    if !is_on_this_machine(&state, connection(peer, local)).await {
        let detail =
            "a one-time link works on the server's own machine only; sign in by the tailnet or with a token";
        return Err(Problem::forbidden(detail));
    }
    if !state.links().redeem(&Secret::from_text(&query.token), Instant::now()) {
        let detail =
            "this link was used, or is older than 15 minutes; `meshtrail sign-in` prints a fresh one";
        return Err(Problem::bad_credentials(detail));
    }
    let caller = Caller {
        who: Principal::Local,
        role: Role::Admin,
        auth_method: AuthMethod::Cookie,
        address: Some(peer),
    };
    let mut response = complete_sign_in(&state, caller, "link", "").await?;
    // A page with a refresh in place of a redirect: a redirect on a navigation that another program started would not
    // carry the new cookie.
    let page = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
                <meta http-equiv=\"refresh\" content=\"0; url=/sessions\"><title>Signed in</title>\
                <p>Signed in. <a href=\"/sessions\">Go on to the sessions.</a>";
    *response.status_mut() = http::StatusCode::OK;
    response.headers_mut().remove(header::LOCATION);
    let headers = std::mem::take(response.headers_mut());
    let mut answer = Html(page).into_response();
    answer
        .headers_mut()
        .extend(headers.into_iter().filter(|(name, _)| name.as_ref() == Some(&header::SET_COOKIE)));
    Ok(answer)
}

async fn sign_out(
    State(state): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    state.audit_log().write(&caller, Entry::new(Kind::MeshtrailSignedOut, "sign-out")).await?;
    if let Some(cookie) = state.sign_ins().cookie_of(&headers) {
        state.sign_ins().close(&cookie);
    }
    Ok(with_cookie(Redirect::to("/sign-in").into_response(), &state.sign_ins().clear_cookie()))
}

async fn complete_sign_in(
    state: &AppState,
    caller: Caller,
    method: &str,
    to: &str,
) -> Result<Response, Problem> {
    let mut entry = Entry::new(Kind::MeshtrailSignedIn, "sign-in");
    entry.own.method = Some(method.to_owned());
    state.audit_log().write(&caller, entry).await?;
    let cookie = state
        .sign_ins()
        .open(caller.who, caller.role, Instant::now())
        .map_err(|error| Problem::internal("nobody can be signed in now").because(&error))?;
    Ok(with_cookie(Redirect::to(local_path(to)).into_response(), &state.sign_ins().set_cookie(&cookie)))
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    let value = HeaderValue::from_str(cookie).expect("a cookie is made of URL-safe base64");
    response.headers_mut().append(header::SET_COOKIE, value);
    response
}

/// `to`, if it is a path of this server, else `/`; `//host` and `/\host` would lead elsewhere.
fn local_path(to: &str) -> &str {
    let is_local = to.starts_with('/')
        && !to.starts_with("//")
        && !to.contains('\\')
        && to.bytes().all(|byte| byte.is_ascii_graphic());
    if is_local { to } else { "/" }
}

fn bad_form(rejection: &FormRejection) -> Problem {
    Problem::bad_request("body", rejection.body_text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_leads_nowhere_but_here() {
        assert_eq!(local_path("/events?q=a%20b"), "/events?q=a%20b");
        for to in ["", "https://evil.example", "//evil.example", "/\\evil.example", "/a\r\nb", "javascript:x"]
        {
            assert_eq!(local_path(to), "/", "{to:?}");
        }
    }
}
