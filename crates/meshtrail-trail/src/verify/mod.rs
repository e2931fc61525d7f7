//! Verification: everything recomputed from what lies there, and compared with what was signed.
//!
//! - Leaves are rebuilt from the segment files and the log, hashed, and folded into the tree; manifests, tiles and
//!   checkpoints must say the same. Nothing is believed because it is there.
//! - A problem names the object or file, and the events it concerns. What can't be read is told apart from what does
//!   not hold.
//! - It writes nothing and needs no lock: a server may go on beside it. It reads the checkpoint first and the log
//!   last, so that what is added meanwhile is no contradiction.
//! - The newest head that was given out counts like a checkpoint that was kept: on the server's machine the log must
//!   have what it signs.
//! - A copy of the store from yesterday holds in itself. Only a later checkpoint, kept elsewhere, shows it: give it
//!   in [`VerifyRequest::against`].
//!
//! What events mean, and recordings, are checked one layer up.

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

pub use report::{Checked, LogSeen, Note, Problem, Report, Verdict, Wrong};

use crate::manifest::{Segment, TreeHead, root_key};
use crate::note::Verifier;
use crate::store::{Key, Store};
use crate::tree::{Frontier, TILE_WIDTH, TileId};
use blocks::Blocks;
use chain::{Chain, Piece};
use heads::{Compared, Heads, Roots};
use leaves::{BLOCK, Leaves, Read};
use log::Log;

/// Segments read at a time: the unit of work for two processors.
const WORKERS: usize = 2;

/// What to verify.
#[derive(Debug, Clone)]
pub struct VerifyRequest {
    /// The trail's name.
    pub trail: String,
    /// How much of it.
    pub scope: Scope,
    /// The key that must have signed; the one in the store if none is given.
    pub vkey: Option<String>,
    /// Signed checkpoints that were kept elsewhere; the store must hold what they signed.
    pub against: Vec<String>,
}

/// How much of a trail is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everything there is.
    All,
    /// One event, and that the signed tree has it.
    Event(EventId),
    /// The events with these indices.
    Indices(Range<u64>),
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Events looked at.
    pub done: u64,
    /// Events to look at.
    pub of: u64,
}

/// Verifies a trail. `local` is the server's folder with the log, where it is on this machine.
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
            report.wrong(&request.trail, Wrong::Unreadable { reason: with_causes(&error) });
            return report;
        }
    };
    let key = heads::key(store, &root, request.vkey.as_deref(), &mut report).await;
    let mut heads = Heads::read(store, &root, key.as_ref(), local, &request.against, &mut report).await;
    let place = Place { store, root: &root, verifier: key.as_ref() };
    let (chain, log) = place.snapshot(local, request, &mut report).await;
    if key.is_none() && chain.sealed() > 0 {
        report.wrong(format!("{root}/vkey"), Wrong::KeyMissing);
    }
    if request.scope != Scope::All {
        heads.leave_out_sealed(chain.sealed());
    }
    let mut run = Run { store, root: &root, request, progress, wanted: heads.sizes(), roots: Roots::new() };
    let frontier = run.sealed(&chain, &mut report).await;
    let there = run.logged(frontier, &log, &chain, &mut report);
    heads.compare(
        &Compared {
            root: &root,
            origin: chain.origin.as_deref(),
            roots: &run.roots,
            retired: chain.retired(),
            sealed: chain.sealed(),
            there,
            log: log.seen,
        },
        &mut report,
    );
    run.asked(&chain, there, &mut report);
    forgive_retired(store, &root, &mut report).await;
    report
}

struct Place<'a> {
    store: &'a Store,
    root: &'a Key,
    verifier: Option<&'a Verifier>,
}

impl Place<'_> {
    /// The manifests and the log that goes on where they end. The log is read first: a seal between reading the two
    /// moves events from one to the other, and then the manifests have what the log had.
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
        if let Some(events) = log.go_on_from(chain.sealed()) {
            report.wrong(log.name.clone(), Wrong::LogGap { events });
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
    /// Goes through what is sealed; gives the tree over it, unless a part of it is lost.
    async fn sealed(&mut self, chain: &Chain, report: &mut Report) -> Option<Frontier> {
        let whole = self.request.scope == Scope::All;
        let listed = match whole {
            true => objects::check(self.store, self.root, chain, report).await,
            false => tiles::Listed::default(),
        };
        let mut keep = listed.edges();
        keep.extend(TileId::partial(chain.sealed()).filter(|tile| tile.level == 0).map(|tile| tile.index));
        let mut blocks = Blocks::keeping(keep);
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

    /// Whether the leaves of a piece are needed.
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
        read: Option<Read>,
        frontier: Option<Frontier>,
        blocks: &mut Blocks,
        report: &mut Report,
    ) -> Option<Frontier> {
        let after = match piece {
            Piece::Retired(retired) => {
                report.checked.retired = retired.size;
                for (node, &hash) in crate::tree::plan::root(retired.size).0.iter().zip(&retired.nodes) {
                    blocks.node(*node, hash);
                }
                retired.frontier()
            }
            Piece::Sealed(segment) => self.segment(segment, read, frontier, blocks, report).await,
            Piece::Lost(range) => {
                blocks.lost(range.start, range.end);
                None
            }
        };
        blocks.seal();
        let range = piece.range();
        if self.wanted.contains(&range.end) {
            self.roots.insert(range.end, after.as_ref().map(Frontier::root));
        }
        after
    }

    async fn segment(
        &mut self,
        segment: &Segment,
        read: Option<Read>,
        frontier: Option<Frontier>,
        blocks: &mut Blocks,
        report: &mut Report,
    ) -> Option<Frontier> {
        let leaves = match read {
            Some(read) => self.judge(read, report).await,
            None => None,
        };
        match &leaves {
            Some(leaves) => blocks.leaves(leaves),
            None => segment.nodes().for_each(|(node, hash)| blocks.node(node, hash)),
        }
        let mut frontier = frontier?;
        for &size in self.wanted.range(segment.first + 1..segment.end()) {
            let root = leaves.as_ref().map(|leaves| root_inside(&frontier, leaves, size));
            self.roots.insert(size, root);
        }
        segment.nodes().all(|(node, hash)| frontier.push_subtree(node.level, hash)).then_some(frontier)
    }

    /// Reports what is wrong with a segment; gives its leaves if they are the signed ones.
    async fn judge(&self, read: Read, report: &mut Report) -> Option<Leaves> {
        report.checked.segments += 1;
        report.checked.events += read.hashed;
        report.checked.bytes += read.bytes;
        report.found = report.found.or(read.found);
        let object = match read.wrong.first() {
            Some((file, _)) => file.clone(),
            None => format!("{}/{}", self.root, read.segment.files.first()?.path),
        };
        for (file, wrong) in read.wrong {
            report.wrong(file, wrong);
        }
        let leaves = read.leaves?;
        if read.differing.is_empty() {
            return Some(leaves);
        }
        let mut events = Vec::new();
        for node in &read.differing {
            self.narrow(*node, &leaves, &mut events).await;
        }
        report.wrong(object, Wrong::EventsChanged { events: joined(events) });
        None
    }

    /// Which events of a differing subtree are meant, by the stored tiles: they were written with the right leaves.
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

    /// Goes on with the log; gives how many events there are.
    fn logged(&mut self, frontier: Option<Frontier>, log: &Log, chain: &Chain, report: &mut Report) -> u64 {
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

    /// Whether what was asked for is there.
    fn asked(&self, chain: &Chain, there: u64, report: &mut Report) {
        match &self.request.scope {
            Scope::All => {}
            Scope::Event(id) if report.found.is_none() => {
                report.wrong(format!("event {id}"), Wrong::NoSuchEvent)
            }
            Scope::Event(_) => {}
            Scope::Indices(range) => {
                let object = format!("events {} to {}", range.start, range.end.saturating_sub(1));
                if range.end > there || range.is_empty() {
                    report.wrong(object, Wrong::Beyond { there });
                } else if range.start < chain.retired() {
                    report.wrong(object, Wrong::Retired { size: chain.retired() });
                }
            }
        }
    }
}

/// The root of the tree that ends inside a segment, before whose first event `frontier` stands.
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

/// Neighbouring ranges as one.
fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// A file that was missing because retention dropped it meanwhile is no problem.
async fn forgive_retired(store: &Store, root: &Key, report: &mut Report) {
    let missing = |problem: &Problem| matches!(problem.what, Wrong::SegmentMissing { .. });
    if !report.problems.iter().any(missing) {
        return;
    }
    let chain = chain::newest(store, root, None, &mut Report::default()).await;
    let retired = chain.retired();
    report.problems.retain(|problem| match &problem.what {
        Wrong::SegmentMissing { events, .. } => events.end > retired,
        _ => true,
    });
}
