//! Random secrets and their hashes.
//!
//! A [`Secret`] is 32 random bytes and is shown once. Only its [`SecretHash`] is stored: plain SHA-256 is enough
//! for a value that can't be guessed. Hashes are compared in constant time, and `Debug` prints neither type.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The prefix of API tokens, by which scanners for leaked secrets recognise them.
pub const TOKEN_PREFIX: &str = "mt_";

/// A secret in plain text.
#[derive(Clone)]
pub struct Secret(String);

/// SHA-256 of a secret: all that is ever stored.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretHash([u8; 32]);

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes: {0}")]
pub struct NoRandomness(getrandom::Error);

impl Secret {
    /// Generates an API token.
    pub fn new_token() -> Result<Secret, NoRandomness> {
        Ok(Secret(format!("{TOKEN_PREFIX}{}", random_text()?)))
    }

    /// Generates a value for a cookie or a link.
    pub fn random() -> Result<Secret, NoRandomness> {
        Ok(Secret(random_text()?))
    }

    /// A secret from a request or a file.
    pub fn from_text(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    /// The plain text.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.0.as_bytes()).into())
    }
}

fn random_text() -> Result<String, NoRandomness> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &SecretHash) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretHash {}

impl From<SecretHash> for String {
    fn from(hash: SecretHash) -> String {
        hex::encode(hash.0)
    }
}

impl TryFrom<String> for SecretHash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<SecretHash, Self::Error> {
        let mut bytes = [0u8; 32];
        hex::decode_to_slice(&text, &mut bytes).map_err(|_| "a SHA-256 is 64 hexadecimal digits")?;
        Ok(SecretHash(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_differ_and_never_print_themselves() {
        let (one, two) = (Secret::new_token().unwrap(), Secret::new_token().unwrap());
        assert!(one.reveal().starts_with("mt_") && one.reveal().len() >= 46);
        assert!(one.hash() != two.hash());
        assert!(Secret::from_text(one.reveal()).hash() == one.hash());
        let printed = format!("{one:?} {:?}", one.hash());
        assert!(!printed.contains(&one.reveal()[3..]));
    }
}
