//! Parquet's integer encodings: variable length, run-length with bit packing, and packed differences.
//!
//! Readers accept any bytes: truncated input and excessive counts yield none, never a panic, and never more memory than
//! the expected values need.

/// Zero bytes that must follow packed numbers, so that every read may be eight bytes wide.
pub(super) const PADDING: usize = 8;

const BLOCK: usize = 128;
const MINIBLOCK: usize = 32;

pub(super) fn write_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn read_varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

pub(super) const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

pub(super) const fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// The bit width of packed numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// The least number of bits.
    Bits,
    /// Whole bytes, so that repeated numbers are repeated bytes, which compress well.
    Bytes,
}

impl Packing {
    /// The width for numbers up to `most`.
    pub(super) const fn width_of(self, most: u64) -> u32 {
        let width = 64 - most.leading_zeros();
        match self {
            Self::Bits => width,
            Self::Bytes => width.next_multiple_of(8),
        }
    }
}

/// Appends numbers of `width` bits each, lowest bits first.
struct Packer<'a> {
    out: &'a mut Vec<u8>,
    pending: u128,
    held: u32,
}

impl<'a> Packer<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, pending: 0, held: 0 }
    }

    #[inline]
    fn push(&mut self, number: u64, width: u32) {
        self.pending |= u128::from(number) << self.held;
        self.held += width;
        if self.held >= 64 {
            self.out.extend_from_slice(&(self.pending as u64).to_le_bytes());
            self.pending >>= 64;
            self.held -= 64;
        }
    }

    fn finish(self) {
        let bytes = self.held.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.pending.to_le_bytes()[..bytes]);
    }
}

/// The number of `width` ≤ 57 bits that begins at bit `bit`; `bytes` has [`PADDING`].
#[inline]
fn unpack(bytes: &[u8], bit: usize, width: u32) -> Option<u64> {
    let start = bit / 8;
    let word = u64::from_le_bytes(bytes.get(start..start + 8)?.try_into().ok()?);
    Some((word >> (bit % 8)) & ((1u64 << width) - 1))
}

#[inline]
fn unpack_wide(bytes: &[u8], bit: usize, width: u32) -> Option<u64> {
    if width <= 56 {
        return unpack(bytes, bit, width);
    }
    let low = unpack(bytes, bit, 32)?;
    Some(low | unpack(bytes, bit + 32, width - 32)? << 32)
}

/// Parquet's RLE / bit-packing hybrid of numbers below `2^width`.
pub(super) fn write_hybrid(numbers: &[u32], width: u32, out: &mut Vec<u8>) {
    // A run pays only if packing its numbers costs more than its header and the next one.
    let worth = if width <= 2 { 32 } else { 8 };
    let (mut literal, mut at) = (0, 0);
    while at < numbers.len() {
        let number = numbers[at];
        let run = numbers[at..].iter().take_while(|&&other| other == number).count();
        let fill = (8 - (at - literal) % 8) % 8;
        if run >= worth + fill {
            write_literals(&numbers[literal..at + fill], width, out);
            write_varint(((run - fill) as u64) << 1, out);
            out.extend_from_slice(&number.to_le_bytes()[..width.div_ceil(8) as usize]);
            literal = at + run;
        }
        at += run;
    }
    write_literals(&numbers[literal..], width, out);
}

fn write_literals(numbers: &[u32], width: u32, out: &mut Vec<u8>) {
    if numbers.is_empty() {
        return;
    }
    let groups = numbers.len().div_ceil(8);
    write_varint((groups as u64) << 1 | 1, out);
    let mut packer = Packer::new(out);
    for &number in numbers {
        packer.push(u64::from(number), width);
    }
    for _ in numbers.len()..groups * 8 {
        packer.push(0, width);
    }
    packer.finish();
}

/// Reads `count` numbers of a hybrid; `bytes` has [`PADDING`] behind `length`.
pub(super) fn read_hybrid(bytes: &[u8], length: usize, width: u32, count: usize) -> Option<Vec<u32>> {
    if width > 32 {
        return None;
    }
    let mut numbers = Vec::with_capacity(count);
    let mut at = 0;
    while numbers.len() < count && at < length {
        let header = read_varint(bytes, &mut at)?;
        let left = count - numbers.len();
        if header & 1 == 0 {
            let bytes_wide = width.div_ceil(8) as usize;
            let mut number = [0; 4];
            number[..bytes_wide].copy_from_slice(bytes.get(at..at + bytes_wide)?);
            at += bytes_wide;
            let run = usize::try_from(header >> 1).ok()?.min(left);
            numbers.resize(numbers.len() + run, u32::from_le_bytes(number));
        } else {
            let groups = usize::try_from(header >> 1).ok()?;
            let packed = groups.checked_mul(width as usize)?;
            let take = groups.checked_mul(8)?.min(left);
            let stretch = bytes.get(at..at.checked_add(packed)?.checked_add(PADDING)?)?;
            for number in 0..take {
                numbers.push(unpack(stretch, number * width as usize, width)? as u32);
            }
            at += packed;
        }
    }
    (numbers.len() == count).then_some(numbers)
}

/// Parquet's DELTA_BINARY_PACKED.
pub(super) fn write_delta(numbers: &[i64], packing: Packing, out: &mut Vec<u8>) {
    write_varint(BLOCK as u64, out);
    write_varint((BLOCK / MINIBLOCK) as u64, out);
    write_varint(numbers.len() as u64, out);
    write_varint(zigzag(numbers.first().copied().unwrap_or(0)), out);
    let mut deltas = [0i64; BLOCK];
    let mut before = numbers.first().copied().unwrap_or(0);
    for block in numbers.get(1..).unwrap_or_default().chunks(BLOCK) {
        for (delta, &number) in deltas.iter_mut().zip(block) {
            *delta = number.wrapping_sub(before);
            before = number;
        }
        write_block(&deltas[..block.len()], packing, out);
    }
}

fn write_block(deltas: &[i64], packing: Packing, out: &mut Vec<u8>) {
    let least = deltas.iter().copied().min().unwrap_or(0);
    write_varint(zigzag(least), out);
    let widths_at = out.len();
    out.extend_from_slice(&[0; BLOCK / MINIBLOCK]);
    for (number, mini) in deltas.chunks(MINIBLOCK).enumerate() {
        let above = |delta: &i64| delta.wrapping_sub(least) as u64;
        let width = packing.width_of(mini.iter().map(above).fold(0, |all, one| all | one));
        out[widths_at + number] = width as u8;
        if width == 0 {
            continue;
        }
        let mut packer = Packer::new(out);
        for delta in mini {
            packer.push(above(delta), width);
        }
        for _ in mini.len()..MINIBLOCK {
            packer.push(0, width);
        }
        packer.finish();
    }
}

/// Reads at most `most` packed differences at `at`, and advances `at`; `bytes` has [`PADDING`].
pub(super) fn read_delta(bytes: &[u8], at: &mut usize, most: usize) -> Option<Vec<i64>> {
    let block = usize::try_from(read_varint(bytes, at)?).ok()?;
    let minis = usize::try_from(read_varint(bytes, at)?).ok()?;
    if block != BLOCK || minis != BLOCK / MINIBLOCK {
        return None;
    }
    let count = usize::try_from(read_varint(bytes, at)?).ok().filter(|&count| count <= most)?;
    let mut number = unzigzag(read_varint(bytes, at)?);
    let mut numbers = Vec::with_capacity(count);
    if count > 0 {
        numbers.push(number);
    }
    while numbers.len() < count {
        let least = unzigzag(read_varint(bytes, at)?);
        let widths: [u8; BLOCK / MINIBLOCK] = bytes.get(*at..*at + BLOCK / MINIBLOCK)?.try_into().ok()?;
        *at += widths.len();
        for width in widths.map(u32::from) {
            if width > 64 {
                return None;
            }
            let take = (count - numbers.len()).min(MINIBLOCK);
            if take == 0 {
                break;
            }
            let packed = MINIBLOCK * width as usize / 8;
            let stretch = bytes.get(*at..*at + packed + PADDING)?;
            for place in 0..take {
                let above = unpack_wide(stretch, place * width as usize, width)?;
                number = number.wrapping_add(least).wrapping_add(above as i64);
                numbers.push(number);
            }
            *at += packed;
        }
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn padded(mut bytes: Vec<u8>) -> (Vec<u8>, usize) {
        let length = bytes.len();
        bytes.resize(length + PADDING, 0);
        (bytes, length)
    }

    proptest! {
        #[test]
        fn hybrids_come_back(runs in prop::collection::vec((0u32..300, 1usize..40), 0..60)) {
            let numbers: Vec<u32> = runs.iter().flat_map(|&(n, times)| std::iter::repeat_n(n, times)).collect();
            let mut bytes = Vec::new();
            write_hybrid(&numbers, 9, &mut bytes);
            let (bytes, length) = padded(bytes);
            prop_assert_eq!(read_hybrid(&bytes, length, 9, numbers.len()), Some(numbers));
        }

        #[test]
        fn differences_come_back(numbers in prop::collection::vec(prop_oneof![any::<i64>(), 0i64..1000], 0..400)) {
            for packing in [Packing::Bits, Packing::Bytes] {
                let mut bytes = vec![7];
                write_delta(&numbers, packing, &mut bytes);
                let (bytes, length) = padded(bytes);
                let mut at = 1;
                prop_assert_eq!(read_delta(&bytes, &mut at, numbers.len()), Some(numbers.clone()));
                prop_assert_eq!(at, length);
            }
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), width in 0u32..40) {
            let (bytes, length) = padded(bytes);
            let _read = read_hybrid(&bytes, length, width, 1000);
            let _read = read_delta(&bytes, &mut 0, 1000);
        }
    }
}
