//! Reading the chain of manifests, so that a broken manifest affects as little of the verification as possible.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use meshtrail_event::text::with_causes;

use super::report::{ProblemKind, Report};
use crate::manifest::{
    self, Fault, Fold, LoadError, Manifest, Retired, Segment, manifest_key, manifest_number,
};
use crate::note::Verifier;
use crate::store::{GetError, Key, Store};
use crate::tree::Hash;

/// The trail according to its manifests, by index.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// The origin line, if there is a manifest.
    pub(super) origin: Option<String>,
    pub(super) pieces: Vec<Piece>,
}

/// A range of the trail.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    /// Dropped by retention; hashes are kept.
    Retired(Retired),
    /// Stored in a segment.
    Sealed(Arc<Segment>),
    /// Sealed by a manifest that can't be read.
    Lost(Range<u64>),
}

impl Piece {
    pub(super) fn range(&self) -> Range<u64> {
        match self {
            Self::Retired(retired) => 0..retired.size,
            Self::Sealed(segment) => segment.first..segment.end(),
            Self::Lost(range) => range.clone(),
        }
    }
}

impl Chain {
    /// The number of sealed events.
    pub(super) fn sealed(&self) -> u64 {
        self.pieces.last().map_or(0, |piece| piece.range().end)
    }

    pub(super) fn retired(&self) -> u64 {
        match self.pieces.first() {
            Some(Piece::Retired(retired)) => retired.size,
            _ => 0,
        }
    }

    pub(super) fn segments(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Sealed(segment) => Some(segment),
            _ => None,
        })
    }

    fn from_fold(fold: &Fold) -> Self {
        let retired = fold.retired().cloned().map(Piece::Retired);
        let sealed = fold.segments().iter().cloned().map(Piece::Sealed);
        Self { origin: Some(fold.origin().to_owned()), pieces: retired.into_iter().chain(sealed).collect() }
    }
}

/// Reads only the manifests that the newest state needs.
pub(super) async fn newest(
    store: &Store,
    root: &Key,
    verifier: Option<&Verifier>,
    report: &mut Report,
) -> Chain {
    match manifest::load(store, root, verifier).await {
        Ok(Some(fold)) => {
            report.checked.manifests = fold.number();
            Chain::from_fold(&fold)
        }
        Ok(None) => Chain::default(),
        Err(LoadError::Read(error)) => {
            report.add_problem(format!("{root}/manifest"), unreadable(&error));
            Chain::default()
        }
        Err(LoadError::Manifest(error)) => {
            report.add_problem(
                format!("{root}/{}", error.file),
                ProblemKind::Manifest { reason: error.fault.to_string() },
            );
            Chain::default()
        }
    }
}

/// Reads and checks every manifest of the trail `trail`.
pub(super) async fn whole(
    store: &Store,
    root: &Key,
    trail: &str,
    verifier: Option<&Verifier>,
    report: &mut Report,
) -> Chain {
    let folder = root.join("manifest").expect("a trail's root leaves room");
    let listed = match store.list(&folder).await {
        Ok(listed) => listed,
        Err(error) => {
            report.add_problem(folder.to_string(), ProblemKind::Unreadable { reason: with_causes(&error) });
            return Chain::default();
        }
    };
    let numbers: BTreeSet<u64> =
        listed.iter().filter_map(|entry| manifest_number(entry.key.name())).collect();
    let mut reader = ChainReader { trail, verifier, ..ChainReader::default() };
    let newest = numbers.last().copied().unwrap_or(0);
    for number in 1..=newest {
        let key = manifest_key(root, number);
        if !numbers.contains(&number) {
            report.add_problem(key.to_string(), ProblemKind::ManifestMissing);
            reader.break_off();
            continue;
        }
        match store.get(&key).await {
            Ok(bytes) => reader.read_manifest(&key, number, &bytes, report),
            Err(error) => {
                report.add_problem(key.to_string(), unreadable(&error));
                reader.break_off();
            }
        }
    }
    reader.finish()
}

#[derive(Default)]
struct ChainReader<'a> {
    trail: &'a str,
    verifier: Option<&'a Verifier>,
    state: State,
    /// The previous manifest, if its hash can be compared.
    before: Option<(Key, Hash)>,
    origin: Option<String>,
    segments: BTreeMap<u64, Arc<Segment>>,
    retired: Option<Retired>,
    size: u64,
}

#[derive(Default)]
enum State {
    #[default]
    Beginning,
    Whole(Box<Fold>),
    Broken,
}

impl ChainReader<'_> {
    fn break_off(&mut self) {
        self.state = State::Broken;
        self.before = None;
    }

    fn read_manifest(&mut self, key: &Key, number: u64, bytes: &[u8], report: &mut Report) {
        let hash = Hash::of(bytes);
        report.checked.bytes += bytes.len() as u64;
        let manifest = match self.parse(key, number, bytes) {
            Ok(manifest) => manifest,
            Err(reason) => {
                report.add_problem(key.to_string(), ProblemKind::Manifest { reason });
                return self.break_off();
            }
        };
        report.checked.manifests += 1;
        if let (Some((before, found)), Some(named)) = (&self.before, manifest.previous)
            && *found != named
        {
            report.add_problem(before.to_string(), ProblemKind::ManifestChanged { named, found: *found });
            self.state = State::Broken;
        }
        self.apply(key, &manifest, hash, report);
        self.collect(manifest);
        self.before = Some((key.clone(), hash));
    }

    fn parse(&self, key: &Key, number: u64, bytes: &[u8]) -> Result<Manifest, String> {
        let manifest = Manifest::parse(key.name(), bytes).map_err(|error| error.fault.to_string())?;
        if manifest.number != number || manifest.trail != self.trail {
            return Err(format!("calls itself number {} of trail {:?}", manifest.number, manifest.trail));
        }
        match self.verifier {
            Some(verifier) if !manifest.is_signed_by(verifier) => {
                Err(Fault::Signature { name: verifier.name().to_owned() }.to_string())
            }
            _ => Ok(manifest),
        }
    }

    fn apply(&mut self, key: &Key, manifest: &Manifest, hash: Hash, report: &mut Report) {
        if let State::Beginning = self.state {
            self.state = State::Whole(Box::new(Fold::new(manifest.trail.clone(), manifest.origin.clone())));
        }
        let State::Whole(fold) = &mut self.state else { return };
        if let Err(error) = fold.apply(manifest, hash) {
            if !matches!(error.fault, Fault::Chain { .. }) {
                report
                    .add_problem(key.to_string(), ProblemKind::Manifest { reason: error.fault.to_string() });
            }
            self.state = State::Broken;
        }
    }

    fn collect(&mut self, manifest: Manifest) {
        self.origin.get_or_insert(manifest.origin);
        self.size = self.size.max(manifest.tree.size);
        // A complete manifest repeats segments whose own manifest may be the broken one.
        let (repeated, retired) = match manifest.complete {
            Some(complete) => (complete.sealed, complete.retired),
            None => (Vec::new(), None),
        };
        for segment in manifest.sealed.into_iter().chain(repeated) {
            self.segments.entry(segment.first).or_insert_with(|| Arc::new(segment));
        }
        for retired in manifest.retired.into_iter().chain(retired) {
            if self.retired.as_ref().is_none_or(|known| known.size < retired.size) {
                self.retired = Some(retired);
            }
        }
    }

    fn finish(self) -> Chain {
        if let State::Whole(fold) = &self.state {
            return Chain::from_fold(fold);
        }
        let mut pieces: Vec<Piece> = self.retired.map(Piece::Retired).into_iter().collect();
        let mut at = pieces.last().map_or(0, |piece| piece.range().end);
        for segment in self.segments.into_values() {
            if segment.first < at {
                continue;
            }
            if segment.first > at {
                pieces.push(Piece::Lost(at..segment.first));
            }
            at = segment.end();
            pieces.push(Piece::Sealed(segment));
        }
        if self.size > at {
            pieces.push(Piece::Lost(at..self.size));
        }
        Chain { origin: self.origin, pieces }
    }
}

pub(super) fn unreadable(error: &GetError) -> ProblemKind {
    ProblemKind::Unreadable { reason: with_causes(error) }
}
