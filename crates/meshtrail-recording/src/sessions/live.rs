//! [`LiveSession`]: a session in memory, from its acceptance until it is sealed.

use std::sync::{
    Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use bytes::Bytes;
use meshtrail_event::{EventId, SessionId, Timestamp};
use meshtrail_listen::Slot;
use tokio::sync::{Notify, broadcast};

use crate::{
    journal::{Closing, SessionStream},
    session_identity::SessionIdentity,
    session_view::{Session, SessionState},
};

/// Received chunks that a follower may lag behind before it is dropped.
const FOLLOWER_QUEUE: usize = 1024;

/// An operator's order to end a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KillOrder {
    pub(crate) message: String,
    pub(crate) by: String,
    pub(crate) reason: String,
}

/// Received bytes, as they are sent to followers.
#[derive(Debug, Clone)]
pub(super) struct ReceivedBytes {
    /// Their offset in the session.
    pub(super) offset: u64,
    pub(super) bytes: Bytes,
}

/// A session from its acceptance until it is sealed. Bytes are received while it has no closing.
pub(crate) struct LiveSession {
    pub(crate) stream: SessionStream,
    details: Mutex<Details>,
    /// The number of received bytes.
    received: AtomicU64,
    /// When bytes were last received, in nanoseconds since 1970; 0 before the first byte.
    last_output: AtomicI64,
    marks: AtomicU64,
    kill_requested: Notify,
    followers: Mutex<Option<broadcast::Sender<ReceivedBytes>>>,
    /// The sender's slot, until the session is closed.
    slot: Mutex<Option<Slot>>,
    /// The lowest index that the terminal event can have: the trail's size before it was first appended.
    min_terminal_index: OnceLock<u64>,
}

#[derive(Default)]
struct Details {
    identity: Option<Box<SessionIdentity>>,
    started_event: Option<EventId>,
    closing: Option<Box<Closing>>,
    kill_order: Option<Box<KillOrder>>,
}

impl LiveSession {
    pub(crate) fn new(stream: SessionStream, slot: Option<Slot>) -> Self {
        let received = stream.durable_now().bytes;
        Self {
            stream,
            details: Mutex::default(),
            received: AtomicU64::new(received),
            last_output: AtomicI64::new(0),
            marks: AtomicU64::new(0),
            kill_requested: Notify::new(),
            followers: Mutex::default(),
            slot: Mutex::new(slot),
            min_terminal_index: OnceLock::new(),
        }
    }

    pub(crate) fn id(&self) -> &SessionId {
        &self.stream.opening().session
    }

    pub(crate) fn number(&self) -> u64 {
        self.stream.opening().number
    }

    /// Whether bytes may still be received.
    pub(crate) fn is_open(&self) -> bool {
        self.details().closing.is_none()
    }

    pub(crate) fn closing(&self) -> Option<Closing> {
        self.details().closing.as_deref().cloned()
    }

    /// Closes the session. The channel of followers ends, and the sender's slot is released.
    pub(crate) fn close(&self, closing: Closing) {
        self.details().closing = Some(Box::new(closing));
        *self.followers.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn set_identity(&self, identity: SessionIdentity) {
        self.details().identity = Some(Box::new(identity));
    }

    pub(crate) fn set_start_event(&self, event: EventId) {
        self.details().started_event = Some(event);
    }

    pub(crate) fn add_marks(&self, marks: u64) {
        self.marks.fetch_add(marks, Ordering::Relaxed);
    }

    /// The session's identity, with the number of marks as of now.
    pub(crate) fn identity(&self) -> SessionIdentity {
        let details = self.details();
        let mut identity = match &details.identity {
            Some(identity) => (**identity).clone(),
            None => SessionIdentity::from_opening(self.stream.opening()),
        };
        identity.set_marks(self.marks.load(Ordering::Relaxed), details.started_event.clone());
        identity
    }

    /// Sets the lowest index that the terminal event can have; only the first call has an effect.
    pub(super) fn set_min_terminal_index(&self, index: u64) {
        self.min_terminal_index.get_or_init(|| index);
    }

    /// The lowest index that the terminal event can have; `None` before it is first appended.
    pub(super) fn min_terminal_index(&self) -> Option<u64> {
        self.min_terminal_index.get().copied()
    }

    /// The session's public description.
    pub(crate) fn session(&self) -> Session {
        let closing = self.closing();
        let state = closing.as_ref().map_or(SessionState::Live, |closing| closing.end.into());
        let mut session = Session::new(self.identity(), state);
        session.bytes = self.stream.durable_now().bytes;
        match closing {
            Some(closing) => {
                session.ended = Some(closing.ended);
                session.reason = closing.reason;
                session.sha256 = closing.sha256;
            }
            None => {
                let nanos = self.last_output.load(Ordering::Relaxed);
                session.last_output = (nanos > 0).then(|| Timestamp::from_nanos(nanos));
            }
        }
        session
    }

    /// Counts received bytes and sends them to followers.
    pub(crate) fn publish(&self, bytes: &Bytes) {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = self.received.fetch_add(bytes.len() as u64, Ordering::AcqRel);
        if let Some(sender) = &*followers
            && sender.send(ReceivedBytes { offset, bytes: bytes.clone() }).is_err()
        {
            *followers = None;
        }
        self.last_output.store(Timestamp::now().as_nanos(), Ordering::Relaxed);
    }

    /// Subscribes to received bytes, from the returned offset on.
    pub(super) fn follow(&self) -> (u64, broadcast::Receiver<ReceivedBytes>) {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = followers.get_or_insert_with(|| broadcast::Sender::new(FOLLOWER_QUEUE));
        (self.received.load(Ordering::Acquire), sender.subscribe())
    }

    /// Orders the upload to end; the first order counts.
    pub(super) fn request_kill(&self, order: KillOrder) {
        self.details().kill_order.get_or_insert_with(|| Box::new(order));
        self.kill_requested.notify_one();
    }

    /// Waits for an order to end the upload.
    pub(crate) async fn wait_for_kill(&self) -> KillOrder {
        loop {
            let notified = self.kill_requested.notified();
            if let Some(order) = self.details().kill_order.as_deref() {
                return order.clone();
            }
            notified.await;
        }
    }

    fn details(&self) -> MutexGuard<'_, Details> {
        self.details.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes control characters other than line feeds from a text that is shown on a user's terminal.
pub(super) fn strip_control(text: &str) -> String {
    text.chars().filter(|&character| character == '\n' || !character.is_control()).collect()
}
