//! Leaves to a Parquet file, which is given out only if it gives back every leaf.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use meshtrail_event::{Family, Timestamp};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::bloom_filter::Sbbf;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData,
    SortingColumn,
};
use parquet::file::statistics::Statistics;

use super::chunk::{Chunk, ChunkWriter};
use super::outline::{self, Outline};
use super::plan::{Form, INDEX, Plan};
use super::split::{Gathered, Splitter, Values};
use super::thrift::{PageEncoding, write_column_index, write_offset_index};
use super::{FORMAT, SegmentError};

/// Leaves of one segment, in bytes; offsets within a column are 32 bits wide.
pub const MAX_LEAF_BYTES: usize = 1 << 30;
/// Rows of one segment.
pub const MAX_ROWS: usize = 1 << 22;

const ZSTD_LEVEL: i32 = 3;
/// Longer texts are no use as a column's bounds.
const LONGEST_BOUND: usize = 64;
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

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
    check(rows)?;
    let plan = Plan::of(family);
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
    let footer = |source| EncodeError::Footer { source };
    let blooms = write_blooms(plan, &gathered, &mut file).map_err(footer)?;
    let indexes = (rows[0].0, rows[rows.len() - 1].0);
    finish(plan, trail, indexes, rows.len(), &gathered, &chunks, &blooms, &mut file).map_err(footer)?;
    let times =
        numbers(&gathered[plan.time]).and_then(|times| Some((times.iter().min()?, times.iter().max()?)));
    let times = times.map(|(&from, &to)| (Timestamp::from_nanos(from), Timestamp::from_nanos(to)));
    Ok(Written { bytes: file, times, kept_whole: gathered[plan.raw].rows.len() })
}

fn numbers(gathered: &Gathered) -> Option<&[i64]> {
    match &gathered.values {
        Values::Numbers(numbers) => Some(numbers),
        _ => None,
    }
}

fn write_blooms(
    plan: &Plan,
    gathered: &[Gathered],
    file: &mut Vec<u8>,
) -> Result<Vec<Option<Range<usize>>>, ParquetError> {
    let mut places = Vec::with_capacity(gathered.len());
    for (column, gathered) in plan.columns.iter().zip(gathered) {
        let Values::Texts { distinct, .. } = &gathered.values else {
            places.push(None);
            continue;
        };
        if !column.is_looked_up || distinct.len() < 2 {
            places.push(None);
            continue;
        }
        let mut filter = Sbbf::new_with_ndv_fpp(distinct.len() as u64, BLOOM_FALSE_POSITIVES)?;
        distinct.iter().for_each(|text| filter.insert(text));
        let start = file.len();
        filter.write(&mut *file)?;
        places.push(Some(start..file.len()));
    }
    Ok(places)
}

/// Writes page indexes, their guard, and the footer.
#[expect(
    clippy::too_many_arguments,
    reason = "each is a different part of one file, and there is one caller"
)]
fn finish(
    plan: &Plan,
    trail: &str,
    indexes: (u64, u64),
    rows: usize,
    gathered: &[Gathered],
    chunks: &[Chunk],
    blooms: &[Option<Range<usize>>],
    file: &mut Vec<u8>,
) -> Result<(), ParquetError> {
    let tail_start = file.len();
    let mut columns = Vec::with_capacity(chunks.len());
    for (number, chunk) in chunks.iter().enumerate() {
        let place = Place { column_index: None, offset_index: 0..0, bloom: blooms[number].clone() };
        let place = write_indexes(plan, number, chunk, place, file);
        columns.push(column_metadata(plan, number, rows, &gathered[number], chunk, place)?);
    }
    let sizes = chunks.iter().map(|chunk| chunk.uncompressed as i64).sum();
    let order = SortingColumn { column_idx: INDEX as i32, descending: false, nulls_first: false };
    let group = RowGroupMetaData::builder(plan.schema.clone())
        .set_column_metadata(columns)
        .set_total_byte_size(sizes)
        .set_num_rows(rows as i64)
        .set_sorting_columns(Some(vec![order]))
        .set_ordinal(0)
        .build()?;
    let told = [
        ("meshtrail.format", FORMAT.to_string()),
        ("meshtrail.trail", trail.to_owned()),
        ("meshtrail.family", plan.layout.family.to_string()),
        ("meshtrail.first", indexes.0.to_string()),
        ("meshtrail.last", indexes.1.to_string()),
        ("meshtrail.page_rows", plan.page_rows.to_string()),
    ];
    let told = told.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value)).collect();
    let by = format!("meshtrail {}", env!("CARGO_PKG_VERSION"));
    let about = FileMetaData::new(2, rows as i64, Some(by), Some(told), plan.schema.clone(), None);
    let metadata = ParquetMetaData::new(about, vec![group]);
    let mut footer = Vec::new();
    ParquetMetaDataWriter::new(&mut footer, &metadata).finish()?;
    outline::write_guard(tail_start, &footer, file);
    file.extend_from_slice(&footer);
    Ok(())
}

struct Place {
    column_index: Option<Range<usize>>,
    offset_index: Range<usize>,
    bloom: Option<Range<usize>>,
}

fn write_indexes(plan: &Plan, number: usize, chunk: &Chunk, mut place: Place, file: &mut Vec<u8>) -> Place {
    if outline::has_bounds(plan, number) && chunk.pages.len() == chunk.bounds.len() {
        let start = file.len();
        write_column_index(&chunk.bounds, number == INDEX, file);
        place.column_index = Some(start..file.len());
    }
    let start = file.len();
    write_offset_index(&chunk.pages, file);
    place.offset_index = start..file.len();
    place
}

fn column_metadata(
    plan: &Plan,
    number: usize,
    rows: usize,
    gathered: &Gathered,
    chunk: &Chunk,
    place: Place,
) -> Result<ColumnChunkMetaData, ParquetError> {
    let encodings = chunk.encodings.iter().map(|encoding| match encoding {
        PageEncoding::Plain => Encoding::PLAIN,
        PageEncoding::Delta => Encoding::DELTA_BINARY_PACKED,
        PageEncoding::DeltaLength => Encoding::DELTA_LENGTH_BYTE_ARRAY,
        PageEncoding::DeltaBytes => Encoding::DELTA_BYTE_ARRAY,
        PageEncoding::Dictionary => Encoding::RLE_DICTIONARY,
    });
    let mut encodings: Vec<Encoding> = encodings.chain([Encoding::RLE]).collect();
    if chunk.dictionary.is_some() {
        encodings.push(Encoding::PLAIN);
    }
    let range = |range: &Range<usize>| (range.start as i64, range.len() as i32);
    let (offset_index, offset_index_length) = range(&place.offset_index);
    let column_index = place.column_index.as_ref().map(range);
    let bloom = place.bloom.as_ref().map(range);
    let mut column = ColumnChunkMetaData::builder(plan.schema.column(number))
        .set_encodings(encodings)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_num_values(rows as i64)
        .set_total_compressed_size(chunk.compressed as i64)
        .set_total_uncompressed_size(chunk.uncompressed as i64)
        .set_data_page_offset(chunk.pages.first().map_or(0, |page| page.offset as i64))
        .set_dictionary_page_offset(chunk.dictionary.as_ref().map(|page| page.start as i64))
        .set_offset_index_offset(Some(offset_index))
        .set_offset_index_length(Some(offset_index_length))
        .set_column_index_offset(column_index.map(|place| place.0))
        .set_column_index_length(column_index.map(|place| place.1))
        .set_bloom_filter_offset(bloom.map(|place| place.0))
        .set_bloom_filter_length(bloom.map(|place| place.1));
    if let Some(statistics) = statistics(plan.columns[number].form, gathered, chunk.nulls as u64) {
        column = column.set_statistics(statistics);
    }
    column.build()
}

fn statistics(form: Form, gathered: &Gathered, nulls: u64) -> Option<Statistics> {
    let nulls = Some(nulls);
    Some(match &gathered.values {
        Values::Numbers(numbers) if form == Form::Port => {
            let bound = |number: Option<&i64>| number.map(|&number| number as i32);
            Statistics::int32(bound(numbers.iter().min()), bound(numbers.iter().max()), None, nulls, false)
        }
        Values::Numbers(numbers) => Statistics::int64(
            numbers.iter().min().copied(),
            numbers.iter().max().copied(),
            None,
            nulls,
            false,
        ),
        Values::Texts { distinct, .. } => {
            let least = distinct.iter().min().filter(|text| text.len() <= LONGEST_BOUND);
            let most = distinct.iter().max().filter(|text| text.len() <= LONGEST_BOUND);
            let (least, most) = least.zip(most).filter(|_| form == Form::Text).unzip();
            let bound = |text: Option<&[u8]>| text.map(|text| ByteArray::from(text.to_vec()));
            Statistics::byte_array(bound(least), bound(most), None, nulls, false)
        }
        Values::Hashes(_) => {
            let none: Option<FixedLenByteArray> = None;
            Statistics::fixed_len_byte_array(none.clone(), none, None, nulls, false)
        }
    })
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
