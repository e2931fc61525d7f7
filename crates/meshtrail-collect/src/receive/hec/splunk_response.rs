//! Responses of Splunk's HTTP Event Collector: a code, its text, and its HTTP status.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::receive::body::BodyError;

/// Splunk's codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SplunkCode {
    Success,
    NoToken,
    BadAuthorization,
    BadToken,
    NoData,
    InvalidData,
    Busy,
    NoChannel,
    BadChannel,
    NoEvent,
    BlankEvent,
    Healthy,
    Unhealthy,
}

impl SplunkCode {
    const fn parts(self) -> (u16, u16, &'static str) {
        match self {
            Self::Success => (0, 200, "Success"),
            Self::NoToken => (2, 401, "Token is required"),
            Self::BadAuthorization => (3, 401, "Invalid authorization"),
            Self::BadToken => (4, 403, "Invalid token"),
            Self::NoData => (5, 400, "No data"),
            Self::InvalidData => (6, 400, "Invalid data format"),
            Self::Busy => (9, 503, "Server is busy"),
            Self::NoChannel => (10, 400, "Data channel is missing"),
            Self::BadChannel => (11, 400, "Invalid data channel"),
            Self::NoEvent => (12, 400, "Event field is required"),
            Self::BlankEvent => (13, 400, "Event field cannot be blank"),
            Self::Healthy => (17, 200, "HEC is healthy"),
            Self::Unhealthy => (18, 503, "HEC is unhealthy, queues are full"),
        }
    }
}

/// A response in Splunk's format.
#[derive(Debug)]
pub(crate) struct SplunkResponse {
    code: SplunkCode,
    status: Option<StatusCode>,
    event: Option<usize>,
    ack: Option<u64>,
    reason: Option<String>,
}

impl SplunkResponse {
    pub(crate) fn new(code: SplunkCode) -> Self {
        Self { code, status: None, event: None, ack: None, reason: None }
    }

    /// About the event at this index, from 0.
    pub(crate) fn for_event(mut self, event: usize) -> Self {
        self.event = Some(event);
        self
    }

    /// With a text of our own beside Splunk's.
    pub(crate) fn with_reason(mut self, reason: String) -> Self {
        self.reason = Some(reason);
        self
    }

    pub(crate) fn with_ack_id(mut self, ack: Option<u64>) -> Self {
        self.ack = ack;
        self
    }

    /// The response to a body that is refused.
    pub(crate) fn body_error(error: &BodyError) -> Self {
        if let BodyError::NoRoom = error {
            return Self::new(SplunkCode::Busy).with_reason(error.to_string());
        }
        Self {
            status: Some(error.status()),
            ..Self::new(SplunkCode::InvalidData).with_reason(error.to_string())
        }
    }
}

impl IntoResponse for SplunkResponse {
    fn into_response(self) -> Response {
        let (code, status, text) = self.code.parts();
        let mut body = json!({ "text": text, "code": code });
        if let Some(event) = self.event {
            body["invalid-event-number"] = event.into();
        }
        if let Some(ack) = self.ack {
            body["ackId"] = ack.into();
        }
        if let Some(reason) = self.reason {
            body["reason"] = reason.into();
        }
        let status = self.status.or(StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
