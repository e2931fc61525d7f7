//! Flows: the traffic between two ends, as each of them counted it.
//!
//! ```text
//! report ─→ Flows::ingest ─→ flow.counted, one for each connection ─→ trail ─→ conversations
//! ```
//!
//! - [`Flows`]: takes the reports of nodes, each once, and writes their connections as events with the people and devices
//!   at both ends. [`FlowRecord`]: a report as it was received; [`looks_like_a_report`] recognises one.
//! - [`conversations()`]: events of a trail by their two ends, with what each end counted side by side.
//! - [`Layer`], [`protocol_number`]: the words for kinds of traffic.
//!
//! Who sends reports, and by which way they arrive, is not known here.

mod conversations;
mod endpoints;
mod ingest;
mod leaves;
mod wire;

pub use conversations::{Conversation, Conversations, End, FlowQuery, Grain, Party, Way, conversations};
pub use ingest::{FlowError, FlowRecord, Flows, IngestSummary};
pub use wire::{Layer, MAX_CONNECTIONS, MAX_NODES, looks_like_a_report, protocol_number};
