//! The Thrift (compact protocol) structures of a Parquet file outside its footer: page headers and page indexes. The
//! `parquet` crate handles the footer.

use super::bits::{read_varint, unzigzag, write_varint, zigzag};

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// An additional field at the end of a page header: the checksum of everything before it. Parquet readers skip unknown
/// fields.
const HEADER_GUARD: u16 = 1000;

const DICTIONARY_PAGE: i64 = 2;
const DATA_PAGE_V2: i64 = 3;

/// The encoding of a page's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageEncoding {
    Plain,
    Delta,
    DeltaLength,
    DeltaBytes,
    Dictionary,
}

impl PageEncoding {
    const fn number(self) -> i64 {
        match self {
            Self::Plain => 0,
            Self::Delta => 5,
            Self::DeltaLength => 6,
            Self::DeltaBytes => 7,
            Self::Dictionary => 8,
        }
    }

    const fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            0 => Self::Plain,
            5 => Self::Delta,
            6 => Self::DeltaLength,
            7 => Self::DeltaBytes,
            8 => Self::Dictionary,
            _ => return None,
        })
    }
}

/// A page's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageHeader {
    pub(super) uncompressed: usize,
    pub(super) compressed: usize,
    pub(super) crc: u32,
    pub(super) values: usize,
    pub(super) kind: PageKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageKind {
    /// The distinct values, in plain encoding.
    Dictionary,
    Data {
        encoding: PageEncoding,
        nulls: usize,
        levels: usize,
        is_compressed: bool,
    },
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    last: u8,
}

impl Writer<'_> {
    fn field(&mut self, number: u8, of: u8) {
        self.out.push((number - self.last) << 4 | of);
        self.last = number;
    }

    fn i32(&mut self, number: u8, value: i64) {
        self.field(number, I32);
        write_varint(zigzag(value), self.out);
    }

    fn bool(&mut self, number: u8, value: bool) {
        self.field(number, if value { TRUE } else { FALSE });
    }

    fn list(&mut self, number: u8, of: u8, length: usize) {
        self.field(number, LIST);
        if length < 15 {
            self.out.push((length as u8) << 4 | of);
        } else {
            self.out.push(0xf0 | of);
            write_varint(length as u64, self.out);
        }
    }

    fn nested(&mut self, number: u8, write: impl FnOnce(&mut Writer<'_>)) {
        self.field(number, STRUCT);
        write_struct(self.out, write);
    }
}

fn write_struct(out: &mut Vec<u8>, write: impl FnOnce(&mut Writer<'_>)) {
    let mut writer = Writer { out, last: 0 };
    write(&mut writer);
    writer.out.push(0);
}

impl PageHeader {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        write_struct(out, |page| {
            let is_dictionary = self.kind == PageKind::Dictionary;
            page.i32(1, if is_dictionary { DICTIONARY_PAGE } else { DATA_PAGE_V2 });
            page.i32(2, self.uncompressed as i64);
            page.i32(3, self.compressed as i64);
            page.i32(4, i64::from(self.crc as i32));
            match self.kind {
                PageKind::Dictionary => page.nested(7, |header| {
                    header.i32(1, self.values as i64);
                    header.i32(2, PageEncoding::Plain.number());
                }),
                PageKind::Data { encoding, nulls, levels, is_compressed } => page.nested(8, |header| {
                    header.i32(1, self.values as i64);
                    header.i32(2, nulls as i64);
                    header.i32(3, self.values as i64);
                    header.i32(4, encoding.number());
                    header.i32(5, levels as i64);
                    header.i32(6, 0);
                    header.bool(7, is_compressed);
                }),
            }
            let crc = crc32fast::hash(&page.out[start..]);
            page.out.push(I32);
            write_varint(zigzag(i64::from(HEADER_GUARD)), page.out);
            write_varint(zigzag(i64::from(crc as i32)), page.out);
        });
    }

    /// Reads the header at the start of `bytes`; returns its length as well.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut reader = Reader { bytes, at: 0, guard_at: 0 };
        let page = reader.numbers(2)?;
        let guard = page.iter().find(|(found, _)| *found == [HEADER_GUARD, 0])?.1;
        if guard != i64::from(crc32fast::hash(bytes.get(..reader.guard_at)?) as i32) {
            return None;
        }
        let number = |path| page.iter().find(|(found, _)| *found == path).map(|&(_, value)| value);
        let size = |path| number(path).and_then(|value| usize::try_from(value).ok());
        let (values, kind) = match number([1, 0])? {
            DICTIONARY_PAGE => (size([7, 1])?, PageKind::Dictionary),
            DATA_PAGE_V2 => {
                let encoding = PageEncoding::from_number(number([8, 4])?)?;
                let is_compressed = number([8, 7]) != Some(0);
                let data =
                    PageKind::Data { encoding, nulls: size([8, 2])?, levels: size([8, 5])?, is_compressed };
                (size([8, 1])?, data)
            }
            _ => return None,
        };
        let crc = i32::try_from(number([4, 0])?).ok()? as u32;
        let header = Self { uncompressed: size([2, 0])?, compressed: size([3, 0])?, crc, values, kind };
        Some((header, reader.at))
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The offset of a page header's checksum field.
    guard_at: usize,
}

/// A number in a structure of two levels: its field, and the field within that, or 0.
type Numbered = ([u16; 2], i64);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// Reads the head of a list that is `skip` fields further; returns its length.
    fn list(&mut self, skip: u8, of: u8, most: usize) -> Option<usize> {
        if self.byte()? != skip << 4 | LIST {
            return None;
        }
        let head = self.byte()?;
        let length = match head >> 4 {
            15 => usize::try_from(read_varint(self.bytes, &mut self.at)?).ok()?,
            short => usize::from(short),
        };
        (head & 15 == of && length <= most).then_some(length)
    }

    /// Reads all numbers and booleans of a structure that contains only these and structures of these.
    fn numbers(&mut self, depth: usize) -> Option<Vec<Numbered>> {
        let mut found = Vec::with_capacity(12);
        let mut last = 0u16;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(found);
            }
            let field = match head >> 4 {
                0 => u16::try_from(unzigzag(read_varint(self.bytes, &mut self.at)?)).ok()?,
                step => last.checked_add(u16::from(step))?,
            };
            if field == HEADER_GUARD && depth > 1 {
                // The field's head has one byte and its number two.
                self.guard_at = self.at.checked_sub(3)?;
            }
            last = field;
            match head & 15 {
                TRUE => found.push(([field, 0], 1)),
                FALSE => found.push(([field, 0], 0)),
                I32 | I64 => found.push(([field, 0], unzigzag(read_varint(self.bytes, &mut self.at)?))),
                STRUCT if depth > 1 => {
                    let inner = self.numbers(depth - 1)?;
                    found.extend(inner.into_iter().map(|([inner, _], value)| ([field, inner], value)));
                }
                _ => return None,
            }
        }
    }
}

/// The position of one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageSpan {
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) first_row: u32,
}

pub(super) fn write_offset_index(pages: &[PageSpan], out: &mut Vec<u8>) {
    write_struct(out, |index| {
        index.list(1, STRUCT, pages.len());
        for page in pages {
            write_struct(index.out, |span| {
                span.field(1, I64);
                write_varint(zigzag(page.offset as i64), span.out);
                span.i32(2, i64::from(page.length));
                span.field(3, I64);
                write_varint(zigzag(i64::from(page.first_row)), span.out);
            });
        }
    });
}

/// The least and greatest value of a page, and its number of nulls.
#[derive(Clone)]
pub(super) struct PageBounds {
    pub(super) least: i64,
    pub(super) most: i64,
    pub(super) nulls: usize,
    /// Whether it has no value.
    pub(super) is_null: bool,
}

pub(super) fn write_column_index(pages: &[PageBounds], ascending: bool, out: &mut Vec<u8>) {
    write_struct(out, |index| {
        index.list(1, FALSE, pages.len());
        index.out.extend(pages.iter().map(|page| if page.is_null { TRUE } else { FALSE }));
        for (field, is_least) in [(2, true), (3, false)] {
            index.list(field, BINARY, pages.len());
            for page in pages {
                let bound = if is_least { page.least } else { page.most };
                let bytes = if page.is_null { Vec::new() } else { bound.to_le_bytes().to_vec() };
                write_varint(bytes.len() as u64, index.out);
                index.out.extend_from_slice(&bytes);
            }
        }
        index.i32(4, i64::from(ascending));
        index.list(5, I64, pages.len());
        for page in pages {
            write_varint(zigzag(page.nulls as i64), index.out);
        }
    });
}

/// Reads an offset index of at most `most` pages.
pub(super) fn read_offset_index(bytes: &[u8], most: usize) -> Option<Vec<PageSpan>> {
    let mut reader = Reader { bytes, at: 0, guard_at: 0 };
    let mut pages = Vec::new();
    for _ in 0..reader.list(1, STRUCT, most)? {
        let span = reader.numbers(1)?;
        let number = |field| span.iter().find(|(path, _)| *path == [field, 0]).map(|&(_, value)| value);
        pages.push(PageSpan {
            offset: u64::try_from(number(1)?).ok()?,
            length: u32::try_from(number(2)?).ok()?,
            first_row: u32::try_from(number(3)?).ok()?,
        });
    }
    Some(pages)
}

/// Reads the least and greatest number of each page; none for a page without numbers.
pub(super) fn read_column_index(bytes: &[u8], most: usize) -> Option<Vec<Option<(i64, i64)>>> {
    let mut reader = Reader { bytes, at: 0, guard_at: 0 };
    let pages = reader.list(1, FALSE, most)?;
    for _ in 0..pages {
        reader.byte()?;
    }
    let mut bounds = [const { Vec::new() }; 2];
    for bound in &mut bounds {
        for _ in 0..reader.list(1, BINARY, most)? {
            let length =
                usize::try_from(read_varint(bytes, &mut reader.at)?).ok().filter(|&length| length <= 8)?;
            let value = bytes.get(reader.at..reader.at + length)?;
            reader.at += length;
            bound.push(value.try_into().ok().map(i64::from_le_bytes));
        }
    }
    let [least, greatest] = bounds;
    let same = least.len() == pages && greatest.len() == pages;
    same.then(|| least.into_iter().zip(greatest).map(|(least, greatest)| least.zip(greatest)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn page_headers_come_back() {
        let data =
            PageKind::Data { encoding: PageEncoding::Delta, nulls: 3, levels: 17, is_compressed: false };
        for kind in [PageKind::Dictionary, data] {
            let header =
                PageHeader { uncompressed: 70_000, compressed: 1234, crc: 0xdead_beef, values: 2048, kind };
            let mut bytes = Vec::new();
            header.write(&mut bytes);
            let length = bytes.len();
            bytes.extend_from_slice(b"page");
            assert_eq!(PageHeader::read(&bytes), Some((header, length)));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _read = PageHeader::read(&bytes);
            let _read = read_offset_index(&bytes, 1000);
            let _read = read_column_index(&bytes, 1000);
        }
    }
}
