//! Errors of manifests, with the file and, where possible, the field.

use crate::tree::Hash;

/// An invalid manifest.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {fault}")]
#[expect(missing_docs, reason = "the message says it")]
pub struct ManifestError {
    /// The manifest's name, such as `manifest/0000000007.json`.
    pub file: String,
    #[source]
    pub fault: Fault,
}

/// What is wrong with a manifest.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Fault {
    #[error("is {bytes} bytes long, at most {} are taken", super::MAX_MANIFEST)]
    TooLarge { bytes: usize },
    #[error("is not a manifest: it does not begin with {{\"$manifest\":")]
    NotOurs,
    #[error(
        "has format version {version}; this program knows versions up to {}: use a newer one",
        super::VERSION
    )]
    Newer { version: u64 },
    #[error("field {field}: {reason}")]
    Syntax {
        /// Where, such as `sealed[0].files[1].sha256`.
        field: String,
        reason: String,
    },
    #[error("is not in canonical form, so it was not written by Meshtrail as it is")]
    NotCanonical,
    /// A value that can't be right whatever the other manifests say.
    #[error("field {field}: {reason}")]
    Value { field: String, reason: &'static str },
    #[error("field {field}: belongs to {found:?}, not to {expected:?}")]
    Foreign {
        /// `trail` or `origin`.
        field: &'static str,
        expected: String,
        found: String,
    },
    #[error("field number: {found} where {expected} was due")]
    Number { expected: u64, found: u64 },
    #[error("field previous: names {named} as the manifest before it, which has SHA-256 {found}")]
    Chain { named: String, found: String },
    #[error("its signature is not that of {name} over its bytes: it was changed, or another key wrote it")]
    Signature { name: String },
    #[error("field {field}: begins at index {found}, but the trail is sealed up to {expected}")]
    Gap { field: String, expected: u64, found: u64 },
    #[error("field tree.size: {found}, but segments reach up to {expected}")]
    Size { expected: u64, found: u64 },
    #[error("field tree.root: {found}, but the subtrees of the segments give {expected}")]
    Root { expected: Hash, found: Hash },
    #[error("field retired.size: {size} is not the end of a segment, or the last one would go too")]
    RetiredBoundary { size: u64 },
    #[error("field retired.nodes: not the subtrees of the segments that were retired")]
    RetiredNodes,
}

impl Fault {
    pub(super) fn value(field: impl Into<String>, reason: &'static str) -> Self {
        Self::Value { field: field.into(), reason }
    }

    pub(super) fn in_file(self, file: impl Into<String>) -> ManifestError {
        ManifestError { file: file.into(), fault: self }
    }
}
