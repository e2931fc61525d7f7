//! Errors as RFC 9457 problem details.
//!
//! - Every problem has a type that programs can match, a sentence for people, and an id that is in the log.
//! - `field` names the part of the request that is invalid.
//! - Causes inside the server are logged under the id and not sent to the caller.
//!
//! A handler returns a [`Problem`]; [`crate::middleware`] adds its id, logs it and writes the body.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use meshtrail_api::problem::ProblemBody;
use meshtrail_event::text::with_causes;

pub const PROBLEM_JSON: &str = "application/problem+json";

/// A refusal or a failure.
#[derive(Debug, Clone)]
pub struct Problem {
    pub status: StatusCode,
    /// The last part of the type, which programs match.
    pub slug: &'static str,
    /// A fixed short text for this kind of problem.
    pub title: &'static str,
    /// What happened this time and what to do next.
    pub detail: String,
    /// The part of the request that is invalid.
    pub field: Option<String>,
    /// The cause, which is only logged.
    pub cause: Option<String>,
}

impl Problem {
    fn new(
        status: StatusCode,
        slug: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Problem {
        Problem { status, slug, title, detail: detail.into(), field: None, cause: None }
    }

    /// Names the part of the request that is invalid.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Problem {
        self.field = Some(field.into());
        self
    }

    /// Records the whole error chain of `cause` for the log.
    #[must_use]
    pub fn because(mut self, cause: &dyn std::error::Error) -> Problem {
        self.cause = Some(with_causes(cause));
        self
    }

    /// 400: part of the request can't be parsed.
    pub fn bad_request(field: impl Into<String>, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "bad-request", "The request can't be understood", detail)
            .at(field)
    }

    /// 401: no credentials.
    pub fn unauthenticated() -> Problem {
        let detail = "sign in, or send an API token as `Authorization: Bearer mt_…`";
        Problem::new(StatusCode::UNAUTHORIZED, "not-signed-in", "Not signed in", detail)
    }

    /// 401: the token or link is invalid or has expired.
    pub fn bad_credentials(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNAUTHORIZED, "bad-credentials", "These credentials open nothing", detail)
    }

    /// 403: the caller is authenticated but lacks the capability.
    pub fn forbidden(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail)
    }

    /// 404: nothing exists here that the caller may see.
    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    /// 405: the path exists, but not for this method.
    pub fn method_not_allowed() -> Problem {
        let detail = "this path does not take this method; /api/openapi.json lists what there is";
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail)
    }

    /// 409: the request conflicts with the state of the resource.
    pub fn conflict(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::CONFLICT, "conflict", "Not possible in this state", detail)
    }

    /// 413: the body is too large.
    pub fn too_large(field: impl Into<String>, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large", detail).at(field)
    }

    /// 415: the media type of the body is not supported here.
    pub fn unsupported_media(detail: impl Into<String>) -> Problem {
        let title = "This media type is not read here";
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", title, detail)
            .at("Content-Type")
    }

    /// 421: a browser used a host name that is not this server's.
    pub fn misdirected(host: &str) -> Problem {
        let detail = format!(
            "this server does not answer browsers as {host:?}; use its address, or add the name to `names` in the configuration"
        );
        let title = "Not this server's name";
        Problem::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", title, detail).at("Host")
    }

    /// 408: the handler did not respond in time.
    pub fn timeout(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", "Took too long", detail)
    }

    /// 503: the store or the trail can't be read or written now.
    pub fn unavailable(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not possible right now", detail)
    }

    /// 500: a fault in this server.
    pub fn internal(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "A fault in this server", detail)
    }

    /// The body to send; `id` is the request id.
    pub fn body(&self, id: &str) -> ProblemBody {
        ProblemBody {
            kind: format!("urn:meshtrail:problem:{}", self.slug),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            field: self.field.clone(),
            id: id.to_owned(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
