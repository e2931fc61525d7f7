//! The expiry of a certificate, parsed from its DER; nothing else of it is checked.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use meshtrail_event::Timestamp;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;

/// The expiry of the first certificate in a PEM file; none if it can't be parsed.
pub(super) fn expiry(pem: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(pem).ok()?;
    let body = text.split_once("-----BEGIN CERTIFICATE-----")?.1;
    let body = body.split_once("-----END CERTIFICATE-----")?.0;
    let encoded: String = body.chars().filter(|character| !character.is_whitespace()).collect();
    not_after(&BASE64_STANDARD.decode(encoded).ok()?)
}

/// `Certificate { tbsCertificate { [version], serial, algorithm, issuer, validity { notBefore, notAfter }, … }, … }`
fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate, _) = element(der)?;
    let (_, body, _) = element(certificate)?;
    let (first, _, after_first) = element(body)?;
    let from_serial = if first == VERSION { after_first } else { body };
    let (_, _, from_algorithm) = element(from_serial)?;
    let (_, _, from_issuer) = element(from_algorithm)?;
    let (_, _, from_validity) = element(from_issuer)?;
    let (kind, validity, _) = element(from_validity)?;
    let (_, _, rest) = element(validity)?;
    let (form, text, _) = element(rest)?;
    (kind == SEQUENCE).then(|| parse_time(form, std::str::from_utf8(text).ok()?)).flatten()
}

/// The first element of `der`: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0usize, |sum, &byte| sum << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDhhmmssZ` before 2050, `YYYYMMDDhhmmssZ` after.
fn parse_time(form: u8, text: &str) -> Option<Timestamp> {
    let full = match form {
        UTC_TIME => {
            let century = if text.get(..2)?.parse::<u8>().ok()? < 50 { "20" } else { "19" };
            format!("{century}{text}")
        }
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let part = |from, to| full.get(from..to);
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(8, 10)?,
        part(10, 12)?,
        part(12, 14)?
    );
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with openssl for log.example.com.
    const PEM: &str = "-----BEGIN CERTIFICATE-----\n\
        MIIBiTCCAS+gAwIBAgIUU0sV4JkPWP0T+tqCSs78THeZUwUwCgYIKoZIzj0EAwIw\n\
        GjEYMBYGA1UEAwwPbG9nLmV4YW1wbGUuY29tMB4XDTI2MTEyMTEyMjE1OFoXDTM2\n\
        MTExODEyMjE1OFowGjEYMBYGA1UEAwwPbG9nLmV4YW1wbGUuY29tMFkwEwYHKoZI\n\
        zj0CAQYIKoZIzj0DAQcDQgAEHzuGhP8x4SXk8jc2UTE9qtHn+VGIikFOLe/BZWTl\n\
        fy5ZFtL79Or9V/FVbnuBbWl0GIfCRiMTqQw/Qs5BA3Bh1qNTMFEwHQYDVR0OBBYE\n\
        FHm4she6VcCInkZ8GL9V/OVF2zANMB8GA1UdIwQYMBaAFHm4she6VcCInkZ8GL9V\n\
        /OVF2zANMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhAJ5KSzcN\n\
        GDDvjajgLZqyb0HVZyf/P1dEA66XqT/tLTyyAiARabFKdqTcePc1Bhmg9KVFa2zw\n\
        ar90O4CzW0qj00fCnQ==\n\
        -----END CERTIFICATE-----\n";

    #[test]
    fn a_certificates_end_is_read_and_nonsense_is_none() {
        assert_eq!(expiry(PEM.as_bytes()).unwrap().to_string(), "2036-11-18T12:21:58.000000000Z");
        assert_eq!(expiry(b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"), None);
        assert_eq!(expiry(b"not a certificate"), None);
        for cut in 0..PEM.len() {
            expiry(&PEM.as_bytes()[..cut]);
        }
    }

    #[test]
    fn both_forms_of_time_are_read() {
        let parsed = |form, text| parse_time(form, text).map(|time| time.to_string());
        assert_eq!(parsed(UTC_TIME, "361118122432Z").unwrap(), "2036-11-18T12:24:32.000000000Z");
        assert_eq!(parsed(GENERALIZED_TIME, "20501118122432Z").unwrap(), "2050-11-18T12:24:32.000000000Z");
        assert_eq!(parsed(UTC_TIME, "36111"), None);
    }
}
