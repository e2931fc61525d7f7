//! The journal: one file on local disk that takes the bytes of all sessions as they come.
//!
//! Ten thousand files can't be made durable ten thousand times a second; one can. So all sessions' chunks go
//! through one journal with group commit, and are laid out per session afterwards, in their own time:
//!
//! ```text
//! Tape::append ─→ queue ─→ writer thread: one write + fdatasync for all ─→ durable watermark of each session
//!                                 │ each 64 MiB or 30 s
//!                                 └─→ layout thread: spool/<session>.cast ─→ one syncfs ─→ journal file deleted
//! ```
//!
//! - What [`Tape::durable`] says is on disk survives a crash at any instant.
//! - Bytes of one session are laid out in order and without holes, each exactly once.
//! - Queued bytes are bounded per session and in all; a sender past them waits in [`Tape::room`].
//! - Senders take turns: what one has queued does not stand before another's. Where files are laid out slower than they
//!   are written, whoever had an eighth of a file waits; all wait only as a last resort.
//! - A failed write or sync is final for every session that had bytes in it: nothing is retried behind a
//!   sender's back, since what reached the disk is not known then.
//! - A file of a newer version is refused, never touched.
//!
//! What the bytes mean is not known here.

mod chunk;
mod file;
mod frame;
mod layout;
mod recover;
mod spool;
mod tape;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::Semaphore;

pub use chunk::{Chunk, ChunkError};
pub use frame::{Frame, FrameKind, MAX_PAYLOAD, Scan, scan};
pub use recover::Recovered;
pub(crate) use recover::{Sessions, sessions_left};
pub use tape::{Closing, Durable, End, Opening, Room, Tape};

use crate::faults::Faults;
use tape::TapeState;

/// How large things may get, and how long they may wait.
#[derive(Debug, Clone)]
pub struct JournalLimits {
    /// Size of one journal file.
    pub file: u64,
    /// How long bytes stay in a journal file before they are laid out.
    pub rotate_every: Duration,
    /// Bytes of one session that are received and not durable yet.
    pub per_session: u64,
    /// Bytes of all sessions that are received and not durable yet.
    pub in_all: usize,
    /// How long the writer lets a small batch gather before it commits.
    pub gather: Duration,
    /// Journal files that wait to be laid out; at more the writer pauses, and with it the senders.
    pub files: usize,
    /// Whether chunk files are made for a bucket.
    pub ship: bool,
}

impl Default for JournalLimits {
    fn default() -> Self {
        Self {
            file: 64 << 20,
            rotate_every: Duration::from_secs(30),
            per_session: 1 << 20,
            in_all: 64 << 20,
            gather: Duration::from_millis(1),
            files: 8,
            ship: false,
        }
    }
}

/// Why the journal can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A folder can't be made or read.
    #[error("failed to open {path}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of a version that this program does not know.
    #[error("{path} has format {found}, this program knows up to {known}: a newer version wrote it")]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The newest version known here.
        known: u64,
    },
    /// What a crash left can't be laid out.
    #[error("failed to lay out {path}")]
    Layout {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Where the journal keeps what.
#[derive(Debug, Clone)]
pub struct Folders {
    /// Journal files.
    pub journal: PathBuf,
    /// One file of bytes per open session.
    pub spool: PathBuf,
    /// Chunks that wait to be shipped to the bucket.
    pub ship: PathBuf,
}

impl Folders {
    /// The folders under one local folder.
    pub fn under(local: &Path) -> Self {
        Self { journal: local.join("journal"), spool: local.join("spool"), ship: local.join("ship") }
    }
}

/// The journal of all sessions; cheap to clone.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
    threads: Arc<Threads>,
}

/// What the handle, the writer and the layout thread share.
struct Shared {
    folders: Folders,
    limits: JournalLimits,
    faults: Faults,
    queue: Mutex<writer::Queue>,
    /// Rung when the queue gets something, or a journal file was laid out.
    bell: Condvar,
    tapes: Mutex<HashMap<u64, Arc<TapeState>>>,
    /// Journal files that hold bytes which are in no spool file yet, by generation.
    files: Mutex<BTreeMap<u64, Arc<File>>>,
    /// Held while a file is made, so that no two are made of one generation.
    next: Mutex<NextFile>,
    budget: Arc<Semaphore>,
    /// Rung with the generation of each chunk file made.
    shipped: tokio::sync::watch::Sender<u64>,
}

/// The file that will be written next.
struct NextFile {
    generation: u64,
    /// Made ahead by the layout thread, so that nobody waits for it.
    made: Option<File>,
}

/// The two threads; the last handle stops them.
struct Threads {
    shared: Arc<Shared>,
    handles: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        locked(&self.shared.queue).stop = true;
        self.shared.bell.notify_all();
        for handle in std::mem::take(&mut *locked(&self.handles)) {
            // A thread that panicked has said so already; there is nobody left to tell.
            drop(handle.join());
        }
    }
}

impl Journal {
    /// Opens the journal and lays out what a crash left in it. Generations count on from `generation`,
    /// which must be larger than any used before.
    pub fn open(
        local: &Path,
        generation: u64,
        limits: JournalLimits,
        faults: Faults,
    ) -> Result<(Journal, Vec<Recovered>), JournalError> {
        let folders = Folders::under(local);
        for path in [&folders.journal, &folders.spool, &folders.ship] {
            std::fs::create_dir_all(path)
                .map_err(|source| JournalError::Folder { path: path.clone(), source })?;
        }
        let budget = Arc::new(Semaphore::new(limits.in_all));
        let shared = Arc::new(Shared {
            folders,
            limits,
            faults,
            queue: Mutex::default(),
            bell: Condvar::new(),
            tapes: Mutex::default(),
            files: Mutex::default(),
            next: Mutex::new(NextFile { generation, made: None }),
            budget,
            shipped: tokio::sync::watch::Sender::new(0),
        });
        let recovered = recover::recover(&shared)?;
        let handles = start(&shared);
        let threads = Arc::new(Threads { shared: shared.clone(), handles: Mutex::new(handles) });
        Ok((Journal { shared, threads }, recovered))
    }

    /// Starts a session's tape; it is durable once [`Tape::opened`] returns. Sessions of one `lane` take turns with those
    /// of others.
    pub fn begin(&self, opening: Opening, lane: u64) -> Tape {
        let state = Arc::new(TapeState::new(opening, lane));
        locked(&self.shared.tapes).insert(state.number(), state.clone());
        Tape::started(state, self.shared.clone())
    }

    /// The tape of a session that was recovered, to read it and to be done with it.
    pub fn resume(&self, recovered: &Recovered) -> Tape {
        let state = Arc::new(TapeState::spooled(recovered));
        locked(&self.shared.tapes).insert(state.number(), state.clone());
        Tape::resumed(state, self.shared.clone())
    }

    /// Lays out what the current file holds now instead of when it is due.
    pub fn rotate(&self) {
        locked(&self.shared.queue).rotate = true;
        self.shared.bell.notify_all();
    }

    /// The newest generation of which a chunk file was made, and the ones to come.
    pub fn chunks(&self) -> tokio::sync::watch::Receiver<u64> {
        self.shared.shipped.subscribe()
    }

    /// Where things lie.
    pub fn folders(&self) -> &Folders {
        &self.shared.folders
    }

    /// Lays out all that is queued and stops; what was durable is durable without it.
    pub fn close(self) {
        self.rotate();
        drop(self.threads);
    }
}

fn start(shared: &Arc<Shared>) -> Vec<JoinHandle<()>> {
    let (finished, to_lay_out) = mpsc::channel();
    let writer = writer::Writer::new(shared.clone(), finished);
    let layout = shared.clone();
    let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .expect("a thread can be started while the program starts")
    };
    vec![
        spawn("journal-writer", Box::new(move || writer.run())),
        spawn("journal-layout", Box::new(move || layout::run(&layout, &to_lay_out))),
    ]
}

/// Locks; a panic elsewhere leaves the data as it was between two complete changes.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
