//! Listing and copying folder trees.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Every file below a folder, sorted, as paths relative to it.
pub fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).with_context(|| format!("cannot read {}", next.display()))? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path().strip_prefix(folder)?.to_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Copies a folder; `to` must not exist.
pub fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for file in files_below(from)? {
        let target = to.join(&file);
        std::fs::create_dir_all(target.parent().context("a file lies in a folder")?)?;
        std::fs::copy(from.join(&file), &target)
            .with_context(|| format!("cannot copy {}", file.display()))?;
    }
    Ok(())
}
