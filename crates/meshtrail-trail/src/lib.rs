//! A durable, ordered, provable sequence of events, on a folder or a bucket.
//!
//! - [`Trail`]: append, read, prove.
//! - [`store`]: where sealed things are kept; [`segment`]: leaves as Parquet that gives back every byte.
//! - [`manifest`]: the signed-for list of segments; [`retention`]: dropping whole segments.
//! - [`tree`]: the Merkle tree and its proofs; [`note`]: signed checkpoints.
//! - [`wal`]: the log of what is not sealed yet; [`dedupe`]: an event counts once.
//! - [`verify`]: names what is wrong with a store.
//! - [`fault`]: breaking durable steps on purpose, for tests.
//!
//! What an event means is not known here.

pub mod dedupe;
pub mod fault;
pub mod manifest;
pub mod note;
pub mod retention;
#[cfg(test)]
mod sealed_fixture;
pub mod segment;
pub mod store;
mod trail;
pub mod tree;
pub mod verify;
pub mod wal;

pub use note::{Checkpoint, SignedCheckpoint, verify_note};
pub use trail::{
    AppendError, Appended, Emitter, Leaves, MAX_BATCH, OpenError, ProofError, ReadError, Scan, Snapshot,
    State, Trail, TrailConfig,
};
