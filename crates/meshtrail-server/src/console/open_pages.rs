//! What everybody may load: the sign-in page, the assets, and the page of a problem.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use maud::Markup;
use meshtrail_event::Timestamp;
use serde::Deserialize;

use super::assets::{asset, version};
use super::layout::{Nav, Shell};
use super::{POLICY, plain_pages};
use crate::problem::{Problem, ProblemBody};
use crate::state::AppState;

/// Where to go after signing in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    to: String,
}

/// The sign-in page.
pub(crate) async fn sign_in(State(state): State<AppState>, Query(wanted): Query<Wanted>) -> Response {
    plain("Sign in", Nav::None, &plain_pages::sign_in(&wanted.to), state.banner())
}

/// The page of a problem at `path`, for a browser.
pub(crate) fn problem_page(body: &ProblemBody, path: &str, banner: Option<&str>) -> Response {
    // Whoever is not signed in is shown nothing but how to.
    let nav = if body.status == 401 { Nav::None } else { Nav::of_path(path) };
    plain(&body.title, nav, &plain_pages::problem(body, nav), banner)
}

fn plain(title: &str, nav: Nav, content: &Markup, banner: Option<&str>) -> Response {
    let shell = Shell { title, nav, looker: None, sound: None, now: Timestamp::now(), plays: false, banner };
    super::page(StatusCode::OK, POLICY, shell.page(content))
}

/// A style, a script, a face. Under its current address it may be kept for ever.
pub(crate) async fn asset_file(Path((asked, name)): Path<(String, String)>) -> Result<Response, Problem> {
    let found = asset(&name).ok_or_else(|| Problem::not_found("there is no such asset"))?;
    let keep = if asked == version() { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(found.media)),
        (header::CACHE_CONTROL, HeaderValue::from_static(keep)),
    ];
    Ok((headers, found.bytes).into_response())
}
