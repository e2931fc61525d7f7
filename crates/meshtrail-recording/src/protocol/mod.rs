//! The recorder protocol: how Tailscale nodes and the Kubernetes API proxy send to a recorder.
//!
//! HTTP/1.1 and HTTP/2 with prior knowledge on one port, without TLS: the mesh encrypts, and the peer's address
//! identifies the node.
//!
//! | request | answer |
//! |---|---|
//! | `HEAD /v2/record` over HTTP/2 | 200: this recorder speaks v2 |
//! | `POST /v2/record` over HTTP/2 | 200 at once, then acks of durable bytes until all of the recording is durable |
//! | `POST /record` | 100, then 200 once the whole body is durable |
//! | `HEAD /v2/event`, `POST /v2/event` | 200; for a request event, once it is durable |
//!
//! - What can't be stored is refused with 503 before it is accepted; the sender then tries the next recorder. All
//!   refusals and errors that a node is sent are in `refusal.rs`.
//! - Two frames of an ack stream are never further apart than the configured keep-alive.
//! - A peer uses at most its own limits. An error names the field, and ends only that request.
//! - A sender has a share of connections, sessions, events and memory, counted by its device where the mesh knows it,
//!   else by its address. What exceeds the share is refused with 503 before it is accepted.
//! - A first request's head, a recording's header line and a whole event have time limits; a recording has none.

mod ack;
mod answer;
#[cfg(test)]
mod redaction_tests;
mod request;
mod server;
#[cfg(test)]
mod tests;

pub(crate) use ack::AckSlot;
pub(crate) use answer::{HttpAnswer, empty, problem};
pub(crate) use request::MAX_EVENT;
pub use request::{RequestError, RequestEvent, parse_request_event};
