//! The state of each source.

use axum::Json;
use axum::extract::State;
use meshtrail_collect::sources::SourceReport;
use meshtrail_event::Timestamp;
use serde::Serialize;

use crate::state::AppState;

/// Every source, by name.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SourceList {
    /// Each.
    pub sources: Vec<SourceView>,
}

/// One source: a poller, a receiver, the recorder, or whoever hands events in.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SourceView {
    /// Its name.
    pub name: String,
    /// `waiting`: not heard yet; `connected`; `silent`: not heard for too long; `trouble`: it says why it does not work.
    pub state: String,
    /// How often it should be heard, in seconds, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    /// When it was heard last.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_heard: Option<Timestamp>,
    /// When the newest of its events happened, as it says.
    #[schema(value_type = Option<String>)]
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recent_gaps: Vec<GapView>,
    /// Why it does not work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// How far its clock is ahead of the server's, in milliseconds, where it tells; negative where it is behind. Less than
    /// two seconds are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_ahead_ms: Option<i64>,
    /// Parts of what it tells that can't be seen now; what was seen of them last still stands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<UnseenView>,
}

/// A part of what a source tells that can't be seen now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct UnseenView {
    /// Which: `keys`, `users`, `OAuth clients`.
    pub part: String,
    /// When it was seen last; absent where it never was.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Why not.
    pub reason: String,
}

/// A stretch of which something is missing.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct GapView {
    /// From when, where it is one of time.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// Until when.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

impl From<SourceReport> for SourceView {
    fn from(report: SourceReport) -> SourceView {
        let gaps = report.recent_gaps.into_iter();
        SourceView {
            name: report.name,
            state: report.state.as_str().to_owned(),
            every: report.every.map(|every| every.as_secs()),
            last_heard: report.last_heard,
            newest: report.newest,
            lag_ms: report.lag.map(|lag| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX)),
            events: report.events,
            rate: (report.rate * 1_000.0).round() / 1_000.0,
            gaps: report.gaps,
            recent_gaps: gaps
                .map(|gap| GapView { first: gap.first, last: gap.last, reason: gap.reason })
                .collect(),
            trouble: report.trouble,
            clock_ahead_ms: report.clock_ahead,
            unseen: report
                .unavailable
                .into_iter()
                .map(|unseen| UnseenView { part: unseen.part, since: unseen.since, reason: unseen.reason })
                .collect(),
        }
    }
}

/// How each source does: when it was heard last, how far behind it is, what it missed.
#[utoipa::path(get, path = "/api/v1/sources", tag = "server", responses((status = 200, body = SourceList)))]
pub(crate) async fn list(State(state): State<AppState>) -> Json<SourceList> {
    Json(SourceList { sources: state.sources().report().into_iter().map(SourceView::from).collect() })
}
