//! The first page of a file: magic, version of the format, generation of the file, and a checksum at the page's end.

use super::frame::{u32_at, u64_at};

/// Bytes before the first frame.
pub const HEADER_SIZE: usize = 4096;

/// A log's header.
#[derive(Debug)]
pub struct Header {
    /// How the header of this log begins.
    pub magic: [u8; 8],
    /// The version of the format; newer ones are refused.
    pub version: u32,
}

/// Why a page is not a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum HeaderError {
    #[error("{0}")]
    Broken(&'static str),
    #[error("version {0} is newer than this program")]
    Newer(u32),
}

impl Header {
    /// The first page of a file.
    pub fn page(&self, generation: u64) -> Vec<u8> {
        let mut page = vec![0; HEADER_SIZE];
        page[..8].copy_from_slice(&self.magic);
        page[8..12].copy_from_slice(&self.version.to_le_bytes());
        page[12..20].copy_from_slice(&generation.to_le_bytes());
        let crc = crc32c::crc32c(&page);
        page[HEADER_SIZE - 4..].copy_from_slice(&crc.to_le_bytes());
        page
    }

    /// Checks a file's first page and returns its generation.
    pub fn read(&self, page: &[u8]) -> Result<u64, HeaderError> {
        let page = page.get(..HEADER_SIZE).ok_or(HeaderError::Broken("the header is cut short"))?;
        if page[..8] != self.magic {
            return Err(HeaderError::Broken("the header does not begin as a log's"));
        }
        let version = u32_at(page, 8);
        if version > self.version {
            return Err(HeaderError::Newer(version));
        }
        let generation = u64_at(page, 12);
        if page != self.page(generation) {
            return Err(HeaderError::Broken("the header's checksum does not fit"));
        }
        Ok(generation)
    }
}
