//! Pollers and their turns.

use std::time::Duration;

use meshtrail_event::Timestamp;
pub(crate) use meshtrail_event::text::with_causes as causes;

use crate::start::Wiring;

/// A poller that is asked to take its next turn, and says when it wants another.
pub(crate) trait Turn: Send {
    /// Does what is due at `now`; the wait until the next turn.
    fn turn(&mut self, now: Timestamp) -> impl Future<Output = Duration> + Send;
}

/// Gives a poller its turns until the stop.
pub(crate) fn spawn(wiring: &Wiring, mut poller: impl Turn + 'static) {
    let stop = wiring.stop.clone();
    let turns = async move {
        loop {
            let wait = poller.turn(Timestamp::now()).await;
            tokio::time::sleep(wait).await;
        }
    };
    // A turn that is cut off leaves whole batches behind: the next start goes on from what the trail holds.
    wiring.tasks.spawn(async move { stop.run_until_cancelled(turns).await });
}
