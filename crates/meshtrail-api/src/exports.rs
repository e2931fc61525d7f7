//! Exports: long results that the server writes to files.

use meshtrail_event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::open_enum::open_enum;
use crate::query::AnswerFormat;

open_enum! {
    /// How far an export is.
    Progress {
        /// Others are made first.
        Waiting = "waiting",
        /// It is being made.
        Running = "running",
        /// It is whole.
        Done = "done",
        /// It could not be made.
        Failed = "failed",
        /// Somebody gave it up.
        Cancelled = "cancelled",
    }
}

impl Progress {
    /// Whether this is a final state; an unknown word counts as one.
    pub fn is_over(&self) -> bool {
        !matches!(self, Progress::Waiting | Progress::Running)
    }
}

/// What is to be exported: `sql`, or `filter`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewExport {
    /// One `select`: its answer is exported.
    #[serde(default)]
    pub sql: Option<String>,
    /// A filter: the leaves that it lets through are exported byte for byte, one a line.
    #[serde(default)]
    pub filter: Option<String>,
    /// How an answer in SQL is written; leaves are always `jsonl`.
    #[serde(default)]
    pub format: AnswerFormat,
}

/// The exports there are.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ExportList<E = Export> {
    /// Each, the newest first.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<Export>))]
    pub exports: Vec<E>,
}

/// An export, as it stands.
// Also the content of the metadata file that the server keeps for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Export {
    /// Bytes written.
    pub bytes: u64,
    /// Who asked for it.
    pub by: String,
    /// Why it could not be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it was done with.
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// `jsonl`, `csv` or `parquet`.
    pub format: String,
    /// Its name.
    pub id: String,
    /// Events looked at so far, where that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<u64>,
    /// Events to be looked at, where that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
    /// How far it is.
    pub progress: Progress,
    /// The question: SQL, or a filter.
    pub question: String,
    /// Rows written.
    pub rows: u64,
    /// SHA-256 of the whole file, in lower-case hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// When it was asked for.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub started: Timestamp,
}
