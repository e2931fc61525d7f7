//! A durable, ordered, provable sequence of events, on a folder or a bucket.
//!
//! - [`Trail`]: append, read, prove. [`Follower`]: read on as it grows; [`NamedCursor`]: go on there after a restart.
//! - [`store`]: the object store, a folder or a bucket; [`segment`]: leaves as Parquet, restored byte for byte.
//! - [`manifest`]: the signed list of segments; [`retention`]: dropping whole segments.
//! - [`tree`]: the Merkle tree and its proofs; [`note`]: signed checkpoints.
//! - [`wal`]: the log of events that are not sealed yet.
//! - [`dedupe`]: detection of duplicate events; [`Recent`]: a bounded memory of what came, for what has no number.
//! - [`verify`]: verification of a store, with a report of problems.
//! - [`run_detached`], [`run_blocking`]: work that runs to its end, whoever hangs up.
//! - [`durable`]: atomic replacement of small files; [`fault`]: fault injection into durable steps, for tests.
//!
//! What an event means is not known here.

pub mod dedupe;
mod detached;
pub mod durable;
pub mod fault;
pub mod follow;
pub mod manifest;
pub mod note;
mod recent;
pub mod retention;
#[cfg(test)]
mod sealed_fixture;
pub mod segment;
pub mod store;
mod trail;
pub mod tree;
pub mod verify;
pub mod wal;

pub use detached::{run_blocking, run_detached};
pub use follow::cursor::{CursorError, NamedCursor};
pub use follow::{Batch, Follower};
pub use note::{Checkpoint, SignedCheckpoint, verify_note};
pub use recent::Recent;
pub use trail::{
    AppendError, AppendOutcome, Emitter, Exemption, Leaves, MAX_BATCH, OpenError, ProofError, ReadError,
    Scan, Snapshot, State, Trail, TrailConfig,
};
