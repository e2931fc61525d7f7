//! Detection of idle connections: without a first request in time, or without a further one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Limits on the time that a connection may be open without a request.
#[derive(Debug, Clone, Copy)]
pub struct IdleLimits {
    /// The deadline of its first request's head.
    pub first: Instant,
    /// The longest idle time after that.
    pub idle: Duration,
}

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdleReason {
    /// No request arrived in time.
    NoRequest,
    /// No further request arrived for the idle time.
    Idle,
}

/// The open requests of one connection; clones share them.
#[derive(Debug, Clone)]
pub struct RequestActivity(Arc<watch::Sender<State>>);

#[derive(Debug, Clone, Copy)]
struct State {
    begun: bool,
    open: usize,
    /// When the last request ended.
    since: Instant,
}

impl State {
    /// When the connection is to be closed if nothing changes, and why.
    fn deadline(self, limits: IdleLimits) -> Option<(Instant, IdleReason)> {
        match (self.begun, self.open) {
            (false, _) => Some((limits.first, IdleReason::NoRequest)),
            (true, 0) => Some((self.since + limits.idle, IdleReason::Idle)),
            (true, _) => None,
        }
    }
}

/// Marks a request as open until its answer is complete.
#[must_use]
#[derive(Debug)]
pub struct RequestGuard(Arc<watch::Sender<State>>);

impl Default for RequestActivity {
    fn default() -> Self {
        let state = State { begun: false, open: 0, since: Instant::now() };
        Self(Arc::new(watch::Sender::new(state)))
    }
}

impl RequestActivity {
    /// Starts a request.
    pub fn begin(&self) -> RequestGuard {
        self.0.send_modify(|state| {
            state.begun = true;
            state.open += 1;
        });
        RequestGuard(self.0.clone())
    }

    /// Waits until the connection exceeds a limit.
    pub async fn wait_until_idle(&self, limits: IdleLimits) -> IdleReason {
        let mut changes = self.0.subscribe();
        loop {
            let deadline = changes.borrow_and_update().deadline(limits);
            let over = async {
                match deadline {
                    Some((at, reason)) => {
                        tokio::time::sleep_until(at).await;
                        reason
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                changed = changes.changed() => changed.expect("the sender is held here"),
                reason = over => return reason,
            }
        }
    }
}

impl Drop for RequestGuard {
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
        let limits = IdleLimits { first: now + SECOND * 15, idle: SECOND * 60 };
        let mut state = State { begun: false, open: 0, since: now };
        assert_eq!(state.deadline(limits), Some((now + SECOND * 15, IdleReason::NoRequest)));
        (state.begun, state.open) = (true, 2);
        assert_eq!(state.deadline(limits), None, "a request may take as long as it takes");
        state = State { open: 0, since: now + SECOND * 7200, ..state };
        assert_eq!(state.deadline(limits), Some((now + SECOND * 7260, IdleReason::Idle)));
    }

    #[tokio::test]
    async fn a_connection_in_use_is_not_idle_until_its_last_request_ended() {
        let (activity, moment) = (RequestActivity::default(), Duration::from_millis(5));
        let limits = IdleLimits { first: Instant::now() + moment, idle: moment };
        assert_eq!(activity.wait_until_idle(limits).await, IdleReason::NoRequest);
        let (one, two) = (activity.begin(), activity.begin());
        let mut idle = Box::pin(activity.wait_until_idle(limits));
        assert!(tokio::time::timeout(moment * 10, &mut idle).await.is_err());
        drop(one);
        assert!(tokio::time::timeout(moment * 10, &mut idle).await.is_err());
        drop(two);
        assert_eq!(idle.await, IdleReason::Idle);
    }
}
