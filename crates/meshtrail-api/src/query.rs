//! SQL over the trail.

use serde::{Deserialize, Serialize};

/// How an answer is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum AnswerFormat {
    /// One JSON object a line.
    #[default]
    Jsonl,
    /// Comma-separated values with headings; every value exactly as it is.
    Csv,
    /// The same for spreadsheets: a text that one would take for a formula begins with an apostrophe.
    #[serde(rename = "csv-safe")]
    CsvSafe,
    /// A Parquet file.
    Parquet,
    /// A line that names the columns, one JSON array a row, and a line that counts them.
    Rows,
}

/// A question in SQL.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// One `select` over the tables of docs/sql.md.
    pub sql: String,
    /// How the answer is written; `jsonl` without it.
    #[serde(default)]
    pub format: AnswerFormat,
    /// At most this many rows; without it, as many as the server allows.
    #[serde(default)]
    pub limit: Option<u64>,
    /// Seconds it may take, 1 to 3600; without it, as long as the server allows.
    #[serde(default)]
    pub timeout: Option<u64>,
}

/// A line of an answer in the format `rows`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum RowsLine {
    /// The first line: the columns.
    Columns {
        /// In order.
        columns: Vec<Column>,
    },
    /// The last line of a whole answer.
    End {
        /// The number of rows.
        rows: u64,
    },
    /// The last line of an answer that broke off.
    Error {
        /// Why it broke off.
        error: String,
    },
    /// A row: its values as texts, absent for null.
    Row(Vec<Option<String>>),
}

/// A column of an answer in the format `rows`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// `number` for what is aligned to the right.
    #[serde(rename = "type")]
    pub of_type: String,
}
