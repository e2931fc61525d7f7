//! A console page as a response.
//!
//! Every other response of this server (API answers, assets, redirects) carries
//! [`FALLBACK_CSP`](crate::middleware::FALLBACK_CSP), except for evidence packs, which have their own policy.

use axum::response::{Html, IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use meshtrail_console::layout::Document;

/// The response with a console page, and the page's Content-Security-Policy.
///
/// Its referrer policy is `same-origin`: without any referrer the page's forms would have the origin `null` and be
/// refused. Other sites get no referrer.
pub(crate) fn page_response(status: StatusCode, page: Document) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(page.csp)),
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    ];
    (status, headers, Html(page.html)).into_response()
}
