//! Manifests: the signed list of a trail's segments, as a chain of small files that are written once.
//!
//! Manifest `n` records the changes since manifest `n - 1`: sealed segments, sequences received from each source, and what
//! retention dropped. The state is the [`Fold`] over all of them.
//!
//! - A manifest names every segment file with its SHA-256 and length, and the SHA-256 of the previous manifest, so that a
//!   missing, replaced or added file is detected.
//! - It is signed with the trail's key, so that the newest one, which no other names, can't be changed either.
//! - Each segment has the hashes of the subtrees that cover it, so that the [`Fold`] recomputes the tree's root without
//!   reading leaves, and retention drops a segment without reading it.
//! - Every [`ROLLUP`]th manifest repeats what was sealed since the last such manifest: loading reads only those, and the
//!   plain ones after the newest of them.
//! - The file begins with its version. A newer version is refused, and so is any byte that differs from our own encoding.
//!
//! When manifests are written is decided by the callers.

mod error;
mod fold;
mod format;
mod load;
mod put;
mod spans;
#[cfg(test)]
mod tests;

pub use error::{Fault, ManifestError};
pub use fold::{Fold, ManifestChange};
pub use format::{
    Complete, EpochState, MAX_SOURCES, Manifest, Retired, Rollup, Segment, SegmentFile, SequenceSpan,
    Sources, TimeSpan, TreeHead, subtrees_of,
};
pub use load::{LoadError, load, newest};
pub use put::{Put, PutNextError, put_next};
pub use spans::SourceSpans;

use crate::store::{Key, KeyError};

/// The number of manifests that a complete one summarises.
pub const ROLLUP: u64 = 256;

/// The newest format version, which is the one written.
///
/// - 1: segments lie under `segments/kind=…`.
/// - 2: those of this version lie under `segments/family=…`; older ones stay where they are.
pub const VERSION: u64 = 2;

/// The largest manifest that is read or written, in bytes.
pub const MAX_MANIFEST: usize = 256 << 20;

/// The root of a trail's objects: `trails/<trail>`.
pub fn root_key(trail: &str) -> Result<Key, KeyError> {
    Key::new(format!("trails/{trail}"))
}

/// The key of manifest `number` below `root`. The number has ten digits, so that names sort as numbers.
pub fn manifest_key(root: &Key, number: u64) -> Key {
    root.join(&format!("manifest/{number:010}.json"))
        .expect("a trail's root leaves room for a manifest's name")
}

/// The number in a manifest's name, if it is one.
pub fn manifest_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".json")?;
    let plain = digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}
