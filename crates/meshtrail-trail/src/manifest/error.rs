//! Why a manifest is not taken: always with the file, and the field where there is one.

use crate::tree::Hash;

/// A manifest that can't be taken as it is.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {fault}")]
pub struct ManifestError {
    /// The manifest's name, such as `manifest/0000000007.json`.
    pub file: String,
    /// What is wrong with it.
    #[source]
    pub fault: Fault,
}

/// What is wrong with a manifest.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Longer than any we would write.
    #[error("is {bytes} bytes long, at most {} are taken", super::MAX_MANIFEST)]
    TooLarge {
        /// Bytes found.
        bytes: usize,
    },
    /// Does not begin as a manifest does.
    #[error("is not a manifest: it does not begin with {{\"$manifest\":")]
    NotOurs,
    /// Made by a newer version.
    #[error(
        "has format version {version}; this program knows versions up to {}: use a newer one",
        super::VERSION
    )]
    Newer {
        /// The version found.
        version: u64,
    },
    /// Not the JSON that a manifest is.
    #[error("field {field}: {reason}")]
    Syntax {
        /// Where, such as `sealed[0].files[1].sha256`.
        field: String,
        /// What the parser says.
        reason: String,
    },
    /// Says the same in other bytes than we write.
    #[error("is not in canonical form, so it was not written by Meshtrail as it is")]
    NotCanonical,
    /// A value that can't be right whatever the other manifests say.
    #[error("field {field}: {reason}")]
    Value {
        /// Where.
        field: String,
        /// Why not.
        reason: &'static str,
    },
    /// Another trail's manifest.
    #[error("field {field}: belongs to {found:?}, not to {expected:?}")]
    Foreign {
        /// `trail` or `origin`.
        field: &'static str,
        /// Whose it should be.
        expected: String,
        /// Whose it is.
        found: String,
    },
    /// Not the manifest that comes next.
    #[error("field number: {found} where {expected} was due")]
    Number {
        /// The number due.
        expected: u64,
        /// The number found.
        found: u64,
    },
    /// Does not follow the manifest before it.
    #[error("field previous: names {named} as the manifest before it, which has SHA-256 {found}")]
    Chain {
        /// What the manifest says.
        named: String,
        /// What the file before it has.
        found: String,
    },
    /// Not signed by the trail's key.
    #[error("its signature is not that of {name} over its bytes: it was changed, or another key wrote it")]
    Signature {
        /// Whose signature it should be.
        name: String,
    },
    /// A gap or overlap between segments.
    #[error("field {field}: begins at index {found}, but the trail is sealed up to {expected}")]
    Gap {
        /// Which segment.
        field: String,
        /// The index due.
        expected: u64,
        /// The index found.
        found: u64,
    },
    /// The tree's size is not that of its segments.
    #[error("field tree.size: {found}, but segments reach up to {expected}")]
    Size {
        /// What the segments give.
        expected: u64,
        /// What the manifest says.
        found: u64,
    },
    /// The tree's root is not that of its segments.
    #[error("field tree.root: {found}, but the subtrees of the segments give {expected}")]
    Root {
        /// What the subtrees give.
        expected: Hash,
        /// What the manifest says.
        found: Hash,
    },
    /// Retention is said to end inside a segment, or beyond the last but one.
    #[error("field retired.size: {size} is not the end of a segment, or the last one would go too")]
    RetiredBoundary {
        /// What the manifest says.
        size: u64,
    },
    /// The subtrees of what was retired are not those of the segments.
    #[error("field retired.nodes: not the subtrees of the segments that were retired")]
    RetiredNodes,
}

impl Fault {
    pub(super) fn value(field: impl Into<String>, reason: &'static str) -> Self {
        Self::Value { field: field.into(), reason }
    }

    pub(super) fn at(self, file: impl Into<String>) -> ManifestError {
        ManifestError { file: file.into(), fault: self }
    }
}
