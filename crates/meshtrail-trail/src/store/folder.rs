//! A store in a local folder.
//!
//! - What a call acknowledged survives a power cut: contents are synced before they get their name, and the folder
//!   that holds the name is synced before the call returns.
//! - A name shows either nothing or the whole object, never a part.
//! - Two writers of one key: exactly one wins, whatever process it is in.
//!
//! Unfinished files live in `.tmp`, which no key can name; a crash leaves them there and the next opening sweeps them.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::error::{GetError, PutError, StoreError, io_hint};
use super::{Entry, Key};

const TEMPORARY: &str = ".tmp";
/// No write takes this long: what is older was left by a crash.
const ABANDONED: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    /// Folders whose own names are known to be durable.
    synced: Mutex<HashSet<PathBuf>>,
    next: AtomicU64,
}

impl Folder {
    pub(super) fn open(root: &Path) -> Result<Self, StoreError> {
        let folder =
            Self { root: root.to_owned(), synced: Mutex::new(HashSet::new()), next: AtomicU64::new(0) };
        let ready = make_durable(root)
            .and_then(|()| fs::create_dir_all(root.join(TEMPORARY)))
            .and_then(|()| folder.sweep());
        ready.map_err(|error| folder.failed("open", ".", error))?;
        Ok(folder)
    }

    /// The folder as it is: nothing is made or swept, and one that is not there is an error.
    pub(super) fn open_read_only(root: &Path) -> Result<Self, StoreError> {
        let folder =
            Self { root: root.to_owned(), synced: Mutex::new(HashSet::new()), next: AtomicU64::new(0) };
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
        // A crash here leaves a file in `.tmp`, unnamed and not acknowledged; the next opening sweeps it.
        let named = name_if_absent(&temporary, &target);
        if let Err(error) = named {
            discard(&temporary);
            if error.kind() == io::ErrorKind::AlreadyExists {
                return Err(PutError::Exists { key: key.clone() });
            }
            return Err(self.failed("write", key.as_str(), error).into());
        }
        // A crash here may lose the name or keep it: not acknowledged either way, and never half an object.
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
        let file = File::open(self.path(key)).map_err(|error| self.get_failed(key, error))?;
        let size = file.metadata().map_err(|error| self.get_failed(key, error))?.len();
        let mut parts = Vec::with_capacity(ranges.len());
        for range in ranges {
            if range.end > size {
                return Err(GetError::Short { key: key.clone(), size, end: range.end });
            }
            let mut bytes = vec![0; usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0)];
            file.read_exact_at(&mut bytes, range.start).map_err(|error| self.get_failed(key, error))?;
            parts.push(bytes.into());
        }
        Ok(parts)
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

    /// The folder for `target`, made and durable.
    fn ready_parent<'a>(&self, key: &Key, target: &'a Path) -> Result<&'a Path, StoreError> {
        let parent = target.parent().expect("a key has at least one part below the root");
        let known = self.synced.lock().unwrap_or_else(PoisonError::into_inner).contains(parent);
        if !known || !parent.exists() {
            make_durable(parent).map_err(|error| self.failed("make the folder of", key.as_str(), error))?;
            self.synced.lock().unwrap_or_else(PoisonError::into_inner).insert(parent.to_owned());
        }
        Ok(parent)
    }

    fn write_temporary(&self, key: &Key, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(TEMPORARY).join(format!("{}-{number}", std::process::id()));
        let written = File::create(&path).and_then(|mut file| {
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
            // What is no key was not written here: an editor's file, say. It is nobody's object.
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
                // Whoever writes beside us has named it meanwhile.
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

/// Moves `temporary` to `target` unless that exists; where the file system has no such rename, links it.
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

/// Removes a file that nothing counts on; if that fails, the sweep at the next opening gets it.
fn discard(temporary: &Path) {
    if let Err(error) = fs::remove_file(temporary) {
        tracing::debug!(path = %temporary.display(), %error, "left a temporary file behind");
    }
}

fn make_durable(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = match folder.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    make_durable(above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_folder(above)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
