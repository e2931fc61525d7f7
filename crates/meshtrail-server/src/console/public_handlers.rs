//! Handlers of what everybody may load without signing in: the sign-in page, and assets.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use meshtrail_console::assets::{asset, version};
use meshtrail_console::public_pages::sign_in_page;
use serde::Deserialize;

use crate::page_response::page_response;
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
    page_response(StatusCode::OK, sign_in_page(&parameters.to, state.banner()))
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
