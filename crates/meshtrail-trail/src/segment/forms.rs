//! Texts with a shorter binary form: times, hashes, addresses with a port.
//!
//! Each `parse` accepts a text only if `write` restores exactly that text.

use super::json::{integer, write_integer};

const DAY: i64 = 86_400;
const SECOND: i64 = 1_000_000_000;

/// `YYYY-MM-DDTHH:MM:SS.nnnnnnnnnZ` as nanoseconds since 1970.
#[inline]
pub(super) fn parse_time(text: &[u8]) -> Option<i64> {
    let text: &[u8; 30] = text.try_into().ok()?;
    let shape = text[4] == b'-' && text[7] == b'-' && text[10] == b'T' && text[13] == b':';
    if !shape || text[16] != b':' || text[19] != b'.' || text[29] != b'Z' {
        return None;
    }
    let (year, month, day) = (digits(&text[0..4])?, digits(&text[5..7])?, digits(&text[8..10])?);
    let (hour, minute, second) = (digits(&text[11..13])?, digits(&text[14..16])?, digits(&text[17..19])?);
    if hour > 23 || minute > 59 || second > 59 || !(1970..2262).contains(&year) {
        return None;
    }
    let days = days_of(year, month, day)?;
    let seconds = days * DAY + hour * 3600 + minute * 60 + second;
    Some(seconds * SECOND + digits(&text[20..29])?)
}

#[inline]
fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0i64, |number, &digit| {
        digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0'))
    })
}

fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // With years that begin in March the leap day comes last.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// Writes times; caches the last day, because adjacent times often share it.
#[derive(Default)]
pub(super) struct TimeWriter {
    day: Option<i64>,
    date: [u8; 11],
}

impl TimeWriter {
    #[inline]
    pub(super) fn write(&mut self, nanos: i64, out: &mut Vec<u8>) {
        let (seconds, nanos) = (nanos.div_euclid(SECOND), nanos.rem_euclid(SECOND));
        let (day, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        if self.day != Some(day) {
            self.set_day(day);
        }
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        text[..11].copy_from_slice(&self.date);
        put_pair(&mut text[11..13], second / 3600);
        put_pair(&mut text[14..16], second / 60 % 60);
        put_pair(&mut text[17..19], second % 60);
        text[20] = b'0' + (nanos / 100_000_000) as u8;
        put_pair(&mut text[21..23], nanos / 1_000_000 % 100);
        put_pair(&mut text[23..25], nanos / 10_000 % 100);
        put_pair(&mut text[25..27], nanos / 100 % 100);
        put_pair(&mut text[27..29], nanos % 100);
        out.extend_from_slice(&text);
    }

    fn set_day(&mut self, day: i64) {
        let shifted = day + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * of_year + 2) / 153;
        let date = of_year - (153 * month + 2) / 5 + 1;
        let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = (year_of_era + era * 400 + carry).rem_euclid(10_000);
        self.date = *b"0000-00-00T";
        put_pair(&mut self.date[0..2], year / 100);
        put_pair(&mut self.date[2..4], year % 100);
        put_pair(&mut self.date[5..7], month);
        put_pair(&mut self.date[8..10], date);
        self.day = Some(day);
    }
}

#[inline]
fn put_pair(place: &mut [u8], number: i64) {
    place[0] = b'0' + (number / 10) as u8;
    place[1] = b'0' + (number % 10) as u8;
}

/// 64 lower-case hex digits.
#[inline]
pub(super) fn parse_hash(text: &[u8]) -> Option<[u8; 32]> {
    let text: &[u8; 64] = text.try_into().ok()?;
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(text.as_chunks::<2>().0) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(hash)
}

#[inline]
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[inline]
pub(super) fn write_hash(hash: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for byte in hash {
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// Splits `1.2.3.4:80` and `[fd7a::1]:80` into the host and the port; any other text is a host alone.
#[inline]
pub(super) fn split_address(text: &[u8]) -> (&[u8], Option<u16>) {
    let Some(colon) = text.iter().rposition(|&byte| byte == b':') else { return (text, None) };
    let port = integer(&text[colon + 1..]).and_then(|port| u16::try_from(port).ok());
    let host = match &text[..colon] {
        [b'[', host @ .., b']'] if host.contains(&b':') => host,
        host if !host.contains(&b':') && !host.is_empty() => host,
        _ => return (text, None),
    };
    match port {
        Some(port) => (host, Some(port)),
        None => (text, None),
    }
}

/// Writes what [`split_address`] split, with the host as `write_host` writes it.
#[inline]
pub(super) fn write_address(host: &[u8], port: Option<i64>, out: &mut Vec<u8>) {
    out.push(b'"');
    let Some(port) = port else {
        out.extend_from_slice(host);
        out.push(b'"');
        return;
    };
    let brackets = host.contains(&b':');
    if brackets {
        out.push(b'[');
    }
    out.extend_from_slice(host);
    if brackets {
        out.push(b']');
    }
    out.push(b':');
    write_integer(port, out);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use meshtrail_event::Timestamp;

    use super::*;

    #[test]
    fn times_agree_with_the_event_model() {
        let mut writer = TimeWriter::default();
        for nanos in [0, 1, 951_782_400_000_000_000, 1_763_647_331_123_456_789, 4_102_444_799_999_999_999] {
            let text = Timestamp::from_nanos(nanos).to_string();
            let mut written = Vec::new();
            writer.write(nanos, &mut written);
            assert_eq!(written, text.as_bytes());
            assert_eq!(parse_time(text.as_bytes()), Some(nanos));
        }
        for text in
            ["2026-02-29T00:00:00.000000000Z", "2026-01-01T24:00:00.000000000Z", "2026-01-01T00:00:00Z"]
        {
            assert_eq!(parse_time(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn an_address_is_split_only_where_it_can_be_joined_again() {
        for (text, host, port) in [
            ("100.64.0.1:443", "100.64.0.1", Some(443)),
            ("[fd7a:115c::1]:0", "fd7a:115c::1", Some(0)),
            ("fd7a:115c::1", "fd7a:115c::1", None),
            ("host:65536", "host:65536", None),
            ("host:080", "host:080", None),
            ("[host]:80", "[host]", Some(80)),
            (":80", ":80", None),
            ("", "", None),
        ] {
            assert_eq!(split_address(text.as_bytes()), (host.as_bytes(), port), "{text}");
            let mut written = Vec::new();
            write_address(host.as_bytes(), port.map(i64::from), &mut written);
            assert_eq!(written, format!("{text:?}").as_bytes());
        }
    }
}
