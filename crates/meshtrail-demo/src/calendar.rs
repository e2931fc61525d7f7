//! Working hours: nine to six local time, Monday to Friday.

use meshtrail_event::Timestamp;

use crate::random::Random;

/// Nanoseconds of a second.
pub(crate) const SECOND: i64 = 1_000_000_000;

/// Nanoseconds of a minute.
pub(crate) const MINUTE: i64 = 60 * SECOND;

/// Nanoseconds of an hour.
pub(crate) const HOUR: i64 = 3600 * SECOND;

/// Nanoseconds of a day.
pub(crate) const DAY: i64 = 24 * HOUR;

/// Whether `nanos` is in working hours in the time zone `zone` minutes ahead of UTC.
pub(crate) fn works(nanos: i64, zone: i64) -> bool {
    let there = nanos + zone * MINUTE;
    // The epoch was a Thursday.
    let weekday = (there / DAY + 3) % 7;
    let hour = there % DAY / HOUR;
    weekday < 5 && (9..18).contains(&hour)
}

/// The days of a story: from `begin` until `until`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Days {
    pub(crate) begin: i64,
    pub(crate) until: i64,
}

impl Days {
    /// The last `days` days before `until`.
    pub(crate) fn before(until: Timestamp, days: u64) -> Self {
        let until = until.as_nanos();
        Self { begin: until - i64::try_from(days).unwrap_or(30) * DAY, until }
    }

    /// The moment `days_ago` days before the end, at a time of day in UTC. A weekend is moved to the Friday before, or to the
    /// Monday after if that Friday is before the beginning.
    pub(crate) fn at(&self, days_ago: i64, hour: i64, minute: i64) -> i64 {
        let is_weekend = |midnight: i64| (midnight / DAY + 3) % 7 > 4;
        let time = hour * HOUR + minute * MINUTE;
        let mut midnight = (self.until - days_ago * DAY) / DAY * DAY;
        while is_weekend(midnight) {
            midnight -= DAY;
        }
        while midnight + time < self.begin || is_weekend(midnight) {
            midnight += DAY;
        }
        midnight + time
    }

    /// A random moment in the working hours of a time zone.
    pub(crate) fn workday_moment(&self, random: &mut Random, zone: i64) -> i64 {
        let span = u64::try_from(self.until - self.begin).unwrap_or(1);
        for _ in 0..64 {
            let at = self.begin + i64::try_from(random.below(span)).unwrap_or(0);
            if works(at, zone) {
                return at;
            }
        }
        self.begin
    }

    /// A random moment.
    pub(crate) fn moment(&self, random: &mut Random) -> i64 {
        let span = u64::try_from(self.until - self.begin).unwrap_or(1);
        self.begin + i64::try_from(random.below(span)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_within_the_days_on_whichever_day_and_hour_they_end() {
        for hours in 0..14 * 24 {
            let days = Days::before(Timestamp::from_nanos(1_780_000_000_000_000_000 + hours * HOUR), 30);
            for days_ago in 1..29 {
                let at = days.at(days_ago, 9, 15);
                assert!(at >= days.begin && at < days.until, "{days_ago} days before hour {hours}");
                assert!((at / DAY + 3) % 7 <= 4, "a weekend");
            }
        }
    }

    #[test]
    fn nine_to_six_on_weekdays_where_they_are() {
        let works_at =
            |time: &str, zone: i64| works(time.parse::<Timestamp>().unwrap().as_nanos(), zone * 60);
        assert!(works_at("2026-11-20T10:00:00Z", 0), "a Friday");
        assert!(!works_at("2026-11-21T10:00:00Z", 0), "a Saturday");
        assert!(!works_at("2026-11-20T08:59:00Z", 0));
        assert!(works_at("2026-11-20T08:00:00Z", 1));
        assert!(works_at("2026-11-21T00:30:00Z", -8), "still Friday there");
    }
}
