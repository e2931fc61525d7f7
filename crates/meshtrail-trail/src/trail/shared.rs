//! What the handle, the writer and the sealer share.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::{mpsc, watch};

use super::TrailConfig;
use super::head::Heads;
use super::hot::Hot;
use super::level0::Level0;
use super::prove::Tiles;
use super::read::Readers;
use super::writer::Message;
use crate::manifest::{Retired, Segment};
use crate::note;
use crate::store::{Key, Store};
use crate::tree::Tail;

/// Whether a trail takes events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It does.
    Accepting,
    /// It is open for reading only.
    ReadOnly,
    /// The log has grown to its bound, because the store does not take segments; senders wait.
    Full,
    /// Nothing more is taken until a restart.
    Stopped {
        /// Why.
        reason: Arc<str>,
    },
}

pub(super) struct Shared {
    pub(super) config: TrailConfig,
    pub(super) origin: String,
    pub(super) store: Store,
    pub(super) root: Key,
    pub(super) access: Access,
    /// The size that is durable.
    pub(super) size: watch::Sender<u64>,
    pub(super) edge: Mutex<Edge>,
    /// Rung when the edge has something for the sealer, or gave something back to the writer.
    pub(super) bell: Condvar,
    pub(super) sealed: RwLock<Arc<Sealed>>,
    pub(super) readers: Readers,
    pub(super) tiles: Tiles,
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
    /// What was seen of sources when the trail was opened, and epochs given out since.
    pub(super) epochs: Mutex<super::append::Epochs>,
    pub(super) threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    /// Held as long as the trail is open.
    pub(super) lock: Mutex<Option<std::fs::File>>,
}

/// What is not in the store yet.
pub(super) struct Edge {
    pub(super) tail: Tail,
    pub(super) hot: Hot,
    /// Full log files that wait to be sealed, oldest first.
    pub(super) closed: VecDeque<super::hot::Closed>,
    pub(super) stopped: Option<Arc<str>>,
    pub(super) closing: bool,
    /// The sealer waits for the writer to close its file, so the writer must not wait for the sealer.
    pub(super) rotating: bool,
}

/// What the store has, as of the newest manifest.
#[derive(Debug, Clone, Default)]
pub(super) struct Sealed {
    pub(super) size: u64,
    pub(super) segments: VecDeque<Arc<Segment>>,
    pub(super) retired: Option<Retired>,
}

impl Sealed {
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

    /// The segment that holds this index.
    pub(super) fn segment_of(&self, index: u64) -> Option<&Arc<Segment>> {
        let at = self.segments.partition_point(|segment| segment.last < index);
        self.segments.get(at).filter(|segment| segment.first <= index)
    }
}

impl Shared {
    pub(super) fn edge(&self) -> MutexGuard<'_, Edge> {
        self.edge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sealed(&self) -> Arc<Sealed> {
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

    /// Takes nothing more from now on.
    pub(super) fn stop(&self, reason: &str) {
        let mut edge = self.edge();
        if edge.stopped.is_none() {
            tracing::error!(trail = self.config.name, reason, "the trail takes no more events");
            edge.stopped = Some(reason.into());
        }
        drop(edge);
        self.bell.notify_all();
    }
}

impl Edge {
    pub(super) fn is_full(&self, config: &TrailConfig) -> bool {
        // Two files at least: one is sealed while the next fills.
        self.closed.len() > 1
            && self.closed.iter().map(|closed| closed.bytes).sum::<u64>() >= config.log_limit
    }
}
