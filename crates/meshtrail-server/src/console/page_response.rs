//! A console page as a response, with its Content-Security-Policy.
//!
//! Console pages carry one of the two policies here. Every other response of this server (API answers, assets,
//! redirects) carries [`FALLBACK_CSP`](crate::middleware::FALLBACK_CSP), except for evidence packs, which have their own.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use maud::Markup;

/// The Content-Security-Policy of console pages without a player.
pub(super) const PAGE_CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; \
     img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The Content-Security-Policy of console pages with a player: asciinema-player's terminal is WebAssembly.
pub(super) const PLAYER_PAGE_CSP: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
     font-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

/// The response with a console page.
///
/// Its referrer policy is `same-origin`: without any referrer the page's forms would have the origin `null` and be
/// refused. Other sites get no referrer.
pub(super) fn page_response(status: StatusCode, csp: &'static str, markup: Markup) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(csp)),
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    ];
    (status, headers, markup).into_response()
}
