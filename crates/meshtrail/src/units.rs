//! Times, durations and sizes in human-readable form, and the parsers of such arguments.

use std::time::Duration;

use meshtrail_event::Timestamp;

/// A time to the second: `2026-11-20 14:02:11Z`.
pub(crate) fn format_time(time: Timestamp) -> String {
    let text = time.to_string();
    format!("{} {}Z", &text[..10], &text[11..19])
}

/// A duration: `42s`, `3m07s`, `2h05m`, `4d03h`.
pub(crate) fn format_duration(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m{:02}s", seconds % 60),
        3_600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// A size: `512 B`, `1.4 KiB`, `20.0 MiB`.
pub(crate) fn format_size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|(_, unit)| bytes >= *unit) {
        None => format!("{bytes} B"),
        Some((name, unit)) => {
            let tenths = (u128::from(bytes) * 10 + u128::from(unit) / 2) / u128::from(unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
    }
}

/// Parses seconds with a fraction, for `--from` and `--idle-limit`.
pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "write seconds, such as 2 or 0.5".to_owned())?;
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| "write seconds of zero or more, such as 2 or 0.5".to_owned())
}

/// Parses a playback speed.
pub(crate) fn parse_speed(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('x').parse::<f64>() {
        Ok(speed) if (0.01..=1000.0).contains(&speed) => Ok(speed),
        _ => Err("write a speed from 0.01 to 1000, such as 2".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_sizes_read_well_at_every_scale() {
        let lengths = [(0, "0s"), (187, "3m07s"), (7_500, "2h05m"), (356_400, "4d03h")];
        for (seconds, text) in lengths {
            assert_eq!(format_duration(Duration::from_secs(seconds)), text);
        }
        for (bytes, text) in
            [(512, "512 B"), (1_434, "1.4 KiB"), (20 << 20, "20.0 MiB"), (u64::MAX, "17179869184.0 GiB")]
        {
            assert_eq!(format_size(bytes), text);
        }
        assert_eq!(format_time("2026-11-20T14:02:11.5Z".parse().unwrap()), "2026-11-20 14:02:11Z");
    }

    #[test]
    fn nonsense_is_no_speed_and_no_length() {
        for text in ["", "NaN", "inf", "-1", "1e99", "fast"] {
            assert!(parse_seconds(text).is_err(), "{text}");
            assert!(parse_speed(text).is_err(), "{text}");
        }
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_speed("2x"), Ok(2.0));
    }
}
