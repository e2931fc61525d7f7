//! Appending events, and in-process sources.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use meshtrail_event::{Draft, Event, EventError, EventId, Family, MAX_LEAF, SourceName, Timestamp};
use tokio::sync::{Mutex, oneshot};

use super::shared::{Access, Shared, Writing};
use super::writer::{Message, Request};
use super::{AppendError, Trail};
use crate::dedupe::Dedupe;
use crate::wal::Batch;

/// Bytes of leaves in one batch, at most.
pub const MAX_BATCH: usize = 4 << 20;

/// The outcome of appending an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendOutcome {
    /// It was appended.
    New {
        /// Its index.
        index: u64,
        /// Its id.
        id: EventId,
    },
    /// It was in the trail already.
    Duplicate {
        /// Its index, if it is at hand.
        index: Option<u64>,
    },
}

/// Epochs of in-process sources.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    newest: HashMap<SourceName, u64>,
}

impl Epochs {
    /// The epochs of this trail's own sources when it was opened.
    pub(super) fn after(dedupe: &Dedupe, trail: &str) -> Self {
        let own = |source: &SourceName| {
            source.as_str().strip_prefix(trail).is_some_and(|rest| rest.starts_with('.'))
        };
        Self { newest: dedupe.newest_epochs().filter(|(source, _)| own(source)).collect() }
    }

    fn next(&mut self, source: &SourceName) -> u64 {
        let newest = self.newest.entry(source.clone()).or_default();
        *newest += 1;
        *newest
    }
}

impl Trail {
    /// Appends events atomically; they are durable on return.
    ///
    /// Events whose id is in the trail already are not appended again.
    pub async fn append(&self, events: Vec<Event>) -> Result<Vec<AppendOutcome>, AppendError> {
        let mut batch = Batch::default();
        for event in events {
            push(&mut batch, event)?;
        }
        let bytes = batch.entries.len();
        if bytes > MAX_BATCH {
            return Err(AppendError::TooLarge { bytes, most: MAX_BATCH });
        }
        if batch.events.is_empty() {
            return Ok(Vec::new());
        }
        let writing = self.writing()?;
        let permit = writing.queue.reserve().await.map_err(|_| self.shared.closed())?;
        let (reply, done) = oneshot::channel();
        permit.send(Message::Append(Request { batch, reply }));
        done.await.unwrap_or_else(|_| Err(self.shared.closed()))
    }

    /// Creates an in-process source, `<trail>.<source>`, with an epoch after all its earlier ones.
    ///
    /// # Panics
    ///
    /// If `source` can't be part of a source's name.
    pub fn emitter(&self, source: &str) -> Emitter {
        let name: SourceName = format!("{}.{source}", self.name())
            .parse()
            .expect("in-process sources are named by this program, trails were checked when opened");
        let epoch = match &self.shared.access {
            Access::Write(writing) => {
                writing.epochs.lock().unwrap_or_else(PoisonError::into_inner).next(&name)
            }
            Access::Read { .. } => 0,
        };
        let inner = EmitterInner { trail: self.clone(), source: name, epoch, next: Mutex::new(1) };
        Emitter { inner: Arc::new(inner) }
    }

    fn writing(&self) -> Result<&Writing, AppendError> {
        match &self.shared.access {
            Access::Write(writing) => Ok(writing),
            Access::Read { .. } => Err(self.shared.closed()),
        }
    }
}

impl Shared {
    pub(super) fn closed(&self) -> AppendError {
        let stopped = self.edge().stopped.clone();
        let reason = match (&self.access, stopped) {
            (Access::Read { .. }, _) => "it is open for reading only".into(),
            (_, Some(reason)) => reason,
            (_, None) => "it is being closed".into(),
        };
        AppendError::Closed { reason }
    }
}

fn push(batch: &mut Batch, event: Event) -> Result<(), AppendError> {
    match event.check() {
        Ok(leaf) => batch.push(event.id, event.kind.family(), event.time, &leaf),
        Err(reason) => return Err(AppendError::Event { id: event.id, reason }),
    }
    Ok(())
}

/// Leaves of one emitter that the caller writes byte for byte, to append large numbers of them.
///
/// Each must be what [`Event::to_leaf`] returns for the same event; builds with debug assertions check it.
pub struct Leaves {
    batch: Batch,
    /// The id of the next leaf.
    id: EventId,
    left: usize,
    received: Timestamp,
    leaf: Vec<u8>,
}

impl Leaves {
    /// When the leaves were received.
    pub fn received(&self) -> Timestamp {
        self.received
    }

    /// The number of leaves that may still be added.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Bytes of the leaves so far.
    pub fn bytes(&self) -> usize {
        self.batch.entries.len()
    }

    /// Adds the leaf that `write` appends to its buffer for the event of the given id.
    ///
    /// # Panics
    ///
    /// If more leaves are added than were reserved.
    pub fn push(
        &mut self,
        family: Family,
        time: Timestamp,
        write: impl FnOnce(&EventId, &mut Vec<u8>),
    ) -> Result<(), AppendError> {
        assert!(self.left > 0, "there is room for as many leaves as were asked for");
        self.leaf.clear();
        write(&self.id, &mut self.leaf);
        if self.leaf.len() > MAX_LEAF {
            let reason = EventError::TooLong { bytes: self.leaf.len() };
            return Err(AppendError::Event { id: self.id.clone(), reason });
        }
        debug_assert!(
            Event::from_json(&self.leaf).is_ok_and(|event| event.to_leaf() == self.leaf),
            "not a leaf: {}",
            String::from_utf8_lossy(&self.leaf)
        );
        let id = self.id.clone();
        self.id.sequence += 1;
        self.left -= 1;
        self.batch.push(id, family, time, &self.leaf);
        Ok(())
    }
}

/// An in-process source; cheap to clone.
#[derive(Clone)]
pub struct Emitter {
    inner: Arc<EmitterInner>,
}

struct EmitterInner {
    trail: Trail,
    source: SourceName,
    epoch: u64,
    /// The next sequence. Locked while an event enters the queue, so that sequences are queued in order.
    next: Mutex<u64>,
}

impl Emitter {
    /// The epoch of this start.
    pub fn epoch(&self) -> u64 {
        self.inner.epoch
    }

    /// The source's name.
    pub fn source(&self) -> &SourceName {
        &self.inner.source
    }

    /// Appends an event, received now; it is durable on return.
    pub async fn emit(&self, draft: Draft) -> Result<AppendOutcome, AppendError> {
        let mut appended = self.emit_all(vec![draft]).await?;
        Ok(appended.pop().expect("one answer for one event"))
    }

    /// Reserves sequences for `count` leaves that the caller writes itself.
    ///
    /// Unused sequences remain as a visible gap.
    pub async fn leaves(&self, count: usize) -> Leaves {
        let mut next = self.inner.next.lock().await;
        let first = *next;
        *next += count as u64;
        drop(next);
        let id = EventId { source: self.inner.source.clone(), epoch: self.inner.epoch, sequence: first };
        Leaves { batch: Batch::default(), id, left: count, received: Timestamp::now(), leaf: Vec::new() }
    }

    /// Appends leaves atomically; they are durable on return.
    pub async fn emit_leaves(&self, leaves: Leaves) -> Result<Vec<AppendOutcome>, AppendError> {
        let Leaves { batch, id, left, .. } = leaves;
        let trail = &self.inner.trail;
        if left > 0 {
            let mut next = self.inner.next.lock().await;
            // Unused sequences are returned, unless others were reserved after them.
            if *next == id.sequence + left as u64 {
                *next = id.sequence;
            }
        }
        if batch.events.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = batch.entries.len();
        if bytes > MAX_BATCH {
            return Err(AppendError::TooLarge { bytes, most: MAX_BATCH });
        }
        let permit = trail.writing()?.queue.reserve().await.map_err(|_| trail.shared.closed())?;
        let (reply, done) = oneshot::channel();
        permit.send(Message::Append(Request { batch, reply }));
        done.await.unwrap_or_else(|_| Err(trail.shared.closed()))
    }

    /// Appends events in their order, received now, atomically; they are durable on return.
    pub async fn emit_all(&self, drafts: Vec<Draft>) -> Result<Vec<AppendOutcome>, AppendError> {
        let EmitterInner { trail, source, epoch, next } = &*self.inner;
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        let writing = trail.writing()?;
        let (reply, done) = oneshot::channel();
        {
            let mut next = next.lock().await;
            let permit = writing.queue.reserve().await.map_err(|_| trail.shared.closed())?;
            let (mut batch, received, first) = (Batch::default(), Timestamp::now(), *next);
            for (sequence, draft) in (first..).zip(drafts) {
                let id = EventId { source: source.clone(), epoch: *epoch, sequence };
                push(&mut batch, draft.into_event(id, received))?;
            }
            let bytes = batch.entries.len();
            if bytes > MAX_BATCH {
                return Err(AppendError::TooLarge { bytes, most: MAX_BATCH });
            }
            *next += batch.events.len() as u64;
            permit.send(Message::Append(Request { batch, reply }));
        }
        done.await.unwrap_or_else(|_| Err(trail.shared.closed()))
    }
}
