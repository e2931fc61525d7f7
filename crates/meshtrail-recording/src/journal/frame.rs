//! Frames: the records of a journal file.

use meshtrail_log::{Format, Order, Rest};

/// The frames of a journal file. The numbers in their heads are batch, session and offset. A frame of a later batch than the
/// one behind damaged bytes was written after they were synced.
pub(super) const FORMAT: Format<3> = Format {
    magic: *b"MTJ1",
    order: Order::ChecksumFirst,
    kinds: FrameKind::ALL.len() as u32,
    max_payload: MAX_PAYLOAD,
    proves_synced: |_, [first, ..], [batch, ..]| batch > first,
};

/// The longest payload; longer ones are split.
pub const MAX_PAYLOAD: usize = 1 << 20;

/// The kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// The start of a session: its opening as JSON.
    Open = 1,
    /// Received bytes.
    Bytes,
    /// The end of a session: its closing as JSON.
    Close,
    /// The session is sealed: the journal does not need its bytes any more.
    Done,
}

impl FrameKind {
    /// In the order of their codes.
    const ALL: [Self; 4] = [Self::Open, Self::Bytes, Self::Close, Self::Done];
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

impl<'a> Frame<'a> {
    /// Appends it to `out`.
    pub(super) fn write(&self, generation: u64, out: &mut Vec<u8>) {
        let numbers = [self.batch, self.number, self.offset];
        FORMAT.write(out, generation, self.kind as u32, numbers, |out| out.extend_from_slice(self.payload));
    }

    fn of(frame: meshtrail_log::Frame<'a, 3>) -> Self {
        let [batch, number, offset] = frame.numbers;
        // The format has no other kinds.
        let kind = FrameKind::ALL[frame.kind as usize - 1];
        Self { kind, batch, number, offset, payload: frame.payload }
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
pub fn scan(bytes: &[u8], generation: u64) -> Scan<'_> {
    let found = FORMAT.scan(bytes, 0, generation);
    let damage = matches!(found.rest, Rest::Damaged(_)).then_some(found.end);
    let frames = found.frames.into_iter().map(|(at, frame)| (at, Frame::of(frame))).collect();
    Scan { frames, damage }
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
