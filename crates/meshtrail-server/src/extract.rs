//! What a request carries, read into types, with refusals that name the part that is wrong.

use axum::Json;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody, JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// The query of an address; unknown keys are refused when `T` denies them.
pub(crate) struct Asked<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Asked<T>, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(asked)) => Ok(Asked(asked)),
            Err(rejection) => Err(bad_query(&rejection)),
        }
    }
}

fn bad_query(rejection: &QueryRejection) -> Problem {
    let text = rejection.body_text();
    let reason = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
    Problem::bad_request(named_field(reason).unwrap_or_else(|| "query".to_owned()), reason)
}

/// A JSON body.
pub(crate) struct Sent<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Sent<T>, Problem> {
        match <Json<T> as FromRequest<S>>::from_request(request, state).await {
            Ok(Json(sent)) => Ok(Sent(sent)),
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
            Problem::bad_request(named_field(reason).unwrap_or_else(|| "body".to_owned()), reason)
        }
    }
}

/// A body that did not arrive whole, or is larger than its route takes.
pub(crate) fn bad_body(rejection: &BytesRejection) -> Problem {
    match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
            Problem::too_large("body", "the body is larger than this route takes; send it in parts")
        }
        _ => Problem::bad_request("body", "the body did not arrive whole"),
    }
}

/// The member that a deserialiser's message is about: `limit: invalid digit …`, or an unknown or missing field.
fn named_field(reason: &str) -> Option<String> {
    if let Some((_, rest)) = reason.split_once("field `") {
        return rest.split_once('`').map(|(name, _)| name.to_owned());
    }
    let (path, _) = reason.split_once(": ")?;
    let plain = !path.is_empty() && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.[]".contains(&b));
    plain.then(|| path.to_owned())
}

/// A text of a path or body read by its own syntax.
pub(crate) fn parsed<T: std::str::FromStr>(field: &str, text: &str) -> Result<T, Problem>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| Problem::bad_request(field, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wrong_part_of_a_request_is_named() {
        assert_eq!(named_field("unknown field `lmit`, expected `q`"), Some("lmit".to_owned()));
        assert_eq!(named_field("missing field `reason` at line 1"), Some("reason".to_owned()));
        assert_eq!(named_field("limit: invalid digit found in string"), Some("limit".to_owned()));
        assert_eq!(named_field("expected value at line 1"), None);
    }
}
