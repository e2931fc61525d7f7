//! Durations, sizes and numbers as text.

use std::time::Duration;

use meshtrail_event::Timestamp;

/// The time between `at` and `now`: `2 min 11 s ago`.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    if at > now {
        return format!("in {}", duration(at.since(now)));
    }
    format!("{} ago", duration(now.since(at)))
}

/// A duration with its two largest units: `2 min 11 s`.
pub(crate) fn duration(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0 => "under 1 s".to_owned(),
        1..60 => format!("{seconds} s"),
        60..3600 => two_units(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two_units(seconds / 3600, "h", seconds / 60 % 60, "min"),
        _ => two_units(seconds / 86_400, "d", seconds / 3600 % 24, "h"),
    }
}

fn two_units(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large} {large_unit}")
    } else {
        format!("{large} {large_unit} {small} {small_unit}")
    }
}

/// A duration as a player shows it: `0:16`, `22:10`, `1:02:03`.
pub(crate) fn hms(of: Duration) -> String {
    let seconds = of.as_secs();
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// A number of bytes with three significant digits: `184 KB`.
#[expect(clippy::cast_precision_loss, reason = "three figures are shown")]
pub(crate) fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "B");
    for larger in ["KB", "MB", "GB", "TB", "PB"] {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = larger;
    }
    if unit == "B" || value >= 99.95 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

/// A number with thousands separators: `1,284,113`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A number with its noun: `1 event`, `2 events`.
pub(crate) fn plural(number: u64, one: &str, more: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { more })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_a_person_writes_them() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_284_113), "1,284,113");
        assert_eq!(plural(1, "event", "events"), "1 event");
        assert_eq!(size(0), "0 B");
        assert_eq!(size(999), "999 B");
        assert_eq!(size(9_100), "9.1 KB");
        assert_eq!(size(184_203), "184 KB");
        assert_eq!(size(999_700), "1.0 MB");
        assert_eq!(size(3_400_000_000), "3.4 GB");
    }

    #[test]
    fn lengths_and_spans_keep_two_units() {
        assert_eq!(hms(Duration::from_secs(16)), "0:16");
        assert_eq!(hms(Duration::from_secs(3723)), "1:02:03");
        assert_eq!(duration(Duration::from_millis(20)), "under 1 s");
        assert_eq!(duration(Duration::from_secs(120)), "2 min");
        assert_eq!(duration(Duration::from_secs(90_000)), "1 d 1 h");
    }
}
