//! Encoding leaves as a Parquet file, which is returned only if every leaf can be restored from it.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use meshtrail_event::{Family, Timestamp};
use parquet::errors::ParquetError;

use super::chunk::{Chunk, ChunkWriter};
use super::footer::FileEnd;
use super::outline::{self, Outline};
use super::plan::{Format, INDEX, Plan, nanos_of};
use super::split::{ColumnBuffer, Splitter, Values};
use super::{SegmentError, ZSTD_LEVEL};

/// Bytes of leaves in one segment, at most; offsets within a column are 32 bits wide.
pub const MAX_LEAF_BYTES: usize = 1 << 30;
/// Rows of one segment, at most.
pub const MAX_ROWS: usize = 1 << 22;

/// Why leaves could not be encoded.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum EncodeError {
    #[error("a segment has at least one row")]
    Empty,
    #[error(
        "{rows} rows of {bytes} bytes are too much for one segment (at most {MAX_ROWS} rows, {MAX_LEAF_BYTES} bytes)"
    )]
    TooLarge { rows: usize, bytes: usize },
    #[error("index {index} does not follow the one before it")]
    Order { index: u64 },
    #[error("failed to compress a page")]
    Compress { source: io::Error },
    #[error("failed to write the footer")]
    Footer { source: ParquetError },
    #[error("the segment just written can't be read back")]
    Unreadable { source: Box<SegmentError> },
    #[error("the leaf at index {index} does not come back from the segment")]
    Unfaithful { index: u64 },
}

/// A Parquet file in memory, from which all leaves were restored as a check.
#[derive(Debug, Clone)]
pub struct EncodedSegment {
    /// The file.
    pub bytes: Vec<u8>,
    /// The family whose columns it has.
    pub family: Family,
    /// The first index and the last.
    pub indexes: (u64, u64),
    /// Number of rows.
    pub rows: usize,
    /// The earliest and the latest time of its events; none if no leaf has a time.
    pub times: Option<(Timestamp, Timestamp)>,
    /// Rows whose leaf had to be stored whole beside the columns.
    pub stored_whole: usize,
}

/// Encodes `rows`, which are pairs of index and leaf with ascending indexes.
pub fn encode(family: Family, trail: &str, rows: &[(u64, &[u8])]) -> Result<EncodedSegment, EncodeError> {
    encode_as(Plan::of(Format::NEWEST, family), trail, rows)
}

/// Encodes with the columns of any plan, which may be an old one.
pub(super) fn encode_as(
    plan: &'static Plan,
    trail: &str,
    rows: &[(u64, &[u8])],
) -> Result<EncodedSegment, EncodeError> {
    check(rows)?;
    let family = plan.layout.family;
    let mut whole = BTreeSet::new();
    let mut encoded = write(plan, trail, rows, &whole)?;
    let unfaithful = compare(&encoded, rows)?;
    if !unfaithful.is_empty() {
        // Not canonical, or an error in the columns: these leaves are stored whole.
        whole.extend(unfaithful);
        encoded = write(plan, trail, rows, &whole)?;
        if let Some(&row) = compare(&encoded, rows)?.first() {
            return Err(EncodeError::Unfaithful { index: rows[row as usize].0 });
        }
    }
    let (first, last) = (rows[0].0, rows[rows.len() - 1].0);
    let EncodedFile { bytes, times, stored_whole } = encoded;
    Ok(EncodedSegment { bytes, family, indexes: (first, last), rows: rows.len(), times, stored_whole })
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

struct EncodedFile {
    bytes: Vec<u8>,
    times: Option<(Timestamp, Timestamp)>,
    stored_whole: usize,
}

fn write(
    plan: &'static Plan,
    trail: &str,
    rows: &[(u64, &[u8])],
    whole: &BTreeSet<u32>,
) -> Result<EncodedFile, EncodeError> {
    let mut splitter = Splitter::new(plan);
    for (row, &(index, leaf)) in (0u32..).zip(rows) {
        splitter.push_row(index, leaf, !whole.is_empty() && whole.contains(&row));
    }
    let buffers = splitter.finish();
    let compress = |source| EncodeError::Compress { source };
    let mut writer =
        ChunkWriter::new(b"PAR1".to_vec(), rows.len(), plan.page_rows, ZSTD_LEVEL).map_err(compress)?;
    let mut chunks: Vec<Chunk> = Vec::with_capacity(plan.columns.len());
    for (number, (column, values)) in plan.columns.iter().zip(&buffers).enumerate() {
        // Columns that are equal in every row share their pages: a flow's source is also its reporter and its actor's
        // device, and a window often ends when it is reported.
        let is_twin =
            |&other: &usize| plan.columns[other].form == column.form && buffers[other].equals(values);
        let chunk = match (INDEX + 1..number).find(is_twin) {
            Some(other) => Chunk::clone(&chunks[other]),
            None => writer.write(values, column.form, number == INDEX).map_err(compress)?,
        };
        chunks.push(chunk);
    }
    let mut file = writer.into_file();
    let indexes = (rows[0].0, rows[rows.len() - 1].0);
    let end = FileEnd { plan, trail, indexes, rows: rows.len(), buffers: &buffers, chunks: &chunks };
    end.write(&mut file).map_err(|source| EncodeError::Footer { source })?;
    let times = times(plan, &buffers);
    Ok(EncodedFile { bytes: file, times, stored_whole: buffers[plan.raw].rows.len() })
}

/// The earliest and the latest time, including leaves stored whole: readers skip files by it.
fn times(plan: &Plan, buffers: &[ColumnBuffer]) -> Option<(Timestamp, Timestamp)> {
    let numbers = |column: usize| match &buffers[column].values {
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
    let of_whole = match &buffers[plan.raw].values {
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

/// Reads the file back, page by page, and returns the rows whose leaf differs.
fn compare(encoded: &EncodedFile, rows: &[(u64, &[u8])]) -> Result<Vec<u32>, EncodeError> {
    let unreadable = |source| EncodeError::Unreadable { source: Box::new(source) };
    let name: Arc<str> = "segment".into();
    let outline = Outline::read_whole(&name, &encoded.bytes).map_err(unreadable)?;
    let mut unfaithful = Vec::new();
    let mut leaf = Vec::new();
    for (page, expected) in rows.chunks(outline.page_rows).enumerate() {
        let page = outline::whole_page(&outline, &encoded.bytes, page).map_err(unreadable)?;
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
