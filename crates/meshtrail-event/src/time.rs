//! Instants: UTC, nanoseconds, one canonical form.
//!
//! The canonical form is always `YYYY-MM-DDTHH:MM:SS.nnnnnnnnnZ`: equal instants are equal bytes, and text order is
//! time order. Every RFC 3339 form can be read.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const NANOS: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;

/// An instant between 1970 and 2262, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// Why a text is not an instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum TimeError {
    #[error("{text:?} is not an RFC 3339 time such as 2026-11-20T14:02:11Z")]
    Syntax { text: String },
    #[error("{text:?} lies outside the years 1970 to 2262")]
    Range { text: String },
}

impl Timestamp {
    /// Bytes of the canonical form.
    pub const WIDTH: usize = 30;

    /// The instant `nanos` nanoseconds after the Unix epoch; negative values count as the epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(if nanos < 0 { 0 } else { nanos })
    }

    /// The instant `seconds` after the Unix epoch, or none outside the range.
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        (seconds >= 0).then(|| seconds.checked_mul(NANOS)).flatten().map(Self)
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    pub const fn as_seconds(self) -> i64 {
        self.0 / NANOS
    }

    /// The wall clock now. Code that makes decisions takes an instant as argument instead.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    /// This instant moved later by `span`, at most to the end of the range.
    pub fn after(self, span: std::time::Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// This instant moved earlier by `span`, at most to the epoch.
    pub fn before(self, span: std::time::Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)).max(0))
    }

    /// The time from `earlier` until this instant; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }

    /// The UTC date as year, month, day.
    pub const fn date(self) -> (u16, u8, u8) {
        civil(self.0 / NANOS / DAY_SECONDS)
    }

    /// Writes the canonical form.
    pub fn write(self, out: &mut [u8; Self::WIDTH]) {
        let (seconds, nanos) = (self.0 / NANOS, self.0 % NANOS);
        let (year, month, day) = civil(seconds / DAY_SECONDS);
        let of_day = seconds % DAY_SECONDS;
        out.copy_from_slice(b"0000-00-00T00:00:00.000000000Z");
        digits(&mut out[0..4], i64::from(year));
        digits(&mut out[5..7], i64::from(month));
        digits(&mut out[8..10], i64::from(day));
        digits(&mut out[11..13], of_day / 3600);
        digits(&mut out[14..16], of_day / 60 % 60);
        digits(&mut out[17..19], of_day % 60);
        digits(&mut out[20..29], nanos);
    }

    /// Reads the canonical form; every other form, valid or not, is `None`.
    ///
    /// [`Timestamp::write`] gives back the same bytes.
    pub fn parse_canonical(text: &[u8]) -> Option<Self> {
        let text: &[u8; Self::WIDTH] = text.try_into().ok()?;
        let fixed = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (29, b'Z')];
        if fixed.iter().any(|&(at, byte)| text[at] != byte) {
            return None;
        }
        let (year, month, day) = (number(&text[0..4])?, number(&text[5..7])?, number(&text[8..10])?);
        let (hour, minute, second) = (number(&text[11..13])?, number(&text[14..16])?, number(&text[17..19])?);
        let nanos = number(&text[20..29])?;
        if year < 1970 || !(1..=12).contains(&month) || day < 1 || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let days = days_from_civil(year, month, day);
        if civil(days) != (u16::try_from(year).ok()?, u8::try_from(month).ok()?, u8::try_from(day).ok()?) {
            return None;
        }
        let seconds = days * DAY_SECONDS + hour * 3600 + minute * 60 + second;
        seconds.checked_mul(NANOS)?.checked_add(nanos).map(Self)
    }
}

fn digits(out: &mut [u8], mut value: i64) {
    for place in out.iter_mut().rev() {
        *place = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

fn number(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0i64, |sum, &byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

/// Days since 1970-01-01 to a Gregorian date, by the usual shift to years that begin in March.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "in range for days of i64 nanoseconds"
)]
const fn civil(days: i64) -> (u16, u8, u8) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year as u16, month as u8, day as u8)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = [0; Self::WIDTH];
        self.write(&mut written);
        f.pad(std::str::from_utf8(&written).expect("the written form is ASCII"))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        if let Some(time) = Self::parse_canonical(text.as_bytes()) {
            return Ok(time);
        }
        let shown = || text.chars().take(64).collect::<String>();
        let parsed: jiff::Timestamp = text.parse().map_err(|_| TimeError::Syntax { text: shown() })?;
        let nanos = i64::try_from(parsed.as_nanosecond()).map_err(|_| TimeError::Range { text: shown() })?;
        if nanos < 0 {
            return Err(TimeError::Range { text: shown() });
        }
        Ok(Self(nanos))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut written = [0; Self::WIDTH];
        self.write(&mut written);
        serializer.serialize_str(std::str::from_utf8(&written).expect("the written form is ASCII"))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "format": "date-time",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{9}Z$",
            "examples": ["2026-11-20T14:02:11.123456789Z"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_form_agrees_with_an_independent_calendar() {
        for nanos in (0..i64::MAX).step_by(86_399_999_999_999 * 97) {
            let (ours, theirs) = (Timestamp(nanos), jiff::Timestamp::from_nanosecond(nanos.into()).unwrap());
            assert_eq!(ours.to_string(), format!("{theirs:.9}"));
            assert_eq!(Timestamp::parse_canonical(ours.to_string().as_bytes()), Some(ours));
        }
    }

    #[test]
    fn other_forms_are_read_and_nonsense_is_named() {
        let time: Timestamp = "2026-11-20T15:02:11.5+01:00".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-20T14:02:11.500000000Z");
        assert_eq!(Timestamp::parse_canonical(b"2026-02-30T00:00:00.000000000Z"), None);
        for bad in ["", "yesterday", "2026-13-01T00:00:00Z", "2026-11-20", "NaN"] {
            assert!(matches!(bad.parse::<Timestamp>(), Err(TimeError::Syntax { .. })), "{bad}");
        }
        assert!(matches!("1969-12-31T23:59:59Z".parse::<Timestamp>(), Err(TimeError::Range { .. })));
    }
}
