//! Segments: ranges of the trail as Parquet, one file for each family of kinds.
//!
//! - An encoded segment is returned only after every leaf was rebuilt from its bytes and found equal.
//! - Members become typed columns that any Parquet reader understands. Members without a column, or with a value of another
//!   form than their column, are stored as JSON in `rest`; a leaf that columns can't represent is stored whole in `raw`.
//!   Any leaf can be stored.
//! - A row is read without the rows before it: all pages of a file have the same number of rows.
//! - Every byte that is read is covered by a checksum. Damage is an error that names the file, never a panic or a wrong
//!   leaf, and lengths read from a file allocate within fixed bounds.
//!
//! Where segments are stored, and which ones exist, is left to the callers.
//!
//! Pages and page indexes are written and read here, because values are converted directly between JSON text and pages; the
//! footer is written and read by the `parquet` crate.

mod bits;
mod chunk;
mod columns;
mod encode;
mod fields;
mod footer;
#[cfg(test)]
mod forgery_tests;
mod forms;
mod intern;
mod join;
mod json;
mod outline;
mod page;
mod plan;
mod predicate;
mod reader;
mod split;
#[cfg(test)]
mod tests;
mod thrift;

use std::io;
use std::sync::Arc;

pub use columns::{ColumnArray, ColumnForm, ColumnValues, Columns, Rows, SegmentEnd, columns};
pub use encode::{EncodeError, EncodedSegment, MAX_LEAF_BYTES, MAX_ROWS, encode};
pub use predicate::{ColumnTest, Predicate};
pub(crate) use predicate::{TextValues, ValueNumbers};
pub use reader::{ExemptEvents, SegmentReader, Selection};

use crate::store::GetError;

const ZSTD_LEVEL: i32 = 3;
/// Rows of a page, at most.
const MAX_PAGE_ROWS: usize = 2048;

/// Why a segment could not be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SegmentError {
    #[error("segment {file} is damaged: {what}")]
    Damaged { file: Arc<str>, what: &'static str },
    #[error("segment {file} is damaged: column {column} at byte {offset} is not what was written")]
    DamagedColumn { file: Arc<str>, column: &'static str, offset: u64 },
    #[error("segment {file} has format {format}, this version reads formats up to {}: use a newer Meshtrail", plan::Format::NEWEST.number())]
    Format { file: Arc<str>, format: u32 },
    #[error("failed to set up decompression")]
    Memory { source: io::Error },
    #[error("failed to read a segment")]
    Get(#[from] GetError),
}
