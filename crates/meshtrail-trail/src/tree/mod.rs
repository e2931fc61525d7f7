//! The Merkle tree over a trail's leaves, by RFC 6962.
//!
//! A leaf is hashed with prefix 0x00, an inner node with prefix 0x01; the tree over `n` leaves splits at the largest
//! power of two below `n`. Hashes are kept by C2SP tlog-tiles: eight levels a tile, 256 hashes wide.
//!
//! - [`verify_inclusion`] and [`verify_consistency`] need nothing but the proof: no store, no clock, no key.
//! - Which nodes a proof needs is decided in [`plan`] without reading any of them.
//! - [`Tail`] holds the right edge in memory: appending costs one node hash a leaf, a root a few hundred.
//!
//! Where tiles are kept, and what leaves mean, is not known here.

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
