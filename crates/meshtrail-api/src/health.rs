//! The health check.

use meshtrail_event::Timestamp;
use serde::{Deserialize, Serialize};

/// That the server answers, and which it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Health {
    /// `ok`; `full` or `stopped` while the trail takes no events; `read-only` where it is only read.
    pub status: String,
    /// The version of this server.
    pub version: String,
    /// When it started.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub started: Timestamp,
    /// Only of a demo: that all of it is made up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demo: Option<String>,
}
