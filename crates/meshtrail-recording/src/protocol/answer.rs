//! HTTP answers without acks: empty ones, and problems by RFC 9457.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::ack::AnswerBody;

pub(crate) type HttpAnswer = Response<AnswerBody>;

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> HttpAnswer {
    let mut answer = Response::new(AnswerBody::Whole(None));
    *answer.status_mut() = status;
    answer
}

/// A problem by RFC 9457; `field` names the member of the request that it is about.
pub(crate) fn problem(status: StatusCode, detail: &str, field: Option<&str>) -> HttpAnswer {
    let title = status.canonical_reason().unwrap_or("Error");
    let mut body =
        json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    if let Some(field) = field {
        body["field"] = field.into();
    }
    let mut answer = Response::new(AnswerBody::Whole(Some(Bytes::from(format!("{body}\n")))));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("application/problem+json");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// The answer to a wrong method; `allowed` lists the right ones.
pub(super) fn wrong_method(allowed: &'static str) -> HttpAnswer {
    let mut answer = problem(StatusCode::METHOD_NOT_ALLOWED, &format!("use {allowed}"), None);
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    answer
}
