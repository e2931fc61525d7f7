//! The state of each source.

use meshtrail_event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::open_enum::open_enum;

open_enum! {
    /// The state of a source.
    SourceState {
        /// Not heard yet.
        Waiting = "waiting",
        /// Heard.
        Connected = "connected",
        /// Not heard for too long.
        Silent = "silent",
        /// It says why it does not work.
        Trouble = "trouble",
    }
}

/// Every source, by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SourceList<S = SourceView> {
    /// Each.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<SourceView>))]
    pub sources: Vec<S>,
}

/// One source: a poller, a receiver, the recorder, or whoever hands events in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SourceView {
    /// Its name.
    pub name: String,
    /// `waiting`: not heard yet; `connected`; `silent`: not heard for too long; `trouble`: it says why it does not work.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub state: SourceState,
    /// How often it should be heard, in seconds, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    /// When it was heard last.
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_heard: Option<Timestamp>,
    /// When the newest of its events happened, as it says.
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<Timestamp>,
    /// How long after they happened its last events came, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_ms: Option<u64>,
    /// New events since the server started.
    pub events: u64,
    /// New events per second, over five minutes.
    pub rate: f64,
    /// Gaps that were told of in the last thirty days.
    pub gaps: u64,
    /// The newest of them, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent_gaps: Vec<GapView>,
    /// Why it does not work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// How far its clock is ahead of the server's, in milliseconds, where it tells; negative where it is behind. Less than
    /// two seconds are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_ahead_ms: Option<i64>,
    /// Parts of what it tells that can't be seen now; what was seen of them last still stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<UnseenView>,
}

/// A part of what a source tells that can't be seen now.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct UnseenView {
    /// Which: `keys`, `users`, `OAuth clients`.
    pub part: String,
    /// When it was seen last; absent where it never was.
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Why not.
    pub reason: String,
}

/// A stretch of which something is missing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct GapView {
    /// From when, where it is one of time.
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// Until when.
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// Why.
    pub reason: String,
}
