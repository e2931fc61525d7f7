//! An observer together with the trail and the directory that it writes to.

use meshtrail_change::snapshot::{Observer, Origin, Snapshot};
use meshtrail_identity::History;
use meshtrail_trail::{AppendError, Emitter, ReadError, Trail};

use crate::start::Wiring;

/// Records the snapshots of one origin, one after the other.
pub(crate) struct Observations {
    trail: Trail,
    history: History,
    emitter: Emitter,
    origin: Origin,
    /// None until it is rebuilt from the trail, and again after a write failed.
    observer: Option<Observer>,
}

/// Why a snapshot could not be recorded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObservationError {
    #[error("the trail could not be read for what was last seen")]
    Read(#[from] ReadError),
    #[error("the trail could not take what changed")]
    Append(#[from] AppendError),
}

impl Observations {
    /// Snapshots of `origin`, as events of `source`.
    pub(crate) fn new(wiring: &Wiring, source: &str, origin: Origin) -> Self {
        let (trail, history) = (wiring.trail.clone(), wiring.history.clone());
        let emitter = trail.emitter(source);
        Self { trail, history, emitter, origin, observer: None }
    }

    /// Rebuilds the observer from the trail, unless it is there already.
    pub(crate) async fn rebuild(&mut self) -> Result<(), ObservationError> {
        if self.observer.is_none() {
            self.observer = Some(Observer::rebuild(&self.trail, self.origin).await?);
        }
        Ok(())
    }

    /// The observer with the last state, where it is rebuilt.
    pub(crate) fn last(&self) -> Option<&Observer> {
        self.observer.as_ref()
    }

    /// Makes the changes of a snapshot durable; returns how many events were written. Presence (who was seen when) goes
    /// to the directory only.
    pub(crate) async fn record(&mut self, snapshot: Snapshot) -> Result<usize, ObservationError> {
        self.rebuild().await?;
        snapshot.record_presence(&self.history);
        let mut observer = self.observer.take().expect("it was rebuilt just now");
        let count = observer.record(snapshot, &self.emitter).await?;
        self.observer = Some(observer);
        Ok(count)
    }
}
