//! The encoding of the log: its format, and the entries in its frames. Everything is little-endian.

use meshtrail_event::{EventId, Family, SourceName, Timestamp};
use meshtrail_log::{Broken, Format, Header, Order};

use crate::tree::Hash;

/// The first page of a file.
pub const HEADER: Header = Header { magic: *b"MESHWAL\n", version: 1 };

/// The frames of a file. The number in their heads is how far the file was synced when they were written.
pub(crate) const FORMAT: Format<1> = Format {
    magic: *b"MTFR",
    order: Order::LengthFirst,
    kinds: 2,
    max_payload: 64 << 20,
    proves_synced: |at, _, [synced]| *synced > at,
};
/// A frame with a batch.
pub(crate) const BATCH: u32 = 1;
/// A frame without payload, which tells how far the file was synced.
pub(crate) const MARK: u32 = 2;

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

/// Appends what precedes the entries in a batch's payload.
pub(crate) fn begin_batch(out: &mut Vec<u8>, first: u64, now: Timestamp, count: u32) {
    out.extend_from_slice(&first.to_le_bytes());
    out.extend_from_slice(&now.as_nanos().to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
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
pub fn parse_batch(payload: &[u8]) -> Result<(Timestamp, Vec<Entry<'_>>), Broken> {
    let broken = Broken("a batch's entries do not fit its length");
    let mut input = Input { bytes: payload, at: 0 };
    let first = input.u64().ok_or(broken)?;
    let now = Timestamp::from_nanos(input.u64().ok_or(broken)?.cast_signed());
    let count = input.u32().ok_or(broken)?;
    // The shortest entry has 31 bytes, which bounds the allocation by the payload's size.
    let mut entries = Vec::with_capacity((count as usize).min(payload.len() / 31 + 1));
    let mut last: Option<SourceName> = None;
    for at in 0..u64::from(count) {
        let index = first.checked_add(at).ok_or(broken)?;
        let entry = input.entry(index, &mut last).ok_or(broken)?;
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
        Family::Process => 11,
        Family::Transfer => 12,
        Family::Coverage => 13,
        Family::Delivery => 14,
    }
}

fn family_of(code: u8) -> Option<Family> {
    Family::ALL.into_iter().find(|&family| family_code(family) == code)
}
