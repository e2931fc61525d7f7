//! The windows of time by which a log is read.
//!
//! - Windows go from the oldest to the newest, so that the trail always holds a prefix of the log: after a crash, reading
//!   continues from the newest stored record.
//! - Each round overlaps the last one, and now and then one goes back a day: logs receive some records late.
//! - A window whose response is too large is cut to a quarter; small responses double the next one.
//! - Records that the log has dropped unread are reported as a gap, once.

use std::time::Duration;

use meshtrail_event::Timestamp;

/// The shortest window.
const SHORTEST: Duration = Duration::from_secs(1);

/// A round reads this far past the API's own time, because the API's clocks may differ among each other.
const AHEAD: Duration = Duration::from_secs(120);

/// Responses below this many bytes make windows longer.
const SMALL_RESPONSE: usize = 2 << 20;

/// How a log is divided into windows.
#[derive(Debug, Clone, Copy)]
pub(super) struct WindowPlan {
    /// How far back the first round goes if the trail holds no records.
    pub(super) since: Duration,
    /// How long the log keeps its records.
    pub(super) retention: Duration,
    /// How far each round goes back behind the end of the last one.
    pub(super) overlap: Duration,
    /// How far a sweep goes back, and the interval between two sweeps.
    pub(super) sweep: Option<(Duration, Duration)>,
    /// The longest window.
    pub(super) longest: Duration,
}

/// How far a log has been read.
#[derive(Debug)]
pub(super) struct ReadProgress {
    plan: WindowPlan,
    /// Everything up to here has been read.
    read_to: Option<Timestamp>,
    swept: Option<Timestamp>,
    step: Duration,
}

/// One round of reading: windows from its start to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    /// The time of which the log has dropped records that were not read.
    pub(super) gap: Option<(Timestamp, Timestamp)>,
    sweeps: bool,
}

impl ReadProgress {
    /// At start; the trail holds records up to `stored`.
    pub(super) fn new(plan: WindowPlan, stored: Option<Timestamp>) -> Self {
        Self { step: plan.longest, plan, read_to: stored, swept: None }
    }

    /// The next round; `now` is the API's time.
    pub(super) fn round(&self, now: Timestamp) -> Round {
        let WindowPlan { since, retention, overlap, sweep, .. } = self.plan;
        let horizon = now.before(retention);
        let from = match self.read_to {
            None => now.before(since),
            Some(read_to) => read_to.min(now).before(overlap),
        };
        let back = sweep.filter(|(_, often)| self.swept.is_none_or(|swept| now.since(swept) >= *often));
        let from = match (back, self.read_to) {
            (Some((back, _)), Some(_)) => from.min(now.before(back)),
            _ => from,
        };
        let gap = self.read_to.filter(|read_to| *read_to < horizon).map(|read_to| (read_to, horizon));
        Round { from: from.max(horizon), to: now.after(AHEAD), gap, sweeps: back.is_some() }
    }

    /// The end of the window that begins at `from`.
    pub(super) fn window(&self, round: &Round, from: Timestamp) -> Timestamp {
        from.after(self.step).min(round.to)
    }

    /// Continues after the round's gap, which was reported.
    pub(super) fn skip_gap(&mut self, round: &Round) {
        self.read_to = self.read_to.max(Some(round.from));
    }

    /// The window up to `end` was written; its response had this many bytes.
    pub(super) fn advance(&mut self, end: Timestamp, bytes: usize) {
        self.read_to = self.read_to.max(Some(end));
        if bytes < SMALL_RESPONSE {
            self.step = (self.step * 2).min(self.plan.longest);
        }
    }

    /// The window's response was too large. Returns whether the window could be made shorter.
    pub(super) fn shorten(&mut self) -> bool {
        let can = self.step > SHORTEST;
        self.step = (self.step / 4).max(SHORTEST);
        can
    }

    /// The round is complete; `now` is the API's time when it began.
    pub(super) fn finish(&mut self, round: &Round, now: Timestamp) {
        // Records dated after the API's time may still be added.
        self.read_to = Some(now);
        if round.sweeps {
            self.swept = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn at(hours: u64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000).unwrap().after(HOUR * u32::try_from(hours).unwrap())
    }

    fn plan() -> WindowPlan {
        WindowPlan {
            since: 48 * HOUR,
            retention: 90 * 24 * HOUR,
            overlap: HOUR,
            sweep: Some((24 * HOUR, 12 * HOUR)),
            longest: 24 * HOUR,
        }
    }

    #[test]
    fn the_first_round_goes_as_far_back_as_was_asked() {
        let progress = ReadProgress::new(plan(), None);
        let round = progress.round(at(100));
        assert_eq!((round.from, round.gap), (at(52), None));
        assert_eq!(progress.window(&round, round.from), at(76));
    }

    #[test]
    fn a_round_overlaps_what_was_read_and_looks_back_a_day_now_and_then() {
        let mut progress = ReadProgress::new(plan(), Some(at(99)));
        let first = progress.round(at(100));
        assert_eq!(first.from, at(76), "after a start it looks back");
        progress.finish(&first, at(100));
        let second = progress.round(at(101));
        assert_eq!(second.from, at(99), "then it overlaps");
        progress.finish(&second, at(101));
        assert_eq!(progress.round(at(112)).from, at(88), "and looks back again");
    }

    #[test]
    fn what_the_log_keeps_no_more_is_a_gap_told_once() {
        let mut progress = ReadProgress::new(plan(), Some(at(0)));
        let now = at(100 * 24);
        let round = progress.round(now);
        assert_eq!((round.from, round.gap), (at(240), Some((at(0), at(240)))));
        progress.skip_gap(&round);
        assert_eq!(progress.round(now).gap, None);
    }

    #[test]
    fn a_record_from_the_future_does_not_move_the_reading_ahead() {
        let progress = ReadProgress::new(plan(), Some(at(1_000)));
        assert!(progress.round(at(100)).from <= at(99));
    }

    #[test]
    fn windows_shrink_to_what_can_be_read_and_grow_again() {
        let mut progress = ReadProgress::new(plan(), None);
        let round = progress.round(at(100));
        assert!(progress.shorten());
        let end = progress.window(&round, round.from);
        assert_eq!(end, round.from.after(6 * HOUR));
        progress.advance(end, 10);
        assert_eq!(progress.window(&round, end), end.after(12 * HOUR));
        for _ in 0..20 {
            progress.shorten();
        }
        assert!(!progress.shorten());
    }
}
