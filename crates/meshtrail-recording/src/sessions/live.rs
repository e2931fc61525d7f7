//! One session that is not sealed yet.

use std::sync::{
    Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use bytes::Bytes;
use meshtrail_event::{EventId, SessionId, Timestamp};
use meshtrail_listen::Slot;
use tokio::sync::{Notify, broadcast};

use crate::{
    journal::{Closing, Tape},
    portrait::Portrait,
    session::{Session, SessionState},
};

/// Chunks a follower may lag behind before it is dropped.
const FOLLOWER_QUEUE: usize = 1024;

/// An operator's order to end a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KillOrder {
    pub(crate) message: String,
    pub(crate) by: String,
    pub(crate) reason: String,
}

/// A chunk as followers hear it.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) offset: u64,
    pub(super) bytes: Bytes,
}

/// A session from its first byte until it is sealed.
pub(crate) struct Live {
    pub(crate) tape: Tape,
    known: Mutex<Known>,
    received: AtomicU64,
    /// Nanoseconds since 1970; 0 before the first byte.
    last_output: AtomicI64,
    marks: AtomicU64,
    ordered: Notify,
    followers: Mutex<Option<broadcast::Sender<Heard>>>,
    /// Its sender's place, until bytes no longer come.
    place: Mutex<Option<Slot>>,
    /// The size of the trail before its terminal event was first sent there.
    sealing_from: OnceLock<u64>,
}

#[derive(Default)]
struct Known {
    portrait: Option<Box<Portrait>>,
    started_event: Option<EventId>,
    closing: Option<Box<Closing>>,
    order: Option<Box<KillOrder>>,
}

impl Live {
    pub(crate) fn new(tape: Tape, place: Option<Slot>) -> Self {
        let received = tape.durable_now().bytes;
        Self {
            tape,
            known: Mutex::default(),
            received: AtomicU64::new(received),
            last_output: AtomicI64::new(0),
            marks: AtomicU64::new(0),
            ordered: Notify::new(),
            followers: Mutex::default(),
            place: Mutex::new(place),
            sealing_from: OnceLock::new(),
        }
    }

    pub(crate) fn id(&self) -> &SessionId {
        &self.tape.opening().session
    }

    pub(crate) fn number(&self) -> u64 {
        self.tape.opening().number
    }

    /// Whether bytes may still come.
    pub(crate) fn is_open(&self) -> bool {
        self.known().closing.is_none()
    }

    pub(crate) fn closing(&self) -> Option<Closing> {
        self.known().closing.as_deref().cloned()
    }

    /// Ends it; followers are told by the end of their channel.
    pub(crate) fn close(&self, closing: Closing) {
        self.known().closing = Some(Box::new(closing));
        *self.followers.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn introduce(&self, portrait: Portrait) {
        self.known().portrait = Some(Box::new(portrait));
    }

    pub(crate) fn started(&self, event: EventId) {
        self.known().started_event = Some(event);
    }

    pub(crate) fn marked(&self, marks: u64) {
        self.marks.fetch_add(marks, Ordering::Relaxed);
    }

    /// What is known of it, with the counts as of now.
    pub(crate) fn portrait(&self) -> Portrait {
        let known = self.known();
        let mut portrait = match &known.portrait {
            Some(portrait) => (**portrait).clone(),
            None => Portrait::unknown(self.tape.opening()),
        };
        portrait.count(self.marks.load(Ordering::Relaxed), known.started_event.clone());
        portrait
    }

    /// Notes that its terminal event is about to be sent to a trail of this size.
    pub(super) fn seal_from(&self, size: u64) {
        self.sealing_from.get_or_init(|| size);
    }

    /// The lowest index that its terminal event can have; none while it was not sent.
    pub(super) fn sealed_from(&self) -> Option<u64> {
        self.sealing_from.get().copied()
    }

    /// The session as the outside sees it.
    pub(crate) fn session(&self) -> Session {
        let closing = self.closing();
        let state = closing.as_ref().map_or(SessionState::Live, |closing| closing.end.into());
        let mut session = Session::new(self.portrait(), state);
        session.bytes = self.tape.durable_now().bytes;
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

    /// Notes a chunk that came, and tells whoever follows.
    pub(crate) fn heard(&self, bytes: &Bytes) {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = self.received.fetch_add(bytes.len() as u64, Ordering::AcqRel);
        if let Some(sender) = &*followers
            && sender.send(Heard { offset, bytes: bytes.clone() }).is_err()
        {
            *followers = None;
        }
        self.last_output.store(Timestamp::now().as_nanos(), Ordering::Relaxed);
    }

    /// Listens from now on: all chunks after the first returned offset.
    pub(super) fn follow(&self) -> (u64, broadcast::Receiver<Heard>) {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = followers.get_or_insert_with(|| broadcast::Sender::new(FOLLOWER_QUEUE));
        (self.received.load(Ordering::Acquire), sender.subscribe())
    }

    pub(super) fn order(&self, order: KillOrder) {
        self.known().order.get_or_insert_with(|| Box::new(order));
        self.ordered.notify_one();
    }

    /// Waits for an order to end.
    pub(crate) async fn ordered(&self) -> KillOrder {
        loop {
            let rung = self.ordered.notified();
            if let Some(order) = self.known().order.as_deref() {
                return order.clone();
            }
            rung.await;
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Text for somebody else's terminal: control characters other than line ends are left out.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|&character| character == '\n' || !character.is_control()).collect()
}
