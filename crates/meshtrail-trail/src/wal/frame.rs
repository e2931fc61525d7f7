//! The encoding of the log: header, frames, entries. Everything is little-endian.

use meshtrail_event::{EventId, Family, SourceName, Timestamp};

use crate::tree::Hash;

/// Bytes before the first frame.
pub const HEADER_SIZE: usize = 4096;
/// Bytes of a frame before its payload.
pub(crate) const FRAME_HEAD: usize = 24;
/// The largest payload.
pub(crate) const MAX_PAYLOAD: usize = 64 << 20;

const HEADER_MAGIC: &[u8; 8] = b"MESHWAL\n";
const VERSION: u32 = 1;
const FRAME_MAGIC: u32 = u32::from_le_bytes(*b"MTFR");
const BATCH: u8 = 1;
const MARK: u8 = 2;

/// Why bytes are not a header or a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum FrameError {
    #[error("nothing was written there")]
    Empty,
    #[error("{0}")]
    Broken(&'static str),
    #[error("version {0} is newer than this program")]
    Newer(u32),
}

/// The first page of a file.
pub(crate) fn header(generation: u64) -> Vec<u8> {
    let mut page = vec![0; HEADER_SIZE];
    page[..8].copy_from_slice(HEADER_MAGIC);
    page[8..12].copy_from_slice(&VERSION.to_le_bytes());
    page[12..20].copy_from_slice(&generation.to_le_bytes());
    let crc = crc32c::crc32c(&page);
    page[HEADER_SIZE - 4..].copy_from_slice(&crc.to_le_bytes());
    page
}

/// Checks a file's first page and returns its generation.
pub fn check_header(page: &[u8]) -> Result<u64, FrameError> {
    let page = page.get(..HEADER_SIZE).ok_or(FrameError::Broken("the header is cut short"))?;
    if &page[..8] != HEADER_MAGIC {
        return Err(FrameError::Broken("the header does not begin as a log's"));
    }
    let version = u32_at(page, 8);
    if version > VERSION {
        return Err(FrameError::Newer(version));
    }
    let mut zeroed = page.to_vec();
    zeroed[HEADER_SIZE - 4..].fill(0);
    if version != VERSION || crc32c::crc32c(&zeroed) != u32_at(page, HEADER_SIZE - 4) {
        return Err(FrameError::Broken("the header's checksum does not fit"));
    }
    Ok(u64_at(page, 12))
}

/// An event without an index yet, encoded by the sender's thread.
#[derive(Debug, Clone)]
pub(crate) struct PendingEvent {
    pub(crate) id: EventId,
    pub(crate) hash: Hash,
    /// The offset of its entry in the batch's bytes.
    pub(crate) at: usize,
}

/// Events that become durable together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) events: Vec<PendingEvent>,
    pub(crate) entries: Vec<u8>,
}

impl Batch {
    /// Encodes and hashes an event, and adds it.
    pub(crate) fn push(&mut self, id: EventId, family: Family, time: Timestamp, leaf: &[u8]) {
        let at = self.entries.len();
        let source = id.source.as_str().as_bytes();
        self.entries.push(u8::try_from(source.len()).expect("source names are at most 120 bytes"));
        self.entries.extend_from_slice(source);
        self.entries.extend_from_slice(&id.epoch.to_le_bytes());
        self.entries.extend_from_slice(&id.sequence.to_le_bytes());
        self.entries.push(family_code(family));
        self.entries.extend_from_slice(&time.as_nanos().to_le_bytes());
        let leaf_length = u32::try_from(leaf.len()).expect("leaves are at most 65,535 bytes");
        self.entries.extend_from_slice(&leaf_length.to_le_bytes());
        self.entries.extend_from_slice(leaf);
        let hash = crate::tree::leaf_hash(leaf);
        self.events.push(PendingEvent { id, hash, at });
    }

    /// The end of the leaf of event `at` in the entries.
    pub(crate) fn end_of(&self, at: usize) -> usize {
        self.events.get(at + 1).map_or(self.entries.len(), |next| next.at)
    }
}

/// Begins a batch frame at the end of `out`; [`finish`] completes it after the entries were appended.
pub(crate) fn begin(out: &mut Vec<u8>, first: u64, now: Timestamp, count: u32) -> usize {
    let start = out.len();
    out.resize(start + FRAME_HEAD, 0);
    out.extend_from_slice(&first.to_le_bytes());
    out.extend_from_slice(&now.as_nanos().to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    start
}

/// Completes the batch frame that begins at `start`.
pub(crate) fn finish(out: &mut Vec<u8>, start: usize, generation: u64, synced: u64) {
    complete(out, start, BATCH, generation, synced);
}

/// A mark: everything before `synced` is on disk.
pub(crate) fn mark(generation: u64, synced: u64) -> Vec<u8> {
    let mut out = vec![0; FRAME_HEAD];
    complete(&mut out, 0, MARK, generation, synced);
    out
}

fn complete(out: &mut Vec<u8>, start: usize, kind: u8, generation: u64, synced: u64) {
    let length = u32::try_from(out.len() - start - FRAME_HEAD).expect("batches are at most 64 MiB");
    let head = &mut out[start..start + FRAME_HEAD];
    head[..4].copy_from_slice(&FRAME_MAGIC.to_le_bytes());
    head[4..8].copy_from_slice(&length.to_le_bytes());
    head[12] = kind;
    head[16..24].copy_from_slice(&synced.to_le_bytes());
    let crc = checksum(generation, &out[start..]);
    out[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
    out.resize(out.len().next_multiple_of(8), 0);
}

/// Covers the file's generation and the frame without its checksum, so that a frame of another file never matches.
fn checksum(generation: u64, frame: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&generation.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &frame[..8]);
    crc32c::crc32c_append(crc, &frame[12..])
}

/// A frame that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) synced: u64,
    /// None for a mark.
    pub(crate) payload: Option<&'a [u8]>,
    /// Its bytes, including padding.
    pub(crate) size: usize,
}

/// Reads the frame at the start of `bytes`.
pub(crate) fn read(bytes: &[u8], generation: u64) -> Result<Frame<'_>, FrameError> {
    let Some(head) = bytes.get(..FRAME_HEAD) else {
        let empty = bytes.iter().all(|&byte| byte == 0);
        return Err(if empty { FrameError::Empty } else { FrameError::Broken("a frame is cut short") });
    };
    if head.iter().all(|&byte| byte == 0) {
        return Err(FrameError::Empty);
    }
    if u32_at(head, 0) != FRAME_MAGIC {
        return Err(FrameError::Broken("no frame begins there"));
    }
    let length = u32_at(head, 4) as usize;
    let frame = (length <= MAX_PAYLOAD).then(|| bytes.get(..FRAME_HEAD + length)).flatten();
    let frame = frame.ok_or(FrameError::Broken("a frame is longer than what follows"))?;
    if checksum(generation, frame) != u32_at(head, 8) {
        return Err(FrameError::Broken("a frame's checksum does not fit"));
    }
    let size = frame.len().next_multiple_of(8);
    // Padding is written as zeros.
    if bytes[frame.len()..size.min(bytes.len())].iter().any(|&byte| byte != 0) {
        return Err(FrameError::Broken("a frame's padding is not empty"));
    }
    let payload = match head[12] {
        BATCH => Some(&frame[FRAME_HEAD..]),
        MARK if length == 0 => None,
        _ => return Err(FrameError::Broken("a frame of unknown kind")),
    };
    Ok(Frame { synced: u64_at(head, 16), payload, size })
}

/// One event of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its index in the trail.
    pub index: u64,
    /// Its id.
    pub id: EventId,
    /// Its family.
    pub family: Family,
    /// When it happened.
    pub time: Timestamp,
    /// Its leaf.
    pub leaf: &'a [u8],
}

/// Parses a frame's payload: the time it was written, and its events.
pub fn parse_batch(payload: &[u8]) -> Result<(Timestamp, Vec<Entry<'_>>), FrameError> {
    let broken = FrameError::Broken("a batch's entries do not fit its length");
    let mut input = Input { bytes: payload, at: 0 };
    let first = input.u64().ok_or(broken.clone())?;
    let now = Timestamp::from_nanos(input.u64().ok_or(broken.clone())?.cast_signed());
    let count = input.u32().ok_or(broken.clone())?;
    // The shortest entry has 31 bytes, which bounds the allocation by the payload's size.
    let mut entries = Vec::with_capacity((count as usize).min(payload.len() / 31 + 1));
    let mut last: Option<SourceName> = None;
    for at in 0..u64::from(count) {
        let index = first.checked_add(at).ok_or(broken.clone())?;
        let entry = input.entry(index, &mut last).ok_or(broken.clone())?;
        entries.push(entry);
    }
    if input.at != payload.len() {
        return Err(broken);
    }
    Ok((now, entries))
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    fn entry(&mut self, index: u64, last: &mut Option<SourceName>) -> Option<Entry<'a>> {
        let length = self.byte()?;
        let name = std::str::from_utf8(self.take(length.into())?).ok()?;
        // A batch usually has one source, whose name is shared instead of allocated for each event.
        let source = match last {
            Some(last) if last.as_str() == name => last.clone(),
            _ => last.insert(name.parse().ok()?).clone(),
        };
        let (epoch, sequence) = (self.u64()?, self.u64()?);
        let family = family_of(self.byte()?)?;
        let time = Timestamp::from_nanos(self.u64()?.cast_signed());
        let length = self.u32()? as usize;
        let leaf = self.take(length)?;
        Some(Entry { index, id: EventId { source, epoch, sequence }, family, time, leaf })
    }
}

/// A family's number in the log. Numbers are never reused.
const fn family_code(family: Family) -> u8 {
    match family {
        Family::Session => 1,
        Family::Recording => 2,
        Family::Login => 3,
        Family::Kube => 4,
        Family::Flow => 5,
        Family::Config => 6,
        Family::Log => 7,
        Family::Finding => 8,
        Family::Meshtrail => 9,
        Family::Other => 10,
    }
}

fn family_of(code: u8) -> Option<Family> {
    Family::ALL.into_iter().find(|&family| family_code(family) == code)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
