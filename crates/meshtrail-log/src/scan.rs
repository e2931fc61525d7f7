//! Reading a file's frames after a stop or a crash.

use super::frame::{Broken, Format, Frame, is_zero};

/// The frames of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan<'a, const N: usize> {
    /// Every whole frame with its offset, in order; those at `end` or later are behind bytes that are no frame.
    pub frames: Vec<(usize, Frame<'a, N>)>,
    /// The offset where the whole frames from the start on end.
    pub end: usize,
    /// What was found at `end`.
    pub rest: Rest,
}

/// What is behind the whole frames at the start of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Nothing but zeros: the file's room.
    Room,
    /// A write that was interrupted by a crash, none of whose frames was acknowledged; or damage to the last frames of a
    /// file without a mark.
    Torn,
    /// Damage to bytes that a later frame proves synced, with the reason in words.
    Damaged(&'static str),
}

impl<const N: usize> Format<N> {
    /// Reads all frames of a file of this generation from offset `from` on, and continues behind bytes that are no frame.
    pub fn scan<'a>(&self, bytes: &'a [u8], from: usize, generation: u64) -> Scan<'a, N> {
        let mut scan = Scan { frames: Vec::new(), end: from, rest: Rest::Room };
        let written = written_end(bytes);
        let (mut at, mut hole, mut first_behind) = (from, None, None);
        while at < written {
            match self.read(&bytes[at..], generation) {
                Ok(frame) => {
                    scan.frames.push((at, frame));
                    at += self.size(frame.payload.len());
                    let Some(why) = hole else {
                        scan.end = at;
                        continue;
                    };
                    let first = first_behind.get_or_insert(frame.numbers);
                    if (self.proves_synced)(scan.end as u64, first, &frame.numbers) {
                        scan.rest = Rest::Damaged(why);
                    }
                }
                Err(Broken(why)) => {
                    if hole.is_none() {
                        (hole, scan.rest) = (Some(why), Rest::Torn);
                    }
                    at = self.next_magic(&bytes[..written], at + 8);
                }
            }
        }
        scan
    }

    /// Frames begin at multiples of 8 bytes.
    fn next_magic(&self, bytes: &[u8], mut at: usize) -> usize {
        while at + 4 <= bytes.len() && bytes[at..at + 4] != self.magic {
            at += 8;
        }
        at
    }
}

/// The end of the last byte that is not zero. Compares blocks, since a file's room has millions of zeros.
fn written_end(bytes: &[u8]) -> usize {
    let zeros: usize = bytes.rchunks(4096).take_while(|block| is_zero(block)).map(<[u8]>::len).sum();
    bytes[..bytes.len() - zeros].iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}
