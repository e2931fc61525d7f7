//! A store in a local folder.
//!
//! - What a call acknowledged survives a power failure: contents are synced before they get their name, and the folder
//!   with the name is synced before the call returns.
//! - Under a name there is either nothing or the whole object, never a part.
//! - Of two writers of one key exactly one wins, even in different processes.
//! - Files can be read by their owner alone, or by one group as well, whatever the umask is.
//!
//! Unfinished files are in `.tmp`, which no key can name; a crash leaves them there, and the next opening deletes them.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use meshtrail_log::sync_folder;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::error::{GetError, PutError, StoreError, io_hint};
use super::{Entry, Key};

const TEMPORARY: &str = ".tmp";
/// Longer than any write takes: older temporary files were left by a crash.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Why ranges of a file can't be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum RangeError {
    #[error(transparent)]
    Disk(#[from] io::Error),
    #[error("it is {size} bytes long, and bytes up to {end} are wanted")]
    Short { size: u64, end: u64 },
}

/// Reads ranges of a file, in the given order. A range beyond its end allocates nothing.
pub fn read_ranges(file: &File, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, RangeError> {
    let size = file.metadata()?.len();
    let mut parts = Vec::with_capacity(ranges.len());
    for range in ranges {
        if range.end > size {
            return Err(RangeError::Short { size, end: range.end });
        }
        let mut bytes = vec![0; usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0)];
        file.read_exact_at(&mut bytes, range.start)?;
        parts.push(bytes.into());
    }
    Ok(parts)
}

/// Who can read files: their owner, and the members of one group if it is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Permissions {
    group: Option<u32>,
}

impl Permissions {
    fn file_mode(self) -> u32 {
        if self.group.is_some() { 0o640 } else { 0o600 }
    }

    fn folder_mode(self) -> u32 {
        if self.group.is_some() { 0o750 } else { 0o700 }
    }

    /// Creates a file that only its owner can open until it is complete.
    fn make_file(self, path: &Path) -> io::Result<File> {
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        if self.group.is_some() {
            fchown(&file, None, self.group)?;
        }
        // Set explicitly: the umask may have removed bits, and the file may be left by a crash.
        file.set_permissions(fs::Permissions::from_mode(self.file_mode()))?;
        Ok(file)
    }

    /// Creates a folder whose parent exists; an existing folder stays as it is.
    fn make_folder(self, path: &Path) -> io::Result<()> {
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Ok(()) if self.group.is_some() => self.grant_group(path, self.folder_mode()),
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Gives the group access, unless it has it already.
    fn grant_group(self, path: &Path, mode: u32) -> io::Result<()> {
        let found = fs::symlink_metadata(path)?;
        if self.group.is_some_and(|group| group != found.gid()) {
            chown(path, None, self.group)?;
        }
        if found.mode() & 0o777 != mode {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
        Ok(())
    }

    /// Gives the group access to everything below `folder` that was written before the group was set.
    fn grant_group_below(self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.grant_group(&entry.path(), self.folder_mode())?;
                self.grant_group_below(&entry.path())?;
            } else if kind.is_file() {
                self.grant_group(&entry.path(), self.file_mode())?;
            }
        }
        Ok(())
    }
}

/// The parts of a store's folder that the group may read: all objects, but no files of this machine.
const SHARED: [&str; 2] = ["trails", "recordings"];

#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    permissions: Permissions,
    /// Folders whose own names are durable.
    synced: Mutex<HashSet<PathBuf>>,
    next: AtomicU64,
}

impl Folder {
    /// Opens the folder, or creates it. A `group` gets access to existing and to future objects.
    pub(super) fn open(root: &Path, group: Option<u32>) -> Result<Self, StoreError> {
        let folder = Self::at(root, Permissions { group });
        let ready = folder
            .make_durable(root)
            .and_then(|()| Permissions { group: None }.make_folder(&root.join(TEMPORARY)))
            .and_then(|()| folder.sweep());
        ready.map_err(|error| folder.failed("open", ".", error))?;
        folder.share_with_group().map_err(|error| folder.failed("let the group into", ".", error))?;
        Ok(folder)
    }

    fn at(root: &Path, permissions: Permissions) -> Self {
        Self {
            root: root.to_owned(),
            permissions,
            synced: Mutex::new(HashSet::new()),
            next: AtomicU64::new(0),
        }
    }

    /// Gives the group, if there is one, access to objects that were written before it was set.
    fn share_with_group(&self) -> io::Result<()> {
        if self.permissions.group.is_none() {
            return Ok(());
        }
        self.permissions.grant_group(&self.root, self.permissions.folder_mode())?;
        for name in SHARED {
            let shared = self.root.join(name);
            if shared.is_dir() {
                self.permissions.grant_group(&shared, self.permissions.folder_mode())?;
                self.permissions.grant_group_below(&shared)?;
            }
        }
        Ok(())
    }

    /// Opens the folder without creating or sweeping anything; a missing folder is an error.
    pub(super) fn open_read_only(root: &Path) -> Result<Self, StoreError> {
        let folder = Self::at(root, Permissions { group: None });
        fs::read_dir(root).map_err(|error| folder.failed("open", ".", error))?;
        Ok(folder)
    }

    pub(super) fn put_new(&self, key: &Key, bytes: &[u8]) -> Result<(), PutError> {
        let target = self.path(key);
        if target.exists() {
            return Err(PutError::Exists { key: key.clone() });
        }
        let parent = self.ready_parent(key, &target)?;
        let temporary = self.write_temporary(key, bytes)?;
        // A crash here leaves a file in `.tmp` that was not acknowledged; the next opening deletes it.
        let named = name_if_absent(&temporary, &target);
        if let Err(error) = named {
            discard(&temporary);
            if error.kind() == io::ErrorKind::AlreadyExists {
                return Err(PutError::Exists { key: key.clone() });
            }
            return Err(self.failed("write", key.as_str(), error).into());
        }
        // A crash here may lose the name or keep it: it was not acknowledged, and the object is never partial.
        sync_folder(parent).map_err(|error| self.failed("write", key.as_str(), error))?;
        Ok(())
    }

    pub(super) fn replace(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        let target = self.path(key);
        let parent = self.ready_parent(key, &target)?;
        let temporary = self.write_temporary(key, bytes)?;
        // A crash before the rename leaves the old object, after it the new one: rename is atomic.
        let renamed = fs::rename(&temporary, &target).and_then(|()| sync_folder(parent));
        renamed.map_err(|error| {
            discard(&temporary);
            self.failed("write", key.as_str(), error)
        })
    }

    pub(super) fn get(&self, key: &Key) -> Result<Bytes, GetError> {
        match fs::read(self.path(key)) {
            Ok(bytes) => Ok(bytes.into()),
            Err(error) => Err(self.get_failed(key, error)),
        }
    }

    pub(super) fn size(&self, key: &Key) -> Result<u64, GetError> {
        match fs::metadata(self.path(key)) {
            Ok(found) if found.is_file() => Ok(found.len()),
            Ok(_) => Err(self.missing(key)),
            Err(error) => Err(self.get_failed(key, error)),
        }
    }

    pub(super) fn get_ranges(&self, key: &Key, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, GetError> {
        let file = self.open_file(key)?;
        read_ranges(&file, ranges).map_err(|error| match error {
            RangeError::Disk(error) => self.get_failed(key, error),
            RangeError::Short { size, end } => GetError::Short { key: key.clone(), size, end },
        })
    }

    pub(super) fn open_file(&self, key: &Key) -> Result<File, GetError> {
        File::open(self.path(key)).map_err(|error| self.get_failed(key, error))
    }

    pub(super) fn list(&self, prefix: &Key) -> Result<Vec<Entry>, StoreError> {
        let mut found = Vec::new();
        let top = self.path(prefix);
        let listed = match fs::metadata(&top) {
            Ok(meta) if meta.is_dir() => self.walk(&top, &mut found),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        listed.map_err(|error| self.failed("list", prefix.as_str(), error))?;
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    pub(super) fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let target = self.path(key);
        match fs::remove_file(&target) {
            Ok(()) => sync_folder(target.parent().unwrap_or(&self.root))
                .map_err(|error| self.failed("delete", key.as_str(), error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.failed("delete", key.as_str(), error)),
        }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.root.join(key.as_str())
    }

    /// Returns the folder for `target`, created and durable.
    fn ready_parent<'a>(&self, key: &Key, target: &'a Path) -> Result<&'a Path, StoreError> {
        let parent = target.parent().expect("a key has at least one part below the root");
        let known = self.synced.lock().unwrap_or_else(PoisonError::into_inner).contains(parent);
        if !known || !parent.exists() {
            self.make_durable(parent)
                .map_err(|error| self.failed("make the folder of", key.as_str(), error))?;
            self.synced.lock().unwrap_or_else(PoisonError::into_inner).insert(parent.to_owned());
        }
        Ok(parent)
    }

    fn make_durable(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let above = match folder.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
        self.make_durable(above)?;
        self.permissions.make_folder(folder)?;
        sync_folder(above)
    }

    fn write_temporary(&self, key: &Key, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(TEMPORARY).join(format!("{}-{number}", std::process::id()));
        let written = self.permissions.make_file(&path).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        written.map_err(|error| {
            discard(&path);
            self.failed("write", key.as_str(), error)
        })?;
        Ok(path)
    }

    fn walk(&self, folder: &Path, found: &mut Vec<Entry>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                self.walk(&path, found)?;
                continue;
            }
            // A name that is not a key was not written here, such as an editor's file: it is not an object.
            let name = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
            if let Some(key) = name.and_then(|name| Key::new(name).ok()) {
                found.push(Entry { key, size: entry.metadata()?.size() });
            }
        }
        Ok(())
    }

    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join(TEMPORARY))? {
            let entry = entry?;
            let changed = match entry.metadata() {
                Ok(metadata) => metadata.modified()?,
                // Another writer has renamed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if SystemTime::now().duration_since(changed).unwrap_or_default() > ABANDONED {
                discard(&entry.path());
            }
        }
        Ok(())
    }

    fn failed(&self, doing: &'static str, key: &str, error: io::Error) -> StoreError {
        let hint = io_hint(&error);
        let store = self.root.display().to_string();
        StoreError::Failed { doing, key: key.to_owned(), store, hint, source: Box::new(error) }
    }

    fn get_failed(&self, key: &Key, error: io::Error) -> GetError {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::IsADirectory => self.missing(key),
            _ => self.failed("read", key.as_str(), error).into(),
        }
    }

    fn missing(&self, key: &Key) -> GetError {
        GetError::Missing { key: key.clone(), store: self.root.display().to_string() }
    }
}

/// Moves `temporary` to `target` unless that exists; links it if the file system has no such rename.
fn name_if_absent(temporary: &Path, target: &Path) -> io::Result<()> {
    match renameat_with(CWD, temporary, CWD, target, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::hard_link(temporary, target)?;
            discard(temporary);
            Ok(())
        }
        renamed => Ok(renamed?),
    }
}

/// Removes a temporary file; if that fails, the sweep at the next opening removes it.
fn discard(temporary: &Path) {
    if let Err(error) = fs::remove_file(temporary) {
        tracing::debug!(path = %temporary.display(), %error, "left a temporary file behind");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &Folder, name: &str) -> PathBuf {
        let key = Key::new(name).unwrap();
        folder.put_new(&key, b"bytes").unwrap();
        folder.path(&key)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn only_the_owner_reads_what_is_written_even_in_a_folder_that_is_open_to_all() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("open");
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        let folder = Folder::open(&root, None).unwrap();
        let written = put(&folder, "recordings/2026/one");
        folder.replace(&Key::new("trails/main/checkpoint").unwrap(), b"note").unwrap();
        assert_eq!((mode(&written), mode(&root.join("trails/main/checkpoint"))), (0o600, 0o600));
        for made in ["recordings", "recordings/2026", "trails", TEMPORARY] {
            assert_eq!(mode(&root.join(made)), 0o700, "{made}");
        }
        assert_eq!(mode(&root), 0o755, "what somebody else made is not ours to change");
    }

    #[test]
    fn a_group_reads_what_is_written_then_and_what_was_written_before_and_nothing_of_the_machines_own() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("store");
        let before = put(&Folder::open(&root, None).unwrap(), "trails/main/segments/one");
        fs::create_dir(root.join("local")).unwrap();
        fs::set_permissions(root.join("local"), fs::Permissions::from_mode(0o700)).unwrap();
        // One of our own groups: only root may give files to another.
        let group = fs::metadata(&root).unwrap().gid();
        let after = put(&Folder::open(&root, Some(group)).unwrap(), "recordings/2026/two");
        for file in [&before, &after] {
            assert_eq!((mode(file), fs::metadata(file).unwrap().gid()), (0o640, group), "{}", file.display());
        }
        for shared in [".", "trails", "trails/main/segments", "recordings/2026"] {
            assert_eq!(mode(&root.join(shared)), 0o750, "{shared}");
        }
        assert_eq!((mode(&root.join("local")), mode(&root.join(TEMPORARY))), (0o700, 0o700));
    }
}
