//! A segment's outline from its footer: the pages of each column, their positions, and bounds of their values.
//!
//! Footer and page indexes have a checksum of their own, 16 bytes before the footer, which is checked before anything is
//! parsed. Every page has one as well, so that any flipped byte that is read is detected.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use meshtrail_event::Family;
use parquet::data_type::ByteArray;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::statistics::Statistics;

use super::encode::MAX_ROWS;
use super::join::Joiner;
use super::page::{Column, Dictionary, PageReader};
use super::plan::{Form, Format, INDEX, Plan};
use super::predicate::TextValues;
use super::thrift::{PageSpan, read_column_index, read_offset_index};
use super::{MAX_PAGE_ROWS, SegmentError};

const GUARD: &[u8; 4] = b"MTG1";
const GUARD_LENGTH: usize = 16;
const TRAILER_LENGTH: usize = 8;

/// What the footer and the page indexes of a segment tell.
#[derive(Debug)]
pub(super) struct Outline {
    pub(super) name: Arc<str>,
    pub(super) plan: &'static Plan,
    pub(super) trail: String,
    pub(super) rows: usize,
    /// Rows of each page but the last.
    pub(super) page_rows: usize,
    pub(super) indexes: (u64, u64),
    /// By column of the plan; none for a column that the file lacks or that has no value.
    columns: Vec<Option<ChunkOutline>>,
    /// For each column the first one with the same pages, usually itself.
    twins: Vec<usize>,
    dictionaries: Vec<OnceLock<Arc<Dictionary>>>,
}

#[derive(Debug)]
struct ChunkOutline {
    dictionary: Option<Range<u64>>,
    pages: Vec<PageSpan>,
    has_nulls: bool,
    bounds: Option<Vec<Option<(i64, i64)>>>,
    /// The least and greatest text of a column without a dictionary.
    text_bounds: Option<(Box<str>, Box<str>)>,
}

/// A range of the file that a page needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PagePart {
    pub(super) column: usize,
    is_dictionary: bool,
    pub(super) range: Range<u64>,
}

/// Some columns of one page.
pub(super) struct Page {
    plan: &'static Plan,
    first_row: usize,
    rows: usize,
    columns: Vec<Column>,
}

/// Whether page bounds are written for a column.
pub(super) fn has_bounds(plan: &Plan, column: usize) -> bool {
    column == INDEX || column == plan.time || column == plan.id + 2
}

/// Appends the checksum of everything from `tail_start` on, including the footer, which is written next.
pub(super) fn write_guard(tail_start: usize, footer: &[u8], file: &mut Vec<u8>) {
    let mut guard = [0; GUARD_LENGTH];
    guard[..4].copy_from_slice(GUARD);
    guard[4..12].copy_from_slice(&(tail_start as u64).to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&file[tail_start..]);
    crc.update(&guard[..12]);
    crc.update(footer);
    guard[12..].copy_from_slice(&crc.finalize().to_le_bytes());
    file.extend_from_slice(&guard);
}

/// The result of checking the end of a file.
pub(super) enum Tail {
    /// More bytes are needed, from this offset on.
    From(u64),
    /// It is complete and valid; the page indexes begin at `start`, the footer is at its range of the given bytes.
    Whole { start: usize, footer: Range<usize> },
}

/// Verifies the checksum, given the end of a file from `offset` on.
pub(super) fn check_tail(name: &Arc<str>, end: &[u8], offset: u64) -> Result<Tail, SegmentError> {
    let damaged = |what| SegmentError::Damaged { file: name.clone(), what };
    let Some((rest, trailer)) = end.split_last_chunk::<TRAILER_LENGTH>() else {
        return Err(damaged("it is too short to be a Parquet file"));
    };
    if trailer[4..] != *b"PAR1" {
        return Err(damaged("it does not end as a Parquet file does"));
    }
    let length = u32::from_le_bytes([trailer[0], trailer[1], trailer[2], trailer[3]]) as usize;
    let size = offset + end.len() as u64;
    let before = (length + TRAILER_LENGTH + GUARD_LENGTH) as u64;
    let Some(guard_start) = size.checked_sub(before) else {
        return Err(damaged("its footer's length is wrong"));
    };
    if guard_start < offset {
        return Ok(Tail::From(guard_start));
    }
    let guard_start = (guard_start - offset) as usize;
    let guard = &rest[guard_start..guard_start + GUARD_LENGTH];
    if guard[..4] != *GUARD {
        return Err(damaged("its footer's length is wrong"));
    }
    let tail_start = u64::from_le_bytes(guard[4..12].try_into().expect("eight bytes"));
    if tail_start < offset {
        return Ok(Tail::From(tail_start));
    }
    let start = usize::try_from(tail_start - offset).unwrap_or(usize::MAX);
    let Some(covered) = end.get(start..guard_start + 12) else {
        return Err(damaged("its footer is not what was written"));
    };
    let mut crc = crc32fast::Hasher::new();
    crc.update(covered);
    crc.update(&end[guard_start + GUARD_LENGTH..]);
    if crc.finalize().to_le_bytes() != guard[12..] {
        return Err(damaged("its footer is not what was written"));
    }
    Ok(Tail::Whole { start, footer: guard_start + GUARD_LENGTH..rest.len() })
}

impl Outline {
    /// Reads the outline of a file in memory.
    pub(super) fn read_whole(name: &Arc<str>, file: &[u8]) -> Result<Self, SegmentError> {
        match check_tail(name, file, 0)? {
            Tail::Whole { footer, .. } => Self::parse(name, file, 0, footer),
            Tail::From(_) => Err(SegmentError::Damaged { file: name.clone(), what: "it is cut short" }),
        }
    }

    /// Parses an end of a file that [`check_tail`] found valid.
    pub(super) fn parse(
        name: &Arc<str>,
        end: &[u8],
        offset: u64,
        footer: Range<usize>,
    ) -> Result<Self, SegmentError> {
        let footer = &end[footer];
        // A forged footer with a valid checksum may contain anything, and the parser is not ours.
        let parsed = catch_unwind(AssertUnwindSafe(|| ParquetMetaDataReader::decode_metadata(footer)));
        let Ok(Ok(metadata)) = parsed else {
            return Err(SegmentError::Damaged { file: name.clone(), what: "its footer can't be parsed" });
        };
        let fields = FooterFields::read(name, &metadata)?;
        Self::build(&fields, &metadata, end, offset).ok_or_else(|| SegmentError::Damaged {
            file: name.clone(),
            what: "its footer contradicts itself",
        })
    }

    fn build(fields: &FooterFields, metadata: &ParquetMetaData, end: &[u8], offset: u64) -> Option<Self> {
        let plan = Plan::of(fields.format, fields.family);
        let rows =
            usize::try_from(metadata.file_metadata().num_rows()).ok().filter(|&rows| rows <= MAX_ROWS)?;
        if metadata.num_row_groups() != 1 {
            return None;
        }
        let mut columns: Vec<Option<ChunkOutline>> = (0..plan.columns.len()).map(|_| None).collect();
        for chunk in metadata.row_group(0).columns() {
            let number = plan.column(chunk.column_path().string().as_str())?;
            columns[number] = ChunkOutline::read(chunk, rows, fields.page_rows, end, offset)?;
        }
        let dictionaries = columns.iter().map(|_| OnceLock::new()).collect();
        let twins = (0..columns.len()).map(|column| twin(plan, &columns, column)).collect();
        let FooterFields { name, trail, indexes, page_rows, .. } = fields;
        let (name, trail, indexes, page_rows) = (name.clone(), trail.clone(), *indexes, *page_rows);
        Some(Self { name, plan, trail, rows, page_rows, indexes, columns, twins, dictionaries })
    }

    pub(super) fn pages(&self) -> usize {
        self.rows.div_ceil(self.page_rows)
    }

    /// The bounds of the times of a page, in nanoseconds.
    pub(super) fn times(&self, page: usize) -> Option<(i64, i64)> {
        self.bounds(self.plan.time, page).map(|bounds| self.plan.nanos_between(bounds))
    }

    /// The least and greatest number of a column with bounds in one page.
    pub(super) fn bounds(&self, column: usize, page: usize) -> Option<(i64, i64)> {
        *self.columns[column].as_ref()?.bounds.as_ref()?.get(page)?
    }

    /// Whether each row's value of `column`, none if the plan does not have it, is in that column: no leaf was stored whole,
    /// and no value of it is in `rest`.
    pub(super) fn is_certain(&self, column: Option<usize>) -> bool {
        let has_nulls = self.chunk(column).is_none_or(|chunk| chunk.has_nulls);
        self.is_empty(self.plan.raw) && (self.is_empty(self.plan.rest) || !has_nulls)
    }

    fn chunk(&self, column: Option<usize>) -> Option<&ChunkOutline> {
        self.columns[column?].as_ref()
    }

    pub(super) fn is_empty(&self, column: usize) -> bool {
        self.columns[column].is_none()
    }

    fn rows_of(&self, page: usize) -> usize {
        self.page_rows.min(self.rows - page * self.page_rows)
    }

    /// The parts to read for these columns of a page.
    pub(super) fn parts(&self, page: usize, columns: impl Iterator<Item = usize>) -> Vec<PagePart> {
        let mut parts = Vec::new();
        for column in columns {
            let Some(chunk) = &self.columns[column] else { continue };
            let column = self.twins[column];
            if parts.iter().any(|part: &PagePart| part.column == column) {
                continue;
            }
            if let Some(range) = &chunk.dictionary
                && self.dictionaries[column].get().is_none()
            {
                parts.push(PagePart { column, is_dictionary: true, range: range.clone() });
            }
            let span = chunk.pages[if chunk.pages.len() == 1 { 0 } else { page }];
            let range = span.offset..span.offset + u64::from(span.length);
            parts.push(PagePart { column, is_dictionary: false, range });
        }
        parts
    }

    /// The dictionaries to read for these columns.
    pub(super) fn dictionary_parts(&self, columns: impl Iterator<Item = usize>) -> Vec<PagePart> {
        let mut parts = Vec::new();
        for column in columns.map(|column| self.twins[column]) {
            if let Some(range) = self.columns[column].as_ref().and_then(|chunk| chunk.dictionary.as_ref())
                && self.dictionaries[column].get().is_none()
                && parts.iter().all(|part: &PagePart| part.column != column)
            {
                parts.push(PagePart { column, is_dictionary: true, range: range.clone() });
            }
        }
        parts
    }

    /// Reads one dictionary.
    pub(super) fn decode_dictionary(
        &self,
        part: &PagePart,
        bytes: &[u8],
        reader: &mut PageReader,
    ) -> Result<(), SegmentError> {
        let form = self.plan.columns[part.column].form;
        let dictionary = reader.dictionary(bytes, form).ok_or_else(|| self.damaged(part))?;
        // Another reader may have set it already, from the same bytes.
        let _known = self.dictionaries[part.column].set(Arc::new(dictionary));
        Ok(())
    }

    fn damaged(&self, part: &PagePart) -> SegmentError {
        SegmentError::DamagedColumn {
            file: self.name.clone(),
            column: &self.plan.columns[part.column].name,
            offset: part.range.start,
        }
    }

    /// The values of a text column, whose dictionary was read if it has one. More than `most` are not listed. A column that
    /// the plan does not have has none.
    pub(super) fn values(&self, column: Option<usize>, most: usize) -> TextValues {
        if !self.is_certain(column) {
            return TextValues::Unknown;
        }
        let (Some(column), Some(chunk)) = (column, self.chunk(column)) else {
            return TextValues::Distinct(Vec::new());
        };
        if let Some((least, greatest)) = &chunk.text_bounds {
            return TextValues::Between(least.clone(), greatest.clone());
        }
        let dictionary = self.dictionaries[self.twins[column]].get();
        let distinct: Option<Vec<Box<str>>> = match dictionary.map(|dictionary| &**dictionary) {
            Some(Dictionary::Texts(texts)) if texts.iter().count() <= most => {
                texts.iter().map(|text| std::str::from_utf8(text).ok().map(Box::from)).collect()
            }
            _ => None,
        };
        distinct.map_or(TextValues::Unknown, TextValues::Distinct)
    }

    /// Reads the parts of a page, given in the order of [`parts`](Self::parts).
    pub(super) fn decode<'b>(
        &self,
        page: usize,
        parts: impl Iterator<Item = (&'b PagePart, &'b [u8])>,
        reader: &mut PageReader,
    ) -> Result<Page, SegmentError> {
        let (first_row, rows) = (page * self.page_rows, self.rows_of(page));
        let mut columns = vec![Column::Nothing; self.plan.columns.len()];
        for (part, bytes) in parts {
            if part.is_dictionary {
                self.decode_dictionary(part, bytes, reader)?;
            } else {
                let form = self.plan.columns[part.column].form;
                let column = self.column(part.column, form, bytes, rows, reader);
                columns[part.column] = column.ok_or_else(|| self.damaged(part))?;
            }
        }
        for (column, &twin) in self.twins.iter().enumerate() {
            if twin != column {
                columns[column] = columns[twin].clone();
            }
        }
        Ok(Page { plan: self.plan, first_row, rows, columns })
    }

    fn column(
        &self,
        column: usize,
        form: Form,
        bytes: &[u8],
        rows: usize,
        reader: &mut PageReader,
    ) -> Option<Column> {
        let dictionary = self.dictionaries[column].get();
        let is_flat = self.columns[column].as_ref()?.pages.len() == 1 && self.pages() > 1;
        if is_flat {
            return reader.flat(bytes, dictionary, self.rows, rows);
        }
        reader.column(bytes, form, column == INDEX, dictionary, rows)
    }
}

/// The first column with the pages of this one.
fn twin(plan: &Plan, columns: &[Option<ChunkOutline>], column: usize) -> usize {
    let is_twin = |&other: &usize| match (&columns[other], &columns[column]) {
        (Some(a), Some(b)) => {
            a.pages[0] == b.pages[0] && plan.columns[other].form == plan.columns[column].form
        }
        _ => false,
    };
    (INDEX + 1..column).find(is_twin).unwrap_or(column)
}

impl ChunkOutline {
    /// None if the chunk contradicts itself; `Some(None)` if it has no value.
    fn read(
        chunk: &ColumnChunkMetaData,
        rows: usize,
        page_rows: usize,
        end: &[u8],
        offset: u64,
    ) -> Option<Option<Self>> {
        if usize::try_from(chunk.num_values()).ok()? != rows {
            return None;
        }
        let nulls = chunk.statistics().and_then(|statistics| statistics.null_count_opt());
        if nulls == Some(rows as u64) {
            return Some(None);
        }
        let at = |range: Range<u64>| {
            let start = usize::try_from(range.start.checked_sub(offset)?).ok()?;
            end.get(start..start.checked_add(usize::try_from(range.end - range.start).ok()?)?)
        };
        let most = rows.div_ceil(page_rows);
        let pages =
            read_offset_index(at(range(chunk.offset_index_offset(), chunk.offset_index_length())?)?, most)?;
        let in_place = |(number, page): (usize, &PageSpan)| {
            page.first_row as usize == number * page_rows
                && page.offset.checked_add(u64::from(page.length)).is_some()
        };
        if (pages.len() != most && pages.len() != 1) || !pages.iter().enumerate().all(in_place) {
            return None;
        }
        let first = pages.first()?.offset;
        let dictionary = match chunk.dictionary_page_offset() {
            Some(start) => Some(u64::try_from(start).ok().filter(|&start| start < first)?..first),
            None => None,
        };
        let bounds = match range(chunk.column_index_offset(), chunk.column_index_length()) {
            Some(range) => {
                Some(read_column_index(at(range)?, most).filter(|bounds| bounds.len() == pages.len())?)
            }
            None => None,
        };
        let text_bounds = if dictionary.is_none() { text_bounds(chunk) } else { None };
        Some(Some(Self { dictionary, pages, has_nulls: nulls != Some(0), bounds, text_bounds }))
    }
}

/// The least and greatest text of a chunk; none if the footer does not have them.
fn text_bounds(chunk: &ColumnChunkMetaData) -> Option<(Box<str>, Box<str>)> {
    let Statistics::ByteArray(bounds) = chunk.statistics()? else { return None };
    let text = |bound: Option<&ByteArray>| Some(Box::<str>::from(std::str::from_utf8(bound?.data()).ok()?));
    Some((text(bounds.min_opt())?, text(bounds.max_opt())?))
}

/// A range from a footer; none if it is missing or invalid.
fn range(offset: Option<i64>, length: Option<i32>) -> Option<Range<u64>> {
    let offset = u64::try_from(offset?).ok()?;
    Some(offset..offset.checked_add(u64::try_from(length?).ok()?)?)
}

/// The footer's key-value metadata.
struct FooterFields {
    name: Arc<str>,
    format: Format,
    family: Family,
    trail: String,
    indexes: (u64, u64),
    page_rows: usize,
}

impl FooterFields {
    fn read(name: &Arc<str>, metadata: &ParquetMetaData) -> Result<Self, SegmentError> {
        let fields = metadata.file_metadata().key_value_metadata().map(Vec::as_slice).unwrap_or_default();
        let value =
            |key: &str| fields.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.as_deref());
        let Some(number) = value("meshtrail.format").and_then(|format| format.parse::<u32>().ok()) else {
            return Err(SegmentError::Damaged { file: name.clone(), what: "it is no segment of a trail" });
        };
        let Some(format) = Format::of(number) else {
            return Err(SegmentError::Format { file: name.clone(), format: number });
        };
        let read = || {
            let family = value("meshtrail.family")?;
            let family = Family::ALL.into_iter().find(|one| one.as_str() == family)?;
            let indexes = (value("meshtrail.first")?.parse().ok()?, value("meshtrail.last")?.parse().ok()?);
            let page_rows = value("meshtrail.page_rows")?.parse::<usize>().ok()?;
            let trail = value("meshtrail.trail")?.to_owned();
            (1..=MAX_PAGE_ROWS).contains(&page_rows).then(|| Self {
                name: name.clone(),
                format,
                family,
                trail,
                indexes,
                page_rows,
            })
        };
        read().ok_or_else(|| SegmentError::Damaged {
            file: name.clone(),
            what: "its footer lacks what a segment tells",
        })
    }
}

impl Page {
    /// A joiner of leaves; all columns must have been read.
    pub(super) fn joiner(&self) -> Joiner<'_> {
        Joiner::new(self.plan, &self.columns)
    }

    pub(super) fn first_row(&self) -> usize {
        self.first_row
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn index(&self, row: usize) -> Option<u64> {
        self.columns[INDEX].number(row).and_then(|index| u64::try_from(index).ok())
    }

    /// The time of the event at `row`, in nanoseconds.
    pub(super) fn time(&self, row: usize) -> Option<i64> {
        self.plan.nanos(&self.columns, self.plan.time, row)
    }

    pub(super) fn column(&self, column: usize) -> &Column {
        &self.columns[column]
    }
}

/// Reads all columns of one page of a file in memory.
pub(super) fn whole_page(outline: &Outline, file: &[u8], page: usize) -> Result<Page, SegmentError> {
    let parts = outline.parts(page, 0..outline.plan.columns.len());
    let bytes: Option<Vec<&[u8]>> = parts.iter().map(|part| slice(file, &part.range)).collect();
    let cut = || SegmentError::Damaged { file: outline.name.clone(), what: "it is cut short" };
    let parts = parts.iter().zip(bytes.ok_or_else(cut)?);
    PageReader::with(|reader| outline.decode(page, parts, reader))
        .map_err(|source| SegmentError::Memory { source })?
}

/// A range of a file in memory.
pub(super) fn slice<'f>(file: &'f [u8], range: &Range<u64>) -> Option<&'f [u8]> {
    file.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}
