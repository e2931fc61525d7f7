//! An observer at work for as long as the server runs.

use meshtrail_identity::History;
use meshtrail_trail::{AppendError, Emitter, ReadError, Trail};

use super::{Observer, Origin, Snapshot};
use crate::start::Wiring;

/// Writes down what the snapshots of one origin say, one after the other.
pub(crate) struct Observations {
    trail: Trail,
    history: History,
    emitter: Emitter,
    origin: Origin,
    /// None until it is built from the trail, and again after it could not write.
    observer: Option<Observer>,
}

/// Why a snapshot could not be written down.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObservationError {
    #[error("the trail could not be read for what was last seen")]
    Read(#[from] ReadError),
    #[error("the trail could not take what changed")]
    Append(#[from] AppendError),
}

impl Observations {
    /// What is seen through `origin`, as events of `source`.
    pub(crate) fn new(wiring: &Wiring, source: &str, origin: Origin) -> Self {
        let (trail, history) = (wiring.trail.clone(), wiring.history.clone());
        let emitter = trail.emitter(source);
        Self { trail, history, emitter, origin, observer: None }
    }

    /// Reads back what was seen last, where that is not at hand.
    pub(crate) async fn look_back(&mut self) -> Result<(), ObservationError> {
        if self.observer.is_none() {
            self.observer = Some(Observer::rebuild(&self.trail, self.origin).await?);
        }
        Ok(())
    }

    /// What was seen last, where that is at hand.
    pub(crate) fn last(&self) -> Option<&Observer> {
        self.observer.as_ref()
    }

    /// Makes what a snapshot says durable; how many events that made. Who is there is told to the directory alone.
    pub(crate) async fn record(&mut self, snapshot: Snapshot) -> Result<usize, ObservationError> {
        self.look_back().await?;
        snapshot.tell_presence(&self.history);
        let mut observer = self.observer.take().expect("it was read back just now");
        let count = observer.record(snapshot, &self.emitter).await?;
        self.observer = Some(observer);
        Ok(count)
    }
}
