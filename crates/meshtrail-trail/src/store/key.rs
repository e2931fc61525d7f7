//! Names of objects: relative, and valid on every backend.

use std::fmt;
use std::str::FromStr;

use super::error::KeyError;

/// Longest key in bytes; S3 allows 1,024 including the prefix of the store.
const MAX_KEY: usize = 800;

/// The name of one object, parts divided by `/`, such as `trails/main/manifest/7.json`.
///
/// A key whose last part is `checkpoint` or `head` may be replaced; every other key is written once and stays.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// Checks `text` and makes it a key.
    pub fn new(text: impl Into<String>) -> Result<Self, KeyError> {
        let text = text.into();
        if text.is_empty() || text.len() > MAX_KEY {
            return Err(KeyError::Length { length: text.len(), most: MAX_KEY });
        }
        for part in text.split('/') {
            check_part(&text, part)?;
        }
        Ok(Self(text))
    }

    /// Appends `/part`.
    pub fn join(&self, part: &str) -> Result<Self, KeyError> {
        Self::new(format!("{}/{part}", self.0))
    }

    /// The text of the key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Whether [`replace`](super::Store::replace) is allowed on this key.
    pub fn is_replaceable(&self) -> bool {
        is_replaceable_name(self.name())
    }
}

/// Whether a key with this last part may be replaced.
pub(super) fn is_replaceable_name(name: &str) -> bool {
    matches!(name, "checkpoint" | "head")
}

fn check_part(text: &str, part: &str) -> Result<(), KeyError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-=@+".contains(&byte);
    if part.is_empty() || part.starts_with('.') || !part.bytes().all(allowed) {
        return Err(KeyError::Part {
            key: text.chars().take(80).collect(),
            part: part.chars().take(80).collect(),
        });
    }
    Ok(())
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::new(text)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Key({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_can_not_leave_the_store_or_hide_in_it() {
        for bad in ["", "/a", "a/", "a//b", "../a", "a/../b", ".tmp/x", "a b", "a\\b", "a/\u{e9}", "a\0"] {
            assert!(Key::new(bad).is_err(), "{bad:?}");
        }
        for good in [
            "checkpoint",
            "trails/main/tile/1/x001/067.p/12",
            "segments/family=flow/date=2026-11-20/1-2.parquet",
        ] {
            assert_eq!(Key::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn only_checkpoints_and_heads_may_be_replaced() {
        assert!(Key::new("trails/main/checkpoint").unwrap().is_replaceable());
        assert!(Key::new("trails/main/head").unwrap().is_replaceable());
        assert!(!Key::new("trails/main/manifest/1.json").unwrap().is_replaceable());
    }
}
