//! State shared by the handle, the writer and the sealer.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use meshtrail_event::TrailName;
use tokio::sync::{mpsc, watch};

use super::TrailConfig;
use super::file_values::FileValueCache;
use super::head::Heads;
use super::level0::Level0;
use super::log_index::LogIndex;
use super::prove::TileCache;
use super::read::ReaderCache;
use super::writer::Message;
use crate::manifest::{Retired, Segment};
use crate::note;
use crate::store::{Key, Store};
use crate::tree::Tail;

/// Whether a trail accepts events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It accepts events.
    Accepting,
    /// It is open for reading.
    ReadOnly,
    /// The log has reached its limit, because the store accepts no segments; senders wait.
    Full,
    /// No more events are accepted until a restart.
    Stopped {
        /// The reason.
        reason: Arc<str>,
    },
}

pub(super) struct Shared {
    pub(super) config: TrailConfig,
    /// The name in `config`, checked.
    pub(super) name: TrailName,
    pub(super) origin: String,
    pub(super) store: Store,
    pub(super) root: Key,
    pub(super) access: Access,
    /// The durable size.
    pub(super) size: watch::Sender<u64>,
    pub(super) edge: Mutex<Edge>,
    /// Notified when the edge has work for the sealer, or room for the writer.
    pub(super) wakeup: Condvar,
    pub(super) sealed: RwLock<Arc<SealedState>>,
    pub(super) readers: ReaderCache,
    pub(super) file_values: FileValueCache,
    pub(super) tiles: TileCache,
    pub(super) level0: Level0,
}

/// What this process may do.
pub(super) enum Access {
    Write(Box<Writing>),
    Read { vkey: Option<String> },
}

pub(super) struct Writing {
    pub(super) key: note::Key,
    pub(super) heads: Heads,
    pub(super) queue: mpsc::Sender<Message>,
    /// Epochs of in-process sources: those at opening, and those assigned since.
    pub(super) epochs: Mutex<super::append::Epochs>,
    pub(super) threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    /// The lock of the folder, while the trail is open.
    pub(super) lock: Mutex<Option<std::fs::File>>,
}

/// The part of the trail that is not in the store yet.
pub(super) struct Edge {
    pub(super) tail: Tail,
    pub(super) log_index: LogIndex,
    /// Complete log files that wait to be sealed, oldest first.
    pub(super) closed: VecDeque<super::log_index::ClosedFile>,
    pub(super) stopped: Option<Arc<str>>,
    pub(super) closing: bool,
    /// Whether the sealer waits for the writer to close its file, in which case the writer must not wait for the sealer.
    pub(super) rotating: bool,
}

/// The part of the trail in the store, as of the newest manifest.
#[derive(Debug, Clone, Default)]
pub(super) struct SealedState {
    pub(super) size: u64,
    pub(super) segments: VecDeque<Arc<Segment>>,
    pub(super) retired: Option<Retired>,
}

impl SealedState {
    pub(super) fn of(fold: &crate::manifest::Fold) -> Arc<Self> {
        Arc::new(Self {
            size: fold.size(),
            segments: fold.segments().clone(),
            retired: fold.retired().cloned(),
        })
    }

    pub(super) fn retired_size(&self) -> u64 {
        self.retired.as_ref().map_or(0, |retired| retired.size)
    }

    /// The segment with this index.
    pub(super) fn segment_of(&self, index: u64) -> Option<&Arc<Segment>> {
        let at = self.segments.partition_point(|segment| segment.last < index);
        self.segments.get(at).filter(|segment| segment.first <= index)
    }
}

impl Shared {
    pub(super) fn edge(&self) -> MutexGuard<'_, Edge> {
        self.edge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sealed(&self) -> Arc<SealedState> {
        self.sealed.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn key(&self, path: &str) -> Key {
        self.root.join(path).expect("names below a trail's root are ours")
    }

    pub(super) fn vkey(&self) -> Option<String> {
        match &self.access {
            Access::Write(writing) => Some(writing.key.vkey()),
            Access::Read { vkey } => vkey.clone(),
        }
    }

    pub(super) fn state(&self) -> State {
        if matches!(self.access, Access::Read { .. }) {
            return State::ReadOnly;
        }
        let edge = self.edge();
        match &edge.stopped {
            Some(reason) => State::Stopped { reason: reason.clone() },
            None if edge.is_full(&self.config) => State::Full,
            None => State::Accepting,
        }
    }

    /// Stops accepting events.
    pub(super) fn stop(&self, reason: &str) {
        let mut edge = self.edge();
        if edge.stopped.is_none() {
            tracing::error!(trail = self.config.name, reason, "the trail takes no more events");
            edge.stopped = Some(reason.into());
        }
        drop(edge);
        self.wakeup.notify_all();
    }
}

impl Edge {
    pub(super) fn is_full(&self, config: &TrailConfig) -> bool {
        // At least two files: one is sealed while the next fills.
        self.closed.len() > 1
            && self.closed.iter().map(|closed| closed.bytes).sum::<u64>() >= config.log_limit
    }
}
