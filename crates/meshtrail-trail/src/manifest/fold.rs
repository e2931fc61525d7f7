//! The state that results from a chain of manifests.

use std::collections::VecDeque;
use std::sync::Arc;

use meshtrail_event::{SourceName, Timestamp};

use super::put::Attempt;
use super::spans::Names;
use super::{
    Complete, EpochState, Fault, Manifest, ManifestError, ROLLUP, Retired, Rollup, Segment, Sources,
    TreeHead, VERSION,
};
use crate::tree::{Frontier, Hash};

/// All manifests applied so far.
///
/// Each is checked as it is applied: it is the next of this trail's chain, its segments continue where the last one ended,
/// and size and root are those of the segments' subtrees.
#[derive(Debug, Clone)]
pub struct Fold {
    trail: String,
    origin: String,
    /// Number and hash of the newest manifest.
    newest: Option<(u64, Hash)>,
    segments: VecDeque<Arc<Segment>>,
    retired: Option<Retired>,
    dedupe: Sources,
    /// Interned names of the sources in segments.
    names: Names,
    rollups: Vec<Rollup>,
    /// Segments from this index on were sealed after the newest complete manifest.
    rolled_up: u64,
    frontier: Frontier,
    /// Puts of the next manifest whose outcome is unknown.
    pub(super) attempts: Vec<Attempt>,
}

/// The changes that the next manifest records.
#[derive(Debug, Clone, Default)]
pub struct ManifestChange {
    /// Segments that were sealed, by index.
    pub sealed: Vec<Segment>,
    /// Epochs with new events since the previous manifest, with their whole state.
    pub dedupe: Sources,
    /// What retention has dropped, including earlier drops.
    pub retired: Option<Retired>,
}

impl Fold {
    /// The state before the first manifest.
    pub fn new(trail: impl Into<String>, origin: impl Into<String>) -> Self {
        Self {
            trail: trail.into(),
            origin: origin.into(),
            newest: None,
            segments: VecDeque::new(),
            retired: None,
            dedupe: Sources::new(),
            names: Names::default(),
            rollups: Vec::new(),
            rolled_up: 0,
            frontier: Frontier::new(),
            attempts: Vec::new(),
        }
    }

    /// The number of the newest manifest; 0 before the first.
    pub fn number(&self) -> u64 {
        self.newest.map_or(0, |(number, _)| number)
    }

    /// The SHA-256 of the newest manifest.
    pub fn hash(&self) -> Option<Hash> {
        self.newest.map(|(_, hash)| hash)
    }

    /// Sealed events, including retired ones.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Size and root of the tree over all that is sealed.
    pub fn tree(&self) -> TreeHead {
        TreeHead { root: self.frontier.root(), size: self.frontier.size() }
    }

    /// The segments that are not retired, by index.
    pub fn segments(&self) -> &VecDeque<Arc<Segment>> {
        &self.segments
    }

    /// The segment that holds `index`, unless it is retired or not sealed.
    pub fn segment_of(&self, index: u64) -> Option<&Arc<Segment>> {
        let at = self.segments.partition_point(|segment| segment.last < index);
        self.segments.get(at).filter(|segment| segment.first <= index)
    }

    /// What retention has dropped.
    pub fn retired(&self) -> Option<&Retired> {
        self.retired.as_ref()
    }

    /// The number of events that retention has dropped, which is the index of the first remaining one.
    pub fn retired_size(&self) -> u64 {
        self.retired.as_ref().map_or(0, |retired| retired.size)
    }

    /// The sequences received from each source, up to the sealed events.
    pub fn dedupe(&self) -> &Sources {
        &self.dedupe
    }

    /// The trail's name.
    pub fn trail(&self) -> &str {
        &self.trail
    }

    /// The origin line of the trail's checkpoints.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Creates the next manifest with this change, not signed yet. It takes effect once it is put and then
    /// [`apply`](Self::apply)ed.
    pub fn next(&self, change: ManifestChange, made: Timestamp) -> Result<Manifest, ManifestError> {
        let number = self.number() + 1;
        let mut next = Manifest {
            version: VERSION,
            complete: None,
            dedupe: change.dedupe,
            made,
            number,
            origin: self.origin.clone(),
            previous: self.hash(),
            retired: change.retired,
            sealed: change.sealed,
            trail: self.trail.clone(),
            tree: self.tree(),
            signature: None,
        };
        let frontier = self.check_change(&next).map_err(|fault| fault.in_file(manifest_name(number)))?;
        next.tree = TreeHead { root: frontier.root(), size: frontier.size() };
        if number.is_multiple_of(ROLLUP) {
            next.complete = Some(self.with_change(&next, frontier).complete());
        }
        Ok(next)
    }

    /// Applies the next manifest, whose bytes have this hash. On an error the state is unchanged.
    pub fn apply(&mut self, manifest: &Manifest, hash: Hash) -> Result<(), ManifestError> {
        self.try_apply(manifest, hash).map_err(|fault| fault.in_file(manifest_name(manifest.number)))
    }

    fn try_apply(&mut self, manifest: &Manifest, hash: Hash) -> Result<(), Fault> {
        self.check_place(manifest)?;
        let frontier = self.check_change(manifest)?;
        check_tree(&frontier, manifest)?;
        if let Some(complete) = &manifest.complete {
            let mut after = self.with_change(manifest, frontier);
            if *complete != after.complete() {
                return Err(Fault::value("complete", "not what the manifests before it add up to"));
            }
            after.roll_up(manifest.number, hash);
            *self = after;
        } else {
            self.change(manifest, frontier);
        }
        self.newest = Some((manifest.number, hash));
        self.attempts.clear();
        Ok(())
    }

    /// The state after a complete manifest. `earlier` are the manifests that it names, in that order.
    pub(super) fn resume(manifest: &Manifest, hash: Hash, earlier: &[Manifest]) -> Result<Self, Fault> {
        let Some(complete) = &manifest.complete else {
            return Err(Fault::value("complete", "missing on a 256th manifest"));
        };
        let mut fold = Self::new(manifest.trail.clone(), manifest.origin.clone());
        fold.retired = complete.retired.clone();
        if let Some(retired) = &complete.retired {
            fold.frontier = retired.frontier().ok_or(Fault::RetiredNodes)?;
        }
        let retired = fold.retired_size();
        let rolled_up = earlier.iter().filter_map(|earlier| earlier.complete.as_ref());
        for segment in
            rolled_up.flat_map(|complete| &complete.sealed).filter(|segment| segment.first >= retired)
        {
            grow(&mut fold.frontier, segment, || "complete.rollups".into())?;
            fold.add_segment(segment);
        }
        fold.rolled_up = fold.size();
        for (at, segment) in complete.sealed.iter().enumerate() {
            grow(&mut fold.frontier, segment, || format!("complete.sealed[{at}]"))?;
            fold.add_segment(segment);
        }
        check_tree(&fold.frontier, manifest)?;
        fold.dedupe = complete.dedupe.clone();
        fold.rollups = complete.rollups.clone();
        fold.roll_up(manifest.number, hash);
        fold.newest = Some((manifest.number, hash));
        Ok(fold)
    }

    fn check_place(&self, manifest: &Manifest) -> Result<(), Fault> {
        for (field, expected, found) in
            [("trail", &self.trail, &manifest.trail), ("origin", &self.origin, &manifest.origin)]
        {
            if expected != found {
                return Err(Fault::Foreign { field, expected: expected.clone(), found: found.clone() });
            }
        }
        if manifest.number != self.number() + 1 {
            return Err(Fault::Number { expected: self.number() + 1, found: manifest.number });
        }
        if manifest.previous != self.hash() {
            let shown = |hash: Option<Hash>| hash.map_or_else(|| "none".to_owned(), |hash| hash.to_string());
            return Err(Fault::Chain { named: shown(manifest.previous), found: shown(self.hash()) });
        }
        Ok(())
    }

    /// Checks that the manifest's change is possible; returns the tree after it.
    fn check_change(&self, manifest: &Manifest) -> Result<Frontier, Fault> {
        if let Some(retired) = &manifest.retired {
            let size = retired.size;
            if self.retirement(size).ok_or(Fault::RetiredBoundary { size })? != *retired {
                return Err(Fault::RetiredNodes);
            }
        }
        let mut frontier = self.frontier.clone();
        for (at, segment) in manifest.sealed.iter().enumerate() {
            grow(&mut frontier, segment, || format!("sealed[{at}]"))?;
        }
        Ok(frontier)
    }

    fn with_change(&self, manifest: &Manifest, frontier: Frontier) -> Self {
        let mut after = self.clone();
        after.change(manifest, frontier);
        after
    }

    fn add_segment(&mut self, segment: &Segment) {
        let mut segment = segment.clone();
        let sources = segment.files.iter_mut().filter_map(|file| file.sources.as_mut());
        sources.for_each(|sources| sources.share(&mut self.names));
        self.segments.push_back(Arc::new(segment));
    }

    /// Applies a checked change.
    fn change(&mut self, manifest: &Manifest, frontier: Frontier) {
        self.frontier = frontier;
        manifest.sealed.iter().for_each(|segment| self.add_segment(segment));
        for (source, epochs) in &manifest.dedupe {
            merge_epochs(&mut self.dedupe, source, epochs);
        }
        if let Some(retired) = &manifest.retired {
            while self.segments.front().is_some_and(|segment| segment.first < retired.size) {
                self.segments.pop_front();
            }
            self.rollups.retain(|rollup| rollup.last >= retired.size);
            self.retired = Some(retired.clone());
        }
    }

    /// The state of retention if all events before `size` were dropped; none unless a segment other than the last ends
    /// there.
    pub fn retirement(&self, size: u64) -> Option<Retired> {
        let mut frontier = match &self.retired {
            Some(retired) => retired.frontier()?,
            None => Frontier::new(),
        };
        let dropped = self.segments.iter().take_while(|segment| segment.end() <= size);
        for (node, hash) in dropped.flat_map(|segment| segment.nodes().collect::<Vec<_>>()) {
            if !frontier.push_subtree(node.level, hash) {
                return None;
            }
        }
        let ends_there = frontier.size() == size && size > self.retired_size() && size < self.size();
        ends_there.then(|| Retired::from_frontier(&frontier))
    }

    fn complete(&self) -> Complete {
        let since = self.segments.iter().filter(|segment| segment.first >= self.rolled_up);
        Complete {
            dedupe: self.dedupe.clone(),
            retired: self.retired.clone(),
            rollups: self.rollups.clone(),
            sealed: since.map(|segment| Segment::clone(segment)).collect(),
        }
    }

    /// Records the manifest just applied as the complete one for those before it.
    fn roll_up(&mut self, number: u64, sha256: Hash) {
        let holds_some = self.segments.back().is_some_and(|segment| segment.first >= self.rolled_up);
        if holds_some {
            self.rollups.push(Rollup { last: self.size() - 1, number, sha256 });
        }
        self.rolled_up = self.size();
    }
}

/// Adds a segment's subtrees to the tree, if it begins where the tree ends.
fn grow(frontier: &mut Frontier, segment: &Segment, field: impl Fn() -> String) -> Result<(), Fault> {
    if segment.first != frontier.size() {
        return Err(Fault::Gap { field: field(), expected: frontier.size(), found: segment.first });
    }
    for (node, hash) in segment.nodes() {
        if !frontier.push_subtree(node.level, hash) {
            return Err(Fault::value(field() + ".subtrees", "do not fit the tree"));
        }
    }
    Ok(())
}

fn check_tree(frontier: &Frontier, manifest: &Manifest) -> Result<(), Fault> {
    let (expected, found) = (TreeHead { root: frontier.root(), size: frontier.size() }, manifest.tree);
    if expected.size != found.size {
        return Err(Fault::Size { expected: expected.size, found: found.size });
    }
    if expected.root != found.root {
        return Err(Fault::Root { expected: expected.root, found: found.root });
    }
    Ok(())
}

/// Replaces the states of a source's epochs by newer ones.
fn merge_epochs(sources: &mut Sources, source: &SourceName, epochs: &[EpochState]) {
    let known = sources.entry(source.clone()).or_default();
    for state in epochs {
        match known.binary_search_by_key(&state.epoch, |epoch| epoch.epoch) {
            Ok(at) => known[at] = state.clone(),
            Err(at) => known.insert(at, state.clone()),
        }
    }
}

pub(super) fn manifest_name(number: u64) -> String {
    format!("manifest/{number:010}.json")
}
