//! The state of each source.

use axum::Json;
use axum::extract::State;
use meshtrail_api::sources::{GapView, SourceList, SourceView, UnseenView};
use meshtrail_collect::sources::{Gap, SourceReport, Sources, UnavailablePart};

/// How each source does: when it was heard last, how far behind it is, what it missed.
#[utoipa::path(get, path = "/api/v1/sources", tag = "server", responses((status = 200, body = SourceList)))]
pub(crate) async fn list(State(sources): State<Sources>) -> Json<SourceList> {
    let thousandths = |rate: f64| (rate * 1_000.0).round() / 1_000.0;
    let views = sources.report().into_iter().map(source_view);
    Json(SourceList {
        sources: views.map(|view| SourceView { rate: thousandths(view.rate), ..view }).collect(),
    })
}

/// A report as the API and the console tell it, with the exact rate.
pub(crate) fn source_view(report: SourceReport) -> SourceView {
    let gap = |gap: Gap| GapView { first: gap.first, last: gap.last, reason: gap.reason };
    let unseen =
        |part: UnavailablePart| UnseenView { part: part.part, since: part.since, reason: part.reason };
    SourceView {
        name: report.name,
        state: report.state.as_str().into(),
        every: report.every.map(|every| every.as_secs()),
        last_heard: report.last_heard,
        newest: report.newest,
        lag_ms: report.lag.map(|lag| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX)),
        events: report.events,
        rate: report.rate,
        gaps: report.gaps,
        recent_gaps: report.recent_gaps.into_iter().map(gap).collect(),
        trouble: report.trouble,
        clock_ahead_ms: report.clock_ahead,
        unseen: report.unavailable.into_iter().map(unseen).collect(),
    }
}
