//! Budgets, formats and errors of queries.

use std::time::Duration;

use meshtrail_trail::ReadError;
use meshtrail_trail::segment::SegmentError;
use serde::{Deserialize, Serialize};

/// The longest query, in bytes.
pub const MAX_QUERY: usize = 256 * 1024;

/// The limits of a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// The longest running time.
    pub time: Duration,
    /// The largest number of rows; one more is an error, the answer is never truncated silently.
    pub rows: u64,
}

/// The format of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object a line.
    JsonLines,
    /// Comma-separated values with a line of headings, RFC 4180; every value exactly as it is.
    Csv,
    /// CSV for spreadsheets: texts that would be read as formulas get a leading apostrophe.
    CsvSafe,
    /// A Parquet file, zstd.
    Parquet,
    /// A line `{"columns":[{"name","type"}]}`, then one JSON array of texts (or null) a row, then `{"rows":N}`.
    Rows,
}

impl Format {
    /// The name in requests.
    pub fn name(self) -> &'static str {
        match self {
            Format::JsonLines => "jsonl",
            Format::Csv => "csv",
            Format::CsvSafe => "csv-safe",
            Format::Parquet => "parquet",
            Format::Rows => "rows",
        }
    }

    /// The extension of file names.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Rows => "jsonl",
            Format::CsvSafe => "csv",
            format => format.name(),
        }
    }

    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::JsonLines | Format::Rows => "application/x-ndjson",
            Format::Csv | Format::CsvSafe => "text/csv; charset=utf-8; header=present",
            Format::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// The line that ends an answer which failed midway, in formats that have lines for it.
    pub fn error_line(self, error: &QueryError) -> Option<String> {
        match self {
            Format::JsonLines | Format::Rows => {
                Some(format!("{}\n", serde_json::json!({ "error": error.to_string() })))
            }
            Format::Csv | Format::CsvSafe | Format::Parquet => None,
        }
    }
}

/// Why a query failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}", self.text())]
pub struct QueryError {
    /// What is wrong, with a suggestion where possible.
    pub message: String,
    /// The line of the query, from 1.
    pub line: Option<u64>,
    /// The column in that line, from 1.
    pub column: Option<u64>,
    /// The cause, by whose fault it is.
    pub fault: Fault,
}

/// Whose fault a failed query is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The query is invalid.
    Query,
    /// The query wants what is never allowed: writing, files, the network, settings.
    Refused,
    /// The query exceeded a limit of time, rows, memory or disk.
    Budget,
    /// Too many queries are running.
    Busy,
    /// The worker's program is not installed.
    Missing,
    /// The worker died.
    Died,
    /// The trail could not be read, or the engine failed.
    Trail,
}

impl From<SegmentError> for QueryError {
    fn from(error: SegmentError) -> Self {
        Self::unreadable(&error)
    }
}

impl From<ReadError> for QueryError {
    fn from(error: ReadError) -> Self {
        Self::unreadable(&error)
    }
}

impl QueryError {
    /// An error without a place in the query.
    pub fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self { message: message.into(), line: None, column: None, fault }
    }

    /// A trail that could not be read, with the causes.
    fn unreadable(error: &dyn std::error::Error) -> Self {
        Self::new(Fault::Trail, meshtrail_event::text::with_causes(error))
    }

    /// Adds a line and a column of the query; 0 means unknown.
    #[must_use]
    pub fn at(mut self, line: u64, column: u64) -> Self {
        if line > 0 && column > 0 {
            (self.line, self.column) = (Some(line), Some(column));
        }
        self
    }

    fn text(&self) -> String {
        match (self.line, self.column) {
            (Some(line), Some(column)) => format!("{} (line {line}, column {column})", self.message),
            _ => self.message.clone(),
        }
    }
}
