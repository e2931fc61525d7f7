//! The folders of a server and their permissions.
//!
//! - `local/` holds keys and is accessible to its owner only. Its mode is reset if somebody opened it to others.
//! - New files are readable by their owner only, or also by the configured group, whatever the folder's mode.
//!   A folder that is open to others is still reported: files of an older version, or put there by others, may be
//!   readable.
//! - A folder that everybody can write to is refused: anyone could replace `local/`.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::StartError;
use crate::config::Config;

/// The write bit for others.
const WRITABLE_BY_ALL: u32 = 0o002;

/// The sticky bit: only owners may rename or remove files in the folder.
const STICKY: u32 = 0o1000;

/// Creates `local/` below the data folder and checks the permissions of every existing folder. Returns `local/`.
pub(super) fn prepare(config: &Config) -> Result<PathBuf, StartError> {
    let store = (!config.store.contains("://")).then(|| Path::new(&config.store));
    for root in [Some(config.data.as_path()), store].into_iter().flatten() {
        let group = config.store_group.filter(|_| store == Some(root));
        if let Some(open) = check_permissions(root, group)? {
            tracing::warn!("{open}");
        }
        if store == Some(config.data.as_path()) {
            break;
        }
    }
    let local = config.data.join("local");
    create_private(&local)?;
    Ok(local)
}

/// Creates a folder with mode 0700, or sets that mode on an existing one.
pub(super) fn create_private(path: &Path) -> Result<(), StartError> {
    let failed = |source| StartError::Folder { path: path.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let mode = fs::metadata(path).map_err(failed)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        tracing::warn!(
            "the folder {} was open to others (mode {mode:o}) and is closed now: look whether its keys and tokens are still secret",
            path.display()
        );
    }
    Ok(())
}

/// The warning about an existing folder that others than its owner and `group` can enter; none if it is fine.
fn check_permissions(root: &Path, group: Option<u32>) -> Result<Option<String>, StartError> {
    let metadata = match fs::metadata(root) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StartError::Folder { path: root.to_owned(), source }),
    };
    let mode = metadata.mode() & 0o1777;
    if mode & WRITABLE_BY_ALL != 0 && mode & STICKY == 0 {
        return Err(StartError::WritableByAll { path: root.to_owned(), mode });
    }
    // The configured group is given access when the store is opened.
    let allowed = if group == Some(metadata.gid()) { 0o050 } else { 0 };
    let (shown, others) = (root.display(), mode & 0o077 & !allowed);
    let fix = match group {
        Some(_) => format!("`chmod -R o= {shown}` closes it"),
        None => format!(
            "`chmod -R go= {shown}` closes it, and `group` in `[store]` lets one group read what is kept there"
        ),
    };
    Ok((others != 0).then(|| {
        format!(
            "the folder {shown} is open to others than its owner (mode {mode:o}): they can read what an earlier version wrote into it; {fix}"
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(mode: u32) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        folder
    }

    #[test]
    fn a_folder_that_is_open_to_others_is_told_with_the_command_that_closes_it() {
        assert_eq!(check_permissions(folder(0o700).path(), None).unwrap(), None);
        assert_eq!(check_permissions(Path::new("/nowhere/at/all"), None).unwrap(), None);
        for mode in [0o755, 0o750, 0o711] {
            let open = folder(mode);
            let warning = check_permissions(open.path(), None).unwrap().unwrap();
            assert!(warning.contains(&format!("chmod -R go= {}", open.path().display())), "{warning}");
            assert!(warning.contains(&format!("mode {mode:o}")), "{warning}");
        }
    }

    #[test]
    fn the_group_of_the_configuration_may_be_in_and_others_are_told() {
        let open = folder(0o750);
        let group = fs::metadata(open.path()).unwrap().gid();
        assert_eq!(check_permissions(open.path(), Some(group)).unwrap(), None);
        assert!(
            check_permissions(folder(0o755).path(), Some(group)).unwrap().unwrap().contains("chmod -R o= ")
        );
        assert!(check_permissions(open.path(), Some(group + 1)).unwrap().is_some());
    }

    #[test]
    fn a_folder_that_everybody_can_write_to_is_refused_unless_only_owners_may_rename_in_it() {
        let refused = check_permissions(folder(0o777).path(), None).unwrap_err().to_string();
        assert!(refused.contains("mode 777") && refused.contains("chmod o-w "), "{refused}");
        assert!(check_permissions(folder(0o1777).path(), None).unwrap().is_some());
    }

    #[test]
    fn the_machines_own_folder_is_closed_again() {
        let open = folder(0o755);
        create_private(open.path()).unwrap();
        create_private(&open.path().join("spill")).unwrap();
        for path in [open.path().to_owned(), open.path().join("spill")] {
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        }
    }
}
