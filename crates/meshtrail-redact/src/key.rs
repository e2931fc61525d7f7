//! The key of fingerprints, and the file that holds it.
//!
//! - One random key of 32 bytes per store. It lies beside the trail's signing key in `local/keys`, readable by its owner
//!   alone, and never in a bucket: whoever has it can find short secrets by trying them.
//! - What is computed with it (fingerprints, its id, derived keys) uses three subkeys that are independent of each other: a
//!   fingerprint of a chosen text never is a derived key.
//! - Its bytes are wiped from memory when it is dropped, and it has no `Debug` that shows them.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use meshtrail_log::sync_folder;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::fingerprint::{Fingerprint, KeyId};

/// The name of the key's file in `local/keys`. Signing keys there end in `.key`, so that no trail's name meets it.
pub const KEY_FILE: &str = "fingerprints";

/// The longest label of a derived key, in bytes.
pub const MAX_LABEL: usize = 255;

/// The first word of a key's text; the number is the version of the form and of the derivations.
const FORM: &str = "meshtrail-fingerprint-key-1";

/// A file longer than this is no key.
const MAX_FILE: u64 = 1024;

/// A key under which secrets are fingerprinted.
pub struct FingerprintKey {
    id: KeyId,
    root: Zeroizing<[u8; 32]>,
    /// The subkey of fingerprints.
    mac: Zeroizing<[u8; 32]>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum KeyError {
    #[error("failed to {doing} the fingerprint key {}", path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("the fingerprint key {} is open to others than its owner (mode {mode:o}): `chmod 600 {}` closes it", path.display(), path.display())]
    OpenToOthers { path: PathBuf, mode: u32 },
    #[error("{} is not a fingerprint key: restore it from a copy", path.display())]
    Damaged { path: PathBuf },
    #[error("not a fingerprint key: expected \"{FORM}\", the key's id and its bytes in base64")]
    Form,
    #[error("{} holds the key {found}; the key {imported} does not replace it, because what was fingerprinted under {found} could not be compared any more", path.display())]
    OtherKey { path: PathBuf, found: KeyId, imported: KeyId },
    #[error("a label of a derived key has 1 to {MAX_LABEL} bytes, not {bytes}")]
    Label { bytes: usize },
    #[error("the system gave no random bytes")]
    Random { source: io::Error },
}

impl FingerprintKey {
    /// A new key from the system's randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let mut root = Zeroizing::new([0; 32]);
        getrandom::fill(&mut root[..])
            .map_err(|error| KeyError::Random { source: io::Error::other(error.to_string()) })?;
        Ok(Self::from_root(root))
    }

    /// Reads the key at `path`, or creates one there with mode 0600, durable before it is used. Of two processes that do so
    /// at the same time both get the same key.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        if let Some(key) = Self::load(path)? {
            return Ok(key);
        }
        Self::generate()?.create_file(path)?;
        Self::load(path)?.ok_or_else(|| failed("read", path)(io::ErrorKind::NotFound.into()))
    }

    /// Reads the key at `path`; `None` if there is no such file.
    pub fn load(path: &Path) -> Result<Option<Self>, KeyError> {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", path)(error)),
        };
        let mode = metadata.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::OpenToOthers { path: path.to_owned(), mode });
        }
        if metadata.len() > MAX_FILE {
            return Err(KeyError::Damaged { path: path.to_owned() });
        }
        let text = Zeroizing::new(fs::read_to_string(path).map_err(failed("read", path))?);
        Self::from_text(&text).map(Some).map_err(|_| KeyError::Damaged { path: path.to_owned() })
    }

    /// Stores a key that was exported elsewhere, so that both places make the same fingerprints. The same key at `path` is
    /// fine; another one is an error and stays.
    pub fn import(path: &Path, text: &str) -> Result<Self, KeyError> {
        let imported = Self::from_text(text)?;
        imported.create_file(path)?;
        let stored = Self::load(path)?.ok_or_else(|| failed("read", path)(io::ErrorKind::NotFound.into()))?;
        if stored.id != imported.id {
            let path = path.to_owned();
            return Err(KeyError::OtherKey { path, found: stored.id, imported: imported.id });
        }
        Ok(stored)
    }

    /// Reads a key's text, as [`to_text`](Self::to_text) writes it.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let mut words = text.split_ascii_whitespace();
        let (form, id, bytes) = (words.next(), words.next(), words.next());
        let (Some(FORM), Some(id), Some(bytes), None) = (form, id, bytes, words.next()) else {
            return Err(KeyError::Form);
        };
        let decoded = Zeroizing::new(BASE64_STANDARD.decode(bytes).map_err(|_| KeyError::Form)?);
        let mut root = Zeroizing::new([0; 32]);
        if decoded.len() != root.len() {
            return Err(KeyError::Form);
        }
        root.copy_from_slice(&decoded);
        let key = Self::from_root(root);
        // The id detects a key that was copied with an error.
        if key.id.to_string() == id { Ok(key) } else { Err(KeyError::Form) }
    }

    /// The key as text, for a file or for whoever is given the key: a form, the key's id and its bytes in base64.
    pub fn to_text(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new(BASE64_STANDARD.encode(&self.root[..]));
        Zeroizing::new(format!("{FORM} {} {}\n", self.id, *bytes))
    }

    /// The key's id, which does not reveal the key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// A key for one holder, such as an agent on a host. Its fingerprints can't be compared with this key's, and whoever
    /// has it learns nothing of this key, nor can they try what this key fingerprinted. The same label gives the same key.
    pub fn derive(&self, label: &str) -> Result<Self, KeyError> {
        if label.is_empty() || label.len() > MAX_LABEL {
            return Err(KeyError::Label { bytes: label.len() });
        }
        Ok(Self::from_root(subkey(&self.root, &[b"derived key: ", label.as_bytes()])))
    }

    /// The fingerprint of a secret's decoded bytes.
    pub fn fingerprint(&self, secret: &[u8]) -> Fingerprint {
        Fingerprint::new(self.id, *subkey(&self.mac, &[secret]))
    }

    fn from_root(root: Zeroizing<[u8; 32]>) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *subkey(&root, &[b"key id"]);
        let mac = subkey(&root, &[b"fingerprints"]);
        Self { id: KeyId::from_bytes([a, b, c, d, e, f, g, h]), root, mac }
    }

    /// Creates the file at `path` with this key, unless there is one.
    fn create_file(&self, path: &Path) -> Result<(), KeyError> {
        let folder = path.parent().unwrap_or(Path::new(""));
        if !folder.as_os_str().is_empty() {
            let builder = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            builder.map_err(failed("make a folder for", path))?;
        }
        // A name of its own for each process. A crash before the link leaves a key that made no fingerprint.
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(format!(".{}.new", std::process::id()));
        let fresh = PathBuf::from(fresh);
        self.write_file(&fresh).map_err(failed("write", path))?;
        // A link, not a rename: it never replaces a key that another process has created meanwhile.
        let linked = match fs::hard_link(&fresh, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        };
        let removed = fs::remove_file(&fresh);
        linked.and(removed).and_then(|()| sync_folder(folder)).map_err(failed("write", path))
    }

    fn write_file(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(self.to_text().as_bytes())?;
        file.sync_all()
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FingerprintKey").field("id", &self.id).finish_non_exhaustive()
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError + use<> {
    let path = path.to_owned();
    move |source| KeyError::File { doing, path, source }
}

/// HMAC-SHA-256 (RFC 2104) of the parts, one after the other.
fn subkey(key: &[u8; 32], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn key() -> FingerprintKey {
        FingerprintKey::from_root(Zeroizing::new([7; 32]))
    }

    #[test]
    fn equal_secrets_have_equal_fingerprints_under_one_key_and_others_under_another() {
        let other = FingerprintKey::from_root(Zeroizing::new([8; 32]));
        assert_eq!(key().fingerprint(b"4711"), key().fingerprint(b"4711"));
        assert_ne!(key().fingerprint(b"4711"), key().fingerprint(b"4712"));
        assert_ne!(key().fingerprint(b"4711"), other.fingerprint(b"4711"));
        assert_ne!(key().id(), other.id());
    }

    /// Computed with Python's hmac: other programs that hold the key make the same fingerprints.
    #[test]
    fn the_derivations_stay_as_they_are() {
        assert_eq!(key().id().to_string(), "90545d8ed4defe19");
        assert_eq!(
            key().fingerprint(b"4711").to_string(),
            "fp:90545d8ed4defe19:5fbcb00e164648d2aa30c53a357f6c7c823d0fd3fe621e7f71f1f3304a5273de"
        );
        assert_eq!(key().derive("host web-1").unwrap().id().to_string(), "7c2996b88dffe4c2");
    }

    #[test]
    fn a_derived_key_is_not_a_fingerprint_that_somebody_can_provoke() {
        let derived = key().derive("host web-1").unwrap();
        assert_ne!(derived.id(), key().derive("host web-2").unwrap().id());
        for provoked in ["derived key: host web-1", "host web-1", "key id", "fingerprints"] {
            let mac = key().fingerprint(provoked.as_bytes()).to_string();
            assert!(!mac.ends_with(&hex::encode(&derived.root[..])), "{provoked}");
        }
        assert!(matches!(key().derive(""), Err(KeyError::Label { bytes: 0 })));
        assert!(matches!(key().derive(&"x".repeat(256)), Err(KeyError::Label { bytes: 256 })));
    }

    #[test]
    fn the_first_start_makes_a_key_that_only_its_owner_reads_and_every_later_one_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("local/keys").join(KEY_FILE);
        assert!(FingerprintKey::load(&path).unwrap().is_none());
        let first = FingerprintKey::load_or_create(&path).unwrap();
        let again = FingerprintKey::load_or_create(&path).unwrap();
        assert_eq!(first.id(), again.id());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
        let other = FingerprintKey::load_or_create(&folder.path().join("other")).unwrap();
        assert_ne!(first.id(), other.id());
    }

    #[test]
    fn a_further_server_imports_the_key_and_never_loses_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        let exported = FingerprintKey::load_or_create(&first).unwrap().to_text();
        let imported = FingerprintKey::import(&second, &exported).unwrap();
        assert_eq!(imported.id(), FingerprintKey::import(&second, &exported).unwrap().id());
        assert_eq!(
            FingerprintKey::load(&first).unwrap().unwrap().fingerprint(b"x"),
            FingerprintKey::load(&second).unwrap().unwrap().fingerprint(b"x")
        );
        let foreign = FingerprintKey::generate().unwrap();
        let refused = FingerprintKey::import(&second, &foreign.to_text()).unwrap_err();
        assert!(matches!(refused, KeyError::OtherKey { found, .. } if found == imported.id()), "{refused}");
        assert_eq!(FingerprintKey::load(&second).unwrap().unwrap().id(), imported.id());
    }

    #[test]
    fn a_file_that_is_no_key_or_is_open_to_others_is_refused_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let good = key().to_text().to_string();
        let flipped = good.replace(
            "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
            "CAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
        );
        assert_ne!(flipped, good);
        for damaged in ["", "x", &good[..40], &flipped, &format!("{good} more"), &"x".repeat(5000)] {
            fs::write(&path, damaged).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let error = FingerprintKey::load_or_create(&path).unwrap_err();
            assert!(matches!(error, KeyError::Damaged { .. }), "{damaged}: {error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
        }
        fs::write(&path, &good).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = FingerprintKey::load_or_create(&path).unwrap_err().to_string();
        assert!(error.contains("mode 640") && error.contains("chmod 600"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(FingerprintKey::load_or_create(&path).unwrap().id(), key().id());
    }

    #[test]
    fn no_debug_text_and_no_error_has_a_byte_of_the_key() {
        let shown = format!("{:?}", key());
        assert!(shown.contains("FingerprintKey") && !shown.contains("7, 7"), "{shown}");
        assert!(!shown.contains("0707"), "{shown}");
    }
}
