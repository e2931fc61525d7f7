//! Decoding a page into a value or none for each row.
//!
//! The checksum is verified first. Any bytes are read without a panic, with at most [`MAX_PAGE`] of memory.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use zstd::bulk::Decompressor;

use super::bits::{PADDING, read_delta, read_hybrid};
use super::json::write_string;
use super::plan::Form;
use super::thrift::{PageEncoding, PageHeader, PageKind};

/// The largest page, in bytes: leaves of the maximum length that are all stored whole.
const MAX_PAGE: usize = super::MAX_PAGE_ROWS * (meshtrail_event::MAX_LEAF + 64);
/// A buffer that grew beyond this is freed.
const KEPT_BUFFER: usize = 1 << 20;
/// The id of a row that has no value.
pub(super) const NOTHING: u32 = u32::MAX;

/// A column's values in one page, by row.
#[derive(Debug, Clone)]
pub(super) enum Column {
    /// No row has a value.
    Nothing,
    Numbers {
        numbers: Vec<i64>,
        present: Present,
    },
    Ids {
        ids: Vec<u32>,
        dictionary: Arc<Dictionary>,
    },
    Texts {
        bytes: Vec<u8>,
        ends: Vec<u32>,
        present: Present,
    },
    Hashes {
        hashes: Vec<u8>,
        present: Present,
    },
}

/// Which rows have a value.
#[derive(Debug, Clone)]
pub(super) enum Present {
    All,
    Some(Vec<bool>),
}

/// The distinct values of a column.
#[derive(Debug)]
pub(super) enum Dictionary {
    Numbers(Vec<i64>),
    Texts(TextDictionary),
}

#[derive(Debug, Default)]
pub(super) struct TextDictionary {
    texts: Pieces,
    /// The same as JSON strings.
    quoted: Pieces,
}

#[derive(Debug, Default)]
struct Pieces {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Pieces {
    #[inline]
    fn get(&self, number: usize) -> &[u8] {
        let start = if number == 0 { 0 } else { self.ends[number - 1] as usize };
        &self.bytes[start..self.ends[number] as usize]
    }

    fn end(&mut self) {
        self.ends.push(self.bytes.len() as u32);
    }
}

impl Present {
    #[inline]
    pub(super) fn has(&self, row: usize) -> bool {
        match self {
            Self::All => true,
            Self::Some(present) => present[row],
        }
    }
}

impl TextDictionary {
    #[inline]
    pub(super) fn text(&self, id: u32) -> &[u8] {
        self.texts.get(id as usize)
    }

    #[inline]
    pub(super) fn quoted(&self, id: u32) -> &[u8] {
        self.quoted.get(id as usize)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.texts.ends.len()).map(|id| self.texts.get(id))
    }
}

impl Column {
    #[inline]
    pub(super) fn has(&self, row: usize) -> bool {
        match self {
            Self::Nothing => false,
            Self::Numbers { present, .. } | Self::Texts { present, .. } | Self::Hashes { present, .. } => {
                present.has(row)
            }
            Self::Ids { ids, .. } => ids[row] != NOTHING,
        }
    }

    #[inline]
    pub(super) fn number(&self, row: usize) -> Option<i64> {
        match self {
            Self::Numbers { numbers, present } if present.has(row) => Some(numbers[row]),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn text(&self, row: usize) -> Option<&[u8]> {
        match self {
            Self::Texts { bytes, ends, present } if present.has(row) => {
                let start = if row == 0 { 0 } else { ends[row - 1] as usize };
                Some(&bytes[start..ends[row] as usize])
            }
            Self::Ids { ids, dictionary } if ids[row] != NOTHING => match &**dictionary {
                Dictionary::Texts(texts) => Some(texts.text(ids[row])),
                Dictionary::Numbers(_) => None,
            },
            _ => None,
        }
    }

    #[inline]
    pub(super) fn hash(&self, row: usize) -> Option<&[u8]> {
        match self {
            Self::Hashes { hashes, present } if present.has(row) => Some(&hashes[row * 32..row * 32 + 32]),
            _ => None,
        }
    }

    /// Appends the row's text as a JSON string.
    #[inline]
    pub(super) fn write_quoted(&self, row: usize, out: &mut Vec<u8>) {
        if let Self::Ids { ids, dictionary } = self
            && let Dictionary::Texts(texts) = &**dictionary
        {
            out.extend_from_slice(texts.quoted(ids[row]));
        } else if let Some(text) = self.text(row) {
            write_string(text, out);
        }
    }
}

/// Reads pages.
pub(super) struct PageReader {
    zstd: Decompressor<'static>,
    plain: Vec<u8>,
}

/// A page's contents, uncompressed and followed by [`PADDING`].
struct Body<'a> {
    header: PageHeader,
    bytes: &'a [u8],
    length: usize,
}

thread_local! {
    /// Reused, because setting up a decompressor takes longer than reading a page.
    static READER: RefCell<Option<PageReader>> = const { RefCell::new(None) };
}

impl PageReader {
    /// Runs `work` with this thread's reader; `work` must not call this again.
    pub(super) fn with<T>(work: impl FnOnce(&mut Self) -> T) -> io::Result<T> {
        READER.with_borrow_mut(|kept| {
            let reader = match kept {
                Some(reader) => reader,
                None => kept.insert(Self::new()?),
            };
            let done = work(reader);
            if reader.plain.capacity() > KEPT_BUFFER {
                reader.plain = Vec::new();
            }
            Ok(done)
        })
    }

    fn new() -> io::Result<Self> {
        Ok(Self { zstd: Decompressor::new()?, plain: Vec::new() })
    }

    /// Reads a dictionary page with its header.
    pub(super) fn dictionary(&mut self, page: &[u8], form: Form) -> Option<Dictionary> {
        let body = self.open(page)?;
        if body.header.kind != PageKind::Dictionary {
            return None;
        }
        let (bytes, count) = (&body.bytes[..body.length], body.header.values);
        match form {
            Form::Text | Form::Binary => text_dictionary(bytes, count),
            _ => plain_numbers(bytes, form, count).map(Dictionary::Numbers),
        }
    }

    /// Reads a data page with its header, which must hold `rows` rows.
    pub(super) fn column(
        &mut self,
        page: &[u8],
        form: Form,
        required: bool,
        dictionary: Option<&Arc<Dictionary>>,
        rows: usize,
    ) -> Option<Column> {
        let body = self.open(page)?;
        let PageKind::Data { encoding, nulls, levels, .. } = body.header.kind else { return None };
        if body.header.values != rows || nulls > rows {
            return None;
        }
        if nulls == rows {
            return Some(Column::Nothing);
        }
        let present = match nulls {
            0 => Present::All,
            _ if required => return None,
            _ => Present::Some(read_levels(&body, levels, rows, nulls)?),
        };
        let values = Body {
            header: body.header,
            bytes: body.bytes.get(levels..)?,
            length: body.length.checked_sub(levels)?,
        };
        values.read(encoding, form, dictionary, present, rows, rows - nulls)
    }

    /// Reads the single page of a column with no value, or the same one in each of `all` rows; returns `rows` rows.
    pub(super) fn flat(
        &mut self,
        page: &[u8],
        dictionary: Option<&Arc<Dictionary>>,
        all: usize,
        rows: usize,
    ) -> Option<Column> {
        let header = self.open(page)?.header;
        match header.kind {
            PageKind::Data { nulls, .. } if nulls == all && header.values == all => Some(Column::Nothing),
            PageKind::Data { nulls: 0, .. } if header.values == all => match &**dictionary? {
                Dictionary::Numbers(numbers) if numbers.len() == 1 => {
                    Some(Column::Numbers { numbers: vec![numbers[0]; rows], present: Present::All })
                }
                Dictionary::Texts(texts) if texts.texts.ends.len() == 1 => {
                    Some(Column::Ids { ids: vec![0; rows], dictionary: dictionary?.clone() })
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Checks, uncompresses and pads a page.
    fn open<'a>(&'a mut self, page: &[u8]) -> Option<Body<'a>> {
        let (header, start) = PageHeader::read(page)?;
        let body = page.get(start..).filter(|body| body.len() == header.compressed)?;
        if crc32fast::hash(body) != header.crc {
            return None;
        }
        let (levels, is_compressed) = match header.kind {
            PageKind::Dictionary => (0, true),
            PageKind::Data { levels, is_compressed, .. } => (levels, is_compressed),
        };
        let packed = body.get(levels..)?;
        let unpacked = header.uncompressed.checked_sub(levels)?;
        if header.uncompressed > MAX_PAGE {
            return None;
        }
        self.plain.clear();
        self.plain.reserve(header.uncompressed + PADDING);
        self.plain.extend_from_slice(&body[..levels]);
        if !is_compressed || packed.is_empty() {
            self.plain.extend_from_slice(packed);
        } else {
            self.plain.resize(header.uncompressed, 0);
            let written = self.zstd.decompress_to_buffer(packed, &mut self.plain[levels..]).ok()?;
            if written != unpacked {
                return None;
            }
        }
        let length = self.plain.len();
        if length != header.uncompressed {
            return None;
        }
        self.plain.resize(length + PADDING, 0);
        Some(Body { header, bytes: &self.plain, length })
    }
}

fn read_levels(body: &Body<'_>, levels: usize, rows: usize, nulls: usize) -> Option<Vec<bool>> {
    let levels = read_hybrid(body.bytes, levels, 1, rows)?;
    let present: Vec<bool> = levels.into_iter().map(|level| level == 1).collect();
    (present.iter().filter(|&&present| !present).count() == nulls).then_some(present)
}

impl Body<'_> {
    fn read(
        &self,
        encoding: PageEncoding,
        form: Form,
        dictionary: Option<&Arc<Dictionary>>,
        present: Present,
        rows: usize,
        count: usize,
    ) -> Option<Column> {
        let plain = &self.bytes[..self.length];
        match (encoding, form) {
            (PageEncoding::Dictionary, _) => self.read_ids(dictionary?, present, rows, count),
            (PageEncoding::Delta, Form::Int | Form::Time | Form::Micros | Form::Port | Form::Nanos) => {
                numbers(read_delta(self.bytes, &mut 0, count)?, present, rows)
            }
            (PageEncoding::Plain, Form::Int | Form::Time | Form::Micros | Form::Port | Form::Nanos) => {
                numbers(plain_numbers(plain, form, count)?, present, rows)
            }
            (PageEncoding::Plain, Form::Hash) => {
                let hashes = plain.as_chunks::<32>().0.to_vec();
                Some(Column::Hashes { hashes: spread(hashes, &present, rows)?.into_flattened(), present })
            }
            (PageEncoding::DeltaLength, Form::Text | Form::Binary) => {
                self.read_delta_length(present, rows, count)
            }
            (PageEncoding::DeltaBytes, Form::Text | Form::Binary) => {
                self.read_delta_bytes(present, rows, count)
            }
            _ => None,
        }
    }

    fn read_ids(
        &self,
        dictionary: &Arc<Dictionary>,
        present: Present,
        rows: usize,
        count: usize,
    ) -> Option<Column> {
        let width = u32::from(*self.bytes.first()?);
        let ids = read_hybrid(&self.bytes[1..], self.length.checked_sub(1)?, width, count)?;
        let distinct = match &**dictionary {
            Dictionary::Numbers(numbers) => numbers.len(),
            Dictionary::Texts(texts) => texts.texts.ends.len(),
        };
        if ids.iter().any(|&id| id as usize >= distinct) {
            return None;
        }
        if let Dictionary::Numbers(known) = &**dictionary {
            return numbers(ids.into_iter().map(|id| known[id as usize]).collect(), present, rows);
        }
        let ids = match present {
            Present::All => ids,
            Present::Some(present) => {
                let mut next = ids.into_iter();
                present
                    .iter()
                    .map(|&present| if present { next.next() } else { Some(NOTHING) })
                    .collect::<Option<_>>()?
            }
        };
        Some(Column::Ids { ids, dictionary: dictionary.clone() })
    }

    fn read_delta_length(&self, present: Present, rows: usize, count: usize) -> Option<Column> {
        let mut at = 0;
        let lengths = read_delta(self.bytes, &mut at, count).filter(|lengths| lengths.len() == count)?;
        let bytes = self.bytes.get(at..self.length)?.to_vec();
        texts(bytes, lengths.into_iter(), present, rows)
    }

    fn read_delta_bytes(&self, present: Present, rows: usize, count: usize) -> Option<Column> {
        let mut at = 0;
        let shared = read_delta(self.bytes, &mut at, count).filter(|shared| shared.len() == count)?;
        let lengths = read_delta(self.bytes, &mut at, count).filter(|lengths| lengths.len() == count)?;
        let mut bytes: Vec<u8> = Vec::with_capacity(self.length);
        let mut whole = Vec::with_capacity(count);
        let mut before = 0;
        for (shared, length) in shared.into_iter().zip(lengths) {
            let (shared, length) = (usize::try_from(shared).ok()?, usize::try_from(length).ok()?);
            let start = bytes.len();
            if shared > start - before || start + shared + length > MAX_PAGE {
                return None;
            }
            bytes.extend_from_within(before..before + shared);
            bytes.extend_from_slice(self.bytes.get(at..at.checked_add(length)?.min(self.length))?);
            at += length;
            whole.push((shared + length) as i64);
            before = start;
        }
        texts(bytes, whole.into_iter(), present, rows)
    }
}

fn numbers(values: Vec<i64>, present: Present, rows: usize) -> Option<Column> {
    Some(Column::Numbers { numbers: spread(values, &present, rows)?, present })
}

/// Puts each value at its row.
fn spread<T: Copy + Default>(values: Vec<T>, present: &Present, rows: usize) -> Option<Vec<T>> {
    match present {
        Present::All => (values.len() == rows).then_some(values),
        Present::Some(present) => {
            let mut next = values.into_iter();
            present.iter().map(|&present| if present { next.next() } else { Some(T::default()) }).collect()
        }
    }
}

fn texts(
    bytes: Vec<u8>,
    mut lengths: impl Iterator<Item = i64>,
    present: Present,
    rows: usize,
) -> Option<Column> {
    let mut ends = Vec::with_capacity(rows);
    let mut end = 0usize;
    for row in 0..rows {
        if present.has(row) {
            end = end.checked_add(usize::try_from(lengths.next()?).ok()?)?;
        }
        if end > bytes.len() {
            return None;
        }
        ends.push(end as u32);
    }
    Some(Column::Texts { bytes, ends, present })
}

fn plain_numbers(bytes: &[u8], form: Form, count: usize) -> Option<Vec<i64>> {
    let numbers: Vec<i64> = match form {
        Form::Port | Form::Nanos => {
            bytes.as_chunks().0.iter().map(|&four| i64::from(i32::from_le_bytes(four))).collect()
        }
        _ => bytes.as_chunks().0.iter().map(|&eight| i64::from_le_bytes(eight)).collect(),
    };
    (numbers.len() == count).then_some(numbers)
}

fn text_dictionary(mut bytes: &[u8], count: usize) -> Option<Dictionary> {
    let mut dictionary = TextDictionary::default();
    for _ in 0..count {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        dictionary.texts.bytes.extend_from_slice(text);
        dictionary.texts.end();
        write_string(text, &mut dictionary.quoted.bytes);
        dictionary.quoted.end();
        bytes = rest;
    }
    Some(Dictionary::Texts(dictionary))
}
