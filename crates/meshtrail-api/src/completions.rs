//! What could stand at a place in a filter.

use serde::{Deserialize, Serialize};

/// A part of a filter to be completed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct CompleteQuery {
    /// The filter as far as it is written.
    pub q: String,
    /// The place of the cursor in it, in bytes; its end without it.
    pub at: Option<usize>,
}

/// What could stand at a place in a filter.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Completed {
    /// The bytes to replace, from and up to.
    pub replace: [usize; 2],
    /// The field whose value is written, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What could stand there, the likeliest first.
    pub options: Vec<CompletedOption>,
    /// What can't be read in the filter as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrong: Option<Wrong>,
}

/// What can't be read in a filter.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Wrong {
    /// Where it stands: bytes from and up to.
    pub at: [usize; 2],
    /// What is wrong.
    pub message: String,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// One thing that could stand there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CompletedOption {
    /// The text to put in, quoted where it must be.
    pub insert: String,
    /// What it means; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Events with this value among those that are summed up, where it is a value from the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
}
