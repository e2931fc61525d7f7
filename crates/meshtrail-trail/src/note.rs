//! Signed notes and checkpoints, in the formats of C2SP signed-note and tlog-checkpoint.
//!
//! - A checkpoint is `origin`, `size` and base64 root on a line each, an empty line, and signatures.
//! - A signature line is `— name base64(key hash ‖ signature)`; the key hash is the first four bytes of
//!   SHA-256(name ‖ LF ‖ 0x01 ‖ public key). Lines of other keys, such as witnesses', are ignored.
//! - The signing key is created at the first start, in a file that only its owner may read.
//!
//! What may be signed, and when, is decided by the callers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::durable::{self, Readers};
use crate::tree::Hash;

/// The longest note that is read, in bytes.
pub const MAX_NOTE: usize = 64 * 1024;

const ED25519: u8 = 0x01;

/// The contents of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log it is.
    pub origin: String,
    /// Leaves in the tree.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

/// A checkpoint with its signed note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// Which log it is.
    pub origin: String,
    /// Leaves in the tree.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// The signed note.
    pub note: String,
    /// The key that signed it.
    pub vkey: String,
}

/// Why a note is not a signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum NoteError {
    /// Not UTF-8, too long, or with no signature block.
    #[error("not a signed note: {what}")]
    Form { what: &'static str },
    #[error("not a checkpoint: line {line} is not {expected}")]
    Body {
        /// Which line, from 1.
        line: usize,
        expected: &'static str,
    },
    #[error("not a verifier key such as name+1a2b3c4d+base64")]
    Key,
    #[error("the note has no signature by {name}")]
    Unsigned { name: String },
    #[error("the signature by {name} does not fit the note: note or signature was changed")]
    Signature { name: String },
}

/// Why there is no signing key.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum KeyFileError {
    #[error("failed to {doing} the signing key {}", path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is not a signing key of {name}: restore it from a copy", path.display())]
    Damaged { path: PathBuf, name: String },
}

/// A key that signs a trail's checkpoints. Its name is the trail's origin.
pub struct Key {
    name: String,
    signing: SigningKey,
}

/// The public half of a [`Key`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    hash: [u8; 4],
    key: VerifyingKey,
}

/// Checks that `note` is a checkpoint signed by `vkey`.
pub fn verify_note(note: impl AsRef<[u8]>, vkey: &str) -> Result<Checkpoint, NoteError> {
    vkey.parse::<Verifier>()?.open(note)
}

impl Checkpoint {
    /// Reads what a note says without checking who signed it.
    pub fn parse_unverified(note: impl AsRef<[u8]>) -> Result<Self, NoteError> {
        Self::from_text(Parts::of(note.as_ref())?.text)
    }

    /// The origin of a note that has a signature under the same name, unverified: the claimed owner where no key matches.
    pub(crate) fn claimed_origin(note: &[u8]) -> Option<String> {
        let parts = Parts::of(note).ok()?;
        let origin = Self::from_text(parts.text).ok()?.origin;
        let signature = format!("\u{2014} {origin} ");
        parts.signatures.lines().any(|line| line.starts_with(&signature)).then_some(origin)
    }

    fn from_text(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.lines();
        let mut line = |line, expected| {
            lines.next().filter(|found| !found.is_empty()).ok_or(NoteError::Body { line, expected })
        };
        let origin = line(1, "an origin")?.to_owned();
        let wrong = NoteError::Body { line: 2, expected: "a decimal size" };
        let digits = line(2, "a decimal size")?;
        let plain =
            digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        let size = digits.parse().ok().filter(|_| plain).ok_or(wrong)?;
        let wrong = NoteError::Body { line: 3, expected: "a base64 root hash" };
        let root = Hash::from_base64(line(3, "a base64 root hash")?).ok_or(wrong)?;
        Ok(Self { origin, size, root })
    }

    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }
}

/// A note split into its signed text and its signatures.
struct Parts<'a> {
    text: &'a str,
    signatures: &'a str,
}

impl<'a> Parts<'a> {
    fn of(note: &'a [u8]) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE {
            return Err(NoteError::Form { what: "it is too long" });
        }
        let note = std::str::from_utf8(note).map_err(|_| NoteError::Form { what: "it is not UTF-8" })?;
        let missing = NoteError::Form { what: "it has no empty line before signatures" };
        let at = note.rfind("\n\n").ok_or(missing)?;
        let (text, signatures) = (&note[..=at], &note[at + 2..]);
        let whole =
            signatures.ends_with('\n') && signatures.lines().all(|line| line.starts_with("\u{2014} "));
        if signatures.is_empty() || !whole {
            return Err(NoteError::Form { what: "a signature line is not a dash, a name and base64" });
        }
        Ok(Self { text, signatures })
    }
}

impl Verifier {
    /// The key's name: the trail's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads a checkpoint that must be signed by this key.
    pub fn open(&self, note: impl AsRef<[u8]>) -> Result<Checkpoint, NoteError> {
        let parts = Parts::of(note.as_ref())?;
        self.check(&parts)?;
        Checkpoint::from_text(parts.text)
    }

    /// Verifies a signature by [`Key::sign_bytes`] over `bytes`.
    pub(crate) fn has_signed(&self, bytes: &[u8], signature: &str) -> bool {
        let signature = BASE64_STANDARD.decode(signature).ok();
        let signature = signature.and_then(|signature| Signature::from_slice(&signature).ok());
        signature.is_some_and(|signature| self.key.verify_strict(bytes, &signature).is_ok())
    }

    fn check(&self, parts: &Parts<'_>) -> Result<(), NoteError> {
        for line in parts.signatures.lines() {
            let Some((name, encoded)) = line.trim_start_matches("\u{2014} ").split_once(' ') else {
                continue;
            };
            if name != self.name {
                continue;
            }
            let bad = || NoteError::Signature { name: self.name.clone() };
            let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| bad())?;
            let Some((hash, signature)) = bytes.split_first_chunk::<4>() else { return Err(bad()) };
            if *hash != self.hash {
                continue;
            }
            let signature = Signature::from_slice(signature).map_err(|_| bad())?;
            return self.key.verify_strict(parts.text.as_bytes(), &signature).map_err(|_| bad());
        }
        Err(NoteError::Unsigned { name: self.name.clone() })
    }
}

impl std::str::FromStr for Verifier {
    type Err = NoteError;

    fn from_str(vkey: &str) -> Result<Self, NoteError> {
        let mut parts = vkey.trim().splitn(3, '+');
        let (name, hash, key) = (parts.next(), parts.next(), parts.next());
        let (Some(name), Some(hash), Some(key)) = (name, hash, key) else { return Err(NoteError::Key) };
        let bytes = BASE64_STANDARD.decode(key).map_err(|_| NoteError::Key)?;
        let Some((&ED25519, public)) = bytes.split_first() else { return Err(NoteError::Key) };
        let public: [u8; 32] = public.try_into().map_err(|_| NoteError::Key)?;
        let expected = key_hash(name, &public);
        if hex::encode(expected) != hash || !is_name(name) {
            return Err(NoteError::Key);
        }
        let key = VerifyingKey::from_bytes(&public).map_err(|_| NoteError::Key)?;
        Ok(Self { name: name.to_owned(), hash: expected, key })
    }
}

impl Key {
    /// Reads the key named `name` from `path`, or creates it there, with mode 0600 and durable before it is used.
    pub fn load_or_make(path: &Path, name: &str) -> Result<Self, KeyFileError> {
        let failed = |doing| move |source| KeyFileError::File { doing, path: path.to_owned(), source };
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, name)
                .ok_or_else(|| KeyFileError::Damaged { path: path.to_owned(), name: name.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed)
                    .map_err(|error| failed("make")(io::Error::other(error.to_string())))?;
                let key = Self { name: name.to_owned(), signing: SigningKey::from_bytes(&seed) };
                key.save(path).map_err(failed("write"))?;
                Ok(key)
            }
            Err(error) => Err(failed("read")(error)),
        }
    }

    #[cfg(test)]
    pub(crate) fn of_seed(name: &str, seed: [u8; 32]) -> Self {
        Self { name: name.to_owned(), signing: SigningKey::from_bytes(&seed) }
    }

    /// The key's name: the trail's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public half, as `name+hash+base64`.
    pub fn vkey(&self) -> String {
        let public = self.signing.verifying_key().to_bytes();
        let hash = hex::encode(key_hash(&self.name, &public));
        format!("{}+{hash}+{}", self.name, BASE64_STANDARD.encode([&[ED25519], &public[..]].concat()))
    }

    /// Signs the tree of `size` leaves with this root.
    pub fn sign(&self, size: u64, root: Hash) -> SignedCheckpoint {
        let checkpoint = Checkpoint { origin: self.name.clone(), size, root };
        let text = checkpoint.text();
        let hash = key_hash(&self.name, &self.signing.verifying_key().to_bytes());
        let signature = [&hash[..], &self.signing.sign(text.as_bytes()).to_bytes()].concat();
        let note = format!("{text}\n\u{2014} {} {}\n", self.name, BASE64_STANDARD.encode(signature));
        SignedCheckpoint { origin: checkpoint.origin, size, root, note, vkey: self.vkey() }
    }

    /// Signs bytes other than a note, as base64. They must not be readable as a checkpoint.
    pub(crate) fn sign_bytes(&self, bytes: &[u8]) -> String {
        BASE64_STANDARD.encode(self.signing.sign(bytes).to_bytes())
    }

    /// `PRIVATE+KEY+name+hash+base64(0x01 ‖ seed)`, as other signed-note tools write it.
    fn parse(text: &str, name: &str) -> Option<Self> {
        let rest = text.trim().strip_prefix("PRIVATE+KEY+")?.strip_prefix(name)?.strip_prefix('+')?;
        let (hash, seed) = rest.split_once('+')?;
        let bytes = BASE64_STANDARD.decode(seed).ok()?;
        let (&ED25519, seed) = bytes.split_first()? else { return None };
        let key = Self { name: name.to_owned(), signing: SigningKey::from_bytes(seed.try_into().ok()?) };
        (hex::encode(key_hash(name, &key.signing.verifying_key().to_bytes())) == hash).then_some(key)
    }

    fn save(&self, path: &Path) -> io::Result<()> {
        let hash = hex::encode(key_hash(&self.name, &self.signing.verifying_key().to_bytes()));
        let seed = BASE64_STANDARD.encode([&[ED25519], &self.signing.to_bytes()[..]].concat());
        fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
        let text = format!("PRIVATE+KEY+{}+{hash}+{seed}\n", self.name);
        // A crash before the rename leaves a key that has signed nothing; the next start makes another one.
        durable::replace(path, Readers::Owner, text.as_bytes())
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A text that can be a key's name and a trail's origin: anything without blanks and plus signs.
pub fn is_name(text: &str) -> bool {
    let forbidden = |letter: char| letter.is_whitespace() || letter.is_control() || letter == '+';
    !text.is_empty() && text.len() <= 255 && !text.contains(forbidden)
}

fn key_hash(name: &str, public: &[u8; 32]) -> [u8; 4] {
    let hash = Hash::of(&[name.as_bytes(), b"\n", &[ED25519], public].concat());
    let [a, b, c, d, ..] = *hash.as_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::of_seed("example.com/meshtrail/main", [7; 32])
    }

    #[test]
    fn a_signed_checkpoint_verifies_and_any_changed_byte_shows() {
        let signed = key().sign(70_000, Hash::of(b"root"));
        let read = verify_note(&signed.note, &signed.vkey).unwrap();
        assert_eq!((read.size, read.root), (70_000, Hash::of(b"root")));
        for at in 0..signed.note.len() {
            let mut bytes = signed.note.clone().into_bytes();
            bytes[at] ^= 1;
            assert!(verify_note(&bytes, &signed.vkey).is_err(), "byte {at}");
        }
    }

    #[test]
    fn cosignatures_of_others_are_passed_over() {
        let signed = key().sign(1, Hash::of(b"root"));
        let cosigned = format!("{}\u{2014} witness.example AAAAAAAA\n", signed.note);
        verify_note(cosigned, &signed.vkey).unwrap();
    }

    #[test]
    fn a_key_is_made_once_private_and_kept() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/main.key");
        let first = Key::load_or_make(&path, "example.com/main").unwrap().vkey();
        assert_eq!(Key::load_or_make(&path, "example.com/main").unwrap().vkey(), first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(Key::load_or_make(&path, "other"), Err(KeyFileError::Damaged { .. })));
    }
}
