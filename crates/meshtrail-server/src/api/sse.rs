//! Responses as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, StreamExt as _};
use http::{HeaderName, HeaderValue};
use tokio_util::sync::CancellationToken;

/// The interval of keep-alive messages while there are no events.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Sends events as they come, until `stop` is cancelled. The header tells proxies not to buffer them.
pub(crate) fn response(
    stop: CancellationToken,
    events: impl Stream<Item = Event> + Send + 'static,
) -> Response {
    let events = events.take_until(stop.cancelled_owned()).map(Ok::<_, Infallible>);
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    let unbuffered = (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response.headers_mut().extend([unbuffered]);
    response
}
