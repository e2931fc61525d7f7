//! Handlers of what everybody may load without signing in: the sign-in page, assets, and problem pages.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use maud::Markup;
use meshtrail_api::problem::ProblemBody;
use meshtrail_event::Timestamp;
use serde::Deserialize;

use super::assets::{asset, version};
use super::layout::Shell;
use super::nav::Nav;
use super::page_response::{PAGE_CSP, page_response};
use super::public_pages;
use crate::problem::Problem;
use crate::state::AppState;

/// The query parameters of the sign-in page: where to go after signing in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SignInParameters {
    to: String,
}

/// The sign-in page.
pub(crate) async fn sign_in(
    State(state): State<AppState>,
    Query(parameters): Query<SignInParameters>,
) -> Response {
    respond("Sign in", Nav::None, &public_pages::sign_in(&parameters.to), state.banner())
}

/// The page of a problem at `path`, for a browser.
pub(crate) fn problem_page(body: &ProblemBody, path: &str, banner: Option<&str>) -> Response {
    // Whoever is not signed in sees only the way to sign in.
    let nav = if body.status == 401 { Nav::None } else { Nav::of_path(path) };
    respond(&body.title, nav, &public_pages::problem(body, nav), banner)
}

fn respond(title: &str, nav: Nav, content: &Markup, banner: Option<&str>) -> Response {
    let shell =
        Shell { title, nav, viewer: None, trail_status: None, now: Timestamp::now(), plays: false, banner };
    page_response(StatusCode::OK, PAGE_CSP, shell.document(content))
}

/// A style sheet, script or font. At its current address it is immutable.
pub(crate) async fn asset_file(Path((requested, name)): Path<(String, String)>) -> Result<Response, Problem> {
    let file = asset(&name).ok_or_else(|| Problem::not_found("there is no such asset"))?;
    let keep = if requested == version() { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(file.media)),
        (header::CACHE_CONTROL, HeaderValue::from_static(keep)),
    ];
    Ok((headers, file.bytes).into_response())
}
