//! What stands in a secret's place: `fp:KEYID:HEX`.

use std::fmt;
use std::str::FromStr;

/// How many hex digits an id of a key has.
const ID_DIGITS: usize = 16;

/// The id of a [`FingerprintKey`](crate::FingerprintKey): 16 hex digits that are derived from the key by HMAC and don't
/// reveal it. Fingerprints under different ids can't be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; ID_DIGITS / 2]);

impl KeyId {
    pub(crate) fn from_bytes(bytes: [u8; ID_DIGITS / 2]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for KeyId {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let mut bytes = [0; ID_DIGITS / 2];
        decode_lower_hex(text, &mut bytes).ok_or(FingerprintError::KeyId)?;
        Ok(Self(bytes))
    }
}

/// A secret's keyed fingerprint: HMAC-SHA-256 over the secret's decoded bytes.
///
/// Written `fp:KEYID:HEX` with 16 and 64 lower-case hex digits. Two secrets are equal if and only if their fingerprints
/// under one key are. No character of it has a meaning to a shell, in a URL's query or in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint {
    key: KeyId,
    mac: [u8; 32],
}

/// Why a text is not a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum FingerprintError {
    #[error("a fingerprint begins with \"fp:\" and has a key's id and a value, apart by \":\"")]
    Form,
    #[error("a key's id is {ID_DIGITS} lower-case hex digits")]
    KeyId,
    #[error("a fingerprint's value is 64 lower-case hex digits")]
    Value,
}

impl Fingerprint {
    pub(crate) fn new(key: KeyId, mac: [u8; 32]) -> Self {
        Self { key, mac }
    }

    /// The key under which it was made.
    pub fn key(&self) -> KeyId {
        self.key
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fp:{}:{}", self.key, hex::encode(self.mac))
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let (id, value) =
            text.strip_prefix("fp:").and_then(|rest| rest.split_once(':')).ok_or(FingerprintError::Form)?;
        let mut mac = [0; 32];
        let key = id.parse()?;
        decode_lower_hex(value, &mut mac).ok_or(FingerprintError::Value)?;
        Ok(Self { key, mac })
    }
}

fn decode_lower_hex(text: &str, into: &mut [u8]) -> Option<()> {
    let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if lower { hex::decode_to_slice(text, into).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_back_from_its_text_and_nothing_else_is_one() {
        let text = format!("fp:0123456789abcdef:{}", "5".repeat(64));
        assert_eq!(text.parse::<Fingerprint>().unwrap().to_string(), text);
        for (wrong, why) in [
            ("", FingerprintError::Form),
            ("fp:0123456789abcdef", FingerprintError::Form),
            ("fp:0123:55", FingerprintError::KeyId),
            ("fp:0123456789ABCDEF:55", FingerprintError::KeyId),
            ("fp:0123456789abcdef:55", FingerprintError::Value),
        ] {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(why), "{wrong}");
        }
    }
}
