//! Frames: the records of a journal file.
//!
//! ```text
//! magic u32 │ crc32c u32 │ length u32 │ kind u32 │ generation u64 │ batch u64 │ number u64 │ offset u64 │ bytes │ pad to 8
//! ```
//!
//! All numbers are little-endian. The checksum covers everything from `length` to the end of the bytes. A frame of
//! another generation is left over from an earlier use of the disk blocks, and is ignored.

const MAGIC: u32 = u32::from_le_bytes(*b"MTJ1");

/// Bytes before the payload.
pub(super) const HEAD: usize = 48;

/// The longest payload; longer ones are split.
pub const MAX_PAYLOAD: usize = 1 << 20;

/// The kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// The start of a session: its opening as JSON.
    Open,
    /// Received bytes.
    Bytes,
    /// The end of a session: its closing as JSON.
    Close,
    /// The session is sealed: the journal does not need its bytes any more.
    Done,
}

impl FrameKind {
    fn code(self) -> u32 {
        match self {
            Self::Open => 1,
            Self::Bytes => 2,
            Self::Close => 3,
            Self::Done => 4,
        }
    }

    fn from_code(code: u32) -> Option<Self> {
        [Self::Open, Self::Bytes, Self::Close, Self::Done].into_iter().find(|kind| kind.code() == code)
    }
}

/// One frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The kind.
    pub kind: FrameKind,
    /// The number of the commit that wrote it.
    pub batch: u64,
    /// The session's number.
    pub number: u64,
    /// Offset of the bytes in the session.
    pub offset: u64,
    /// The received bytes, or JSON.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// The size in a file of a frame with this payload.
    pub(super) fn size(payload: usize) -> usize {
        (HEAD + payload).next_multiple_of(8)
    }

    /// Appends it to `out`.
    pub(super) fn write(&self, generation: u64, out: &mut Vec<u8>) {
        let start = out.len();
        let length = u32::try_from(self.payload.len()).expect("a payload is at most MAX_PAYLOAD");
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&self.kind.code().to_le_bytes());
        for number in [generation, self.batch, self.number, self.offset] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(self.payload);
        let crc = crc32c::crc32c(&out[start + 8..]);
        out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
        out.resize(start + Self::size(self.payload.len()), 0);
    }

    fn read(bytes: &[u8], generation: u64) -> Option<Frame<'_>> {
        let u32_at = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let u64_at = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        if u32_at(0)? != MAGIC || u64_at(16)? != generation {
            return None;
        }
        let length = usize::try_from(u32_at(8)?).ok().filter(|&length| length <= MAX_PAYLOAD)?;
        let payload = bytes.get(HEAD..HEAD + length)?;
        if crc32c::crc32c(&bytes[8..HEAD + length]) != u32_at(4)? {
            return None;
        }
        let kind = FrameKind::from_code(u32_at(12)?)?;
        Some(Frame { kind, batch: u64_at(24)?, number: u64_at(32)?, offset: u64_at(40)?, payload })
    }
}

/// The frames found in a journal file.
#[derive(Debug, Default)]
pub struct Scan<'a> {
    /// Each valid frame, with its position.
    pub frames: Vec<(usize, Frame<'a>)>,
    /// The position of bytes that are no valid frame although durable frames follow: of a damaged disk, or changed by
    /// somebody.
    pub damage: Option<usize>,
}

/// Reads all frames of one generation, and continues after damaged bytes.
///
/// A hole that is followed only by frames of the last batch is left by a crash between write and sync: no frame of that
/// batch was acknowledged. A hole that a later batch follows was durable.
pub fn scan(bytes: &[u8], generation: u64) -> Scan<'_> {
    let mut found = Scan::default();
    let mut hole: Option<(usize, u64)> = None;
    let mut at = 0;
    while at + HEAD <= bytes.len() {
        let Some(frame) = Frame::read(&bytes[at..], generation) else {
            hole = hole.or(Some((at, u64::MAX)));
            at = next_magic(bytes, at + 8);
            continue;
        };
        if let Some((start, first_after)) = &mut hole {
            *first_after = (*first_after).min(frame.batch);
            if frame.batch > *first_after {
                found.damage = found.damage.or(Some(*start));
            }
        }
        found.frames.push((at, frame));
        at += Frame::size(frame.payload.len());
    }
    found
}

fn next_magic(bytes: &[u8], mut at: usize) -> usize {
    while at + 4 <= bytes.len() && bytes[at..at + 4] != MAGIC.to_le_bytes() {
        at += 8;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(frames: &[(u64, u64, &[u8])]) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        let mut offset = 0;
        for &(batch, number, payload) in frames {
            starts.push(bytes.len());
            Frame { kind: FrameKind::Bytes, batch, number, offset, payload }.write(9, &mut bytes);
            offset += payload.len() as u64;
        }
        bytes.resize(bytes.len() + 4096, 0);
        (bytes, starts)
    }

    #[test]
    fn frames_come_back_as_written_and_no_others() {
        let (bytes, starts) = file(&[(1, 7, b"a"), (1, 7, b""), (2, 8, b"hello world")]);
        let found = scan(&bytes, 9);
        assert_eq!(found.frames.iter().map(|(at, _)| *at).collect::<Vec<_>>(), starts);
        assert_eq!(found.frames[2].1.payload, b"hello world");
        assert_eq!(found.damage, None);
        assert!(scan(&bytes, 10).frames.is_empty(), "another generation's frames are none");
    }

    #[test]
    fn a_flipped_byte_anywhere_costs_one_frame_and_is_named_when_it_was_durable() {
        let (bytes, starts) =
            file(&[(1, 7, b"first"), (2, 7, b"second"), (3, 7, b"third"), (4, 7, b"fourth")]);
        for at in 0..starts[3] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x40;
            let found = scan(&flipped, 9);
            let padding = found.frames.len() == 4;
            let hit = starts.iter().rposition(|&start| start <= at).unwrap();
            // After the third frame only one batch follows: that could be a crash, which the marks will tell.
            let expected = (!padding && hit < 2).then_some(starts[hit]);
            assert_eq!(found.damage, expected, "byte {at}");
            assert!(found.frames.len() >= 3, "byte {at}");
        }
    }

    #[test]
    fn any_bytes_are_scanned_without_panic() {
        let (bytes, _) = file(&[(1, 7, b"first"), (2, 7, b"second")]);
        for cut in 0..bytes.len() {
            drop(scan(&bytes[..cut], 9));
            drop(scan(&bytes[cut..], 9));
        }
    }
}
