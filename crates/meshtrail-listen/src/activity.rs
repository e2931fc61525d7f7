//! Whether a connection is used: by a first request in time, and by another before long.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// How long a connection may be open without a request.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// By when the head of its first request has to be there.
    pub first: Instant,
    /// How long it may be idle after that.
    pub idle: Duration,
}

/// Why a connection is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unused {
    /// No request came in time.
    NeverAsked,
    /// No further one came for a while.
    Idle,
}

/// What a connection is used for; a clone is of the same connection.
#[derive(Debug, Clone)]
pub struct Activity(Arc<watch::Sender<State>>);

#[derive(Debug, Clone, Copy)]
struct State {
    begun: bool,
    open: usize,
    /// When the last request ended.
    since: Instant,
}

impl State {
    /// When the connection is to end if nothing changes, and why.
    fn due(self, patience: Patience) -> Option<(Instant, Unused)> {
        match (self.begun, self.open) {
            (false, _) => Some((patience.first, Unused::NeverAsked)),
            (true, 0) => Some((self.since + patience.idle, Unused::Idle)),
            (true, _) => None,
        }
    }
}

/// Held by a request until its answer is given.
#[must_use]
#[derive(Debug)]
pub struct InUse(Arc<watch::Sender<State>>);

impl Default for Activity {
    fn default() -> Self {
        let state = State { begun: false, open: 0, since: Instant::now() };
        Self(Arc::new(watch::Sender::new(state)))
    }
}

impl Activity {
    /// A request begins.
    pub fn begin(&self) -> InUse {
        self.0.send_modify(|state| {
            state.begun = true;
            state.open += 1;
        });
        InUse(self.0.clone())
    }

    /// Waits until the connection was without a request for too long.
    pub async fn unused(&self, patience: Patience) -> Unused {
        let mut changes = self.0.subscribe();
        loop {
            let due = changes.borrow_and_update().due(patience);
            let over = async {
                match due {
                    Some((at, unused)) => {
                        tokio::time::sleep_until(at).await;
                        unused
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                changed = changes.changed() => changed.expect("the sender is held here"),
                unused = over => return unused,
            }
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.send_modify(|state| {
            state.open -= 1;
            state.since = Instant::now();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_first_request_has_a_deadline_and_a_later_one_its_time_after_the_last_answer() {
        let now = Instant::now();
        let patience = Patience { first: now + SECOND * 15, idle: SECOND * 60 };
        let mut state = State { begun: false, open: 0, since: now };
        assert_eq!(state.due(patience), Some((now + SECOND * 15, Unused::NeverAsked)));
        (state.begun, state.open) = (true, 2);
        assert_eq!(state.due(patience), None, "a request may take as long as it takes");
        state = State { open: 0, since: now + SECOND * 7200, ..state };
        assert_eq!(state.due(patience), Some((now + SECOND * 7260, Unused::Idle)));
    }

    #[tokio::test]
    async fn a_connection_in_use_is_not_idle_until_its_last_request_ended() {
        let (activity, moment) = (Activity::default(), Duration::from_millis(5));
        let patience = Patience { first: Instant::now() + moment, idle: moment };
        assert_eq!(activity.unused(patience).await, Unused::NeverAsked);
        let (one, two) = (activity.begin(), activity.begin());
        let mut unused = Box::pin(activity.unused(patience));
        assert!(tokio::time::timeout(moment * 10, &mut unused).await.is_err());
        drop(one);
        assert!(tokio::time::timeout(moment * 10, &mut unused).await.is_err());
        drop(two);
        assert_eq!(unused.await, Unused::Idle);
    }
}
