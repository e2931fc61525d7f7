//! Events per second over the last minutes.

use meshtrail_event::Timestamp;

/// Seconds of one bucket.
const BUCKET: i64 = 15;

/// Number of buckets that the rate is computed over: five minutes.
const BUCKETS: i64 = 20;

/// Event counts per bucket of time; the newest bucket is still filling.
#[derive(Debug, Default)]
pub(super) struct Rate {
    counts: [u64; BUCKETS as usize],
    /// The number of the newest bucket, since the epoch.
    newest: i64,
    /// The first bucket ever counted.
    first: Option<i64>,
}

impl Rate {
    pub(super) fn count(&mut self, events: u64, now: Timestamp) {
        self.advance(now);
        self.first.get_or_insert(self.newest);
        self.counts[slot(self.newest)] += events;
    }

    /// Events per second over the last five minutes, or since the first were counted.
    pub(super) fn per_second(&self, now: Timestamp) -> f64 {
        let Some(first) = self.first else { return 0.0 };
        let bucket = now.as_seconds() / BUCKET;
        let oldest = (bucket - BUCKETS + 1).max(first);
        let counted: u64 = (oldest..=self.newest.min(bucket))
            .filter(|bucket| *bucket > self.newest - BUCKETS)
            .map(|bucket| self.counts[slot(bucket)])
            .sum();
        let seconds = (now.as_seconds() - oldest * BUCKET).clamp(1, BUCKET * BUCKETS);
        counted as f64 / seconds as f64
    }

    fn advance(&mut self, now: Timestamp) {
        let bucket = now.as_seconds() / BUCKET;
        let stale = (self.newest + 1).max(bucket - BUCKETS + 1)..=bucket;
        for bucket in stale {
            self.counts[slot(bucket)] = 0;
        }
        self.newest = self.newest.max(bucket);
    }
}

fn slot(bucket: i64) -> usize {
    usize::try_from(bucket.rem_euclid(BUCKETS)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_forgets_what_is_five_minutes_old() {
        let at = |seconds: i64| Timestamp::from_seconds(1_800_000_000 + seconds).unwrap();
        let mut rate = Rate::default();
        assert!(rate.per_second(at(0)).abs() < f64::EPSILON);
        rate.count(600, at(0));
        assert!((rate.per_second(at(60)) - 10.0).abs() < 1e-9);
        rate.count(0, at(240));
        assert!((rate.per_second(at(240)) - 2.5).abs() < 1e-9);
        assert!(rate.per_second(at(400)).abs() < f64::EPSILON);
        rate.count(30, at(4_000));
        assert!(rate.per_second(at(4_001)) <= 30.0);
    }
}
