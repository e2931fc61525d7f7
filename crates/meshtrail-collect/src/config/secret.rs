//! Secrets and their locations.
//!
//! - A secret is never printed, and never part of the configuration file itself.
//! - Its file is read again whenever the secret is needed, so that a renewed key works without a restart.
//! - A file that other users can read is accepted with a warning.

use std::fmt;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The most bytes that are read of a secret's file.
const MAX_SECRET: u64 = 16 << 10;

/// A secret. Its `Debug` output does not contain it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for sending or comparing.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The location of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// A file that holds nothing else.
    File(PathBuf),
    /// An environment variable.
    Environment(&'static str),
}

/// Why a secret can't be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SecretError {
    #[error("the file {} can't be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// The file or variable holds nothing, or more than one line.
    #[error("{place} must hold the secret alone, on one line")]
    Form { place: String },
    #[error("neither a file is named nor the environment variable {name} set")]
    Unset { name: &'static str },
}

impl SecretPlace {
    /// The file, if there is one, else the variable.
    pub fn file_or(file: Option<PathBuf>, variable: &'static str) -> Self {
        file.map_or(Self::Environment(variable), Self::File)
    }

    /// Reads the secret, without the white space around it.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let text = match self {
            Self::Environment(name) => std::env::var(name).map_err(|_| SecretError::Unset { name })?,
            Self::File(path) => {
                read_file(path).map_err(|source| SecretError::Read { path: path.clone(), source })?
            }
        };
        let secret = text.trim();
        if secret.is_empty() || secret.contains(char::is_whitespace) {
            return Err(SecretError::Form { place: self.to_string() });
        }
        Ok(Secret::new(secret))
    }

    /// A warning, if other users can read the file.
    pub fn exposure(&self) -> Option<String> {
        let Self::File(path) = self else { return None };
        let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
        (mode & 0o077 != 0).then(|| {
            let path = path.display();
            format!("{path} can be read by others (mode {mode:o}); chmod 600 {path} closes it")
        })
    }
}

impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
        }
    }
}

fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_SECRET).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_line_and_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let place = SecretPlace::File(path.clone());
        assert!(matches!(place.read(), Err(SecretError::Read { .. })));
        for bad in ["", " \n", "one\ntwo"] {
            std::fs::write(&path, bad).unwrap();
            assert!(matches!(place.read(), Err(SecretError::Form { .. })), "{bad:?}");
        }
        std::fs::write(&path, "tskey-api-abc\n").unwrap();
        let secret = place.read().unwrap();
        assert_eq!(secret.reveal(), "tskey-api-abc");
        assert!(!format!("{secret:?}").contains("abc"));
    }

    #[test]
    fn a_file_that_others_can_read_is_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "k").unwrap();
        for (mode, warned) in [(0o600, false), (0o400, false), (0o640, true), (0o644, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let exposure = SecretPlace::File(path.clone()).exposure();
            assert_eq!(exposure.is_some(), warned, "{mode:o}: {exposure:?}");
        }
    }
}
