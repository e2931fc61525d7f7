//! Verification: recomputes everything from the stored files, and compares it with what was signed.
//!
//! - Leaves are rebuilt from the segment files and the log, hashed, and added to the tree; manifests, tiles and checkpoints
//!   must match it.
//! - A problem names the object or file, and the events it concerns. Unreadable objects are distinguished from wrong ones.
//! - It writes nothing and needs no lock: a server may run meanwhile. It reads the checkpoint first and the log last, so
//!   that events added meanwhile are no contradiction.
//! - The newest issued head is checked like a given checkpoint: on the server's machine the log must have its events.
//! - An old copy of the store is valid in itself. Only a later checkpoint, kept elsewhere, reveals it: pass it in
//!   [`VerifyRequest::against`].
//!
//! The meaning of events, and recordings, are checked by other crates.

mod blocks;
mod chain;
mod heads;
mod leaves;
mod log;
mod objects;
mod report;
#[cfg(test)]
mod tests;
mod tiles;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt, stream};
use meshtrail_event::EventId;
use meshtrail_event::text::with_causes;

pub use report::{LogCheck, Note, Problem, ProblemKind, Report, Verdict, VerifyCounts};

use crate::manifest::{Segment, TreeHead, root_key};
use crate::note::Verifier;
use crate::store::{Key, Store};
use crate::tree::{Frontier, TILE_WIDTH, TileId};
use blocks::Blocks;
use chain::{Chain, Piece};
use heads::{CompareWith, Heads, Roots};
use leaves::{BLOCK, Leaves, SegmentRead};
use log::Log;

/// Segments that are read at the same time.
const WORKERS: usize = 2;

/// What to verify.
#[derive(Debug, Clone)]
pub struct VerifyRequest {
    /// The trail's name.
    pub trail: String,
    /// The part of it to verify.
    pub scope: Scope,
    /// The verifier key; the one in the store if none is given.
    pub vkey: Option<String>,
    /// Signed checkpoints that were kept elsewhere; the store must have the events that they signed.
    pub against: Vec<String>,
}

/// How much of a trail is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The whole trail.
    All,
    /// One event, and its inclusion in the signed tree.
    Event(EventId),
    /// The events with these indices.
    Indices(Range<u64>),
}

/// The progress of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Events verified so far.
    pub done: u64,
    /// Events to verify.
    pub of: u64,
}

/// Verifies a trail. `local` is the server's folder with the log, if it is on this machine.
pub async fn verify(
    store: &Store,
    local: Option<&Path>,
    request: &VerifyRequest,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Report {
    let mut report = Report::default();
    let root = match root_key(&request.trail) {
        Ok(root) => root,
        Err(error) => {
            report.add_problem(&request.trail, ProblemKind::Unreadable { reason: with_causes(&error) });
            return report;
        }
    };
    let key = heads::key(store, &root, request.vkey.as_deref(), &mut report).await;
    let mut heads = Heads::read(store, &root, key.as_ref(), local, &request.against, &mut report).await;
    let place = VerifyPlace { store, root: &root, verifier: key.as_ref() };
    let (chain, log) = place.snapshot(local, request, &mut report).await;
    if key.is_none() && chain.sealed() > 0 {
        report.add_problem(format!("{root}/vkey"), ProblemKind::KeyMissing);
    }
    if request.scope != Scope::All {
        heads.drop_sealed(chain.sealed());
    }
    let mut run = Run { store, root: &root, request, progress, wanted: heads.sizes(), roots: Roots::new() };
    let frontier = run.verify_sealed(&chain, &mut report).await;
    let there = run.add_log(frontier, &log, &chain, &mut report);
    heads.compare(
        &CompareWith {
            root: &root,
            origin: chain.origin.as_deref(),
            roots: &run.roots,
            retired: chain.retired(),
            sealed: chain.sealed(),
            there,
            log: log.check,
        },
        &mut report,
    );
    run.check_scope(&chain, there, &mut report);
    drop_retired_problems(store, &root, &mut report).await;
    report
}

struct VerifyPlace<'a> {
    store: &'a Store,
    root: &'a Key,
    verifier: Option<&'a Verifier>,
}

impl VerifyPlace<'_> {
    /// Reads the manifests and the log behind them. The log is read first: a seal meanwhile moves events from the log to
    /// the manifests, and none is missed.
    async fn snapshot(
        &self,
        local: Option<&Path>,
        request: &VerifyRequest,
        report: &mut Report,
    ) -> (Chain, Log) {
        let mut log = match local {
            Some(local) => log::read(local, request, report).await,
            None => Log::default(),
        };
        let chain = self.chain(request, report).await;
        if let Some(events) = log.skip_sealed(chain.sealed()) {
            report.add_problem(log.name.clone(), ProblemKind::LogGap { events });
        }
        (chain, log)
    }

    async fn chain(&self, request: &VerifyRequest, report: &mut Report) -> Chain {
        match request.scope {
            Scope::All => chain::whole(self.store, self.root, &request.trail, self.verifier, report).await,
            Scope::Event(_) | Scope::Indices(_) => {
                chain::newest(self.store, self.root, self.verifier, report).await
            }
        }
    }
}

struct Run<'a> {
    store: &'a Store,
    root: &'a Key,
    request: &'a VerifyRequest,
    progress: &'a (dyn Fn(Progress) + Send + Sync),
    /// Sizes of checkpoints.
    wanted: BTreeSet<u64>,
    roots: Roots,
}

impl Run<'_> {
    /// Verifies the sealed events; returns the tree over them, unless a part of it is lost.
    async fn verify_sealed(&mut self, chain: &Chain, report: &mut Report) -> Option<Frontier> {
        let whole = self.request.scope == Scope::All;
        let listed = match whole {
            true => objects::check(self.store, self.root, chain, report).await,
            false => tiles::StoredTiles::default(),
        };
        let mut keep = listed.edges();
        keep.extend(TileId::partial(chain.sealed()).filter(|tile| tile.level == 0).map(|tile| tile.index));
        let mut blocks = Blocks::new(keep);
        let mut frontier = Some(Frontier::new());
        self.roots.insert(0, Some(Frontier::new().root()));
        let to_read: Vec<bool> = chain.pieces.iter().map(|piece| self.is_read(piece)).collect();
        let of = chain
            .pieces
            .iter()
            .zip(&to_read)
            .filter(|(_, read)| **read)
            .map(|(piece, _)| length(piece))
            .sum();
        let wanted_id = match &self.request.scope {
            Scope::Event(id) => Some(Arc::new(id.clone())),
            _ => None,
        };
        let (store, root) = (self.store, self.root);
        let reads = chain.pieces.iter().zip(&to_read).map(|(piece, &read)| {
            let (store, root, wanted) = (store.clone(), root.clone(), wanted_id.clone());
            async move {
                match piece {
                    Piece::Sealed(segment) if read => {
                        Some(leaves::read(store, root, segment.clone(), wanted).await)
                    }
                    _ => None,
                }
            }
        });
        let mut reads = stream::iter(reads).buffered(WORKERS);
        for piece in &chain.pieces {
            let read = reads.next().await.expect("one for each piece");
            frontier = self.piece(piece, read, frontier, &mut blocks, report).await;
            (self.progress)(Progress { done: report.checked.events, of });
        }
        drop(reads);
        if whole {
            tiles::check(self.store, self.root, &listed, blocks, chain.sealed(), report).await;
            objects::audit(self.store, self.root, report).await;
        }
        frontier
    }

    /// Whether the leaves of a piece have to be read.
    fn is_read(&self, piece: &Piece) -> bool {
        let Piece::Sealed(segment) = piece else { return false };
        let asked = match &self.request.scope {
            Scope::All => true,
            Scope::Event(id) => segment.files.iter().any(|file| file.may_hold(id)),
            Scope::Indices(range) => segment.first < range.end && range.start < segment.end(),
        };
        asked || self.wanted.range(segment.first + 1..segment.end()).next().is_some()
    }

    async fn piece(
        &mut self,
        piece: &Piece,
        read: Option<SegmentRead>,
        frontier: Option<Frontier>,
        blocks: &mut Blocks,
        report: &mut Report,
    ) -> Option<Frontier> {
        let after = match piece {
            Piece::Retired(retired) => {
                report.checked.retired = retired.size;
                for (node, &hash) in crate::tree::plan::root(retired.size).0.iter().zip(&retired.nodes) {
                    blocks.add_node(*node, hash);
                }
                retired.frontier()
            }
            Piece::Sealed(segment) => self.segment(segment, read, frontier, blocks, report).await,
            Piece::Lost(range) => {
                blocks.add_lost(range.start, range.end);
                None
            }
        };
        blocks.end_seal();
        let range = piece.range();
        if self.wanted.contains(&range.end) {
            self.roots.insert(range.end, after.as_ref().map(Frontier::root));
        }
        after
    }

    async fn segment(
        &mut self,
        segment: &Segment,
        read: Option<SegmentRead>,
        frontier: Option<Frontier>,
        blocks: &mut Blocks,
        report: &mut Report,
    ) -> Option<Frontier> {
        let leaves = match read {
            Some(read) => self.judge(read, report).await,
            None => None,
        };
        match &leaves {
            Some(leaves) => blocks.add_leaves(leaves),
            None => segment.nodes().for_each(|(node, hash)| blocks.add_node(node, hash)),
        }
        let mut frontier = frontier?;
        for &size in self.wanted.range(segment.first + 1..segment.end()) {
            let root = leaves.as_ref().map(|leaves| root_inside(&frontier, leaves, size));
            self.roots.insert(size, root);
        }
        segment.nodes().all(|(node, hash)| frontier.push_subtree(node.level, hash)).then_some(frontier)
    }

    /// Reports the problems of a segment; returns its leaves if they match the signed hashes.
    async fn judge(&self, read: SegmentRead, report: &mut Report) -> Option<Leaves> {
        report.checked.segments += 1;
        report.checked.events += read.hashed;
        report.checked.bytes += read.bytes;
        report.found = report.found.or(read.found);
        let object = match read.wrong.first() {
            Some((file, _)) => file.clone(),
            None => format!("{}/{}", self.root, read.segment.files.first()?.path),
        };
        for (file, wrong) in read.wrong {
            report.add_problem(file, wrong);
        }
        let leaves = read.leaves?;
        if read.differing.is_empty() {
            return Some(leaves);
        }
        let mut events = Vec::new();
        for node in &read.differing {
            self.narrow(*node, &leaves, &mut events).await;
        }
        report.add_problem(object, ProblemKind::EventsChanged { events: merge_ranges(events) });
        None
    }

    /// Narrows a differing subtree to the changed events, by the stored tiles, which have the hashes of the right leaves.
    async fn narrow(&self, node: crate::tree::plan::Node, leaves: &Leaves, events: &mut Vec<Range<u64>>) {
        let (start, end) = (node.index << node.level, (node.index + 1) << node.level);
        let before = events.len();
        if node.level > 8 {
            let mut tile = None;
            for block in start / BLOCK..end / BLOCK {
                let index = block / TILE_WIDTH as u64;
                if tile.as_ref().is_none_or(|(known, _)| *known != index) {
                    let key = tiles::key_of(self.root, TileId::full(1, index));
                    tile = Some((index, self.store.get(&key).await.unwrap_or_default()));
                }
                let stored =
                    tile.as_ref().expect("just read").1.chunks_exact(32).nth((block % BLOCK) as usize);
                let at = (block - leaves.first.div_ceil(BLOCK)) as usize;
                if stored.is_some_and(|stored| stored != leaves.blocks[at].as_bytes()) {
                    events.push(block * BLOCK..(block + 1) * BLOCK);
                }
            }
        }
        if events.len() == before {
            events.push(start..end);
        }
    }

    /// Adds the log's events; returns the number of events.
    fn add_log(&mut self, frontier: Option<Frontier>, log: &Log, chain: &Chain, report: &mut Report) -> u64 {
        let sealed = chain.sealed();
        report.checked.logged = log.hashes.len() as u64;
        report.checked.events += report.checked.logged;
        report.found = report.found.or(log.found);
        let Some(mut frontier) = frontier else { return sealed + report.checked.logged };
        if log.first != sealed {
            report.head = Some(TreeHead { root: frontier.root(), size: sealed });
            return sealed;
        }
        for &hash in &log.hashes {
            frontier.push_hash(hash);
            if self.wanted.contains(&frontier.size()) {
                self.roots.insert(frontier.size(), Some(frontier.root()));
            }
        }
        if frontier.size() > sealed {
            report.notes.push(Note::NotInStoreYet { events: sealed..frontier.size() });
        }
        if frontier.size() == 0 {
            report.notes.push(Note::Empty);
        }
        report.head = Some(TreeHead { root: frontier.root(), size: frontier.size() });
        frontier.size()
    }

    /// Checks that the requested events exist.
    fn check_scope(&self, chain: &Chain, there: u64, report: &mut Report) {
        match &self.request.scope {
            Scope::All => {}
            Scope::Event(id) if report.found.is_none() => {
                report.add_problem(format!("event {id}"), ProblemKind::NoSuchEvent)
            }
            Scope::Event(_) => {}
            Scope::Indices(range) => {
                let object = format!("events {} to {}", range.start, range.end.saturating_sub(1));
                if range.end > there || range.is_empty() {
                    report.add_problem(object, ProblemKind::Beyond { there });
                } else if range.start < chain.retired() {
                    report.add_problem(object, ProblemKind::Retired { size: chain.retired() });
                }
            }
        }
    }
}

/// The root of a tree that ends inside a segment; `frontier` is the tree before the segment.
fn root_inside(frontier: &Frontier, leaves: &Leaves, size: u64) -> crate::tree::Hash {
    let mut frontier = frontier.clone();
    let within = (size - leaves.first) as usize;
    leaves.hashes[..within].iter().for_each(|&hash| frontier.push_hash(hash));
    frontier.root()
}

fn length(piece: &Piece) -> u64 {
    let range = piece.range();
    range.end - range.start
}

/// Merges adjacent ranges.
fn merge_ranges(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// Drops problems of files that were missing because retention has deleted them meanwhile.
async fn drop_retired_problems(store: &Store, root: &Key, report: &mut Report) {
    let missing = |problem: &Problem| matches!(problem.what, ProblemKind::SegmentMissing { .. });
    if !report.problems.iter().any(missing) {
        return;
    }
    let chain = chain::newest(store, root, None, &mut Report::default()).await;
    let retired = chain.retired();
    report.problems.retain(|problem| match &problem.what {
        ProblemKind::SegmentMissing { events, .. } => events.end > retired,
        _ => true,
    });
}
