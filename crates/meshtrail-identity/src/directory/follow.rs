//! A directory file that may change while it is in use.
//!
//! - The first load must succeed; after that there is always a directory.
//! - A changed file is read once it has held still from one look to the next, so that a file half written,
//!   which in TOML may well be valid, is not taken.
//! - A file that is gone or wrong changes nothing but [`DirectoryState::problem`], which says what is wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use meshtrail_event::text::with_causes;
use tokio::sync::watch;

use super::{Directory, DirectoryError};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The directory in use, and what is wrong with the file if it is older than the file.
#[derive(Clone, Debug)]
pub struct DirectoryState {
    /// The last good directory.
    pub directory: Arc<Directory>,
    /// How many times a changed file was taken.
    pub reloads: u64,
    /// Why the file as it is now was not taken; none when the directory is what the file says.
    pub problem: Option<Arc<DirectoryError>>,
}

/// A directory file, followed for as long as a clone of this exists.
#[derive(Clone, Debug)]
pub struct DirectoryFile {
    path: Arc<Path>,
    state: watch::Receiver<DirectoryState>,
}

impl DirectoryFile {
    /// Loads the file, and starts a task that follows it.
    pub fn open(path: impl Into<PathBuf>) -> Result<DirectoryFile, DirectoryError> {
        DirectoryFile::open_looking_every(path, LOOK_EVERY)
    }

    /// Like [`DirectoryFile::open`], with another interval between looks at the file.
    pub fn open_looking_every(
        path: impl Into<PathBuf>,
        every: Duration,
    ) -> Result<DirectoryFile, DirectoryError> {
        let path: Arc<Path> = path.into().into();
        let stamp = Stamp::of(&path);
        let directory = Arc::new(Directory::load(&path)?);
        let (sender, state) = watch::channel(DirectoryState { directory, reloads: 0, problem: None });
        let follower = Follower { path: path.clone(), taken: stamp, seen: stamp, sender };
        tokio::spawn(follower.run(every));
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

    /// The directory in use and what is wrong with the file, now and at each change.
    pub fn subscribe(&self) -> watch::Receiver<DirectoryState> {
        self.state.clone()
    }
}

/// What tells one content of a file from another without reading it.
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

struct Follower {
    path: Arc<Path>,
    /// The stamp of the content last read, good or bad; none for a file that was gone.
    taken: Option<Stamp>,
    /// The stamp at the last look.
    seen: Option<Stamp>,
    sender: watch::Sender<DirectoryState>,
}

impl Follower {
    async fn run(mut self, every: Duration) {
        let mut looks = tokio::time::interval(every);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.sender.closed() => return,
                _ = looks.tick() => self.look().await,
            }
        }
    }

    async fn look(&mut self) {
        let stamp = Stamp::of(&self.path);
        let held_still = stamp == self.seen;
        self.seen = stamp;
        if stamp == self.taken || !held_still {
            return;
        }
        self.taken = stamp;
        let path = self.path.clone();
        match tokio::task::spawn_blocking(move || Directory::load(&path)).await {
            Ok(Ok(directory)) => self.take(directory),
            Ok(Err(problem)) => self.keep(problem),
            // The runtime is going down, and this task with it.
            Err(_cancelled) => {}
        }
    }

    fn take(&self, directory: Directory) {
        let (people, devices, groups) = directory.counts();
        tracing::info!(file = %self.path.display(), people, devices, groups, "directory file reloaded");
        self.sender.send_modify(|state| {
            state.directory = Arc::new(directory);
            state.reloads += 1;
            state.problem = None;
        });
    }

    fn keep(&self, problem: DirectoryError) {
        tracing::warn!(file = %self.path.display(), problem = %with_causes(&problem), "directory file not taken; the last good one stays in use");
        self.sender.send_modify(|state| state.problem = Some(Arc::new(problem)));
    }
}
