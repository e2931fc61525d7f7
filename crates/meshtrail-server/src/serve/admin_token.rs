//! The admin token in the state folder, for the operator of the server.
//!
//! It is generated at the first start and readable by its owner only; a file that others can read is refused.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use meshtrail_trail::durable::{self, Readers};

use crate::auth::secret::{NoRandomness, TOKEN_PREFIX};
use crate::auth::{Secret, SecretHash};

/// Why the admin token can't be loaded or generated.
#[derive(Debug, thiserror::Error)]
pub enum AdminTokenError {
    #[error("failed to read or write {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} can be read by others (mode {mode:o}); whoever read it is admin here: remove it, and the next start makes a new one", path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{} holds no token; remove it, and the next start makes a new one", path.display())]
    Malformed { path: PathBuf },
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// The hash of the token, and the path of its file; generates the token if the file is missing.
pub(super) fn load_or_create(local: &Path) -> Result<(SecretHash, PathBuf), AdminTokenError> {
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
            Ok((Secret::from_text(text).hash(), path))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = Secret::new_token()?;
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
        let (first, path) = load_or_create(folder.path()).unwrap();
        let (second, _) = load_or_create(folder.path()).unwrap();
        assert!(first == second);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(load_or_create(folder.path()), Err(AdminTokenError::Exposed { mode: 0o644, .. })));
        durable::replace(&path, Readers::Owner, b"").unwrap();
        assert!(matches!(load_or_create(folder.path()), Err(AdminTokenError::Malformed { .. })));
    }
}
