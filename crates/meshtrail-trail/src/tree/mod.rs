//! The Merkle tree over a trail's leaves, by RFC 6962.
//!
//! A leaf is hashed with prefix 0x00, an inner node with prefix 0x01; the tree over `n` leaves splits at the largest
//! power of two below `n`. Hashes are stored in C2SP tlog-tiles of eight levels and 256 hashes.
//!
//! - [`verify_inclusion`] and [`verify_consistency`] need only the proof: no store, no clock, no key.
//! - [`plan`] decides which nodes a proof needs, without reading any of them.
//! - [`Tail`] holds the right edge in memory: appending costs one node hash per leaf, a root a few hundred.
//!
//! Storing tiles, and the meaning of leaves, is left to the callers.

mod compact;
mod hash;
pub mod plan;
mod proof;
mod tail;
#[cfg(test)]
mod tests;
mod tile;

pub use compact::Frontier;
pub use hash::{Hash, HashError, leaf_hash, node_hash};
pub use proof::{ConsistencyProof, InclusionProof, ProofMismatch, verify_consistency, verify_inclusion};
pub use tail::Tail;
pub use tile::{Bundle, TILE_WIDTH, TileId, TilePathError, root_of_full, subtree_of};
