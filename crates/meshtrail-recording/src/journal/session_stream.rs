//! [`SessionStream`]: one session's bytes in the journal, to append and to read back.

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

use super::{MAX_PAYLOAD, RecoveredSession, Shared, frame::FrameKind, lock, spool, writer::Item};
use crate::faults::Step;

/// How long a session whose bytes could not be written waits for its closing to be durable.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The facts of a session at its start. Its JSON is in the journal, the spool and chunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The session's id.
    pub session: SessionId,
    /// The session's number in the journal, never used for another session.
    pub number: u64,
    /// When it started, by the recorder's clock.
    pub started: Timestamp,
    /// `address:port` of the sender.
    pub peer: String,
    /// The version of the recorder protocol: `v1` or `v2`.
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
    /// It is no valid recording.
    Failed,
}

/// The facts of a session at its end. Its JSON is in the journal, the spool and chunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// How it ended.
    pub end: End,
    /// Why, in words, where `end` alone does not say it.
    pub reason: Option<String>,
    /// When it ended, by the recorder's clock.
    pub ended: Timestamp,
    /// The number of durable bytes.
    pub bytes: u64,
    /// SHA-256 of all received bytes, computed as they were received; none if some were lost.
    pub sha256: Option<String>,
}

/// What is durable of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DurableState {
    /// Whether its opening is durable.
    pub opened: bool,
    /// The number of durable bytes, from the start.
    pub bytes: u64,
    /// Whether its closing is durable.
    pub closed: bool,
    /// Why no more bytes can become durable.
    pub failed: Option<Arc<str>>,
}

/// A range of a session's bytes in a journal file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) generation: u64,
    /// Position of the bytes in the file.
    pub(super) at: u64,
    /// Offset of the bytes in the session.
    pub(super) offset: u64,
    pub(super) length: u32,
}

/// Locations of a session's durable bytes: the first `spooled` are in its spool file, the rest in journal files.
#[derive(Debug, Default)]
pub(super) struct ByteLocations {
    pub(super) spooled: u64,
    pub(super) extents: Vec<Extent>,
}

/// The state of a session's files in the spool.
#[derive(Debug, Default)]
pub(super) struct SpoolState {
    pub(super) opening_written: bool,
    pub(super) closing_written: bool,
    /// The session is sealed, and its files are removed: nothing of it is laid out any more.
    pub(super) discarded: bool,
}

/// The state of one session, shared by all threads.
pub(super) struct StreamState {
    pub(super) opening: Opening,
    /// The sender's lane in the writer's queue.
    pub(super) lane: u64,
    pub(super) durable: watch::Sender<DurableState>,
    pub(super) locations: Mutex<ByteLocations>,
    pub(super) closing: Mutex<Option<Closing>>,
    /// Locked while the spool files change.
    pub(super) spool: Mutex<SpoolState>,
}

impl StreamState {
    pub(super) fn new(opening: Opening, lane: u64) -> Self {
        Self {
            opening,
            lane,
            durable: watch::Sender::new(DurableState::default()),
            locations: Mutex::default(),
            closing: Mutex::default(),
            spool: Mutex::default(),
        }
    }

    pub(super) fn from_recovered(recovered: &RecoveredSession) -> Self {
        let state = Self::new(recovered.opening.clone(), recovered.opening.number);
        let closed = recovered.closing.is_some();
        let durable = DurableState { opened: true, bytes: recovered.bytes, closed, failed: None };
        state.durable.send_replace(durable);
        lock(&state.locations).spooled = recovered.bytes;
        *lock(&state.closing) = recovered.closing.clone();
        *lock(&state.spool) = SpoolState { opening_written: true, closing_written: closed, discarded: false };
        state
    }

    pub(super) fn number(&self) -> u64 {
        self.opening.number
    }
}

/// One session's bytes in the journal: appends them, and reads the durable ones back.
pub struct SessionStream {
    state: Arc<StreamState>,
    shared: Arc<Shared>,
    appended: AtomicU64,
}

impl SessionStream {
    pub(super) fn start(state: Arc<StreamState>, shared: Arc<Shared>) -> Self {
        let stream = Self { state, shared, appended: AtomicU64::new(0) };
        let opening = serde_json::to_vec(&stream.state.opening).expect("an opening is plain JSON");
        stream.queue(FrameKind::Open, 0, opening.into(), None);
        stream
    }

    pub(super) fn resume(state: Arc<StreamState>, shared: Arc<Shared>) -> Self {
        let bytes = state.durable.borrow().bytes;
        Self { state, shared, appended: AtomicU64::new(bytes) }
    }

    /// The session's opening.
    pub fn opening(&self) -> &Opening {
        &self.state.opening
    }

    /// The durable state, and its changes.
    pub fn watch_durable(&self) -> watch::Receiver<DurableState> {
        self.state.durable.subscribe()
    }

    /// The durable state now.
    pub fn durable_now(&self) -> DurableState {
        self.state.durable.borrow().clone()
    }

    /// Waits until the opening is durable.
    pub async fn wait_opened(&self) -> Result<(), Arc<str>> {
        self.wait(|durable| durable.opened).await
    }

    /// Waits until all appended bytes are durable.
    pub async fn wait_flushed(&self) -> Result<(), Arc<str>> {
        let appended = self.appended.load(Ordering::Acquire);
        self.wait(|durable| durable.bytes >= appended).await
    }

    async fn wait(&self, reached: impl Fn(&DurableState) -> bool) -> Result<(), Arc<str>> {
        let mut durable = self.watch_durable();
        let state = durable
            .wait_for(|durable| reached(durable) || durable.failed.is_some())
            .await
            .expect("the stream holds the sender")
            .clone();
        match state.failed {
            Some(why) if !reached(&state) => Err(why),
            _ => Ok(()),
        }
    }

    /// A permit to append, if there is room now.
    pub fn try_acquire_room(&self, length: usize) -> Option<AppendPermit> {
        let appended = self.appended.load(Ordering::Acquire);
        let durable = self.state.durable.borrow();
        if durable.failed.is_some() || appended - durable.bytes > self.shared.limits.per_session {
            return None;
        }
        drop(durable);
        let wanted = u32::try_from(length.min(self.shared.limits.in_total)).unwrap_or(u32::MAX);
        let permit = self.shared.budget.clone().try_acquire_many_owned(wanted).ok()?;
        Some(AppendPermit { _budget: permit, _share: None })
    }

    /// The number of durable bytes.
    pub fn durable_bytes(&self) -> u64 {
        self.state.durable.borrow().bytes
    }

    /// Waits for a permit to append: until the limits of the session and of all sessions have room.
    pub async fn acquire_room(&self, length: usize) -> Result<AppendPermit, Arc<str>> {
        let limit = self.shared.limits.per_session;
        let appended = self.appended.load(Ordering::Acquire);
        self.wait(|durable| appended - durable.bytes <= limit).await?;
        if let Some(why) = self.durable_now().failed {
            return Err(why);
        }
        let wanted = u32::try_from(length.min(self.shared.limits.in_total)).unwrap_or(u32::MAX);
        let permit = self.shared.budget.clone().acquire_many_owned(wanted).await;
        Ok(AppendPermit { _budget: permit.expect("the budget is never closed"), _share: None })
    }

    /// Queues bytes. They are durable once [`SessionStream::watch_durable`] reports it.
    pub fn append(&self, mut bytes: Bytes, permit: AppendPermit) {
        let mut permit = Some(permit);
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(MAX_PAYLOAD));
            let offset = self.appended.fetch_add(piece.len() as u64, Ordering::AcqRel);
            // The last piece holds the permit: once it is durable, all pieces before it are.
            let permit = if bytes.is_empty() { permit.take() } else { None };
            self.queue(FrameKind::Bytes, offset, piece, permit);
        }
    }

    /// Queues the closing, and waits until it is durable or has failed.
    pub async fn close(&self, closing: &Closing) -> Result<(), Arc<str>> {
        *lock(&self.state.closing) = Some(closing.clone());
        let failed_before = self.durable_now().failed;
        let json = serde_json::to_vec(closing).expect("a closing is plain JSON");
        self.queue(FrameKind::Close, closing.bytes, json.into(), None);
        match failed_before {
            None => self.wait(|durable| durable.closed).await,
            // The bytes failed before, so `failed` does not tell whether the closing fails as well.
            Some(why) => {
                let closed = self.wait_closed();
                tokio::time::timeout(CLOSE_TIMEOUT, closed).await.map_err(|_| why)
            }
        }
    }

    async fn wait_closed(&self) {
        let mut durable = self.watch_durable();
        drop(durable.wait_for(|durable| durable.closed).await);
    }

    /// Removes the session from journal and spool: it is sealed and its terminal event is durable, or it was not
    /// accepted.
    pub fn discard(&self) -> io::Result<()> {
        let number = self.state.number();
        self.queue(FrameKind::Done, 0, Bytes::new(), None);
        let mut spool = lock(&self.state.spool);
        spool.discarded = true;
        // A crash before or between these leaves files of a session whose terminal event is in the trail: recovery
        // finds the event and removes them.
        self.shared.faults.around(Step::RemoveSpool, || {
            spool::remove(&self.shared.folders.spool, &self.state.opening.session)
        })?;
        drop(spool);
        lock(&self.shared.streams).remove(&number);
        Ok(())
    }

    /// Reads at most `length` durable bytes from `from` on; an empty result is the end of the durable bytes.
    pub fn read(&self, from: u64, length: usize) -> io::Result<Vec<u8>> {
        spool::read(&self.shared, &self.state, from, length)
    }

    fn queue(&self, kind: FrameKind, offset: u64, payload: Bytes, permit: Option<AppendPermit>) {
        let item = Item { stream: self.state.clone(), kind, offset, payload, permit };
        lock(&self.shared.queue).push(item);
        self.shared.wakeup.notify_one();
    }
}

/// Permission to append a number of bytes, which count against the limits until they are durable.
#[must_use]
pub struct AppendPermit {
    _budget: OwnedSemaphorePermit,
    _share: Option<RoomPermit>,
}

impl AppendPermit {
    /// Adds a permit for the same bytes from the sender's share.
    pub fn with_share(self, share: RoomPermit) -> AppendPermit {
        AppendPermit { _share: Some(share), ..self }
    }
}
