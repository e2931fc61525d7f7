//! The admin token that lies in the state folder, for whoever runs the server.
//!
//! Made at the first start, readable by its owner alone; a file that others can read is refused.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::auth::secret::{NoRandomness, TOKEN_PREFIX};
use crate::auth::{Secret, SecretHash};
use crate::durable::{self, Readers};

/// Why there is no admin token.
#[derive(Debug, thiserror::Error)]
pub enum AdminTokenError {
    /// The file can't be read or written.
    #[error("failed to read or write {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can read the file.
    #[error("{} can be read by others (mode {mode:o}); whoever read it is admin here: remove it, and the next start makes a new one", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file holds something else.
    #[error("{} holds no token; remove it, and the next start makes a new one", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
    /// No secret could be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// The token's hash, and the token's file, which is made if it is not there.
pub(super) fn load_or_make(local: &Path) -> Result<(SecretHash, PathBuf), AdminTokenError> {
    let path = local.join("admin-token");
    let failed = |source| AdminTokenError::File { path: path.clone(), source };
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let mode = std::fs::metadata(&path).map_err(failed)?.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err(AdminTokenError::Exposed { path, mode });
            }
            let text = text.trim();
            if !text.starts_with(TOKEN_PREFIX) || text.len() < 40 {
                return Err(AdminTokenError::Malformed { path });
            }
            Ok((Secret::presented(text).hash(), path))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = Secret::token()?;
            durable::replace(&path, Readers::Owner, format!("{}\n", secret.reveal()).as_bytes())
                .map_err(failed)?;
            Ok((secret.hash(), path))
        }
        Err(source) => Err(failed(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_made_once_and_an_exposed_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (first, path) = load_or_make(folder.path()).unwrap();
        let (second, _) = load_or_make(folder.path()).unwrap();
        assert!(first == second);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(load_or_make(folder.path()), Err(AdminTokenError::Exposed { mode: 0o644, .. })));
        durable::replace(&path, Readers::Owner, b"").unwrap();
        assert!(matches!(load_or_make(folder.path()), Err(AdminTokenError::Malformed { .. })));
    }
}
