//! Follows a directory file that changes while it is in use.
//!
//! - The first load must succeed; after that there is always a directory.
//! - A changed file is loaded once it is unchanged between two checks, so that a partly written file, which may be valid
//!   TOML, is not loaded.
//! - A missing or invalid file changes only [`DirectoryState::problem`]; the last valid directory stays in use.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use meshtrail_event::text::with_causes;
use tokio::sync::watch;

use super::{Directory, DirectoryError};

/// The interval between checks of the file.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// The directory in use, and the error about the file if the directory is older than the file.
#[derive(Clone, Debug)]
pub struct DirectoryState {
    /// The last valid directory.
    pub directory: Arc<Directory>,
    /// Number of reloads.
    pub reloads: u64,
    /// Why the current file can't be loaded; none if the directory is up to date.
    pub problem: Option<Arc<DirectoryError>>,
}

/// A directory file, which is followed as long as a clone of this exists.
#[derive(Clone, Debug)]
pub struct DirectoryFile {
    path: Arc<Path>,
    state: watch::Receiver<DirectoryState>,
}

impl DirectoryFile {
    /// Loads the file, and spawns a task that follows it.
    pub fn open(path: impl Into<PathBuf>) -> Result<DirectoryFile, DirectoryError> {
        DirectoryFile::open_with_interval(path, CHECK_INTERVAL)
    }

    /// Like [`DirectoryFile::open`], with another interval between checks.
    pub fn open_with_interval(
        path: impl Into<PathBuf>,
        every: Duration,
    ) -> Result<DirectoryFile, DirectoryError> {
        let path: Arc<Path> = path.into().into();
        let stamp = Stamp::of(&path);
        let directory = Arc::new(Directory::load(&path)?);
        let (sender, state) = watch::channel(DirectoryState { directory, reloads: 0, problem: None });
        let watcher = FileWatcher { path: path.clone(), loaded: stamp, last: stamp, sender };
        tokio::spawn(watcher.run(every));
        Ok(DirectoryFile { path, state })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory in use now.
    pub fn current(&self) -> Arc<Directory> {
        self.state.borrow().directory.clone()
    }

    /// The directory in use and the error about the file, now and at each change.
    pub fn subscribe(&self) -> watch::Receiver<DirectoryState> {
        self.state.clone()
    }
}

/// Metadata by which a change of the file is detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Stamp> {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(path).ok()?;
        Some(Stamp { modified: metadata.modified().ok(), length: metadata.len(), inode: metadata.ino() })
    }
}

struct FileWatcher {
    path: Arc<Path>,
    /// The stamp at the last load, valid or not; none for a missing file.
    loaded: Option<Stamp>,
    /// The stamp at the last check.
    last: Option<Stamp>,
    sender: watch::Sender<DirectoryState>,
}

impl FileWatcher {
    async fn run(mut self, every: Duration) {
        let mut interval = tokio::time::interval(every);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.sender.closed() => return,
                _ = interval.tick() => self.check().await,
            }
        }
    }

    async fn check(&mut self) {
        let stamp = Stamp::of(&self.path);
        let is_stable = stamp == self.last;
        self.last = stamp;
        if stamp == self.loaded || !is_stable {
            return;
        }
        self.loaded = stamp;
        let path = self.path.clone();
        match tokio::task::spawn_blocking(move || Directory::load(&path)).await {
            Ok(Ok(directory)) => self.publish(directory),
            Ok(Err(problem)) => self.publish_problem(problem),
            // The runtime is going down, and this task with it.
            Err(_cancelled) => {}
        }
    }

    fn publish(&self, directory: Directory) {
        let (people, devices, groups) = directory.counts();
        tracing::info!(file = %self.path.display(), people, devices, groups, "directory file reloaded");
        self.sender.send_modify(|state| {
            state.directory = Arc::new(directory);
            state.reloads += 1;
            state.problem = None;
        });
    }

    fn publish_problem(&self, problem: DirectoryError) {
        tracing::warn!(file = %self.path.display(), problem = %with_causes(&problem), "directory file not taken; the last good one stays in use");
        self.sender.send_modify(|state| state.problem = Some(Arc::new(problem)));
    }
}
