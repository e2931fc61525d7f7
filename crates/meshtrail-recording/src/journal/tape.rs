//! One session's end of the journal.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use meshtrail_event::{SessionId, Timestamp};
use meshtrail_listen::RoomPermit;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{MAX_PAYLOAD, Recovered, Shared, frame::FrameKind, locked, spool, writer::Item};
use crate::faults::Step;

/// How long a session whose bytes could not be written waits for its end to be.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// What is known of a session the moment it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// Its id.
    pub session: SessionId,
    /// Its number in the journal; used once, ever.
    pub number: u64,
    /// When it started, by our clock.
    pub started: Timestamp,
    /// `address:port` of the sender.
    pub peer: String,
    /// `v1` or `v2`.
    pub protocol: String,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// The sender ended it.
    Ended,
    /// The upload was cut off.
    Interrupted,
    /// It can't be taken as a recording.
    Failed,
}

/// What is known of a session once its last byte has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// How it ended.
    pub end: End,
    /// Why, in words, where that says more.
    pub reason: Option<String>,
    /// When it ended, by our clock.
    pub ended: Timestamp,
    /// Durable bytes.
    pub bytes: u64,
    /// SHA-256 of these, where it was computed as they came.
    pub sha256: Option<String>,
}

/// How far a session is on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Durable {
    /// Its opening is.
    pub opened: bool,
    /// Its bytes up to here are.
    pub bytes: u64,
    /// Its closing is.
    pub closed: bool,
    /// Why no more of it will be.
    pub failed: Option<Arc<str>>,
}

/// Where a stretch of a session's bytes lies in a journal file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) generation: u64,
    /// Position of the bytes in the file.
    pub(super) at: u64,
    pub(super) offset: u64,
    pub(super) length: u32,
}

/// Where a session's durable bytes lie: the first `spooled` in its spool file, the rest in journal files.
#[derive(Debug, Default)]
pub(super) struct Placed {
    pub(super) spooled: u64,
    pub(super) extents: Vec<Extent>,
}

/// The session's files in the spool.
#[derive(Debug, Default)]
pub(super) struct Spooled {
    pub(super) opening_written: bool,
    pub(super) closing_written: bool,
    /// The session is sealed: nothing of it is laid out any more.
    pub(super) done: bool,
}

/// One session as all threads see it.
pub(super) struct TapeState {
    pub(super) opening: Opening,
    /// Whose turn it is when its bytes are written: one number for each sender.
    pub(super) lane: u64,
    pub(super) durable: watch::Sender<Durable>,
    pub(super) placed: Mutex<Placed>,
    pub(super) closing: Mutex<Option<Closing>>,
    /// Held while the spool files change.
    pub(super) spool: Mutex<Spooled>,
}

impl TapeState {
    pub(super) fn new(opening: Opening, lane: u64) -> Self {
        Self {
            opening,
            lane,
            durable: watch::Sender::new(Durable::default()),
            placed: Mutex::default(),
            closing: Mutex::default(),
            spool: Mutex::default(),
        }
    }

    pub(super) fn spooled(recovered: &Recovered) -> Self {
        let state = Self::new(recovered.opening.clone(), recovered.opening.number);
        let closed = recovered.closing.is_some();
        let durable = Durable { opened: true, bytes: recovered.bytes, closed, failed: None };
        state.durable.send_replace(durable);
        locked(&state.placed).spooled = recovered.bytes;
        *locked(&state.closing) = recovered.closing.clone();
        *locked(&state.spool) = Spooled { opening_written: true, closing_written: closed, done: false };
        state
    }

    pub(super) fn number(&self) -> u64 {
        self.opening.number
    }
}

/// The writing end of one session, and the way to read it back.
pub struct Tape {
    state: Arc<TapeState>,
    shared: Arc<Shared>,
    appended: AtomicU64,
}

impl Tape {
    pub(super) fn started(state: Arc<TapeState>, shared: Arc<Shared>) -> Self {
        let tape = Self { state, shared, appended: AtomicU64::new(0) };
        let opening = serde_json::to_vec(&tape.state.opening).expect("an opening is plain JSON");
        tape.queue(FrameKind::Open, 0, opening.into(), None);
        tape
    }

    pub(super) fn resumed(state: Arc<TapeState>, shared: Arc<Shared>) -> Self {
        let bytes = state.durable.borrow().bytes;
        Self { state, shared, appended: AtomicU64::new(bytes) }
    }

    /// What the session started with.
    pub fn opening(&self) -> &Opening {
        &self.state.opening
    }

    /// How far it is on disk, and a way to wait for more.
    pub fn durable(&self) -> watch::Receiver<Durable> {
        self.state.durable.subscribe()
    }

    /// How far it is on disk now.
    pub fn durable_now(&self) -> Durable {
        self.state.durable.borrow().clone()
    }

    /// Waits until the opening is on disk.
    pub async fn opened(&self) -> Result<(), Arc<str>> {
        self.wait(|durable| durable.opened).await
    }

    /// Waits until all that was appended is on disk.
    pub async fn flushed(&self) -> Result<(), Arc<str>> {
        let appended = self.appended.load(Ordering::Acquire);
        self.wait(|durable| durable.bytes >= appended).await
    }

    async fn wait(&self, reached: impl Fn(&Durable) -> bool) -> Result<(), Arc<str>> {
        let mut durable = self.durable();
        let seen = durable
            .wait_for(|durable| reached(durable) || durable.failed.is_some())
            .await
            .expect("the tape holds the sender")
            .clone();
        match seen.failed {
            Some(why) if !reached(&seen) => Err(why),
            _ => Ok(()),
        }
    }

    /// Leave to append at once, if there is room now.
    pub fn room_now(&self, length: usize) -> Option<Room> {
        let appended = self.appended.load(Ordering::Acquire);
        let durable = self.state.durable.borrow();
        if durable.failed.is_some() || appended - durable.bytes > self.shared.limits.per_session {
            return None;
        }
        drop(durable);
        let wanted = u32::try_from(length.min(self.shared.limits.in_all)).unwrap_or(u32::MAX);
        let permit = self.shared.budget.clone().try_acquire_many_owned(wanted).ok()?;
        Some(Room { _budget: permit, _share: None })
    }

    /// How many of its bytes are on disk.
    pub fn durable_bytes(&self) -> u64 {
        self.state.durable.borrow().bytes
    }

    /// Waits until the session may append more: its own bound and the bound of all are kept.
    pub async fn room(&self, length: usize) -> Result<Room, Arc<str>> {
        let limit = self.shared.limits.per_session;
        let appended = self.appended.load(Ordering::Acquire);
        self.wait(|durable| appended - durable.bytes <= limit).await?;
        if let Some(why) = self.durable_now().failed {
            return Err(why);
        }
        let wanted = u32::try_from(length.min(self.shared.limits.in_all)).unwrap_or(u32::MAX);
        let permit = self.shared.budget.clone().acquire_many_owned(wanted).await;
        Ok(Room { _budget: permit.expect("the budget is never closed"), _share: None })
    }

    /// Queues bytes; they are durable when [`Tape::durable`] says so.
    pub fn append(&self, mut bytes: Bytes, room: Room) {
        let mut room = Some(room);
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(MAX_PAYLOAD));
            let offset = self.appended.fetch_add(piece.len() as u64, Ordering::AcqRel);
            // The last piece carries the room: when it is durable, all before it are.
            let carried = if bytes.is_empty() { room.take() } else { None };
            self.queue(FrameKind::Bytes, offset, piece, carried);
        }
    }

    /// Queues the end of the session and waits until it is on disk, or is known not to be.
    pub async fn close(&self, closing: &Closing) -> Result<(), Arc<str>> {
        *locked(&self.state.closing) = Some(closing.clone());
        let failed_before = self.durable_now().failed;
        let json = serde_json::to_vec(closing).expect("a closing is plain JSON");
        self.queue(FrameKind::Close, closing.bytes, json.into(), None);
        match failed_before {
            None => self.wait(|durable| durable.closed).await,
            // The bytes failed before; whether the closing gets through no longer shows in the same place.
            Some(why) => {
                let closed = self.wait_for_closed();
                tokio::time::timeout(CLOSE_PATIENCE, closed).await.map_err(|_| why)
            }
        }
    }

    async fn wait_for_closed(&self) {
        let mut durable = self.durable();
        drop(durable.wait_for(|durable| durable.closed).await);
    }

    /// Drops all that is kept of the session: it is sealed and its event is durable.
    pub fn done(&self) -> io::Result<()> {
        let number = self.state.number();
        self.queue(FrameKind::Done, 0, Bytes::new(), None);
        let mut spool = locked(&self.state.spool);
        spool.done = true;
        // A crash before or between these leaves files of a session whose event is in the trail: recovery
        // finds the event and comes back here.
        self.shared.faults.around(Step::RemoveSpool, || {
            spool::remove(&self.shared.folders.spool, &self.state.opening.session)
        })?;
        drop(spool);
        locked(&self.shared.tapes).remove(&number);
        Ok(())
    }

    /// Reads durable bytes from `from`, at most `length` of them; none at the end of what is durable.
    pub fn read(&self, from: u64, length: usize) -> io::Result<Vec<u8>> {
        spool::read(&self.shared, &self.state, from, length)
    }

    fn queue(&self, kind: FrameKind, offset: u64, payload: Bytes, room: Option<Room>) {
        let item = Item { tape: self.state.clone(), kind, offset, payload, room };
        locked(&self.shared.queue).push(item);
        self.shared.bell.notify_one();
    }
}

/// Leave to append a number of bytes, given back when they are durable.
#[must_use]
pub struct Room {
    _budget: OwnedSemaphorePermit,
    _share: Option<RoomPermit>,
}

impl Room {
    /// With the sender's own part of what all may have on the way.
    pub fn beside(self, share: RoomPermit) -> Room {
        Room { _share: Some(share), ..self }
    }
}
