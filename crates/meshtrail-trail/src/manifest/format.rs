//! The format of a manifest. Types declare their members in canonical order and have no floats, so that serialising them
//! yields RFC 8785 JSON.

use std::collections::BTreeMap;

use meshtrail_event::{EventId, Family, MAX_EXACT_INTEGER, SourceName, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Fault, MAX_MANIFEST, ManifestError, SourceSpans, VERSION};
use crate::note;
use crate::tree::{Frontier, Hash, Tail, TileId, plan, subtree_of};

/// The most sources a segment file names one by one.
pub const MAX_SOURCES: usize = 1024;

/// The first bytes of every manifest, before its version.
const PREFIX: &[u8] = b"{\"$manifest\":";

/// The epochs of each source, ascending.
pub type Sources = BTreeMap<SourceName, Vec<EpochState>>;

/// One link of the chain: what changed since the manifest before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format's version.
    #[serde(rename = "$manifest")]
    pub version: u64,
    /// A summary of the manifests since the last complete one; on every [`ROLLUP`](super::ROLLUP)th manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<Complete>,
    /// The epochs with new events since the previous manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dedupe: Sources,
    /// The time of its creation.
    pub made: Timestamp,
    /// Its number, from 1.
    pub number: u64,
    /// The origin line of the trail's checkpoints.
    pub origin: String,
    /// The SHA-256 of the previous manifest; the first has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Hash>,
    /// What retention has dropped so far, if it has dropped more since the previous manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<Retired>,
    /// The segments that were sealed since the previous manifest, by index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed: Vec<Segment>,
    /// The trail's name.
    pub trail: String,
    /// The tree over all that is sealed.
    pub tree: TreeHead,
    /// The trail's signature over all fields before it; see [`Manifest::sign`].
    #[serde(rename = "~signature", default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// Size and root of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeHead {
    /// The root over the first `size` leaves.
    pub root: Hash,
    /// Leaves.
    pub size: u64,
}

/// An index range of the trail, as one Parquet file per family that occurs in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Its files, by family.
    pub files: Vec<SegmentFile>,
    /// Index of its first event.
    pub first: u64,
    /// Index of its last event.
    pub last: u64,
    /// When it was sealed, by the server's clock; retention counts from it.
    pub sealed: Timestamp,
    /// The hashes of the complete subtrees that [`plan::range`] divides it into, left to right.
    pub subtrees: Vec<Hash>,
}

/// One Parquet file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentFile {
    /// Its length.
    pub bytes: u64,
    /// The family whose columns it has.
    pub family: Family,
    /// Index of the first event in it.
    pub first: u64,
    /// Index of the last event in it; events of other families may lie between.
    pub last: u64,
    /// Its key below the trail's root: `segments/family=…/date=…/….parquet`, or with `kind=…` in place of `family=…`
    /// if it was sealed by version 1.
    pub path: String,
    /// Events in it.
    pub rows: u64,
    /// The SHA-256 of the file.
    pub sha256: Hash,
    /// The sequences of each source in it; omitted if there are more than [`MAX_SOURCES`] sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<SourceSpans>,
    /// The range of its events' own `time`.
    pub times: TimeSpan,
}

impl SegmentFile {
    /// Whether the event may be in it, by the manifest alone.
    pub fn may_hold(&self, id: &EventId) -> bool {
        self.sources.as_ref().is_none_or(|sources| sources.covers(id))
    }
}

/// The lowest and highest sequence of one source's epoch in a file; sequences between them may be elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SequenceSpan {
    /// The epoch.
    pub epoch: u64,
    /// The lowest sequence.
    pub first: u64,
    /// The highest sequence.
    pub last: u64,
}

/// The earliest and latest of some times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeSpan {
    /// The latest.
    pub max: Timestamp,
    /// The earliest.
    pub min: Timestamp,
}

/// The sequences received in one epoch of a source: all up to `high` except those in `missing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochState {
    /// The epoch.
    pub epoch: u64,
    /// The highest sequence received.
    pub high: u64,
    /// The ranges below `high` that were not received, as first and last, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<(u64, u64)>,
}

/// The hashes of the events that retention dropped, which are always the trail's first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retired {
    /// The hashes of the complete subtrees that [`plan::root`] divides the dropped events into, left to right.
    pub nodes: Vec<Hash>,
    /// The number of dropped events: those with an index below it.
    pub size: u64,
}

/// A summary of the manifests since the last complete one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Complete {
    /// The epochs of all sources.
    pub dedupe: Sources,
    /// What retention has dropped so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<Retired>,
    /// The earlier complete manifests with segments that are not retired, oldest first.
    pub rollups: Vec<Rollup>,
    /// The segments sealed by this manifest and the plain ones before it, except those retired since.
    pub sealed: Vec<Segment>,
}

/// An earlier complete manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollup {
    /// Index of the last event in its segments.
    pub last: u64,
    /// Its number.
    pub number: u64,
    /// Its SHA-256.
    pub sha256: Hash,
}

impl Manifest {
    /// Signs the manifest. Later manifests contain its hash; until there is one, only the signature protects it.
    pub fn sign(&mut self, key: &note::Key) {
        self.signature = None;
        self.signature = Some(key.sign_bytes(&self.to_bytes().0));
    }

    /// Whether it has a valid signature by `verifier`.
    pub fn is_signed_by(&self, verifier: &note::Verifier) -> bool {
        let Some(signature) = &self.signature else { return false };
        let unsigned = Self { signature: None, ..self.clone() };
        verifier.has_signed(&unsigned.to_bytes().0, signature)
    }

    /// The manifest's bytes, and the SHA-256 the next one names.
    pub fn to_bytes(&self) -> (Vec<u8>, Hash) {
        let bytes = serde_json::to_vec(self).expect("a manifest has string keys and no floats");
        let hash = Hash::of(&bytes);
        (bytes, hash)
    }

    /// Parses a manifest and checks form, version and each value by itself. `file` is named in errors.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, ManifestError> {
        Self::parse_bytes(bytes).map_err(|fault| fault.in_file(file))
    }

    fn parse_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() > MAX_MANIFEST {
            return Err(Fault::TooLarge { bytes: bytes.len() });
        }
        check_version(bytes)?;
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let manifest: Self = serde_path_to_error::deserialize(&mut json).map_err(|error| Fault::Syntax {
            field: error.path().to_string(),
            reason: error.inner().to_string(),
        })?;
        let trailing =
            |error: serde_json::Error| Fault::Syntax { field: ".".into(), reason: error.to_string() };
        json.end().map_err(trailing)?;
        if manifest.to_bytes().0 != bytes {
            return Err(Fault::NotCanonical);
        }
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), Fault> {
        if self.number == 0 || self.number > MAX_EXACT_INTEGER {
            return Err(Fault::value("number", "counts from 1"));
        }
        if self.previous.is_none() != (self.number == 1) {
            return Err(Fault::value("previous", "only the first manifest has none"));
        }
        if self.complete.is_some() != self.number.is_multiple_of(super::ROLLUP) {
            return Err(Fault::value("complete", "on every 256th manifest, and on no other"));
        }
        check_segments(self.version, "sealed", &self.sealed)?;
        check_sources("dedupe", &self.dedupe)?;
        check_retired("retired", self.retired.as_ref())?;
        if let Some(complete) = &self.complete {
            check_segments(self.version, "complete.sealed", &complete.sealed)?;
            check_sources("complete.dedupe", &complete.dedupe)?;
            check_retired("complete.retired", complete.retired.as_ref())?;
        }
        Ok(())
    }
}

/// Checks the version before anything else, so that a newer format is not reported as a broken file.
fn check_version(bytes: &[u8]) -> Result<(), Fault> {
    let rest = bytes.strip_prefix(PREFIX).ok_or(Fault::NotOurs)?;
    let digits = rest.iter().take(16).take_while(|byte| byte.is_ascii_digit()).count();
    let version = std::str::from_utf8(&rest[..digits]).ok().and_then(|text| text.parse().ok());
    match version {
        Some(version) if version > VERSION => Err(Fault::Newer { version }),
        Some(1..=VERSION) => Ok(()),
        _ => Err(Fault::NotOurs),
    }
}

fn check_segments(version: u64, field: &str, segments: &[Segment]) -> Result<(), Fault> {
    for (at, segment) in segments.iter().enumerate() {
        let field = || format!("{field}[{at}]");
        if segment.first > segment.last || segment.last >= MAX_EXACT_INTEGER {
            return Err(Fault::value(field(), "ends before it begins, or beyond 2^53"));
        }
        let nodes = plan::range(segment.first, segment.last + 1).0.len();
        if nodes != segment.subtrees.len() {
            return Err(Fault::value(field() + ".subtrees", "not one hash for each subtree of the range"));
        }
        for (at, file) in segment.files.iter().enumerate() {
            check_file(version, segment, file)
                .map_err(|reason| Fault::value(format!("{}.files[{at}]", field()), reason))?;
        }
        let rows = segment.files.iter().try_fold(0u64, |sum, file| sum.checked_add(file.rows));
        if rows != Some(segment.last - segment.first + 1) {
            return Err(Fault::value(
                field() + ".files",
                "their rows are not as many as the range has indices",
            ));
        }
    }
    Ok(())
}

fn check_file(version: u64, segment: &Segment, file: &SegmentFile) -> Result<(), &'static str> {
    let inside = segment.first <= file.first && file.first <= file.last && file.last <= segment.last;
    if !inside || file.rows == 0 || file.rows > file.last - file.first + 1 {
        return Err("first, last or rows do not fit the segment");
    }
    if file.times.min > file.times.max {
        return Err("times.min is later than times.max");
    }
    let is_under = |folder: &str| file.path.starts_with(&format!("segments/{folder}={}/", file.family));
    let is_in_place = is_under("kind") || (version > 1 && is_under("family"));
    if !is_in_place || crate::store::Key::new(file.path.as_str()).is_err() {
        return Err("path is not one of a segment file of this family");
    }
    Ok(())
}

fn check_sources(field: &str, sources: &Sources) -> Result<(), Fault> {
    for (source, epochs) in sources {
        let rising = epochs.is_sorted_by(|left, right| left.epoch < right.epoch);
        if !rising || !epochs.iter().all(EpochState::is_sound) {
            return Err(Fault::value(
                format!("{field}.{source}"),
                "epochs or missing ranges are out of order",
            ));
        }
    }
    Ok(())
}

fn check_retired(field: &str, retired: Option<&Retired>) -> Result<(), Fault> {
    match retired {
        Some(retired) if retired.frontier().is_none() => {
            Err(Fault::value(format!("{field}.nodes"), "not one hash for each subtree of the range"))
        }
        _ => Ok(()),
    }
}

impl EpochState {
    fn is_sound(&self) -> bool {
        let rising = self.missing.is_sorted_by(|left, right| left.1 < right.0);
        rising && self.missing.iter().all(|&(first, last)| first <= last && last < self.high)
    }
}

impl Segment {
    /// The index after its last event.
    pub const fn end(&self) -> u64 {
        self.last + 1
    }

    /// Its subtrees with their positions in the tree.
    pub fn nodes(&self) -> impl Iterator<Item = (plan::Node, Hash)> {
        plan::range(self.first, self.end()).0.into_iter().zip(self.subtrees.iter().copied())
    }
}

impl Retired {
    /// The hashes that are kept of the leaves under `frontier`.
    pub fn from_frontier(frontier: &Frontier) -> Self {
        Self { nodes: frontier.nodes().to_vec(), size: frontier.size() }
    }

    /// The tree over the dropped events; none unless there is a hash for each of its subtrees.
    pub fn frontier(&self) -> Option<Frontier> {
        let nodes = plan::root(self.size).0;
        if nodes.len() != self.nodes.len() || self.size > MAX_EXACT_INTEGER {
            return None;
        }
        let mut frontier = Frontier::new();
        nodes
            .iter()
            .zip(&self.nodes)
            .all(|(node, &hash)| frontier.push_subtree(node.level, hash))
            .then_some(frontier)
    }

    /// The hash of a subtree of dropped events, if it is one of those kept.
    ///
    /// A subtree on the boundary consists of one kept here and one with remaining events, or is divided further: with
    /// these hashes all proofs of the remaining events can be computed.
    pub fn node(&self, node: plan::Node) -> Option<Hash> {
        let at = plan::root(self.size).0.iter().position(|kept| *kept == node)?;
        self.nodes.get(at).copied()
    }
}

/// The hashes of the complete subtrees of leaves `first..end` for [`Segment::subtrees`], from the tree's right edge; none
/// if the edge no longer holds that range.
pub fn subtrees_of(tail: &Tail, first: u64, end: u64) -> Option<Vec<Hash>> {
    plan::range(first, end).0.into_iter().map(|node| node_of(tail, node)).collect()
}

fn node_of(tail: &Tail, node: plan::Node) -> Option<Hash> {
    let (tile_level, inner) = (node.level / 8, node.level % 8);
    let start = node.index << inner;
    let at = usize::try_from(start % 256).ok()?;
    let end = at + (1 << inner);
    let tile =
        TileId { level: u8::try_from(tile_level).ok()?, index: start / 256, width: u16::try_from(end).ok()? };
    Some(subtree_of(tail.tile(tile)?.get(at..end)?))
}
