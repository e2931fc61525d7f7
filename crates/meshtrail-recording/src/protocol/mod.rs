//! The recorder protocol: what Tailscale nodes and the Kubernetes API proxy speak to a recorder.
//!
//! HTTP/1.1 and HTTP/2 with prior knowledge on one port, without TLS: the mesh encrypts, and the peer's
//! address says which node it is.
//!
//! | request | answer |
//! |---|---|
//! | `HEAD /v2/record` over HTTP/2 | 200: this recorder speaks v2 |
//! | `POST /v2/record` over HTTP/2 | 200 at once, then acks of what is durable until the recording is |
//! | `POST /record` | 100, the whole body, 200 once it is durable |
//! | `HEAD /v2/event`, `POST /v2/event` | 200; for a request event, once it is durable |
//!
//! - What can't be stored is refused with 503 before it is accepted; the sender then tries the next recorder.
//! - Frames of the ack stream are never further apart than the configured keep-alive.
//! - A peer costs at most its own bounds; errors name the field, and end that request alone.
//! - A sender has a share of connections, sessions, events and memory, counted by its device where the mesh knows it,
//!   else by its address: what is over is refused with 503 before it is accepted.
//! - A first request's head, a recording's header line and a whole event each have a time; a recording has none.

mod ack;
mod answer;
mod request;
mod server;
#[cfg(test)]
mod tests;

pub(crate) use ack::AckSlot;
pub(crate) use request::MAX_EVENT;
pub use request::{RequestError, RequestEvent, parse_request_event};
