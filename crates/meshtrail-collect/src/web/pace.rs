//! When to ask again.
//!
//! Good answers are followed by the usual span. After failures the span is drawn from a range that doubles up to a
//! bound ("full jitter"), so that collectors that failed together don't come back together; what the other side asks
//! for is waited at the least.

use std::time::Duration;

/// The first range after a failure.
const FIRST: Duration = Duration::from_secs(2);

/// The widest range that failures lead to.
const WIDEST: Duration = Duration::from_secs(300);

/// The longest wait that another side can ask for.
const LONGEST: Duration = Duration::from_secs(2 * 3_600);

/// The pace of one poller.
#[derive(Debug)]
pub(crate) struct Pace {
    every: Duration,
    failures: u32,
}

impl Pace {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, failures: 0 }
    }

    /// The wait after a good answer.
    pub(crate) fn good(&mut self) -> Duration {
        self.failures = 0;
        self.every
    }

    /// The wait after a failure; `asked` is what the other side wants to be waited.
    pub(crate) fn bad(&mut self, asked: Option<Duration>) -> Duration {
        self.bad_drawn(asked, getrandom::u32().unwrap_or(u32::MAX / 2))
    }

    /// Like [`Pace::bad`], with what was drawn: the whole of `u32` is the whole of the range.
    fn bad_drawn(&mut self, asked: Option<Duration>, drawn: u32) -> Duration {
        let range = FIRST.saturating_mul(1 << self.failures.min(16)).min(WIDEST.max(self.every));
        self.failures = self.failures.saturating_add(1);
        let jitter = range.mul_f64(f64::from(drawn) / f64::from(u32::MAX));
        match asked {
            Some(asked) => asked.min(LONGEST) + jitter.min(Duration::from_secs(30)),
            None => jitter.max(Duration::from_secs(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_spread_ever_wider_up_to_a_bound_and_a_good_answer_ends_them() {
        let mut pace = Pace::new(Duration::from_secs(60));
        let widest: Vec<u64> = (0..10).map(|_| pace.bad_drawn(None, u32::MAX).as_secs()).collect();
        assert_eq!(widest, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(pace.bad_drawn(None, 0), Duration::from_secs(1));
        assert_eq!(pace.good(), Duration::from_secs(60));
        assert_eq!(pace.bad_drawn(None, u32::MAX), Duration::from_secs(2));
    }

    #[test]
    fn what_the_other_side_asks_for_is_waited_within_reason() {
        let mut pace = Pace::new(Duration::from_secs(60));
        let hour = Duration::from_secs(3_600);
        let waited = pace.bad_drawn(Some(hour), u32::MAX);
        assert!(waited >= hour && waited <= hour + Duration::from_secs(30), "{waited:?}");
        assert!(pace.bad_drawn(Some(hour * 24 * 365), 0) <= LONGEST + Duration::from_secs(30));
    }
}
