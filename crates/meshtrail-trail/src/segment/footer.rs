//! Writing the end of a segment's file: Bloom filters, page indexes and the footer.

use std::ops::Range;

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::bloom_filter::Sbbf;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData,
    SortingColumn,
};
use parquet::file::statistics::Statistics;

use super::chunk::Chunk;
use super::plan::{Form, INDEX, Plan};
use super::split::{ColumnBuffer, Values};
use super::thrift::{PageEncoding, write_column_index, write_offset_index};
use super::{ZSTD_LEVEL, outline};

/// The longest text that is written as a column's bound.
const LONGEST_BOUND: usize = 64;
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

/// The contents of the end of a file.
pub(super) struct FileEnd<'a> {
    pub(super) plan: &'static Plan,
    pub(super) trail: &'a str,
    /// The first index and the last.
    pub(super) indexes: (u64, u64),
    pub(super) rows: usize,
    pub(super) buffers: &'a [ColumnBuffer],
    pub(super) chunks: &'a [Chunk],
}

impl FileEnd<'_> {
    /// Appends Bloom filters, page indexes with their guard, and the footer.
    pub(super) fn write(&self, file: &mut Vec<u8>) -> Result<(), ParquetError> {
        let Self { plan, rows, .. } = *self;
        let blooms = write_blooms(plan, self.buffers, file)?;
        let tail_start = file.len();
        let mut columns = Vec::with_capacity(self.chunks.len());
        for (number, (chunk, bloom)) in self.chunks.iter().zip(blooms).enumerate() {
            let place = write_indexes(plan, number, chunk, bloom, file);
            columns.push(column_metadata(plan, number, rows, &self.buffers[number], chunk, place)?);
        }
        let sizes = self.chunks.iter().map(|chunk| chunk.uncompressed as i64).sum();
        let order = SortingColumn { column_idx: INDEX as i32, descending: false, nulls_first: false };
        let group = RowGroupMetaData::builder(plan.schema.clone())
            .set_column_metadata(columns)
            .set_total_byte_size(sizes)
            .set_num_rows(rows as i64)
            .set_sorting_columns(Some(vec![order]))
            .set_ordinal(0)
            .build()?;
        let by = format!("meshtrail {}", env!("CARGO_PKG_VERSION"));
        let about =
            FileMetaData::new(2, rows as i64, Some(by), Some(self.key_values()), plan.schema.clone(), None);
        let metadata = ParquetMetaData::new(about, vec![group]);
        let mut footer = Vec::new();
        ParquetMetaDataWriter::new(&mut footer, &metadata).finish()?;
        outline::write_guard(tail_start, &footer, file);
        file.extend_from_slice(&footer);
        Ok(())
    }

    /// The footer's key-value metadata.
    fn key_values(&self) -> Vec<KeyValue> {
        let told = [
            ("meshtrail.format", self.plan.format.number().to_string()),
            ("meshtrail.trail", self.trail.to_owned()),
            ("meshtrail.family", self.plan.layout.family.to_string()),
            ("meshtrail.first", self.indexes.0.to_string()),
            ("meshtrail.last", self.indexes.1.to_string()),
            ("meshtrail.page_rows", self.plan.page_rows.to_string()),
        ];
        told.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value)).collect()
    }
}

struct IndexRanges {
    column_index: Option<Range<usize>>,
    offset_index: Range<usize>,
    bloom: Option<Range<usize>>,
}

fn write_indexes(
    plan: &Plan,
    number: usize,
    chunk: &Chunk,
    bloom: Option<Range<usize>>,
    file: &mut Vec<u8>,
) -> IndexRanges {
    let mut column_index = None;
    if outline::has_bounds(plan, number) && chunk.pages.len() == chunk.bounds.len() {
        let start = file.len();
        write_column_index(&chunk.bounds, number == INDEX, file);
        column_index = Some(start..file.len());
    }
    let start = file.len();
    write_offset_index(&chunk.pages, file);
    IndexRanges { column_index, offset_index: start..file.len(), bloom }
}

fn column_metadata(
    plan: &Plan,
    number: usize,
    rows: usize,
    buffer: &ColumnBuffer,
    chunk: &Chunk,
    place: IndexRanges,
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
    if let Some(statistics) = statistics(plan.columns[number].form, buffer, chunk.nulls as u64) {
        column = column.set_statistics(statistics);
    }
    column.build()
}

fn statistics(form: Form, buffer: &ColumnBuffer, nulls: u64) -> Option<Statistics> {
    let nulls = Some(nulls);
    Some(match &buffer.values {
        Values::Numbers(numbers) if matches!(form, Form::Port | Form::Nanos) => {
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

fn write_blooms(
    plan: &Plan,
    buffers: &[ColumnBuffer],
    file: &mut Vec<u8>,
) -> Result<Vec<Option<Range<usize>>>, ParquetError> {
    let mut places = Vec::with_capacity(buffers.len());
    for (column, buffer) in plan.columns.iter().zip(buffers) {
        let Values::Texts { distinct, .. } = &buffer.values else {
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
