//! Encoding one column as pages.
//!
//! All pages have the same number of rows, so that a row is found without reading those before it. The encoding is chosen
//! by size on a sample of the column's own pages.

use std::io;
use std::ops::Range;

use zstd::bulk::Compressor;

use super::bits::{Packing, write_delta, write_hybrid};
use super::intern::Interner;
use super::plan::Form;
use super::split::{ColumnBuffer, Values};
use super::thrift::{PageBounds, PageEncoding, PageHeader, PageKind, PageSpan};

/// Pages in the sample for each encoding.
const SAMPLED: usize = 3;
/// Distinct numbers from which a dictionary gains nothing over packing.
const MOST_DISTINCT_NUMBERS: usize = 4096;
/// The size from which a dictionary is not worth it for a text column, in bytes.
const LARGEST_DICTIONARY: usize = 8 << 20;
/// An encoding that is slower to read than a dictionary must be smaller than it by this ratio.
const WORTH: (usize, usize) = (9, 10);

/// The result of writing one column.
#[derive(Clone, Default)]
pub(super) struct Chunk {
    pub(super) dictionary: Option<Range<u64>>,
    pub(super) pages: Vec<PageSpan>,
    pub(super) bounds: Vec<PageBounds>,
    pub(super) encodings: Vec<PageEncoding>,
    pub(super) nulls: usize,
    pub(super) uncompressed: usize,
    pub(super) compressed: usize,
}

/// Writes columns one after another.
pub(super) struct ChunkWriter<'a> {
    zstd: Compressor<'a>,
    file: Vec<u8>,
    rows: usize,
    page_rows: usize,
    page: Vec<u8>,
    packed: Vec<u8>,
}

/// One column to write page by page.
struct ColumnSource<'a> {
    buffer: &'a ColumnBuffer,
    form: Form,
    required: bool,
    encoding: PageEncoding,
    packing: Packing,
    /// With a dictionary of numbers: the dictionary id of each value.
    number_ids: Vec<u32>,
    numbers: Vec<i64>,
}

impl ChunkWriter<'_> {
    pub(super) fn new(file: Vec<u8>, rows: usize, page_rows: usize, level: i32) -> io::Result<Self> {
        Ok(Self {
            zstd: Compressor::new(level)?,
            file,
            rows,
            page_rows,
            page: Vec::new(),
            packed: Vec::new(),
        })
    }

    pub(super) fn into_file(self) -> Vec<u8> {
        self.file
    }

    pub(super) fn write(&mut self, buffer: &ColumnBuffer, form: Form, required: bool) -> io::Result<Chunk> {
        let mut source = ColumnSource::new(buffer, form, required);
        (source.encoding, source.packing) = self.choose(&mut source)?;
        let mut chunk = Chunk { nulls: self.rows - buffer.rows.len(), ..Chunk::default() };
        let start = self.file.len();
        if source.encoding == PageEncoding::Dictionary {
            let values = source.write_dictionary(&mut self.page);
            chunk.uncompressed += self.finish_page(values, 0, PageKind::Dictionary)?;
            chunk.dictionary = Some(start as u64..self.file.len() as u64);
        }
        let page_rows = if source.is_flat(self.rows) { self.rows } else { self.page_rows };
        for first_row in (0..self.rows).step_by(page_rows.max(1)) {
            let rows = first_row..(first_row + page_rows).min(self.rows);
            let offset = self.file.len();
            chunk.bounds.push(source.bounds(&rows));
            chunk.uncompressed += self.data_page(&source, &rows)?;
            let length = (self.file.len() - offset) as u32;
            chunk.pages.push(PageSpan { offset: offset as u64, length, first_row: first_row as u32 });
        }
        chunk.encodings.push(source.encoding);
        chunk.compressed = self.file.len() - start;
        Ok(chunk)
    }

    fn choose(&mut self, source: &mut ColumnSource<'_>) -> io::Result<(PageEncoding, Packing)> {
        let candidates = source.candidates();
        if let [only] = candidates {
            return Ok(*only);
        }
        let mut best = (usize::MAX, candidates[0]);
        for &candidate in candidates {
            (source.encoding, source.packing) = candidate;
            let cost = self.cost(source)?;
            let is_slow = candidate.0 == PageEncoding::DeltaBytes;
            let must_beat = if is_slow && best.0 < usize::MAX { best.0 / WORTH.1 * WORTH.0 } else { best.0 };
            if cost < must_beat {
                best = (cost, candidate);
            }
        }
        Ok(best.1)
    }

    /// Estimates the column's size with the source's encoding from a sample.
    fn cost(&mut self, source: &ColumnSource<'_>) -> io::Result<usize> {
        let start = self.file.len();
        let pages = self.rows.div_ceil(self.page_rows);
        let step = (pages / SAMPLED).max(1);
        let mut tried = 0;
        for page in (step / 2..pages).step_by(step).take(SAMPLED) {
            let rows = page * self.page_rows..((page + 1) * self.page_rows).min(self.rows);
            self.data_page(source, &rows)?;
            tried += 1;
        }
        let mut cost = (self.file.len() - start) * pages / tried.max(1);
        if source.encoding == PageEncoding::Dictionary {
            self.file.truncate(start);
            let values = source.write_dictionary(&mut self.page);
            self.finish_page(values, 0, PageKind::Dictionary)?;
            cost += self.file.len() - start;
        }
        self.file.truncate(start);
        Ok(cost)
    }

    fn data_page(&mut self, source: &ColumnSource<'_>, rows: &Range<usize>) -> io::Result<usize> {
        let present = source.present(rows);
        let nulls = rows.len() - present.len();
        self.page.clear();
        if !source.required {
            write_levels(&source.buffer.rows[present.clone()], rows, &mut self.page);
        }
        let levels = self.page.len();
        if !present.is_empty() {
            source.write_values(present, &mut self.page);
        }
        let encoding = source.encoding;
        self.finish_page(rows.len(), levels, PageKind::Data { encoding, nulls, levels, is_compressed: true })
    }

    /// Compresses the page after its levels and appends it with its header; returns the uncompressed size.
    fn finish_page(&mut self, values: usize, levels: usize, kind: PageKind) -> io::Result<usize> {
        let plain = &self.page[levels..];
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        if !plain.is_empty() {
            self.zstd.compress_to_buffer(plain, &mut self.packed)?;
        }
        let kind = match kind {
            PageKind::Data { encoding, nulls, levels, .. } => {
                // Compression that saves very little only makes reading slower.
                let is_compressed = self.packed.len() + 16 < plain.len();
                PageKind::Data { encoding, nulls, levels, is_compressed }
            }
            PageKind::Dictionary => kind,
        };
        let plainly = matches!(kind, PageKind::Data { is_compressed: false, .. });
        let body = if plainly { plain } else { &self.packed };
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.page[..levels]);
        crc.update(body);
        let compressed = levels + body.len();
        let header =
            PageHeader { uncompressed: self.page.len(), compressed, crc: crc.finalize(), values, kind };
        let start = self.file.len();
        header.write(&mut self.file);
        let header_length = self.file.len() - start;
        self.file.extend_from_slice(&self.page[..levels]);
        self.file.extend_from_slice(body);
        Ok(header_length + self.page.len())
    }
}

/// Writes definition levels: which rows have a value.
fn write_levels(present: &[u32], rows: &Range<usize>, out: &mut Vec<u8>) {
    let mut levels = vec![0u32; rows.len()];
    for &row in present {
        levels[row as usize - rows.start] = 1;
    }
    write_hybrid(&levels, 1, out);
}

impl<'a> ColumnSource<'a> {
    fn new(buffer: &'a ColumnBuffer, form: Form, required: bool) -> Self {
        let (encoding, packing) = (PageEncoding::Plain, Packing::Bits);
        Self { buffer, form, required, encoding, packing, number_ids: Vec::new(), numbers: Vec::new() }
    }

    /// The candidate encodings, the likely best first. DELTA_LENGTH_BYTE_ARRAY is not among them: Spark's vectorised reader
    /// (3.5) uses the lengths of other rows if a column has nulls, and returns wrong texts without an error.
    fn candidates(&mut self) -> &'static [(PageEncoding, Packing)] {
        use Packing::{Bits, Bytes};
        use PageEncoding::{Delta, DeltaBytes, Dictionary, Plain};
        match &self.buffer.values {
            _ if self.buffer.rows.is_empty() => &[(Plain, Bits)],
            Values::Hashes(_) => &[(Plain, Bits)],
            Values::Texts { distinct, .. } if distinct.len() == 1 => &[(Dictionary, Bits)],
            Values::Texts { ids, distinct } => {
                let repeats = distinct.len() * 4 < ids.len() * 3 && distinct.byte_len() < LARGEST_DICTIONARY;
                if repeats {
                    &[(Dictionary, Bits), (Dictionary, Bytes), (DeltaBytes, Bits)]
                } else {
                    &[(DeltaBytes, Bits)]
                }
            }
            Values::Numbers(_) => match self.make_number_dictionary() {
                true if self.numbers.len() == 1 => &[(Dictionary, Bits)],
                true => {
                    &[(Dictionary, Bits), (Dictionary, Bytes), (Delta, Bits), (Delta, Bytes), (Plain, Bits)]
                }
                false => &[(Delta, Bits), (Delta, Bytes), (Plain, Bits)],
            },
        }
    }

    /// Whether the column can be a single page without making reads of a range slower.
    fn is_flat(&self, rows: usize) -> bool {
        let distinct = match &self.buffer.values {
            Values::Texts { distinct, .. } => distinct.len(),
            _ => self.numbers.len(),
        };
        let present = self.buffer.rows.len();
        present == 0 || (self.encoding == PageEncoding::Dictionary && distinct == 1 && present == rows)
    }

    /// The range of the buffered values that belong to `rows`.
    fn present(&self, rows: &Range<usize>) -> Range<usize> {
        let all = &self.buffer.rows;
        if all.is_empty() {
            return 0..0;
        }
        all.partition_point(|&row| (row as usize) < rows.start)
            ..all.partition_point(|&row| (row as usize) < rows.end)
    }

    fn make_number_dictionary(&mut self) -> bool {
        let Values::Numbers(numbers) = &self.buffer.values else { return false };
        let most = MOST_DISTINCT_NUMBERS.min(numbers.len() / 2);
        let mut distinct = Interner::default();
        self.number_ids.reserve(numbers.len());
        for number in numbers {
            self.number_ids.push(distinct.intern(&number.to_le_bytes()));
            if distinct.len() > most.max(1) {
                self.number_ids = Vec::new();
                return false;
            }
        }
        let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("eight bytes were interned"));
        self.numbers = distinct.iter().map(number).collect();
        true
    }

    fn write_dictionary(&self, out: &mut Vec<u8>) -> usize {
        out.clear();
        match &self.buffer.values {
            Values::Texts { distinct, .. } => {
                distinct.iter().for_each(|text| write_plain_text(text, out));
                distinct.len()
            }
            _ => {
                self.numbers.iter().for_each(|&number| self.write_plain_number(number, out));
                self.numbers.len()
            }
        }
    }

    fn write_plain_number(&self, number: i64, out: &mut Vec<u8>) {
        match self.form {
            Form::Port | Form::Nanos => out.extend_from_slice(&(number as i32).to_le_bytes()),
            _ => out.extend_from_slice(&number.to_le_bytes()),
        }
    }

    fn write_values(&self, which: Range<usize>, out: &mut Vec<u8>) {
        use PageEncoding::{Delta, DeltaBytes, DeltaLength, Dictionary, Plain};
        match (&self.buffer.values, self.encoding) {
            (Values::Numbers(_), Dictionary) => {
                write_ids(&self.number_ids[which], self.numbers.len(), self.packing, out);
            }
            (Values::Numbers(numbers), Delta) => write_delta(&numbers[which], self.packing, out),
            (Values::Numbers(numbers), _) => {
                numbers[which].iter().for_each(|&number| self.write_plain_number(number, out));
            }
            (Values::Hashes(hashes), _) => out.extend_from_slice(hashes[which].as_flattened()),
            (Values::Texts { ids, distinct }, Dictionary) => {
                write_ids(&ids[which], distinct.len(), self.packing, out);
            }
            (Values::Texts { ids, distinct }, DeltaBytes) => write_delta_bytes(&ids[which], distinct, out),
            (Values::Texts { ids, distinct }, DeltaLength | Delta) => {
                write_delta_length(ids[which].iter().map(|&id| distinct.get(id)), out);
            }
            (Values::Texts { ids, distinct }, Plain) => {
                ids[which].iter().for_each(|&id| write_plain_text(distinct.get(id), out));
            }
        }
    }

    fn bounds(&self, rows: &Range<usize>) -> PageBounds {
        let present = self.present(rows);
        let nulls = rows.len() - present.len();
        let Values::Numbers(numbers) = &self.buffer.values else {
            return PageBounds { least: 0, most: 0, nulls, is_null: present.is_empty() };
        };
        let least = numbers[present.clone()].iter().copied().min();
        let most = numbers[present].iter().copied().max();
        PageBounds { least: least.unwrap_or(0), most: most.unwrap_or(0), nulls, is_null: least.is_none() }
    }
}

fn write_ids(ids: &[u32], distinct: usize, packing: Packing, out: &mut Vec<u8>) {
    let width = packing.width_of(distinct.saturating_sub(1) as u64);
    out.push(width as u8);
    write_hybrid(ids, width, out);
}

fn write_plain_text(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text);
}

fn write_delta_length<'t>(texts: impl Iterator<Item = &'t [u8]> + Clone, out: &mut Vec<u8>) {
    let lengths: Vec<i64> = texts.clone().map(|text| text.len() as i64).collect();
    write_delta(&lengths, Packing::Bits, out);
    texts.for_each(|text| out.extend_from_slice(text));
}

fn write_delta_bytes(ids: &[u32], distinct: &Interner, out: &mut Vec<u8>) {
    let mut before: &[u8] = &[];
    let mut shared = Vec::with_capacity(ids.len());
    for &id in ids {
        let text = distinct.get(id);
        shared.push(text.iter().zip(before).take_while(|(a, b)| a == b).count() as i64);
        before = text;
    }
    write_delta(&shared, Packing::Bits, out);
    let suffixes = ids.iter().zip(&shared).map(|(&id, &shared)| &distinct.get(id)[shared as usize..]);
    write_delta_length(suffixes, out);
}
