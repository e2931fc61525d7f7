//! API tokens for machines and scripts.
//!
//! - `tokens.json` holds names, roles and SHA-256 hashes: a stolen file grants no access.
//! - A change is on disk before it takes effect; a revoked token stays revoked after a crash.
//! - Ids count up and are never reused, so that an id in an event always means the same token.
//! - A file of a newer version is not touched.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, RwLock};

use meshtrail_event::Timestamp;
use meshtrail_trail::durable::{self, Readers};
use serde::{Deserialize, Serialize};

use super::secret::{NoRandomness, Secret, SecretHash};
use super::{Principal, Role};

pub const MAX_TOKENS: usize = 1000;

/// The longest name of a token, in bytes.
pub const MAX_NAME: usize = 100;

const VERSION: u32 = 1;

/// One token, without its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Token {
    /// What it is revoked by.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it stops working, if ever.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<Timestamp>,
}

/// A reserved id: no other token has or had it, even if this one is never created.
#[must_use = "a reserved id is given to no other token"]
#[derive(Debug)]
pub struct ReservedId(String);

impl ReservedId {
    pub fn id(&self) -> &str {
        &self.0
    }
}

/// A token to be created.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    pub name: String,
    pub role: Role,
    pub expires: Option<Timestamp>,
    pub created_by: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct StoredToken {
    #[serde(flatten)]
    token: Token,
    sha256: SecretHash,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct TokensFile {
    version: u32,
    next: u64,
    tokens: Vec<StoredToken>,
}

/// Why the tokens could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    #[error("failed to read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not a list of tokens: {source}; restore it from a backup, or move it away and make new tokens", path.display())]
    Malformed { path: PathBuf, source: serde_json::Error },
    #[error("{} has version {found}, which a newer Meshtrail wrote; this one knows version {VERSION}", path.display())]
    Newer { path: PathBuf, found: u32 },
    #[error("failed to write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("there are {MAX_TOKENS} tokens already; revoke one that is no longer used")]
    Full,
    #[error("there is no token {id}")]
    Unknown { id: String },
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// The tokens of one server.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    /// The tokens in force; never held across an await or a write.
    current: RwLock<TokensFile>,
    /// Serialises changes; held while one is written.
    change: Mutex<()>,
}

impl Tokens {
    /// Reads the tokens at `path`; a missing file is an empty list.
    pub fn open(path: PathBuf) -> Result<Tokens, TokensError> {
        let file = match std::fs::read(&path) {
            Ok(bytes) => parse(&path, &bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                TokensFile { version: VERSION, next: 1, tokens: Vec::new() }
            }
            Err(source) => return Err(TokensError::Read { path, source }),
        };
        Ok(Tokens { path, current: RwLock::new(file), change: Mutex::new(()) })
    }

    /// An empty list without a file, for a process that only reads.
    pub fn none() -> Tokens {
        let file = TokensFile { version: VERSION, next: 1, tokens: Vec::new() };
        Tokens { path: PathBuf::new(), current: RwLock::new(file), change: Mutex::new(()) }
    }

    /// Every token, oldest first.
    pub fn list(&self) -> Vec<Token> {
        self.snapshot().tokens.into_iter().map(|stored| stored.token).collect()
    }

    pub fn get(&self, id: &str) -> Option<Token> {
        self.list().into_iter().find(|token| token.id == id)
    }

    /// The principal and role of a secret, unless its token expired or was revoked.
    pub fn find(&self, secret: &Secret, now: Timestamp) -> Option<(Principal, Role)> {
        let hash = secret.hash();
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let stored = current.tokens.iter().find(|stored| stored.sha256 == hash)?;
        if stored.token.expires.is_some_and(|expires| expires <= now) {
            return None;
        }
        let who = Principal::Token { id: stored.token.id.clone(), name: stored.token.name.clone() };
        Some((who, stored.token.role))
    }

    /// Reserves the next id, so that it can be audited before its token is created. Blocks on the disk.
    pub fn reserve_id(&self) -> Result<ReservedId, TokensError> {
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = self.snapshot();
        if file.tokens.len() >= MAX_TOKENS {
            return Err(TokensError::Full);
        }
        let id = ReservedId(format!("t{}", file.next));
        // A crash after the write leaves an id without a token: an audited id is never reused.
        file.next += 1;
        self.write(file)?;
        Ok(id)
    }

    /// Creates a token; its secret is returned only here. Blocks on the disk.
    pub fn create(
        &self,
        ReservedId(id): ReservedId,
        request: TokenRequest,
        now: Timestamp,
    ) -> Result<(Token, Secret), TokensError> {
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = self.snapshot();
        if file.tokens.len() >= MAX_TOKENS {
            return Err(TokensError::Full);
        }
        let secret = Secret::new_token()?;
        let TokenRequest { name, role, expires, created_by } = request;
        let token = Token { id, name, role, created: now, created_by, expires };
        file.tokens.push(StoredToken { token: token.clone(), sha256: secret.hash() });
        self.write(file)?;
        Ok((token, secret))
    }

    /// Revokes a token. Blocks on the disk.
    pub fn revoke(&self, id: &str) -> Result<(), TokensError> {
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = self.snapshot();
        let before = file.tokens.len();
        file.tokens.retain(|stored| stored.token.id != id);
        if file.tokens.len() == before {
            return Err(TokensError::Unknown { id: id.to_owned() });
        }
        self.write(file)
    }

    fn snapshot(&self) -> TokensFile {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self, file: TokensFile) -> Result<(), TokensError> {
        let text = serde_json::to_vec_pretty(&file).expect("tokens hold nothing that JSON can't");
        durable::replace(&self.path, Readers::Owner, &text)
            .map_err(|source| TokensError::Write { path: self.path.clone(), source })?;
        // A change takes effect only once it is on disk: a crash before this line loses nothing that was acknowledged.
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }
}

fn parse(path: &std::path::Path, bytes: &[u8]) -> Result<TokensFile, TokensError> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let malformed = |source| TokensError::Malformed { path: path.to_owned(), source };
    let Version { version } = serde_json::from_slice(bytes).map_err(malformed)?;
    if version > VERSION {
        return Err(TokensError::Newer { path: path.to_owned(), found: version });
    }
    serde_json::from_slice(bytes).map_err(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn create(tokens: &Tokens, name: &str, expires: Option<Timestamp>, now: Timestamp) -> (Token, Secret) {
        let (name, created_by) = (name.to_owned(), "test".to_owned());
        let request = TokenRequest { name, role: Role::Viewer, expires, created_by };
        tokens.create(tokens.reserve_id().unwrap(), request, now).unwrap()
    }

    #[test]
    fn an_id_that_was_set_aside_is_never_another_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let tokens = Tokens::open(path.clone()).unwrap();
        let (one, other) = (tokens.reserve_id().unwrap(), tokens.reserve_id().unwrap());
        assert_ne!(one.id(), other.id());
        let crashed = Tokens::open(path).unwrap();
        let (token, _) = create(&crashed, "later", None, Timestamp::now());
        assert!(token.id != one.id() && token.id != other.id(), "{token:?}");
    }

    #[test]
    fn a_token_survives_a_restart_and_a_revoked_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let now = Timestamp::now();
        let tokens = Tokens::open(path.clone()).unwrap();
        let (one, one_secret) = create(&tokens, "one", None, now);
        let (two, two_secret) = create(&tokens, "two", None, now);
        tokens.revoke(&one.id).unwrap();

        let again = Tokens::open(path.clone()).unwrap();
        assert!(again.find(&one_secret, now).is_none());
        let (who, role) = again.find(&two_secret, now).unwrap();
        assert_eq!((who, role), (Principal::Token { id: two.id, name: "two".to_owned() }, Role::Viewer));
        assert_eq!(create(&again, "three", None, now).0.id, "t3", "ids are not given twice");
        let text = std::fs::read_to_string(path).unwrap();
        assert!(!text.contains(two_secret.reveal()), "the secret itself is never on disk");
    }

    #[test]
    fn an_expired_token_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(folder.path().join("tokens.json")).unwrap();
        let now = Timestamp::now();
        let expires = now.after(Duration::from_secs(60));
        let (_, secret) = create(&tokens, "short", Some(expires), now);
        assert!(tokens.find(&secret, now).is_some());
        assert!(tokens.find(&secret, expires).is_none());
    }

    #[test]
    fn a_newer_or_broken_file_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        std::fs::write(&path, r#"{"version":2,"else":true}"#).unwrap();
        assert!(matches!(Tokens::open(path.clone()), Err(TokensError::Newer { found: 2, .. })));
        std::fs::write(&path, "{").unwrap();
        assert!(matches!(Tokens::open(path.clone()), Err(TokensError::Malformed { .. })));
        assert_eq!(std::fs::read(path).unwrap(), b"{");
    }
}
