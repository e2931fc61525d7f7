//! The way in.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use meshtrail_event::{Draft, Event, EventError, EventId, Family, MAX_LEAF, SourceName, Timestamp};
use tokio::sync::{Mutex, oneshot};

use super::shared::{Access, Shared, Writing};
use super::writer::{Message, Request};
use super::{AppendError, Trail};
use crate::dedupe::Dedupe;
use crate::wal::Batch;

/// The most bytes of leaves in one batch.
pub const MAX_BATCH: usize = 4 << 20;

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It is in the trail.
    New {
        /// Where.
        index: u64,
        /// Its name.
        id: EventId,
    },
    /// It was in the trail before.
    Duplicate {
        /// Where, if that is at hand.
        index: Option<u64>,
    },
}

/// Epochs of in-process sources.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    newest: HashMap<SourceName, u64>,
}

impl Epochs {
    /// What was seen of this trail's own sources when it was opened.
    pub(super) fn after(seen: &Dedupe, trail: &str) -> Self {
        let own = |source: &SourceName| {
            source.as_str().strip_prefix(trail).is_some_and(|rest| rest.starts_with('.'))
        };
        Self { newest: seen.newest_epochs().filter(|(source, _)| own(source)).collect() }
    }

    fn next(&mut self, source: &SourceName) -> u64 {
        let newest = self.newest.entry(source.clone()).or_default();
        *newest += 1;
        *newest
    }
}

impl Trail {
    /// Takes events; all of them are durable when it returns, or none was taken.
    ///
    /// Events that were taken before, under the same id, are not taken again.
    pub async fn append(&self, events: Vec<Event>) -> Result<Vec<Appended>, AppendError> {
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

    /// An in-process source, `<trail>.<source>`; its epoch is one more than any seen of it.
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

/// Leaves of one emitter that their maker writes byte for byte, for whoever makes them in masses.
///
/// What is written must be what [`Event::to_leaf`] would give for the same event; builds with debug assertions check.
pub struct Leaves {
    batch: Batch,
    /// The next one's.
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

    /// How many more there is room for.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.batch.entries.len()
    }

    /// Adds the leaf that `write` appends to its buffer for the event of the given id.
    ///
    /// # Panics
    ///
    /// If there are more than there was room asked for.
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
    /// The next sequence. Held while an event goes into the queue, so that sequences go in order.
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

    /// Appends an event, received now; it is durable when this returns.
    pub async fn emit(&self, draft: Draft) -> Result<Appended, AppendError> {
        let mut appended = self.emit_all(vec![draft]).await?;
        Ok(appended.pop().expect("one answer for one event"))
    }

    /// Room for `count` leaves that the caller writes itself, with sequences of their own.
    ///
    /// Sequences that are not used leave a hole that shows.
    pub async fn leaves(&self, count: usize) -> Leaves {
        let mut next = self.inner.next.lock().await;
        let first = *next;
        *next += count as u64;
        drop(next);
        let id = EventId { source: self.inner.source.clone(), epoch: self.inner.epoch, sequence: first };
        Leaves { batch: Batch::default(), id, left: count, received: Timestamp::now(), leaf: Vec::new() }
    }

    /// Appends leaves; all of them are durable when this returns, or none was taken.
    pub async fn emit_leaves(&self, leaves: Leaves) -> Result<Vec<Appended>, AppendError> {
        let Leaves { batch, id, left, .. } = leaves;
        let trail = &self.inner.trail;
        if left > 0 {
            let mut next = self.inner.next.lock().await;
            // Unless others have sequences after these, what is left goes back.
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

    /// Appends events in their order, received now; all of them are durable when this returns, or none was taken.
    pub async fn emit_all(&self, drafts: Vec<Draft>) -> Result<Vec<Appended>, AppendError> {
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
