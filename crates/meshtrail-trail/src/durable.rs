//! Atomic replacement of small files.
//!
//! The content is written and synced under another name, then the file is renamed, and then its folder is synced: a
//! crash leaves the old content or the new one, never a part of either. A crash before the rename leaves `<name>.new`,
//! which the next write replaces.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use meshtrail_log::sync_folder;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// The owner alone (0600).
    Owner,
    /// Everyone who may enter the folder (0644).
    Everyone,
}

impl Readers {
    fn mode(self) -> u32 {
        match self {
            Readers::Owner => 0o600,
            Readers::Everyone => 0o644,
        }
    }
}

/// Replaces the file at `path` with `content`, durably.
pub fn replace(path: &Path, readers: Readers, content: &[u8]) -> io::Result<()> {
    let fresh = temporary_path(path);
    match fs::remove_file(&fresh) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(readers.mode()).open(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    // A crash here leaves the old file and a complete `.new` beside it, which the next write removes.
    fs::rename(&fresh, path)?;
    // After a power cut here the old file may be back; either one is complete.
    sync_folder(path.parent().unwrap_or(Path::new("")))
}

fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_replaced_file_is_whole_private_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        fs::write(temporary_path(&path), "left by a crash").unwrap();
        replace(&path, Readers::Owner, b"one").unwrap();
        replace(&path, Readers::Owner, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
