//! Which stretch of a log is asked next.
//!
//! - Windows go from the oldest to the newest, so that what the trail holds is a beginning of what there is: a crash
//!   anywhere is gone on from at the newest record held.
//! - Each round overlaps the last one, and now and then looks back a day: logs take records in late.
//! - A window whose answer is too large is halved; small answers make the next one longer.
//! - What a log keeps no more is told as a gap, once.

use std::time::Duration;

use meshtrail_event::Timestamp;

/// The shortest window.
const SHORTEST: Duration = Duration::from_secs(1);

/// How far past the API's own time is asked, so that what its clocks disagree on is not missed.
const AHEAD: Duration = Duration::from_secs(120);

/// Answers below this many bytes make windows longer.
const SMALL: usize = 2 << 20;

/// How a log is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// How far back the first round goes where the trail holds nothing.
    pub(super) since: Duration,
    /// How long the log keeps its records.
    pub(super) kept: Duration,
    /// How far each round looks back behind what was read.
    pub(super) overlap: Duration,
    /// How far, now and then, a round looks back; and how often.
    pub(super) sweep: Option<(Duration, Duration)>,
    /// The longest window.
    pub(super) longest: Duration,
}

/// What is read of a log.
#[derive(Debug)]
pub(super) struct Reading {
    plan: Plan,
    /// Everything up to here was asked for.
    read_to: Option<Timestamp>,
    swept: Option<Timestamp>,
    step: Duration,
}

/// One round: windows from its start to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    /// What the log keeps no more.
    pub(super) gap: Option<(Timestamp, Timestamp)>,
    sweeps: bool,
}

impl Reading {
    /// Nothing was read since the start; the trail holds records up to `held`.
    pub(super) fn new(plan: Plan, held: Option<Timestamp>) -> Self {
        Self { step: plan.longest, plan, read_to: held, swept: None }
    }

    /// The round that is due when the API's clock shows `now`.
    pub(super) fn round(&self, now: Timestamp) -> Round {
        let Plan { since, kept, overlap, sweep, .. } = self.plan;
        let horizon = now.before(kept);
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

    /// The round's gap was told.
    pub(super) fn told(&mut self, round: &Round) {
        self.read_to = self.read_to.max(Some(round.from));
    }

    /// The window up to `end` was taken, from an answer of so many bytes.
    pub(super) fn took(&mut self, end: Timestamp, bytes: usize) {
        self.read_to = self.read_to.max(Some(end));
        if bytes < SMALL {
            self.step = (self.step * 2).min(self.plan.longest);
        }
    }

    /// The window's answer was too large: whether a shorter one can be asked.
    pub(super) fn shorten(&mut self) -> bool {
        let can = self.step > SHORTEST;
        self.step = (self.step / 4).max(SHORTEST);
        can
    }

    /// The round is done; the API's clock showed `now` when it began.
    pub(super) fn done(&mut self, round: &Round, now: Timestamp) {
        // Ahead of its clock nothing is final.
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

    fn plan() -> Plan {
        Plan {
            since: 48 * HOUR,
            kept: 90 * 24 * HOUR,
            overlap: HOUR,
            sweep: Some((24 * HOUR, 12 * HOUR)),
            longest: 24 * HOUR,
        }
    }

    #[test]
    fn the_first_round_goes_as_far_back_as_was_asked() {
        let reading = Reading::new(plan(), None);
        let round = reading.round(at(100));
        assert_eq!((round.from, round.gap), (at(52), None));
        assert_eq!(reading.window(&round, round.from), at(76));
    }

    #[test]
    fn a_round_overlaps_what_was_read_and_looks_back_a_day_now_and_then() {
        let mut reading = Reading::new(plan(), Some(at(99)));
        let first = reading.round(at(100));
        assert_eq!(first.from, at(76), "after a start it looks back");
        reading.done(&first, at(100));
        let second = reading.round(at(101));
        assert_eq!(second.from, at(99), "then it overlaps");
        reading.done(&second, at(101));
        assert_eq!(reading.round(at(112)).from, at(88), "and looks back again");
    }

    #[test]
    fn what_the_log_keeps_no_more_is_a_gap_told_once() {
        let mut reading = Reading::new(plan(), Some(at(0)));
        let now = at(100 * 24);
        let round = reading.round(now);
        assert_eq!((round.from, round.gap), (at(240), Some((at(0), at(240)))));
        reading.told(&round);
        assert_eq!(reading.round(now).gap, None);
    }

    #[test]
    fn a_record_from_the_future_does_not_move_the_reading_ahead() {
        let reading = Reading::new(plan(), Some(at(1_000)));
        assert!(reading.round(at(100)).from <= at(99));
    }

    #[test]
    fn windows_shrink_to_what_can_be_read_and_grow_again() {
        let mut reading = Reading::new(plan(), None);
        let round = reading.round(at(100));
        assert!(reading.shorten());
        let end = reading.window(&round, round.from);
        assert_eq!(end, round.from.after(6 * HOUR));
        reading.took(end, 10);
        assert_eq!(reading.window(&round, end), end.after(12 * HOUR));
        for _ in 0..20 {
            reading.shorten();
        }
        assert!(!reading.shorten());
    }
}
