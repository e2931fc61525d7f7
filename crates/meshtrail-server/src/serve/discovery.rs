//! The discovery file `local/server.json`, by which the command line finds a running server on the same machine.
//!
//! It is removed on an orderly stop. After a crash it is stale: a reader must check that the server answers.

use std::io;
use std::path::{Path, PathBuf};

use meshtrail_trail::durable::{self, Readers};
use serde::{Deserialize, Serialize};

const VERSION: u32 = 1;

/// Where a server listens, and which token file to use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryFile {
    /// The version of the format.
    pub version: u32,
    pub pid: u32,
    /// The base URL of the API.
    pub url: String,
    pub store: String,
    pub trail: String,
    /// The file with the admin token; only its owner can read it.
    pub admin_token_file: PathBuf,
}

impl DiscoveryFile {
    pub fn new(url: String, store: String, trail: String, admin_token_file: PathBuf) -> DiscoveryFile {
        DiscoveryFile { version: VERSION, pid: std::process::id(), url, store, trail, admin_token_file }
    }

    /// Reads the file in a data folder; none if it is missing or of another version.
    pub fn read(data: &Path) -> io::Result<Option<DiscoveryFile>> {
        match std::fs::read(path(data)) {
            Ok(bytes) => {
                Ok(serde_json::from_slice(&bytes).ok().filter(|file: &DiscoveryFile| file.version == VERSION))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, data: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        durable::replace(&path(data), Readers::Everyone, &text)
    }

    pub(super) fn remove(data: &Path) {
        // If it can't be removed it is stale, which readers expect.
        let _stale = std::fs::remove_file(path(data));
    }
}

fn path(data: &Path) -> PathBuf {
    data.join("local").join("server.json")
}

/// The content of `--ready-file`: the addresses of the server.
#[derive(Debug, Clone, Serialize)]
pub struct Ready {
    /// The address of the API and the console.
    pub listen: String,
    /// The addresses of the recorder.
    pub recorder_listen: Vec<String>,
    pub admin_token_file: PathBuf,
}

impl Ready {
    /// Writes the file atomically.
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
        assert_eq!(DiscoveryFile::read(folder.path()).unwrap(), None);
        std::fs::create_dir(folder.path().join("local")).unwrap();
        let mut file = DiscoveryFile::new(
            "http://127.0.0.1:1".into(),
            "d".into(),
            "main".into(),
            "d/local/admin-token".into(),
        );
        file.write(folder.path()).unwrap();
        assert_eq!(DiscoveryFile::read(folder.path()).unwrap().as_ref(), Some(&file));
        file.version = 2;
        file.write(folder.path()).unwrap();
        assert_eq!(DiscoveryFile::read(folder.path()).unwrap(), None);
        DiscoveryFile::remove(folder.path());
        assert!(!path(folder.path()).exists());
    }
}
