//! Metrics for Prometheus.

use axum::extract::State;
use axum::response::IntoResponse;
use http::header;
use meshtrail_listen::metrics::{Metrics, TEXT};

use crate::state::AppState;

pub(crate) const PATH: &str = "/metrics";

/// All metrics, in Prometheus' text format.
pub(crate) async fn metrics(State(state): State<AppState>) -> impl IntoResponse {
    // These are read per request, so that the shared metrics don't keep the state alive.
    let now = Metrics::default();
    let (events, accepting) = (state.trail().size(), u64::from(state.trail().is_accepting()));
    let unsealed = state.recordings().unsealed_count() as u64;
    now.gauge("meshtrail_trail_events", "Events in the trail.", &[], move || events);
    now.gauge("meshtrail_trail_accepting", "1 while the trail takes events.", &[], move || accepting);
    let help = "Sessions that are live or not sealed yet.";
    now.gauge("meshtrail_sessions_unsealed", help, &[], move || unsealed);
    let workers = state.sql().counts();
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    now.set_counter(
        "meshtrail_sql_workers_started_total",
        "SQL workers started.",
        &[],
        count(&workers.started),
    );
    now.set_counter(
        "meshtrail_sql_workers_died_total",
        "SQL workers killed or died.",
        &[],
        count(&workers.died),
    );
    now.set_counter(
        "meshtrail_sql_answered_total",
        "Questions answered whole.",
        &[],
        count(&workers.answered),
    );
    let running = count(&workers.running);
    now.gauge("meshtrail_sql_workers_running", "SQL workers that run.", &[], move || running);
    ([(header::CONTENT_TYPE, TEXT)], state.metrics().text() + &now.text())
}
