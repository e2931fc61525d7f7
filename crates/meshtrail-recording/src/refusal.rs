//! Why a recording or a request event is refused, or a recording stops early, and what the node is sent then.
//!
//! | when | why | what the node is sent |
//! |---|---|---|
//! | before a recording or an event is accepted | [`Refusal`] | 503 and `Retry-After`: [`Refusal::to_answer`] |
//! | at the end of `POST /record` (protocol v1) | [`StopReason`] | 500, or 200: [`v1_answer`] |
//! | at the end of `POST /v2/record` (protocol v2) | [`StopReason`] | a last frame `{"error":"…"}`, or none: [`StopReason::error_frame`] |
//! | while an event is read | [`RequestError`] | 400, 408, 413 or 503: [`RequestError::to_answer`] |
//! | when the trail does not take an event | [`LedgerError`] | 503: [`event_not_stored`] |
//!
//! - A node that gets a 503 tries the next recorder. A recorder that accepts first and fails then ends sessions that
//!   should run unrecorded, so everything that is known beforehand is a [`Refusal`].
//! - The message to the node and the reason in the terminal event ([`StopReason::end`]) are different texts: when an
//!   operator ends a session, the node is sent the operator's message, and the terminal event records the reason.
//!
//! Connections beyond the limits are refused earlier, by `meshtrail_listen::accept`.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use meshtrail_event::text::with_causes;
use meshtrail_listen::SlotsFull;
use serde_json::json;

use crate::{
    cast::HeaderError,
    journal::End,
    ledger::LedgerError,
    protocol::{HttpAnswer, RequestError, empty, problem},
    sessions::KillOrder,
};

/// The value of `Retry-After`, in seconds.
const RETRY_AFTER: &str = "10";

/// The reason of sessions that were open when the recorder stopped.
pub(crate) const RECORDER_STOPPED: &str = "the recorder stopped";

/// Why a recording or a request event is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Refusal {
    #[error("this recorder is stopping")]
    Stopping,
    #[error("{limit} sessions are open, which is the limit")]
    TooMany { limit: usize },
    #[error(transparent)]
    Share(#[from] SlotsFull),
    /// The numbers are bytes.
    #[error("the recorder's disk has {free} bytes left, {least} are needed")]
    DiskFull { free: u64, least: u64 },
    #[error("the trail takes no events: {why}")]
    Trail { why: String },
    #[error("the journal can't be written: {why}")]
    Journal { why: String },
    /// The opening was not durable in time.
    #[error("the journal takes too long")]
    Slow,
    #[error("nothing is recorded here")]
    ReadOnly,
}

impl Refusal {
    /// The label `reason` of the counter of refusals.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::TooMany { .. } | Self::Share(SlotsFull::All { .. }) => "all",
            Self::Share(SlotsFull::Share { .. }) => "share",
            Self::DiskFull { .. } => "disk",
            Self::Trail { .. } => "trail",
            Self::Journal { .. } => "journal",
            Self::Slow => "slow",
            Self::ReadOnly => "read-only",
        }
    }

    /// The answer to a recording or an event that is not accepted.
    pub(crate) fn to_answer(&self) -> HttpAnswer {
        unavailable(&self.to_string())
    }
}

/// Why an accepted recording stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// The sender ended it.
    Ended,
    /// The connection broke, or the sender reset the stream.
    Lost { how: String },
    /// An operator ended it.
    Killed(KillOrder),
    /// The header line did not come within this time.
    NoHeader { after: Duration },
    /// The recorder, or the listener that the recording came in by, stops.
    RecorderStopped,
    /// The journal could not be written.
    WriteFailed { why: String },
}

impl StopReason {
    /// The message to the node; none where the sender ended the recording, or where nobody is left to read it.
    fn message(&self) -> Option<String> {
        match self {
            Self::Ended | Self::Lost { .. } => None,
            Self::Killed(order) => Some(order.message.clone()),
            Self::NoHeader { after } => Some(no_header(*after)),
            Self::RecorderStopped => Some("the recorder is stopping".to_owned()),
            Self::WriteFailed { why } => Some(format!("the recorder can't write: {why}")),
        }
    }

    /// The last frame of an ack stream (protocol v2), with its line feed; none where the stream just ends.
    pub(crate) fn error_frame(&self) -> Option<Bytes> {
        self.message().map(|message| format!("{}\n", json!({ "error": message })).into())
    }

    /// How the session ended, and why, as its terminal event records it. Without a header it has failed, whatever
    /// stopped it.
    pub(crate) fn end(&self, header_error: Option<&HeaderError>, received: u64) -> (End, Option<String>) {
        let stopped = match self {
            Self::Ended => None,
            Self::Lost { how } => Some(format!("the upload was cut off: {how}")),
            Self::Killed(KillOrder { by, reason, .. }) => Some(format!("ended by {by}: {reason}")),
            Self::NoHeader { after } => Some(no_header(*after)),
            Self::RecorderStopped => Some(RECORDER_STOPPED.to_owned()),
            Self::WriteFailed { why } => Some(format!("the recorder could not write: {why}")),
        };
        let failed = match header_error {
            Some(_) if received == 0 => Some("it ended before its first byte".to_owned()),
            Some(error) => Some(error.to_string()),
            None => None,
        };
        match (failed, stopped) {
            (None, None) => (End::Ended, None),
            (None, Some(why)) => (End::Interrupted, Some(why)),
            (Some(why), None) => (End::Failed, Some(why)),
            (Some(why), Some(also)) => (End::Failed, Some(format!("{why}; {also}"))),
        }
    }
}

fn no_header(after: Duration) -> String {
    format!("no header line came within {after:?}")
}

/// The answer at the end of a recording by protocol v1. `None` stands for a task that panicked.
pub(crate) fn v1_answer(stop: Option<&StopReason>) -> HttpAnswer {
    let message = match stop {
        Some(reason) => reason.message(),
        None => Some("the recorder failed".to_owned()),
    };
    match message {
        Some(message) => problem(StatusCode::INTERNAL_SERVER_ERROR, &message, None),
        None => empty(StatusCode::OK),
    }
}

impl RequestError {
    /// The answer to an event that can't be read.
    pub(crate) fn to_answer(&self) -> HttpAnswer {
        let status = match self {
            Self::NoRoom => return unavailable(&self.to_string()),
            Self::TooLong {} => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Stalled | Self::Slow { .. } | Self::Lost { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::NotJson { .. } | Self::Wrong { .. } | Self::Missing { .. } => StatusCode::BAD_REQUEST,
        };
        problem(status, &self.to_string(), self.field())
    }
}

/// The answer to an event that the trail did not take. The cause is for the log, not for the node.
pub(crate) fn event_not_stored(error: &LedgerError) -> HttpAnswer {
    tracing::error!(error = with_causes(error), "a request event could not be kept");
    problem(StatusCode::SERVICE_UNAVAILABLE, "the trail did not take the event", None)
}

fn unavailable(detail: &str) -> HttpAnswer {
    let mut answer = problem(StatusCode::SERVICE_UNAVAILABLE, detail, None);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    answer
}
