//! One trail: append, read, prove.
//!
//! ```text
//! append ─→ queue ─→ writer thread: duplicates, indexes, one write + fdatasync ─→ ack
//!                        │ full log files
//!                        └─→ sealer: segments ─→ tiles ─→ manifest ─→ checkpoint ─→ log file given back
//! ```
//!
//! - What [`Trail::append`] returned for is durable, in the order of its indexes, each event once.
//! - Leaves are made and hashed by their callers; the writer only orders them.
//! - The queue is bounded: a full one makes senders wait. So does a log that grows past its bound because the store
//!   does not take segments.
//! - After a failed write or sync nothing more is taken: what reached the disk is not known then. A restart finds out.
//! - A second writer on the same trail is found out at the manifest; from then on nothing is taken here.
//! - A head is kept in the store and on disk before it is given out; a trail that has less does not open.

mod append;
mod config;
mod error;
mod head;
mod hot;
mod level0;
mod open;
mod prove;
mod read;
mod scan;
mod seal;
mod shared;
mod snapshot;
#[cfg(test)]
mod tests;

mod writer;

pub use append::{Appended, Emitter, Leaves, MAX_BATCH};
pub use config::TrailConfig;
pub use error::{AppendError, OpenError, ProofError, ReadError};
pub(crate) use head::FILE as HEAD;
pub use scan::Scan;
pub use shared::State;
pub use snapshot::Snapshot;

use std::sync::Arc;

use crate::note::SignedCheckpoint;
use shared::{Access, Shared};

/// A trail; cheap to clone. When the last handle and emitter go without [`Trail::close`], it closes behind them.
#[derive(Clone)]
pub struct Trail {
    shared: Arc<Shared>,
    #[expect(dead_code, reason = "held for what dropping it does")]
    handle: Arc<Handle>,
}

/// Closes the trail when the last one goes.
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        open::close(&self.0);
    }
}

impl Trail {
    fn of(shared: Arc<Shared>) -> Self {
        let handle = Arc::new(Handle(shared.clone()));
        Self { shared, handle }
    }

    /// The trail's name.
    pub fn name(&self) -> &str {
        &self.shared.config.name
    }

    /// The origin line of its checkpoints.
    pub fn origin(&self) -> &str {
        &self.shared.origin
    }

    /// Events that are durable.
    pub fn size(&self) -> u64 {
        *self.shared.size.borrow()
    }

    /// The durable size now and from now on.
    pub fn subscribe(&self) -> tokio::sync::watch::Receiver<u64> {
        self.shared.size.subscribe()
    }

    /// Whether it takes events, and if not, why.
    pub fn state(&self) -> State {
        self.shared.state()
    }

    /// Whether it takes events.
    pub fn is_accepting(&self) -> bool {
        self.state() == State::Accepting
    }

    /// The key that its checkpoints are checked with; none where it is open for reading and the store has none.
    pub fn vkey(&self) -> Option<String> {
        self.shared.vkey()
    }

    /// The signed size and root of all that is durable, kept before it is given out: from then on this trail never
    /// signs less. The same one is given again while nothing is appended; in a rush, several callers share one.
    ///
    /// Open for reading, it is the one that the store has: this process has no key.
    pub async fn checkpoint(&self) -> Result<SignedCheckpoint, ProofError> {
        match &self.shared.access {
            Access::Write(_) => head::give_out(&self.shared, self.size()).await,
            Access::Read { vkey } => prove::stored(&self.shared, vkey.as_deref()).await,
        }
    }

    /// The newest head of each other trail in the store. A new trail names them in its first event: one of them may
    /// have ended because what it had signed was lost.
    pub async fn heads_of_other_trails(&self) -> Result<Vec<SignedCheckpoint>, ProofError> {
        head::of_others(&self.shared).await
    }

    /// A signed head that has the event at `index` under it: the newest that was given out, if it does.
    pub async fn checkpoint_over(&self, index: u64) -> Result<SignedCheckpoint, ProofError> {
        match &self.shared.access {
            Access::Write(_) if index < self.size() => head::give_out(&self.shared, index + 1).await,
            _ => self.checkpoint().await,
        }
    }
}
