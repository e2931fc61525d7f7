//! Leaves to a Parquet file, which is given out only if it gives back every leaf.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use meshtrail_event::{Family, Timestamp};
use parquet::errors::ParquetError;

use super::chunk::{Chunk, ChunkWriter};
use super::footer::FileEnd;
use super::outline::{self, Outline};
use super::plan::{Format, INDEX, Plan, nanos_of};
use super::split::{Gathered, Splitter, Values};
use super::{SegmentError, ZSTD_LEVEL};

/// Leaves of one segment, in bytes; offsets within a column are 32 bits wide.
pub const MAX_LEAF_BYTES: usize = 1 << 30;
/// Rows of one segment.
pub const MAX_ROWS: usize = 1 << 22;

/// Why leaves could not be made a segment.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Nothing to encode.
    #[error("a segment has at least one row")]
    Empty,
    /// More than one file may hold.
    #[error(
        "{rows} rows of {bytes} bytes are too much for one segment (at most {MAX_ROWS} rows, {MAX_LEAF_BYTES} bytes)"
    )]
    TooLarge {
        /// Rows given.
        rows: usize,
        /// Their leaves' bytes.
        bytes: usize,
    },
    /// Indexes don't ascend.
    #[error("index {index} does not follow the one before it")]
    Order {
        /// The first that does not.
        index: u64,
    },
    /// A compressor failed.
    #[error("failed to compress a page")]
    Compress {
        /// Why.
        source: io::Error,
    },
    /// The footer could not be written.
    #[error("failed to write the footer")]
    Footer {
        /// Why.
        source: ParquetError,
    },
    /// The file just written can't be read.
    #[error("the segment just written can't be read back")]
    Unreadable {
        /// Why.
        source: Box<SegmentError>,
    },
    /// A leaf would not come back even when kept whole.
    #[error("the leaf at index {index} does not come back from the segment")]
    Unfaithful {
        /// Whose.
        index: u64,
    },
}

/// A Parquet file in memory, proven to give back its leaves.
#[derive(Debug, Clone)]
pub struct Segment {
    /// The file.
    pub bytes: Vec<u8>,
    /// Whose columns it has.
    pub family: Family,
    /// The first index and the last.
    pub indexes: (u64, u64),
    /// Number of rows.
    pub rows: usize,
    /// The earliest and the latest time of its events; none if no leaf has a time.
    pub times: Option<(Timestamp, Timestamp)>,
    /// Rows whose leaf had to be kept whole beside the columns.
    pub kept_whole: usize,
}

/// Makes a segment of `rows`, which are pairs of index and leaf with ascending indexes.
pub fn encode(family: Family, trail: &str, rows: &[(u64, &[u8])]) -> Result<Segment, EncodeError> {
    encode_as(Plan::of(Format::NEWEST, family), trail, rows)
}

/// The same with columns that need not be today's.
pub(super) fn encode_as(
    plan: &'static Plan,
    trail: &str,
    rows: &[(u64, &[u8])],
) -> Result<Segment, EncodeError> {
    check(rows)?;
    let family = plan.layout.family;
    let mut whole = BTreeSet::new();
    let mut written = write(plan, trail, rows, &whole)?;
    let unfaithful = compare(&written, rows)?;
    if !unfaithful.is_empty() {
        // Not canonical, or a fault in the columns: these rows bring their text.
        whole.extend(unfaithful);
        written = write(plan, trail, rows, &whole)?;
        if let Some(&row) = compare(&written, rows)?.first() {
            return Err(EncodeError::Unfaithful { index: rows[row as usize].0 });
        }
    }
    let (first, last) = (rows[0].0, rows[rows.len() - 1].0);
    let Written { bytes, times, kept_whole } = written;
    Ok(Segment { bytes, family, indexes: (first, last), rows: rows.len(), times, kept_whole })
}

fn check(rows: &[(u64, &[u8])]) -> Result<(), EncodeError> {
    let bytes = rows.iter().map(|(_, leaf)| leaf.len()).sum();
    if rows.is_empty() {
        return Err(EncodeError::Empty);
    }
    if rows.len() > MAX_ROWS || bytes > MAX_LEAF_BYTES {
        return Err(EncodeError::TooLarge { rows: rows.len(), bytes });
    }
    let misplaced = rows.windows(2).find(|pair| pair[0].0 >= pair[1].0).map(|pair| pair[1].0);
    match misplaced.or_else(|| rows.last().map(|row| row.0).filter(|&index| i64::try_from(index).is_err())) {
        Some(index) => Err(EncodeError::Order { index }),
        None => Ok(()),
    }
}

struct Written {
    bytes: Vec<u8>,
    times: Option<(Timestamp, Timestamp)>,
    kept_whole: usize,
}

fn write(
    plan: &'static Plan,
    trail: &str,
    rows: &[(u64, &[u8])],
    whole: &BTreeSet<u32>,
) -> Result<Written, EncodeError> {
    let mut splitter = Splitter::new(plan);
    for (row, &(index, leaf)) in (0u32..).zip(rows) {
        splitter.take(index, leaf, !whole.is_empty() && whole.contains(&row));
    }
    let gathered = splitter.finish();
    let compress = |source| EncodeError::Compress { source };
    let mut writer =
        ChunkWriter::new(b"PAR1".to_vec(), rows.len(), plan.page_rows, ZSTD_LEVEL).map_err(compress)?;
    let mut chunks: Vec<Chunk> = Vec::with_capacity(plan.columns.len());
    for (number, (column, values)) in plan.columns.iter().zip(&gathered).enumerate() {
        // Columns that are equal in every row share their pages: a flow's source is its reporter and its actor's
        // device, a window ends when it is reported.
        let is_twin =
            |&other: &usize| plan.columns[other].form == column.form && gathered[other].equals(values);
        let chunk = match (INDEX + 1..number).find(is_twin) {
            Some(other) => Chunk::clone(&chunks[other]),
            None => writer.write(values, column.form, number == INDEX).map_err(compress)?,
        };
        chunks.push(chunk);
    }
    let mut file = writer.into_file();
    let indexes = (rows[0].0, rows[rows.len() - 1].0);
    let end = FileEnd { plan, trail, indexes, rows: rows.len(), gathered: &gathered, chunks: &chunks };
    end.write(&mut file).map_err(|source| EncodeError::Footer { source })?;
    let times = times(plan, &gathered);
    Ok(Written { bytes: file, times, kept_whole: gathered[plan.raw].rows.len() })
}

/// The earliest and the latest time, of leaves kept whole too: readers pass over files by it.
fn times(plan: &Plan, gathered: &[Gathered]) -> Option<(Timestamp, Timestamp)> {
    let numbers = |column: usize| match &gathered[column].values {
        Values::Numbers(numbers) => numbers.as_slice(),
        _ => &[],
    };
    let of_columns: Vec<i64> = match plan.format {
        Format::One => numbers(plan.time).to_vec(),
        // Both columns have a value in the same rows.
        Format::Two => {
            let parts = numbers(plan.time).iter().zip(numbers(plan.time + 1));
            parts.map(|(&micros, &below)| nanos_of(micros, below)).collect()
        }
    };
    let of_whole = match &gathered[plan.raw].values {
        Values::Texts { distinct, .. } => distinct.iter().filter_map(time_of).collect(),
        _ => Vec::new(),
    };
    let all = || of_columns.iter().chain(&of_whole).copied().map(Timestamp::from_nanos);
    all().min().zip(all().max())
}

fn time_of(leaf: &[u8]) -> Option<i64> {
    let leaf: serde_json::Value = serde_json::from_slice(leaf).ok()?;
    leaf["time"].as_str()?.parse().ok().map(Timestamp::as_nanos)
}

/// Reads the file back, page by page, and gives the rows whose leaf is another.
fn compare(written: &Written, rows: &[(u64, &[u8])]) -> Result<Vec<u32>, EncodeError> {
    let unreadable = |source| EncodeError::Unreadable { source: Box::new(source) };
    let name: Arc<str> = "segment".into();
    let outline = Outline::read_whole(&name, &written.bytes).map_err(unreadable)?;
    let mut unfaithful = Vec::new();
    let mut leaf = Vec::new();
    for (page, expected) in rows.chunks(outline.page_rows).enumerate() {
        let page = outline::whole_page(&outline, &written.bytes, page).map_err(unreadable)?;
        let mut joiner = page.joiner();
        for (row, &(index, expected)) in expected.iter().enumerate() {
            leaf.clear();
            let joined = joiner.write(row, &mut leaf);
            if joined.is_none() || leaf != expected || page.index(row) != Some(index) {
                unfaithful.push((page.first_row() + row) as u32);
            }
        }
    }
    Ok(unfaithful)
}
