//! The health check: whether the server answers and accepts events.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use meshtrail_api::health::Health;
use meshtrail_trail::State as TrailState;

use crate::state::AppState;

/// Whether the server answers and its trail takes events; 503 when it does not.
#[utoipa::path(get, path = "/api/v1/health", tag = "server",
    responses((status = 200, body = Health), (status = 503, body = Health)))]
pub(crate) async fn health(State(state): State<AppState>) -> (StatusCode, Json<Health>) {
    let (code, status) = match state.trail().state() {
        TrailState::Accepting => (StatusCode::OK, "ok"),
        TrailState::ReadOnly => (StatusCode::OK, "read-only"),
        TrailState::Full => (StatusCode::SERVICE_UNAVAILABLE, "full"),
        TrailState::Stopped { .. } => (StatusCode::SERVICE_UNAVAILABLE, "stopped"),
    };
    let health = Health {
        status: status.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: state.started(),
        demo: state.banner().map(str::to_owned),
    };
    (code, Json(health))
}
