//! zstd's seekable format: independent frames, then a table of their sizes in a skippable frame.

use std::io::{self, Write};

use zstd::{bulk::Compressor, zstd_safe::CParameter};

/// Received bytes per frame.
pub const FRAME: usize = 256 << 10;

/// The unpacked size that a frame may have, by whatever writer.
const MAX_FRAME: u32 = 8 << 20;

const LEVEL: i32 = 3;
const SKIPPABLE: u32 = 0x184D_2A5E;
const SEEKABLE: u32 = 0x8F92_EAB1;
const FOOTER: usize = 9;

/// Compresses a stream into frames, followed by their seek table.
pub struct SeekableWriter<W> {
    out: W,
    compressor: Compressor<'static>,
    pending: Vec<u8>,
    frames: Vec<(u32, u32)>,
}

impl<W: Write> SeekableWriter<W> {
    /// Starts an empty stream.
    pub fn new(out: W) -> io::Result<Self> {
        let mut compressor = Compressor::new(LEVEL)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self { out, compressor, pending: Vec::with_capacity(FRAME), frames: Vec::new() })
    }

    /// Adds bytes.
    pub fn push(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(FRAME - self.pending.len()));
            self.pending.extend_from_slice(now);
            bytes = later;
            if self.pending.len() == FRAME {
                self.frame()?;
            }
        }
        Ok(())
    }

    /// Writes the last frame and the seek table.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.pending.is_empty() {
            self.frame()?;
        }
        let count = u32::try_from(self.frames.len()).map_err(|_| io::Error::other("too many frames"))?;
        let size = u32::try_from(self.frames.len() * 8 + FOOTER).map_err(io::Error::other)?;
        let mut table = Vec::with_capacity(size as usize + 8);
        table.extend_from_slice(&SKIPPABLE.to_le_bytes());
        table.extend_from_slice(&size.to_le_bytes());
        for (packed, unpacked) in &self.frames {
            table.extend_from_slice(&packed.to_le_bytes());
            table.extend_from_slice(&unpacked.to_le_bytes());
        }
        table.extend_from_slice(&count.to_le_bytes());
        table.push(0);
        table.extend_from_slice(&SEEKABLE.to_le_bytes());
        self.out.write_all(&table)?;
        Ok(self.out)
    }

    fn frame(&mut self) -> io::Result<()> {
        let packed = self.compressor.compress(&self.pending)?;
        self.out.write_all(&packed)?;
        let size = |length: usize| u32::try_from(length).expect("a frame is far below 4 GiB");
        self.frames.push((size(packed.len()), size(self.pending.len())));
        self.pending.clear();
        Ok(())
    }
}

/// Why an object's seek table can't be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum TableError {
    #[error("the recording does not end with a seek table")]
    Missing,
    #[error("the recording's seek table is wrong: {what}")]
    Wrong { what: &'static str },
}

/// The positions of all frames, packed and unpacked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeekTable {
    /// The start of each frame and the end of the last: packed, unpacked.
    bounds: Vec<(u64, u64)>,
}

impl SeekTable {
    /// The length of the table at the end of an object, from the object's last nine bytes.
    pub fn length(tail: &[u8]) -> Result<u64, TableError> {
        let footer = tail.len().checked_sub(FOOTER).map(|at| &tail[at..]).ok_or(TableError::Missing)?;
        if u32_at(footer, 5) != SEEKABLE {
            return Err(TableError::Missing);
        }
        let entry = if footer[4] & 0x80 == 0 { 8 } else { 12 };
        Ok(u64::from(u32_at(footer, 0)) * entry + FOOTER as u64 + 8)
    }

    /// Parses the table of an object of `size` bytes. `tail` contains at least the last [`SeekTable::length`] bytes.
    pub fn parse(tail: &[u8], size: u64) -> Result<SeekTable, TableError> {
        let length = Self::length(tail)?;
        let start = usize::try_from(length).ok().and_then(|length| tail.len().checked_sub(length));
        let table = &tail[start.ok_or(TableError::Missing)?..];
        if u32_at(table, 0) != SKIPPABLE || u64::from(u32_at(table, 4)) + 8 != length {
            return Err(TableError::Missing);
        }
        let entry = if table[table.len() - 5] & 0x80 == 0 { 8 } else { 12 };
        let (mut packed, mut unpacked) = (0, 0);
        let mut bounds = vec![(0, 0)];
        for entry in table[8..table.len() - FOOTER].chunks_exact(entry) {
            if u32_at(entry, 4) > MAX_FRAME {
                return Err(TableError::Wrong { what: "a frame is too large" });
            }
            packed += u64::from(u32_at(entry, 0));
            unpacked += u64::from(u32_at(entry, 4));
            bounds.push((packed, unpacked));
        }
        if packed.checked_add(length) != Some(size) {
            return Err(TableError::Wrong { what: "its frames do not fill the object" });
        }
        Ok(SeekTable { bounds })
    }

    /// The number of unpacked bytes of all frames.
    pub fn bytes(&self) -> u64 {
        self.bounds.last().map_or(0, |bound| bound.1)
    }

    /// The number of frames.
    pub fn frames(&self) -> usize {
        self.bounds.len().saturating_sub(1)
    }

    /// The frame that contains the unpacked byte at `offset`.
    pub fn frame_at(&self, offset: u64) -> usize {
        self.bounds.partition_point(|bound| bound.1 <= offset).saturating_sub(1)
    }

    /// The range of a frame in the object.
    pub fn packed(&self, frame: usize) -> std::ops::Range<u64> {
        self.bounds[frame].0..self.bounds[frame + 1].0
    }

    /// The range of received bytes in a frame.
    pub fn unpacked(&self, frame: usize) -> std::ops::Range<u64> {
        self.bounds[frame].1..self.bounds[frame + 1].1
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes were taken"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut writer = SeekableWriter::new(Vec::new()).unwrap();
        for piece in bytes.chunks(100_000) {
            writer.push(piece).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn any_zstd_unpacks_exactly_the_received_bytes() {
        for length in [0, 1, FRAME, FRAME + 1, 3 * FRAME + 17] {
            let bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at * at % 251).unwrap()).collect();
            let object = packed(&bytes);
            assert_eq!(zstd::decode_all(object.as_slice()).unwrap(), bytes, "{length}");
            let table = SeekTable::parse(&object, object.len() as u64).unwrap();
            assert_eq!((table.bytes(), table.frames()), (length as u64, length.div_ceil(FRAME)));
            for frame in 0..table.frames() {
                let range = table.packed(frame);
                let part = &object[range.start as usize..range.end as usize];
                let unpacked = table.unpacked(frame);
                let expected = &bytes[unpacked.start as usize..unpacked.end as usize];
                assert_eq!(zstd::decode_all(part).unwrap(), expected);
                assert_eq!(table.frame_at(unpacked.start), frame);
                assert_eq!(table.frame_at(unpacked.end - 1), frame);
            }
        }
    }

    #[test]
    fn a_cut_or_changed_table_is_an_error_and_no_panic() {
        let object = packed(&vec![7; FRAME * 2 + 5]);
        for cut in 0..object.len() {
            assert!(SeekTable::parse(&object[..cut], object.len() as u64).is_err(), "cut at {cut}");
        }
        let table = usize::try_from(SeekTable::length(&object).unwrap()).unwrap();
        for at in object.len() - table..object.len() {
            let mut changed = object.clone();
            changed[at] ^= 0x11;
            drop(SeekTable::parse(&changed, object.len() as u64));
        }
    }
}
