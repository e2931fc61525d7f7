//! One trail: append, read, prove.
//!
//! ```text
//! append ─→ queue ─→ writer thread: duplicates, indexes, one write + fdatasync ─→ ack
//!                        │ full log files
//!                        └─→ sealer: segments ─→ tiles ─→ manifest ─→ checkpoint ─→ log file removed
//! ```
//!
//! - Events are durable when [`Trail::append`] returns, in the order of their indexes, each event once.
//! - Leaves are serialised and hashed by the callers; the writer only orders them.
//! - The queue is bounded: senders wait while it is full, and while the log exceeds its limit because the store accepts no
//!   segments.
//! - After a failed write or sync no more events are accepted, because it is unknown what reached the disk; a restart
//!   finds out.
//! - A second writer on the same trail is detected at the manifest; from then on no events are accepted here.
//! - A head is persisted in the store and on disk before it is returned; a trail with fewer events does not open.

mod append;
mod config;
mod error;
mod file_values;
mod head;
mod level0;
mod log_index;
mod open;
mod prove;
mod read;
mod scan;
mod seal;
mod seal_range;
mod shared;
mod snapshot;
#[cfg(test)]
mod tests;

mod writer;

pub use append::{AppendOutcome, Emitter, Leaves, MAX_BATCH};
pub use config::TrailConfig;
pub use error::{AppendError, OpenError, ProofError, ReadError};
pub(crate) use head::FILE as HEAD;
pub use scan::{Exemption, Scan};
pub use shared::State;
pub use snapshot::Snapshot;

use std::sync::Arc;

use meshtrail_event::{Position, TrailName};

use crate::note::{SignedCheckpoint, Verifier};
use shared::{Access, Shared};

/// A trail; cheap to clone. Dropping the last handle and emitter without [`Trail::close`] closes it in the background.
#[derive(Clone)]
pub struct Trail {
    shared: Arc<Shared>,
    #[expect(dead_code, reason = "held for what dropping it does")]
    handle: Arc<Handle>,
}

/// Closes the trail when the last handle is dropped.
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        open::close(&self.0);
    }
}

/// Precedes what is signed besides notes and manifests, so that no signature can be taken for another's.
const DERIVED: &[u8] = b"meshtrail derived\0";

impl Trail {
    fn of(shared: Arc<Shared>) -> Self {
        let handle = Arc::new(Handle(shared.clone()));
        Self { shared, handle }
    }

    /// The trail's name.
    pub fn name(&self) -> &TrailName {
        &self.shared.name
    }

    /// The position of `index` in this trail, as it is given to others.
    pub fn position(&self, index: u64) -> Position {
        Position { trail: self.name().clone(), index }
    }

    /// The origin line of its checkpoints.
    pub fn origin(&self) -> &str {
        &self.shared.origin
    }

    /// The number of durable events.
    pub fn size(&self) -> u64 {
        *self.shared.size.borrow()
    }

    /// A receiver of the durable size.
    pub fn subscribe(&self) -> tokio::sync::watch::Receiver<u64> {
        self.shared.size.subscribe()
    }

    /// Whether it accepts events, and if not, why.
    pub fn state(&self) -> State {
        self.shared.state()
    }

    /// Whether it accepts events.
    pub fn is_accepting(&self) -> bool {
        self.state() == State::Accepting
    }

    /// The verifier key of its checkpoints; none if it is open for reading and the store has no key.
    pub fn vkey(&self) -> Option<String> {
        self.shared.vkey()
    }

    /// Signs bytes that were derived from the trail, so that a later start can trust them; none if it is open for reading.
    /// The signature is none of a checkpoint or a manifest.
    pub fn sign_derived(&self, bytes: &[u8]) -> Option<String> {
        match &self.shared.access {
            Access::Write(writing) => Some(writing.key.sign_bytes(&[DERIVED, bytes].concat())),
            Access::Read { .. } => None,
        }
    }

    /// Whether these bytes were signed by [`Trail::sign_derived`] of this trail.
    pub fn has_signed_derived(&self, bytes: &[u8], signature: &str) -> bool {
        let verifier = self.vkey().and_then(|vkey| vkey.parse::<Verifier>().ok());
        verifier.is_some_and(|verifier| verifier.has_signed(&[DERIVED, bytes].concat(), signature))
    }

    /// Issues a signed head over all durable events. It is persisted before it is returned: from then on this trail never
    /// signs less. The same head is returned while nothing is appended, and concurrent callers share one.
    ///
    /// If the trail is open for reading, this is the head in the store, because this process has no key.
    pub async fn checkpoint(&self) -> Result<SignedCheckpoint, ProofError> {
        match &self.shared.access {
            Access::Write(_) => head::issue(&self.shared, self.size()).await,
            Access::Read { vkey } => prove::stored_checkpoint(&self.shared, vkey.as_deref()).await,
        }
    }

    /// The newest head of each other trail in the store. A new trail names them in its first event: one of these trails
    /// may have ended because events that it had signed were lost.
    pub async fn heads_of_other_trails(&self) -> Result<Vec<SignedCheckpoint>, ProofError> {
        head::other_trails(&self.shared).await
    }

    /// A signed head over the event at `index`: the newest issued one, if it covers it.
    pub async fn checkpoint_over(&self, index: u64) -> Result<SignedCheckpoint, ProofError> {
        match &self.shared.access {
            Access::Write(_) if index < self.size() => head::issue(&self.shared, index + 1).await,
            _ => self.checkpoint().await,
        }
    }
}
