//! Extractors for query strings and JSON bodies, whose rejections name the part that is invalid.

use axum::Json;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody, JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use http::request::Parts;
use meshtrail_event::{RelativePosition, TrailName};
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// A checked query string; unknown keys are rejected when `T` denies unknown fields.
pub(crate) struct ValidQuery<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for ValidQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<ValidQuery<T>, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(ValidQuery(query)),
            Err(rejection) => Err(bad_query(&rejection)),
        }
    }
}

fn bad_query(rejection: &QueryRejection) -> Problem {
    let text = rejection.body_text();
    let reason = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
    Problem::bad_request(field_in_message(reason).unwrap_or_else(|| "query".to_owned()), reason)
}

/// A checked JSON body.
pub(crate) struct ValidJson<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ValidJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<ValidJson<T>, Problem> {
        match <Json<T> as FromRequest<S>>::from_request(request, state).await {
            Ok(Json(body)) => Ok(ValidJson(body)),
            Err(rejection) => Err(bad_json(&rejection)),
        }
    }
}

fn bad_json(rejection: &JsonRejection) -> Problem {
    let text = rejection.body_text();
    match rejection {
        JsonRejection::MissingJsonContentType(_) => Problem::unsupported_media(
            "the body is read as JSON: send it with `Content-Type: application/json`",
        ),
        JsonRejection::BytesRejection(rejection) => bad_body(rejection),
        _ => {
            let reason = text.split_once(": ").map_or(text.as_str(), |(_, reason)| reason);
            Problem::bad_request(field_in_message(reason).unwrap_or_else(|| "body".to_owned()), reason)
        }
    }
}

/// The problem for a body that did not arrive completely, or is larger than its route accepts.
pub(crate) fn bad_body(rejection: &BytesRejection) -> Problem {
    match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
            Problem::too_large("body", "the body is larger than this route takes; send it in parts")
        }
        _ => Problem::bad_request("body", "the body did not arrive whole"),
    }
}

/// The field that a deserialiser's error message names: `limit: invalid digit …`, or an unknown or missing field.
fn field_in_message(reason: &str) -> Option<String> {
    if let Some((_, rest)) = reason.split_once("field `") {
        return rest.split_once('`').map(|(name, _)| name.to_owned());
    }
    let (path, _) = reason.split_once(": ")?;
    let plain = !path.is_empty() && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.[]".contains(&b));
    plain.then(|| path.to_owned())
}

/// Parses part of a path or a body; the problem names `field`.
pub(crate) fn parse_field<T: std::str::FromStr>(field: &str, text: &str) -> Result<T, Problem>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| Problem::bad_request(field, error.to_string()))
}

/// The index of a position in `own`, this server's trail; the problem names `field`, and a trail that is not here.
pub(crate) fn own_index(field: &str, position: &RelativePosition, own: &TrailName) -> Result<u64, Problem> {
    position.index_in(own).map_err(|error| Problem::bad_request(field, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wrong_part_of_a_request_is_named() {
        assert_eq!(field_in_message("unknown field `lmit`, expected `q`"), Some("lmit".to_owned()));
        assert_eq!(field_in_message("missing field `reason` at line 1"), Some("reason".to_owned()));
        assert_eq!(field_in_message("limit: invalid digit found in string"), Some("limit".to_owned()));
        assert_eq!(field_in_message("expected value at line 1"), None);
    }
}
