//! Random secrets, and what is kept of them.
//!
//! A [`Secret`] is 32 random bytes and is shown once. What is kept is its [`SecretHash`]: SHA-256 is enough
//! for a value that nobody can guess. Hashes are compared in constant time, and neither type prints itself.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What API tokens start with, so that a scanner for leaked secrets knows one.
pub const TOKEN_PREFIX: &str = "mt_";

/// A secret as its owner holds it.
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
    /// A new API token.
    pub fn token() -> Result<Secret, NoRandomness> {
        Ok(Secret(format!("{TOKEN_PREFIX}{}", random()?)))
    }

    /// A new value for a cookie or a link.
    pub fn plain() -> Result<Secret, NoRandomness> {
        Ok(Secret(random()?))
    }

    /// A secret that someone presented or that stands in a file.
    pub fn presented(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    /// The text itself: for the one who may have it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What may be kept of it.
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.0.as_bytes()).into())
    }
}

fn random() -> Result<String, NoRandomness> {
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
        let (one, two) = (Secret::token().unwrap(), Secret::token().unwrap());
        assert!(one.reveal().starts_with("mt_") && one.reveal().len() >= 46);
        assert!(one.hash() != two.hash());
        assert!(Secret::presented(one.reveal()).hash() == one.hash());
        let printed = format!("{one:?} {:?}", one.hash());
        assert!(!printed.contains(&one.reveal()[3..]));
    }
}
