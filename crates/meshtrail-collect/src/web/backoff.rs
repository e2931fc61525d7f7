//! Waits between requests of a poller: the usual interval after a success, exponential backoff with full jitter after
//! failures, so that pollers that failed together don't retry together. A wait that the server asks for is the minimum.

use std::time::Duration;

/// The jitter's range after the first failure.
const FIRST: Duration = Duration::from_secs(2);

/// The jitter's widest range.
const WIDEST: Duration = Duration::from_secs(300);

/// The longest wait that a server can ask for.
const LONGEST: Duration = Duration::from_secs(2 * 3_600);

/// The backoff of one poller.
#[derive(Debug)]
pub(crate) struct Backoff {
    every: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, failures: 0 }
    }

    /// The wait after a success.
    pub(crate) fn success(&mut self) -> Duration {
        self.failures = 0;
        self.every
    }

    /// The wait after a failure; `retry_after` is the wait that the server asked for.
    pub(crate) fn failure(&mut self, retry_after: Option<Duration>) -> Duration {
        self.failure_with(retry_after, getrandom::u32().unwrap_or(u32::MAX / 2))
    }

    /// [`Backoff::failure`] with a given random number: `0..=u32::MAX` maps to the whole range.
    fn failure_with(&mut self, retry_after: Option<Duration>, drawn: u32) -> Duration {
        let range = FIRST.saturating_mul(1 << self.failures.min(16)).min(WIDEST.max(self.every));
        self.failures = self.failures.saturating_add(1);
        let jitter = range.mul_f64(f64::from(drawn) / f64::from(u32::MAX));
        match retry_after {
            Some(retry_after) => retry_after.min(LONGEST) + jitter.min(Duration::from_secs(30)),
            None => jitter.max(Duration::from_secs(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_spread_ever_wider_up_to_a_bound_and_a_good_answer_ends_them() {
        let mut backoff = Backoff::new(Duration::from_secs(60));
        let widest: Vec<u64> = (0..10).map(|_| backoff.failure_with(None, u32::MAX).as_secs()).collect();
        assert_eq!(widest, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(backoff.failure_with(None, 0), Duration::from_secs(1));
        assert_eq!(backoff.success(), Duration::from_secs(60));
        assert_eq!(backoff.failure_with(None, u32::MAX), Duration::from_secs(2));
    }

    #[test]
    fn what_the_other_side_asks_for_is_waited_within_reason() {
        let mut backoff = Backoff::new(Duration::from_secs(60));
        let hour = Duration::from_secs(3_600);
        let waited = backoff.failure_with(Some(hour), u32::MAX);
        assert!(waited >= hour && waited <= hour + Duration::from_secs(30), "{waited:?}");
        assert!(backoff.failure_with(Some(hour * 24 * 365), 0) <= LONGEST + Duration::from_secs(30));
    }
}
