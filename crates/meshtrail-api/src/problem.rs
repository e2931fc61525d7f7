//! Errors as RFC 9457 problem details.

use serde::{Deserialize, Serialize};

// A proxy's problem may lack some of it, which is empty then.
/// A problem as it is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ProblemBody {
    /// A URI that names the kind of problem: `urn:meshtrail:problem:…`.
    #[serde(default, rename = "type")]
    #[cfg_attr(feature = "schema", schema(required = true))]
    pub kind: String,
    /// What kind of problem it is, in a few words.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(required = true))]
    pub title: String,
    /// The HTTP status.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(required = true))]
    pub status: u16,
    /// What happened this time and what to do next.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(required = true))]
    pub detail: String,
    /// Which part of the request is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The id under which the server's log has more.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(required = true))]
    pub id: String,
}
