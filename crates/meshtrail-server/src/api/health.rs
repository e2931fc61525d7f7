//! Whether the server answers.

use axum::Json;
use axum::extract::State;
use meshtrail_event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::state::AppState;

/// That the server answers, and which it is.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Health {
    /// `ok`
    pub status: String,
    /// The version of this server.
    pub version: String,
    /// When it started.
    #[schema(value_type = String)]
    pub started: Timestamp,
}

/// Whether the server answers.
#[utoipa::path(get, path = "/api/v1/health", tag = "server", responses((status = 200, body = Health)))]
pub(crate) async fn health(State(state): State<AppState>) -> Json<Health> {
    Json(Health {
        status: "ok".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: state.started(),
    })
}
