//! Segments: stretches of the trail as Parquet, one file for each family of kinds.
//!
//! - A segment is given out only after every leaf was rebuilt from its bytes and found equal.
//! - Members become typed columns that any Parquet reader understands. What has no column, or another form than its
//!   column, is kept as JSON in `rest`; a leaf that columns can't hold is kept whole in `raw`. Nothing is unstorable.
//! - A row is read without what stands before it: pages of one file hold the same number of rows and lie by number.
//! - Every byte that is read is covered by a checksum. Damage is an error that names the file, never a panic or a
//!   wrong leaf, and lengths read from a file allocate within fixed bounds.
//!
//! Where segments lie, and which there are, is not known here.
//!
//! Pages and page indexes are written and read here, because values go straight between JSON text and pages; the
//! footer is the `parquet` crate's.

mod bits;
mod chunk;
mod columns;
mod encode;
mod fields;
mod footer;
#[cfg(test)]
mod forged;
mod forms;
mod intern;
mod join;
mod json;
mod outline;
mod page;
mod plan;
mod reader;
mod split;
#[cfg(test)]
mod tests;
mod thrift;

use std::io;
use std::sync::Arc;

pub use columns::{ColumnForm, ColumnTexts, ColumnValues, Columns, Rows, SegmentEnd, columns};
pub use encode::{EncodeError, MAX_LEAF_BYTES, MAX_ROWS, Segment, encode};
pub use reader::{Predicate, SegmentReader, Selection};

use crate::store::GetError;

const ZSTD_LEVEL: i32 = 3;
/// Rows of a page, at most.
const MAX_PAGE_ROWS: usize = 2048;

/// Why a segment could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The file is not what was written.
    #[error("segment {file} is damaged: {what}")]
    Damaged {
        /// Which.
        file: Arc<str>,
        /// How it shows.
        what: &'static str,
    },
    /// A page of a column is not what was written.
    #[error("segment {file} is damaged: column {column} at byte {offset} is not what was written")]
    DamagedColumn {
        /// Which file.
        file: Arc<str>,
        /// Which column.
        column: &'static str,
        /// Where the page begins.
        offset: u64,
    },
    /// Written by another version.
    #[error("segment {file} has format {format}, this version reads formats up to {}: use a newer Meshtrail", plan::Format::NEWEST.number())]
    Format {
        /// Which file.
        file: Arc<str>,
        /// Its format.
        format: u32,
    },
    /// No memory for a decompressor.
    #[error("failed to set up decompression")]
    Memory {
        /// Why.
        source: io::Error,
    },
    /// The store failed.
    #[error("failed to read a segment")]
    Get(#[from] GetError),
}
