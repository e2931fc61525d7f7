//! Answers other than acks: empty ones, and problems that say what is wrong.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use meshtrail_event::text::with_causes;
use serde_json::json;

use super::{ack::Answer, request::RequestError};
use crate::{ledger::LedgerError, sessions::Refusal};

pub(super) type Answered = Response<Answer>;

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Answered {
    let mut answer = Response::new(Answer::Whole(None));
    *answer.status_mut() = status;
    answer
}

/// A problem by RFC 9457.
pub(super) fn problem(status: StatusCode, detail: &str, field: Option<&str>) -> Answered {
    let title = status.canonical_reason().unwrap_or("Error");
    let mut body =
        json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    if let Some(field) = field {
        body["field"] = field.into();
    }
    let mut answer = Response::new(Answer::Whole(Some(Bytes::from(format!("{body}\n")))));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("application/problem+json");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// A wrong method: says which would be right.
pub(super) fn wrong_method(allowed: &'static str) -> Answered {
    let mut answer = problem(StatusCode::METHOD_NOT_ALLOWED, &format!("use {allowed}"), None);
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    answer
}

impl From<&Refusal> for Answered {
    fn from(refusal: &Refusal) -> Self {
        let mut answer = problem(StatusCode::SERVICE_UNAVAILABLE, &refusal.to_string(), None);
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
        answer
    }
}

impl From<&RequestError> for Answered {
    fn from(error: &RequestError) -> Self {
        let status = match error {
            RequestError::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            RequestError::Stalled | RequestError::Slow { .. } | RequestError::Lost { .. } => {
                StatusCode::REQUEST_TIMEOUT
            }
            RequestError::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            RequestError::NotJson { .. } | RequestError::Wrong { .. } | RequestError::Missing { .. } => {
                StatusCode::BAD_REQUEST
            }
        };
        let mut answer = problem(status, &error.to_string(), error.field());
        if status == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
        }
        answer
    }
}

impl From<&LedgerError> for Answered {
    fn from(error: &LedgerError) -> Self {
        tracing::error!(error = with_causes(error), "a request event could not be kept");
        problem(StatusCode::SERVICE_UNAVAILABLE, "the trail did not take the event", None)
    }
}
