//! What is asked, what it may take, and what is wrong with it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest question, in bytes.
pub const MAX_QUERY: usize = 256 * 1024;

/// What a question may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// How long it may run.
    pub time: Duration,
    /// How many rows it may give; one more is an error, never a silent end.
    pub rows: u64,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object a line.
    JsonLines,
    /// Comma-separated values with a line of headings, RFC 4180; every value exactly as it is.
    Csv,
    /// The same for spreadsheets: a text that one would take for a formula begins with an apostrophe.
    CsvSafe,
    /// A Parquet file, zstd.
    Parquet,
    /// A line `{"columns":[{"name","type"}]}`, then one JSON array of texts (or null) a row, then `{"rows":N}`.
    Rows,
}

impl Format {
    /// The name it is asked for by.
    pub fn name(self) -> &'static str {
        match self {
            Format::JsonLines => "jsonl",
            Format::Csv => "csv",
            Format::CsvSafe => "csv-safe",
            Format::Parquet => "parquet",
            Format::Rows => "rows",
        }
    }

    /// The ending of a file's name.
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

    /// The line that ends an answer which broke off, where the format has room for one.
    pub fn error_line(self, error: &QueryError) -> Option<String> {
        match self {
            Format::JsonLines | Format::Rows => {
                Some(format!("{}\n", serde_json::json!({ "error": error.to_string() })))
            }
            Format::Csv | Format::CsvSafe | Format::Parquet => None,
        }
    }
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}", self.text())]
pub struct QueryError {
    /// What is wrong, and what would be right where that can be told.
    pub message: String,
    /// The line it stands in, from 1.
    pub line: Option<u64>,
    /// The column of that line, from 1.
    pub column: Option<u64>,
    /// Whose fault it is.
    pub fault: Fault,
}

/// Whose fault it is that a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The question can't be understood: another would do.
    Query,
    /// It asks for what nobody may: writing, files, the network, settings.
    Refused,
    /// It takes more time, rows, memory or disk than it may.
    Budget,
    /// Too many questions are running.
    Busy,
    /// There is no program to answer it.
    Missing,
    /// The process that answered ended by itself.
    Died,
    /// The trail could not be read, or the engine failed.
    Trail,
}

impl QueryError {
    /// An error without a place in the question.
    pub fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self { message: message.into(), line: None, column: None, fault }
    }

    /// The same, standing at a line and a column of the question; 0 is no place.
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
