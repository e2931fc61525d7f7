//! The encoding of frames. Everything is little-endian.
//!
//! ```text
//! LengthFirst     magic u32 │ length u32 │ crc32c u32 │ kind u32 │ numbers u64 … │ payload │ zeros up to 8 bytes
//! ChecksumFirst   magic u32 │ crc32c u32 │ length u32 │ kind u32 │ generation u64 │ numbers u64 … │ payload │ up to 8 bytes
//! ```

/// The order of a frame's head. New logs take `LengthFirst`; journals of recordings have the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The checksum covers the file's generation and the frame without the checksum. The padding is checked as well.
    LengthFirst,
    /// The checksum covers everything from the length to the end of the payload, the file's generation among it.
    ChecksumFirst,
}

/// A format of frames with `N` numbers in their heads.
#[derive(Debug)]
pub struct Format<const N: usize> {
    /// How a frame begins.
    pub magic: [u8; 4],
    /// The order of its head.
    pub order: Order,
    /// The number of kinds, which are counted from 1.
    pub kinds: u32,
    /// The largest payload in bytes, which limits what a damaged length can ask for.
    pub max_payload: usize,
    /// Whether a frame tells by its numbers that the bytes at an offset were synced before it was written. They can't be
    /// read any more. The arguments are the offset, the numbers of the first frame behind it, and those of the frame.
    pub proves_synced: fn(u64, &[u64; N], &[u64; N]) -> bool,
}

/// A frame that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a, const N: usize> {
    /// Its kind.
    pub kind: u32,
    /// The numbers in its head.
    pub numbers: [u64; N],
    /// Its payload.
    pub payload: &'a [u8],
}

/// Why bytes are not a frame, or a payload can't be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub &'static str);

impl<const N: usize> Format<N> {
    const fn numbers_at(&self) -> usize {
        match self.order {
            Order::LengthFirst => 16,
            Order::ChecksumFirst => 24,
        }
    }

    const fn length_and_checksum_at(&self) -> (usize, usize) {
        match self.order {
            Order::LengthFirst => (4, 8),
            Order::ChecksumFirst => (8, 4),
        }
    }

    /// Bytes of a frame before its payload.
    pub const fn head_size(&self) -> usize {
        self.numbers_at() + 8 * N
    }

    /// Bytes of a frame with `payload` bytes of payload, padding included.
    pub const fn size(&self, payload: usize) -> usize {
        (self.head_size() + payload).next_multiple_of(8)
    }

    /// Appends a frame to `out`, with the payload that `payload` appends.
    pub fn write(
        &self,
        out: &mut Vec<u8>,
        generation: u64,
        kind: u32,
        numbers: [u64; N],
        payload: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = out.len();
        out.extend_from_slice(&self.magic);
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&kind.to_le_bytes());
        let generation_first = (self.order == Order::ChecksumFirst).then_some(&generation);
        for number in generation_first.into_iter().chain(&numbers) {
            out.extend_from_slice(&number.to_le_bytes());
        }
        payload(out);
        let frame = &mut out[start..];
        let length = frame.len() - self.head_size();
        assert!(length <= self.max_payload, "a payload of {length} bytes is too large for a frame");
        let (length_at, checksum_at) = self.length_and_checksum_at();
        let bytes = u32::try_from(length).expect("max_payload is below 4 GiB").to_le_bytes();
        frame[length_at..length_at + 4].copy_from_slice(&bytes);
        let crc = self.checksum(generation, frame);
        frame[checksum_at..checksum_at + 4].copy_from_slice(&crc.to_le_bytes());
        out.resize(start + self.size(length), 0);
    }

    /// A frame of another file's generation never matches.
    fn checksum(&self, generation: u64, frame: &[u8]) -> u32 {
        match self.order {
            Order::LengthFirst => {
                let crc = crc32c::crc32c(&generation.to_le_bytes());
                crc32c::crc32c_append(crc32c::crc32c_append(crc, &frame[..8]), &frame[12..])
            }
            Order::ChecksumFirst => crc32c::crc32c(&frame[8..]),
        }
    }

    /// Reads the frame at the start of `bytes`.
    pub(crate) fn read<'a>(&self, bytes: &'a [u8], generation: u64) -> Result<Frame<'a, N>, Broken> {
        let head = bytes.get(..self.head_size()).ok_or(Broken("a frame is cut short"))?;
        if is_zero(head) {
            return Err(Broken("a frame is gone"));
        }
        if head[..4] != self.magic {
            return Err(Broken("no frame begins there"));
        }
        let (length_at, checksum_at) = self.length_and_checksum_at();
        let length = u32_at(head, length_at) as usize;
        let frame = (length <= self.max_payload).then(|| bytes.get(..head.len() + length)).flatten();
        let frame = frame.ok_or(Broken("a frame is longer than what follows"))?;
        if self.checksum(generation, frame) != u32_at(head, checksum_at) {
            return Err(Broken("a frame's checksum does not fit"));
        }
        let padding = &bytes[frame.len()..self.size(length).min(bytes.len())];
        match self.order {
            Order::LengthFirst if !is_zero(padding) => return Err(Broken("a frame's padding is not empty")),
            Order::ChecksumFirst if u64_at(head, 16) != generation => {
                return Err(Broken("it is another file's frame"));
            }
            _ => {}
        }
        let kind = u32_at(head, 12);
        if !(1..=self.kinds).contains(&kind) {
            return Err(Broken("a frame of unknown kind"));
        }
        let numbers = std::array::from_fn(|at| u64_at(head, self.numbers_at() + 8 * at));
        Ok(Frame { kind, numbers, payload: &frame[head.len()..] })
    }
}

pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    static ZEROS: [u8; 4096] = [0; 4096];
    bytes == &ZEROS[..bytes.len()]
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
