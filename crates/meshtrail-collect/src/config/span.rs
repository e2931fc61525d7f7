//! Durations in the configuration: `30s`, `10m`, `12h`, `90d`.

use std::time::Duration;

/// A duration that can't be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a length of time; write a number and s, m, h or d, such as 30s or 90d")]
pub struct SpanError {
    text: String,
}

/// Parses a duration.
pub fn parse_span(text: &str) -> Result<Duration, SpanError> {
    let bad = || SpanError { text: text.to_owned() };
    let unit = text.chars().last().ok_or_else(bad)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(bad()),
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let count: u64 = digits.parse().map_err(|_| bad())?;
    count.checked_mul(seconds).map(Duration::from_secs).ok_or_else(bad)
}

/// Formats a duration in its largest whole unit.
pub fn format_span(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm')];
    units
        .into_iter()
        .find(|(size, _)| seconds >= *size && seconds.is_multiple_of(*size))
        .map_or_else(|| format!("{seconds}s"), |(size, unit)| format!("{}{unit}", seconds / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_nonsense_is_named() {
        assert_eq!(parse_span("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_span("90d"), Ok(Duration::from_secs(90 * 86_400)));
        for text in ["", "s", "10", "-1s", "1.5h", "9999999999999999999d", "30 s", "1é"] {
            assert!(parse_span(text).is_err(), "{text:?} was taken");
        }
        assert_eq!(format_span(Duration::from_secs(7_200)), "2h");
        assert_eq!(format_span(Duration::from_secs(61)), "61s");
    }
}
