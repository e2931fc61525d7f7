//! What a body may cost. What is beyond is not kept.

/// The longest body that is read, in bytes. An API server takes about 3 MiB.
pub const MAX_BODY: usize = 4 << 20;

/// How deep objects may be nested, as serde_json's own limit.
pub(super) const MAX_DEPTH: usize = 128;

/// How many values a body may have, those of texts within it included.
pub(super) const MAX_NODES: usize = 1 << 20;

/// How many secrets a body may have.
pub(super) const MAX_CUTS: usize = 1 << 14;

/// How deep manifests within texts within manifests are read; a text that is deeper is a secret as a whole.
pub(super) const MAX_EMBEDDED: usize = 4;

/// How many bytes all compressed texts of a body may have when they are unpacked.
pub(super) const MAX_UNPACKED: usize = 16 << 20;

/// The longest path to a secret, in bytes; a longer one is cut.
pub(super) const MAX_PATH: usize = 1024;
