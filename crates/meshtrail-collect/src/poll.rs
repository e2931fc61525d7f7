//! Pollers: the trait they implement and the task that runs one.

use std::time::Duration;

use meshtrail_event::Timestamp;
pub(crate) use meshtrail_event::text::with_causes as causes;

use crate::start::Wiring;

/// Polls one API and decides when to poll it again.
pub(crate) trait Poller: Send {
    /// Polls once; `now` is this machine's time. Returns the wait until the next poll.
    fn poll(&mut self, now: Timestamp) -> impl Future<Output = Duration> + Send;
}

/// Runs a poller in a task of its own until [`Wiring::stop`].
pub(crate) fn spawn(wiring: &Wiring, mut poller: impl Poller + 'static) {
    let stop = wiring.stop.clone();
    let polls = async move {
        loop {
            let wait = poller.poll(Timestamp::now()).await;
            tokio::time::sleep(wait).await;
        }
    };
    // A poll that is cut off leaves whole batches behind: the next start continues from what the trail holds.
    wiring.tasks.spawn(async move { stop.run_until_cancelled(polls).await });
}
