//! The note a running server leaves for the command line on the same machine: `local/server.json`.
//!
//! It is taken away when the server stops in order. After a crash it is stale: whoever reads it asks the server
//! whether it is there before believing it.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::durable::{self, Readers};

const VERSION: u32 = 1;

/// Where a server can be found, and by which token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerNote {
    /// The format's version.
    pub version: u32,
    /// The server's process.
    pub pid: u32,
    /// Where its API is.
    pub url: String,
    /// The store it serves.
    pub store: String,
    /// The trail it writes.
    pub trail: String,
    /// The file that holds the admin token; only its owner can read it.
    pub admin_token_file: PathBuf,
}

impl ServerNote {
    /// A note of this version.
    pub fn new(url: String, store: String, trail: String, admin_token_file: PathBuf) -> ServerNote {
        ServerNote { version: VERSION, pid: std::process::id(), url, store, trail, admin_token_file }
    }

    /// The note in the data folder, if there is one that this version understands.
    pub fn read(data: &Path) -> io::Result<Option<ServerNote>> {
        match std::fs::read(place(data)) {
            Ok(bytes) => {
                Ok(serde_json::from_slice(&bytes).ok().filter(|note: &ServerNote| note.version == VERSION))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Leaves the note.
    pub(super) fn leave(&self, data: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        durable::replace(&place(data), Readers::Everyone, &text)
    }

    /// Takes the note away.
    pub(super) fn remove(data: &Path) {
        // What stays behind is stale, which readers expect.
        let _stale = std::fs::remove_file(place(data));
    }
}

fn place(data: &Path) -> PathBuf {
    data.join("local").join("server.json")
}

/// What `--ready-file` holds: where everything listens.
#[derive(Debug, Clone, Serialize)]
pub struct Ready {
    /// Where the API and the console listen.
    pub listen: String,
    /// Where recordings are taken.
    pub recorder_listen: Vec<String>,
    /// The file that holds the admin token.
    pub admin_token_file: PathBuf,
}

impl Ready {
    /// Writes the file, whole or not at all.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        durable::replace(path, Readers::Everyone, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_back_and_one_of_another_version_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(ServerNote::read(folder.path()).unwrap(), None);
        std::fs::create_dir(folder.path().join("local")).unwrap();
        let mut note = ServerNote::new(
            "http://127.0.0.1:1".into(),
            "d".into(),
            "main".into(),
            "d/local/admin-token".into(),
        );
        note.leave(folder.path()).unwrap();
        assert_eq!(ServerNote::read(folder.path()).unwrap().as_ref(), Some(&note));
        note.version = 2;
        note.leave(folder.path()).unwrap();
        assert_eq!(ServerNote::read(folder.path()).unwrap(), None);
        ServerNote::remove(folder.path());
        assert!(!place(folder.path()).exists());
    }
}
