//! The journal: one file on local disk for the received bytes of all sessions.
//!
//! Ten thousand files can't be synced many times a second, one file can. So the bytes of all sessions go through one
//! journal with group commit, and are later *laid out*: moved to one file per session in the spool.
//!
//! ```text
//! SessionStream::append ─→ queue ─→ writer thread: one write + fdatasync for all ─→ durable watermark of each session
//!                                         │ each 64 MiB or 30 s
//!                                         └─→ layout thread: spool/<session>.cast ─→ one syncfs ─→ journal file deleted
//! ```
//!
//! - Bytes that [`SessionStream::watch_durable`] reports survive a crash at any instant.
//! - Bytes of one session are laid out in order and without holes, each exactly once.
//! - Queued bytes are limited per session and in total; beyond that a sender waits in
//!   [`SessionStream::acquire_room`].
//! - Scheduling is fair between senders (round robin by bytes): a sender's queue does not delay another's. While layout
//!   is slower than writing, a sender waits once it has an eighth of the current file; all senders wait only when too
//!   many files are not laid out.
//! - A failed write or sync ends every session that has bytes in it. Nothing is retried, since it is unknown then which
//!   bytes reached the disk.
//! - A file of a newer version is refused and not changed.
//!
//! What the bytes mean is not known here.

mod chunk;
mod file;
mod frame;
mod layout;
mod recover;
mod session_stream;
mod spool;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use meshtrail_log::{LogFile, LogWriter};
use tokio::sync::Semaphore;

pub use chunk::{Chunk, ChunkError};
pub use frame::{Frame, FrameKind, MAX_PAYLOAD, Scan, scan};
pub use recover::RecoveredSession;
pub(crate) use recover::{Recovery, unsealed_on_disk};
pub use session_stream::{AppendPermit, Closing, DurableState, End, Opening, SessionStream};

use crate::faults::Faults;
use session_stream::StreamState;

/// Limits of sizes and times.
#[derive(Debug, Clone)]
pub struct JournalLimits {
    /// The size of a journal file in bytes.
    pub file_size: u64,
    /// The age at which a journal file is laid out although it is not full.
    pub rotate_every: Duration,
    /// Bytes of one session that are received but not durable.
    pub per_session: u64,
    /// Bytes of all sessions that are received but not durable.
    pub in_total: usize,
    /// How long the writer waits for more frames before it commits a small batch.
    pub gather_time: Duration,
    /// Journal files that are not laid out; with this many the writer pauses, and with it all senders.
    pub max_files: usize,
    /// Whether chunks are written for a bucket.
    pub ship: bool,
}

impl Default for JournalLimits {
    fn default() -> Self {
        Self {
            file_size: 64 << 20,
            rotate_every: Duration::from_secs(30),
            per_session: 1 << 20,
            in_total: 64 << 20,
            gather_time: Duration::from_millis(1),
            max_files: 8,
            ship: false,
        }
    }
}

/// Why the journal can't be opened.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum JournalError {
    #[error("failed to open {path}")]
    Folder { path: PathBuf, source: io::Error },
    #[error("{path} has format {found}, this program knows up to {known}: a newer version wrote it")]
    Newer { path: PathBuf, found: u64, known: u64 },
    #[error("failed to lay out {path}")]
    Layout { path: PathBuf, source: io::Error },
}

/// The folders of the journal.
#[derive(Debug, Clone)]
pub struct Folders {
    /// Journal files.
    pub journal: PathBuf,
    /// Laid out bytes, one file for each unsealed session.
    pub spool: PathBuf,
    /// Chunks that are not in the bucket yet.
    pub ship: PathBuf,
}

impl Folders {
    /// The folders below one local folder.
    pub fn under(local: &Path) -> Self {
        Self { journal: local.join("journal"), spool: local.join("spool"), ship: local.join("ship") }
    }
}

/// The journal of all sessions. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
    threads: Arc<Threads>,
}

/// State that the handles, the writer thread and the layout thread share.
struct Shared {
    folders: Folders,
    limits: JournalLimits,
    faults: Faults,
    queue: Mutex<writer::Queue>,
    /// Notified when the queue gets an item or a journal file was laid out.
    wakeup: Condvar,
    streams: Mutex<HashMap<u64, Arc<StreamState>>>,
    /// Journal files that are not laid out, by generation.
    files: Mutex<BTreeMap<u64, Arc<LogFile>>>,
    /// Locked while a file is created, so that no two files have the same generation.
    next: Mutex<NextFile>,
    budget: Arc<Semaphore>,
    /// The generation of the newest chunk file.
    newest_chunk: tokio::sync::watch::Sender<u64>,
}

/// The next journal file.
struct NextFile {
    generation: u64,
    /// Created ahead by the layout thread, so that no commit waits for it.
    file: Option<LogWriter>,
}

/// The two threads. Dropping the last handle of the journal stops them.
struct Threads {
    shared: Arc<Shared>,
    handles: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        lock(&self.shared.queue).stop = true;
        self.shared.wakeup.notify_all();
        for handle in std::mem::take(&mut *lock(&self.handles)) {
            // A panic was already reported by the thread.
            drop(handle.join());
        }
    }
}

impl Journal {
    /// Opens the journal and lays out the files that a crash left. Generations start at `generation`, which must be
    /// larger than any used before.
    pub fn open(
        local: &Path,
        generation: u64,
        limits: JournalLimits,
        faults: Faults,
    ) -> Result<(Journal, Vec<RecoveredSession>), JournalError> {
        let folders = Folders::under(local);
        for path in [&folders.journal, &folders.spool, &folders.ship] {
            std::fs::create_dir_all(path)
                .map_err(|source| JournalError::Folder { path: path.clone(), source })?;
        }
        let budget = Arc::new(Semaphore::new(limits.in_total));
        let shared = Arc::new(Shared {
            folders,
            limits,
            faults,
            queue: Mutex::default(),
            wakeup: Condvar::new(),
            streams: Mutex::default(),
            files: Mutex::default(),
            next: Mutex::new(NextFile { generation, file: None }),
            budget,
            newest_chunk: tokio::sync::watch::Sender::new(0),
        });
        let recovered = recover::recover(&shared)?;
        let handles = start(&shared);
        let threads = Arc::new(Threads { shared: shared.clone(), handles: Mutex::new(handles) });
        Ok((Journal { shared, threads }, recovered))
    }

    /// Starts a session's stream. Its opening is durable once [`SessionStream::wait_opened`] returns. Sessions with the
    /// same `lane` share one place in the writer's round robin.
    pub fn begin(&self, opening: Opening, lane: u64) -> SessionStream {
        let state = Arc::new(StreamState::new(opening, lane));
        lock(&self.shared.streams).insert(state.number(), state.clone());
        SessionStream::start(state, self.shared.clone())
    }

    /// The stream of a recovered session, to read and to discard it.
    pub fn resume(&self, recovered: &RecoveredSession) -> SessionStream {
        let state = Arc::new(StreamState::from_recovered(recovered));
        lock(&self.shared.streams).insert(state.number(), state.clone());
        SessionStream::resume(state, self.shared.clone())
    }

    /// Lays out the current file now, before it is due.
    pub fn rotate(&self) {
        lock(&self.shared.queue).rotate = true;
        self.shared.wakeup.notify_all();
    }

    /// The generation of the newest chunk file.
    pub fn watch_chunks(&self) -> tokio::sync::watch::Receiver<u64> {
        self.shared.newest_chunk.subscribe()
    }

    /// The folders of the journal.
    pub fn folders(&self) -> &Folders {
        &self.shared.folders
    }

    /// Lays out all queued bytes and stops. Durable bytes are durable without this.
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

/// Locks a mutex, even a poisoned one: a panic in another thread leaves no half-made change behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
