//! Times in a filter: a duration ago, a day, or an instant.

use std::fmt;
use std::time::Duration;

use meshtrail_event::Timestamp;

const DAY: Duration = Duration::from_secs(86_400);

/// A point in time, absolute or relative to now.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TimeExpr {
    /// This long before now.
    Ago(Duration),
    /// A day in UTC, by its first instant.
    Day(Timestamp),
    /// The current day.
    Today,
    /// The day before.
    Yesterday,
    /// An instant.
    At(Timestamp),
}

impl TimeExpr {
    pub(crate) fn parse(text: &str) -> Option<TimeExpr> {
        if text.eq_ignore_ascii_case("today") {
            return Some(TimeExpr::Today);
        }
        if text.eq_ignore_ascii_case("yesterday") {
            return Some(TimeExpr::Yesterday);
        }
        if let Some(ago) = ago(text) {
            return Some(TimeExpr::Ago(ago));
        }
        if text.len() == "2026-11-20".len() {
            return format!("{text}T00:00:00Z").parse().ok().map(TimeExpr::Day);
        }
        // Without a zone it is UTC, and seconds may be omitted.
        let candidates = [text.to_owned(), format!("{text}Z"), format!("{text}:00Z")];
        candidates.iter().find_map(|text| text.parse().ok()).map(TimeExpr::At)
    }

    /// The first instant that `since` includes.
    pub(crate) fn start(&self, now: Timestamp) -> Timestamp {
        match self {
            TimeExpr::Ago(ago) => now.before(*ago),
            TimeExpr::Day(instant) | TimeExpr::At(instant) => *instant,
            TimeExpr::Today => midnight(now),
            TimeExpr::Yesterday => midnight(now).before(DAY),
        }
    }

    /// The first instant that `until` excludes: the end of a day, or the instant itself.
    pub(crate) fn end(&self, now: Timestamp) -> Timestamp {
        match self {
            TimeExpr::Ago(_) | TimeExpr::At(_) => self.start(now),
            TimeExpr::Day(_) | TimeExpr::Today | TimeExpr::Yesterday => self.start(now).after(DAY),
        }
    }
}

/// Parses an instant like `since:` in a filter: `2h` ago, `2026-11-20`, `2026-11-20T14:02Z`, `yesterday`.
pub fn instant(text: &str, now: Timestamp) -> Option<Timestamp> {
    TimeExpr::parse(text)
        .or_else(|| TimeExpr::parse(&format!("{}:00Z", text.strip_suffix('Z')?)))
        .map(|expr| expr.start(now))
}

fn midnight(now: Timestamp) -> Timestamp {
    let seconds = now.as_seconds();
    Timestamp::from_seconds(seconds - seconds % 86_400).expect("a day that has begun began in range")
}

/// `90s`, `30m`, `1h30m`, `7d`, `2w`: a number before each unit, at most a hundred years in all.
fn ago(text: &str) -> Option<Duration> {
    let (mut total, mut digits) = (0u64, String::new());
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            _ => return None,
        };
        total = digits.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(total)?;
        digits.clear();
    }
    let whole = !text.is_empty() && digits.is_empty() && total <= 100 * 366 * 86_400;
    whole.then(|| Duration::from_secs(total))
}

impl fmt::Display for TimeExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TimeExpr::Today => f.write_str("today"),
            TimeExpr::Yesterday => f.write_str("yesterday"),
            TimeExpr::Day(day) => f.write_str(&day.to_string()[..10]),
            TimeExpr::At(instant) => write!(f, "{instant}"),
            TimeExpr::Ago(ago) => {
                let seconds = ago.as_secs();
                let units = [(86_400, 'd'), (3600, 'h'), (60, 'm')];
                let unit = units.into_iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
                let (unit, name) = unit.unwrap_or((1, 's'));
                write!(f, "{}{name}", seconds / unit)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(text: &str) -> (String, String) {
        let now = "2026-11-20T14:02:11Z".parse().unwrap();
        let expr = TimeExpr::parse(text).unwrap();
        let short = |instant: Timestamp| instant.to_string()[..19].to_owned();
        (short(expr.start(now)), short(expr.end(now)))
    }

    #[test]
    fn a_day_reaches_to_its_end_and_an_instant_is_one() {
        let both = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        assert_eq!(bounds("2026-11-19"), both("2026-11-19T00:00:00", "2026-11-20T00:00:00"));
        assert_eq!(bounds("today"), both("2026-11-20T00:00:00", "2026-11-21T00:00:00"));
        assert_eq!(bounds("yesterday"), both("2026-11-19T00:00:00", "2026-11-20T00:00:00"));
        assert_eq!(bounds("1h30m").0, "2026-11-20T12:32:11");
        assert_eq!(bounds("2026-11-20T15:00:00+01:00").1, "2026-11-20T14:00:00");
        assert_eq!(bounds("2026-11-20T09:30").0, "2026-11-20T09:30:00");
    }

    #[test]
    fn an_instant_may_leave_out_its_seconds_with_or_without_a_zone() {
        let now = "2026-11-20T16:00:00Z".parse().unwrap();
        let expected = "2026-11-20T14:02:00Z".parse().ok();
        for text in ["2026-11-20T14:02Z", "2026-11-20T14:02", "2026-11-20T15:02:00+01:00", "1h58m"] {
            assert_eq!(instant(text, now), expected, "{text}");
        }
        assert_eq!(instant("Z", now), None);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in
            ["", "7", "7x", "h", "99999999w", "2026-13-01", "2026-11-20T", "tomorrow", "20261120", "٣h"]
        {
            assert_eq!(TimeExpr::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_reads_back_as_it_is_written() {
        for text in
            ["90s", "45m", "36h", "7d", "0s", "2026-11-20", "today", "yesterday", "2026-11-20T14:02:11Z"]
        {
            let expr = TimeExpr::parse(text).unwrap();
            assert_eq!(TimeExpr::parse(&expr.to_string()), Some(expr));
        }
        assert_eq!(TimeExpr::parse("2w").unwrap().to_string(), "14d");
    }
}
