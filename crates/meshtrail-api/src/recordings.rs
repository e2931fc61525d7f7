//! Recordings: what they are wanted for, and the end of a live session.

use serde::{Deserialize, Serialize};

/// What a recording is wanted for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// To take it away.
    #[default]
    Export,
    /// To play it in the page that asks.
    View,
    /// To compare it with what the trail says of it.
    Verify,
}

/// What a recording is wanted for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct RecordingQuery {
    /// `export`, `view` for a page that plays it, or `verify`: goes into the trail.
    #[serde(rename = "for")]
    #[cfg_attr(feature = "schema", param(rename = "for"))]
    pub purpose: Purpose,
}

/// Where to begin playing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct CastQuery {
    /// Seconds from the start.
    pub from: Option<f64>,
}

/// How to end a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KillRequest {
    /// What the node is told, for its log; the person sees the message of the SSH policy.
    #[serde(default)]
    pub message: Option<String>,
    /// Why: goes into the trail.
    pub reason: String,
}

/// What was done to end a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Killed {
    /// The session.
    pub session: String,
    /// What the person in it was told.
    pub message: String,
    /// What follows from it, in words.
    pub effect: String,
}
