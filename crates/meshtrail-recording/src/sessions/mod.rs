//! All sessions of one recorder: the unsealed ones in memory, the others from the trail's events.
//!
//! - A session is accepted only when its bytes can be stored. It ends with exactly one terminal event.
//! - Sessions that were open when the program stopped are ended as interrupted by the next start, with every durable
//!   byte.
//! - Sealing has steps: closing durable in the journal, recording in the store, index in the store, event in the trail,
//!   spool files removed. After a crash between two steps the next start continues there.

mod byte_source;
mod cast_file;
mod config;
mod demo;
mod error;
mod follow;
mod import;
mod list;
mod live;
mod open;
mod playback;
mod sealing;
mod slots;
#[cfg(test)]
mod tests;
mod upload;

use std::{
    collections::HashMap,
    hash::{Hash as _, Hasher as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use meshtrail_event::{Actor, Detail, Draft, Identity, Kind, Own, SessionId, Target, Timestamp};
use meshtrail_identity::Resolver;
use meshtrail_listen::{LogThrottle, Peer};
use meshtrail_trail::store::Store;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use cast_file::{CastFileError, StoreFileError};
pub use config::RecordingConfig;
pub use demo::{DEMO_TRAIL, DemoSession, DemoSessionError, StoredDemoSession};
pub use error::{KillError, OpenError, ReadError};
pub use follow::FollowEvent;
pub use import::{Import, ImportError, ImportOutcome, MAX_IMPORT};
pub use list::{Cursor, CursorError, ListMoment, SessionsPage};
pub(crate) use live::{KillOrder, LiveSession};
pub(crate) use slots::{RecorderSlots, Sender};
pub(crate) use upload::Upload;

use crate::{
    journal::{Journal, Opening},
    ledger::Ledger,
    refusal::Refusal,
    session_view::Session,
};

/// How long a stopping recorder continues to seal; the next start seals the rest.
const SEALING_TIMEOUT: Duration = Duration::from_secs(8);

/// All recordings of one trail; cheap to clone.
#[derive(Clone)]
pub struct Recordings {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    ledger: Arc<dyn Ledger>,
    resolver: Resolver,
    config: RecordingConfig,
    /// `None` where recordings are only read.
    journal: Option<Journal>,
    local: PathBuf,
    live: Mutex<HashMap<SessionId, Arc<LiveSession>>>,
    next_number: AtomicU64,
    /// Stops every session; nothing is accepted after it.
    stopping: CancellationToken,
    /// Uploads, sealing and shipping.
    tasks: TaskTracker,
    /// Limits the recordings that are compressed at a time.
    sealing_permits: Semaphore,
    /// Limits the marks that are being appended to the trail; without a permit a session makes its mark later.
    mark_permits: Arc<Semaphore>,
    free_space: Mutex<FreeSpaceReading>,
    /// Limits that senders share.
    slots: RecorderSlots,
    /// Limits the log lines about refusals.
    refusal_log: LogThrottle,
    /// Sessions by the SHA-256 of their bytes, for imports.
    digests: import::SharedDigestIndex,
    /// Indexes of recordings whose terminal event names none.
    rebuilt_indexes: playback::RebuiltIndexCache,
}

/// The last reading of the local disk's free space.
#[derive(Default)]
struct FreeSpaceReading {
    at: Option<std::time::Instant>,
    bytes: u64,
}

impl Recordings {
    /// Accepts a session of `sender`; its opening is durable when this returns.
    pub(crate) async fn accept(
        &self,
        peer: SocketAddr,
        sender: &Peer,
        protocol: &str,
    ) -> Result<Arc<LiveSession>, Refusal> {
        let journal = self.inner.journal.as_ref().ok_or(Refusal::ReadOnly)?;
        self.check_accepting()?;
        let slot = self.inner.slots.sessions.acquire(sender)?;
        let number = self.inner.next_number.fetch_add(1, Ordering::Relaxed);
        let (epoch, started) = (self.inner.ledger.epoch(), Timestamp::now());
        let session = SessionId::new(started, self.inner.ledger.trail(), epoch, number)
            .expect("a trail's name can stand in a session's id");
        let opening = Opening {
            session: session.clone(),
            number: journal_number(epoch, number),
            started,
            peer: peer.to_string(),
            protocol: protocol.to_owned(),
        };
        let live = Arc::new(LiveSession::new(journal.begin(opening, lane_of(sender)), Some(slot)));
        // Counted before it is durable, so that the limit holds for sessions that start at the same time.
        self.live_sessions().insert(session.clone(), live.clone());
        let opened = tokio::time::timeout(self.inner.config.opening_timeout, live.stream.wait_opened()).await;
        let refusal = match opened {
            Ok(Ok(())) => return Ok(live),
            Ok(Err(why)) => Refusal::Journal { why: why.to_string() },
            Err(_) => Refusal::Slow,
        };
        self.forget(&live);
        Err(refusal)
    }

    /// Fails with the reason if no recording or event can be accepted now.
    pub fn check_accepting(&self) -> Result<(), Refusal> {
        let limit = self.inner.config.max_sessions;
        if self.inner.stopping.is_cancelled() {
            return Err(Refusal::Stopping);
        }
        if self.live_sessions().len() >= limit {
            return Err(Refusal::TooMany { limit });
        }
        if let Some(why) = self.inner.ledger.refusal() {
            return Err(Refusal::Trail { why });
        }
        let (free, least) = (self.free_space(), self.inner.config.min_free);
        if free < least { Err(Refusal::DiskFull { free, least }) } else { Ok(()) }
    }

    /// Free bytes on the local disk, as of at most a second ago.
    fn free_space(&self) -> u64 {
        let mut reading = self.inner.free_space.lock().unwrap_or_else(PoisonError::into_inner);
        if reading.at.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
            // If the free space can't be read, a full disk shows when the journal is written.
            reading.bytes = free_space(&self.inner.local).unwrap_or(u64::MAX);
            reading.at = Some(std::time::Instant::now());
        }
        reading.bytes
    }

    /// Ends a live session: the node is sent `message` in an error frame, which ends a session with enforced recording.
    /// The event about the kill is durable before that.
    pub async fn kill(
        &self,
        id: &SessionId,
        (message, reason): (&str, &str),
        (by, identity): (Actor, Identity),
    ) -> Result<(), KillError> {
        let live = self.find_live(id).ok_or_else(|| KillError::NotLive { session: id.clone() })?;
        let by_whom = by.label().unwrap_or_else(|| "somebody".to_owned());
        let message = live::strip_control(message);
        let own = Own { message: Some(message.clone()), reason: Some(reason.to_owned()), ..Own::default() };
        let draft = Draft {
            actor: by,
            detail: Some(Detail::Own(Box::new(own))),
            identity,
            session: Some(id.clone()),
            target: Target { of_type: Some("session".into()), id: Some(id.to_string()), ..Target::default() },
            ..Draft::new(Kind::MeshtrailKilled, Timestamp::now())
        };
        self.inner.ledger.emit(draft).await.map_err(KillError::Event)?;
        live.request_kill(KillOrder { message, by: by_whom, reason: reason.to_owned() });
        Ok(())
    }

    /// Ends every session as interrupted, seals for at most some seconds, and lays out the journal.
    pub async fn close(self) {
        self.inner.stopping.cancel();
        self.inner.tasks.close();
        if tokio::time::timeout(SEALING_TIMEOUT, self.inner.tasks.wait()).await.is_err() {
            tracing::warn!("sessions are not sealed yet; the next start goes on with them");
        }
        if let Some(journal) = &self.inner.journal {
            journal.rotate();
        }
    }

    /// The store of sealed recordings.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The folder of this machine's journal and spool.
    pub fn local(&self) -> &Path {
        &self.inner.local
    }

    pub(crate) fn journal(&self) -> Option<&Journal> {
        self.inner.journal.as_ref()
    }

    /// Whether the session still needs its bytes in journal, spool or chunks.
    pub(crate) fn is_unsealed(&self, id: &SessionId) -> bool {
        self.find_unsealed(id).is_some()
    }

    pub(crate) fn config(&self) -> &RecordingConfig {
        &self.inner.config
    }

    pub(crate) fn ledger(&self) -> &dyn Ledger {
        &*self.inner.ledger
    }

    pub(crate) fn slots(&self) -> &RecorderSlots {
        &self.inner.slots
    }

    /// Counts a refusal, and logs it unless there are many. `what` is `recording` or `event`.
    pub(crate) fn count_refusal(&self, peer: SocketAddr, what: &'static str, refusal: &Refusal) {
        let (name, help) = ("meshtrail_recorder_refused_total", "Recordings and events that were refused.");
        let labels = [("what", what), ("reason", refusal.label())];
        self.config().limits.metrics.counter(name, help, &labels).add();
        if let Some(left_out) =
            self.inner.refusal_log.allow(&Peer::from_socket(peer), std::time::Instant::now())
        {
            tracing::warn!(%peer, %refusal, left_out, "refused: {what}");
        }
    }

    pub(crate) fn resolver(&self) -> &Resolver {
        &self.inner.resolver
    }

    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.inner.stopping
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.inner.tasks
    }

    fn live_sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<LiveSession>>> {
        self.inner.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find_unsealed(&self, id: &SessionId) -> Option<Arc<LiveSession>> {
        self.live_sessions().get(id).cloned()
    }

    /// The session, if bytes may still be received.
    fn find_live(&self, id: &SessionId) -> Option<Arc<LiveSession>> {
        self.find_unsealed(id).filter(|live| live.is_open())
    }

    /// Removes a session from memory, spool and journal.
    fn forget(&self, live: &LiveSession) {
        if let Err(error) = live.stream.discard() {
            tracing::warn!(%error, session = %live.id(), "spool files could not be removed; the next start does");
        }
        self.live_sessions().remove(live.id());
    }
}

fn free_space(path: &Path) -> Option<u64> {
    let stats = rustix::fs::statvfs(path).ok()?;
    Some(stats.f_bavail.saturating_mul(stats.f_frsize))
}

/// The sender's lane in the journal's queue. Senders whose hashes collide share a lane, which only costs them
/// throughput.
fn lane_of(sender: &Peer) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    sender.hash(&mut hasher);
    hasher.finish()
}

/// The session's number in the journal. No session had it before: epochs grow with each start.
fn journal_number(epoch: u64, number: u64) -> u64 {
    (epoch << 32) | (number & 0xffff_ffff)
}

/// The journal number of a session of the trail `trail`, by its id.
fn number_of(id: &SessionId, trail: &str) -> Option<u64> {
    if id.trail() != trail {
        return None;
    }
    let mut parts = id.as_str().rsplit('-').map(|part| part.parse::<u64>().ok());
    let (number, epoch) = (parts.next()??, parts.next()??);
    Some(journal_number(epoch, number))
}

impl std::fmt::Debug for Recordings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recordings").field("live", &self.live_sessions().len()).finish_non_exhaustive()
    }
}

impl Recordings {
    /// Live sessions, newest first.
    pub fn live(&self) -> Vec<Session> {
        self.unsealed().iter().filter(|live| live.is_open()).map(|live| live.session()).collect()
    }

    /// The number of sessions that are not sealed yet, live ones included.
    pub fn unsealed_count(&self) -> usize {
        self.live_sessions().len()
    }
}
