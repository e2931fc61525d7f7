//! Reading a segment's files, hashing its leaves, and comparing the hashes with the signed ones.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use meshtrail_event::text::with_causes;
use meshtrail_event::{Event, EventId};

use super::chain::unreadable;
use super::report::ProblemKind;
use crate::manifest::{Segment, SegmentFile};
use crate::run_blocking;
use crate::segment::{SegmentError, SegmentReader, Selection};
use crate::store::{GetError, Key, Store};
use crate::tree::{Hash, leaf_hash, plan, subtree_of};

/// Leaves of a full tile of level 0: the unit in which the tree is compared.
pub(super) const BLOCK: u64 = 256;

/// The result of reading a segment.
#[derive(Debug)]
pub(super) struct SegmentRead {
    pub(super) segment: Arc<Segment>,
    /// Problems of its files, with the file's path.
    pub(super) wrong: Vec<(String, ProblemKind)>,
    pub(super) bytes: u64,
    /// Leaves that were hashed.
    pub(super) hashed: u64,
    /// Its hashes; none if a leaf is missing.
    pub(super) leaves: Option<Leaves>,
    /// Subtrees that differ from the manifest.
    pub(super) differing: Vec<plan::Node>,
    /// The index of the requested event.
    pub(super) found: Option<u64>,
}

/// The hashes of a range of leaves, and of the whole blocks in it.
#[derive(Debug)]
pub(super) struct Leaves {
    pub(super) first: u64,
    pub(super) hashes: Vec<Hash>,
    /// One hash for each whole block, beginning with the first block that starts in the range.
    pub(super) blocks: Vec<Hash>,
}

/// Reads a segment's files and hashes their leaves, on a blocking thread.
pub(super) async fn read(
    store: Store,
    root: Key,
    segment: Arc<Segment>,
    wanted: Option<Arc<EventId>>,
) -> SegmentRead {
    let mut files = Vec::with_capacity(segment.files.len());
    for file in &segment.files {
        let key = root.join(&file.path).expect("paths in manifests were checked");
        files.push(store.get(&key).await);
    }
    run_blocking(move || hash_all(&root, segment, files, wanted.as_deref())).await
}

fn hash_all(
    root: &Key,
    segment: Arc<Segment>,
    files: Vec<Result<Bytes, GetError>>,
    wanted: Option<&EventId>,
) -> SegmentRead {
    let mut read = SegmentRead {
        wrong: Vec::new(),
        bytes: 0,
        hashed: 0,
        leaves: None,
        differing: Vec::new(),
        found: None,
        segment: segment.clone(),
    };
    let length = usize::try_from(segment.end() - segment.first).expect("events of a segment fit in memory");
    let mut slots = Slots { first: segment.first, hashes: vec![None; length] };
    for (file, bytes) in segment.files.iter().zip(files) {
        let name = format!("{root}/{}", file.path);
        match bytes {
            Ok(bytes) => {
                read.bytes += bytes.len() as u64;
                let wrong = hash_file(&name, file, bytes, wanted, &mut slots, &mut read);
                read.wrong.extend(wrong.into_iter().map(|wrong| (name.clone(), wrong)));
            }
            Err(GetError::Missing { .. }) => {
                let missing =
                    ProblemKind::SegmentMissing { events: file.first..file.last + 1, rows: file.rows };
                read.wrong.push((name, missing));
            }
            Err(error) => read.wrong.push((name, unreadable(&error))),
        }
    }
    if let Some(hashes) = slots.hashes.into_iter().collect::<Option<Vec<Hash>>>() {
        let leaves = Leaves::new(segment.first, hashes);
        read.differing = segment
            .nodes()
            .filter(|(node, hash)| leaves.node(*node) != *hash)
            .map(|(node, _)| node)
            .collect();
        read.leaves = Some(leaves);
    }
    read
}

struct Slots {
    first: u64,
    hashes: Vec<Option<Hash>>,
}

impl Slots {
    /// Stores a hash; returns false if the index is out of range or already has one.
    fn put(&mut self, index: u64, hash: Hash) -> bool {
        let slot = index.checked_sub(self.first).and_then(|at| self.hashes.get_mut(at as usize));
        slot.is_some_and(|slot| slot.replace(hash).is_none())
    }
}

fn hash_file(
    name: &str,
    file: &SegmentFile,
    bytes: Bytes,
    wanted: Option<&EventId>,
    slots: &mut Slots,
    read: &mut SegmentRead,
) -> Vec<ProblemKind> {
    let mut wrong = Vec::new();
    let events = file.first..file.last + 1;
    let found = Hash::of(&bytes);
    if found != file.sha256 {
        wrong.push(ProblemKind::SegmentChanged { events: events.clone(), expected: file.sha256, found });
    }
    let needle = wanted.map(|id| format!("\"id\":\"{id}\"").into_bytes());
    let (mut rows, mut misplaced, mut unread) = (0, 0, UnreadRows::default());
    let reader = match SegmentReader::from_bytes(name, bytes) {
        Ok(reader) => reader,
        Err(error) => {
            wrong.push(ProblemKind::SegmentUndecodable { events: vec![events], reason: with_causes(&error) });
            return wrong;
        }
    };
    let all = Selection::of(0..u64::MAX);
    for page in reader.pages(&all) {
        let page = reader.read_page(page, &all).now_or_never().expect("a file in memory never waits");
        let leaves = match page {
            Ok(leaves) => leaves,
            Err(error) => {
                unread.record_error(error);
                continue;
            }
        };
        for (index, leaf) in &leaves {
            rows += 1;
            let fits = events.contains(index) && slots.put(*index, leaf_hash(leaf));
            misplaced += u64::from(!fits);
            if needle.as_ref().is_some_and(|needle| contains(leaf, needle)) && has_id(leaf, wanted) {
                read.found = Some(*index);
            }
        }
        unread.read_up_to(leaves.first().map(|row| row.0), leaves.last().map(|row| row.0), file.first);
    }
    read.hashed += rows;
    match unread.finish(file) {
        Some(undecodable) => wrong.push(undecodable),
        None if rows != file.rows || misplaced > 0 => {
            wrong.push(ProblemKind::SegmentRows { expected: file.rows, found: rows - misplaced });
        }
        None => {}
    }
    wrong
}

/// The events of a file that could not be read, inferred from those before and after.
#[derive(Default)]
struct UnreadRows {
    ranges: Vec<Range<u64>>,
    reason: Option<String>,
    /// Whether rows are missing since the last readable one.
    missing: bool,
    next: Option<u64>,
}

impl UnreadRows {
    fn record_error(&mut self, error: SegmentError) {
        self.missing = true;
        self.reason.get_or_insert_with(|| with_causes(&error));
    }

    fn read_up_to(&mut self, first: Option<u64>, last: Option<u64>, begin: u64) {
        if let (true, Some(first)) = (self.missing, first) {
            self.ranges.push(self.next.unwrap_or(begin)..first);
            self.missing = false;
        }
        self.next = last.map(|last| last + 1).or(self.next);
    }

    fn finish(mut self, file: &SegmentFile) -> Option<ProblemKind> {
        if self.missing {
            self.ranges.push(self.next.unwrap_or(file.first)..file.last + 1);
        }
        self.reason.map(|reason| ProblemKind::SegmentUndecodable { events: self.ranges, reason })
    }
}

pub(super) fn contains(leaf: &[u8], needle: &[u8]) -> bool {
    leaf.windows(needle.len()).any(|window| window == needle)
}

/// Whether the leaf's own id is `wanted`: its detail may name other events.
pub(super) fn has_id(leaf: &[u8], wanted: Option<&EventId>) -> bool {
    Event::from_json(leaf).is_ok_and(|event| Some(&event.id) == wanted)
}

impl Leaves {
    pub(super) fn new(first: u64, hashes: Vec<Hash>) -> Self {
        let head = (first.next_multiple_of(BLOCK) - first) as usize;
        let whole = hashes.get(head..).unwrap_or_default();
        let blocks = whole.chunks_exact(BLOCK as usize).map(subtree_of).collect();
        Self { first, hashes, blocks }
    }

    /// The leaves before the first whole block, and those after the last.
    pub(super) fn edges(&self) -> (&[Hash], &[Hash]) {
        let head = ((self.first.next_multiple_of(BLOCK) - self.first) as usize).min(self.hashes.len());
        let (head, rest) = self.hashes.split_at(head);
        (head, &rest[self.blocks.len() * BLOCK as usize..])
    }

    /// The hash of a subtree in the range.
    fn node(&self, node: plan::Node) -> Hash {
        let start = node.index << node.level;
        if node.level < 8 {
            let at = (start - self.first) as usize;
            return subtree_of(&self.hashes[at..at + (1 << node.level)]);
        }
        let at = ((start - self.first.next_multiple_of(BLOCK)) / BLOCK) as usize;
        subtree_of(&self.blocks[at..at + (1 << (node.level - 8))])
    }
}
