//! All sessions of one recorder: those that are open, and those the trail tells of.
//!
//! - A session is accepted only when its bytes can be kept; it ends with exactly one event.
//! - What was open when the program stopped is ended by the next start as interrupted, with every durable byte.
//! - Ending comes in steps: closing durable in the journal, recording in the store, index in the store, event
//!   in the trail, spool removed. A crash between any two is continued from there.

mod config;
mod error;
mod finish;
mod follow;
mod import;
mod list;
mod live;
mod open;
mod places;
mod playback;
mod pump;
mod source;
mod stage;
#[cfg(test)]
mod tests;
mod whole;

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

pub use config::RecordingConfig;
pub use error::{KillError, OpenError, ReadError, Refusal};
pub use follow::Followed;
pub use import::{Import, ImportError, Imported, MAX_IMPORT};
pub use list::{Bound, Cursor, CursorError, SessionsPage};
pub(crate) use live::Live;
pub(crate) use places::{RecorderPlaces, Sender};
pub(crate) use pump::{Cut, Pump};
pub use stage::{STAGE, StageError, Staged, Staging};
pub use whole::{Damage, PlaceError};

use crate::{
    journal::{Journal, Opening},
    ledger::Ledger,
    session::Session,
};

/// How long a stopping recorder goes on sealing; the next start does the rest.
const SEALING_PATIENCE: Duration = Duration::from_secs(8);

/// All recordings; cheap to clone.
#[derive(Clone)]
pub struct Recordings {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    ledger: Arc<dyn Ledger>,
    resolver: Resolver,
    config: RecordingConfig,
    /// None where recordings are only read.
    journal: Option<Journal>,
    local: PathBuf,
    live: Mutex<HashMap<SessionId, Arc<Live>>>,
    next: AtomicU64,
    /// Tells every session to end; nothing is accepted after it.
    stopping: CancellationToken,
    /// Sessions that run or are being sealed.
    tasks: TaskTracker,
    /// How many recordings are compressed at a time.
    sealing: Semaphore,
    /// How many marks may be on their way to the trail; sessions past it mark later.
    marking: Arc<Semaphore>,
    room: Mutex<DiskLook>,
    /// What senders share.
    places: RecorderPlaces,
    /// Lines of the log about what was refused.
    refusals: LogThrottle,
    /// Which bytes are here already, for imports.
    by_digest: import::Digests,
    /// Indexes of recordings whose last event names none.
    rebuilt: playback::RebuiltIndexes,
}

/// When the disk was last looked at, and what was seen.
#[derive(Default)]
struct DiskLook {
    at: Option<std::time::Instant>,
    free: u64,
}

impl Recordings {
    /// Accepts a session of `sender`: durable, with a number of its own, or refused with the reason.
    pub(crate) async fn accept(
        &self,
        peer: SocketAddr,
        sender: &Peer,
        protocol: &str,
    ) -> Result<Arc<Live>, Refusal> {
        let journal = self.inner.journal.as_ref().ok_or(Refusal::ReadOnly)?;
        self.refusal()?;
        let place = self.inner.places.sessions.acquire(sender)?;
        let number = self.inner.next.fetch_add(1, Ordering::Relaxed);
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
        let live = Arc::new(Live::new(journal.begin(opening, lane_of(sender)), Some(place)));
        // Counted before it is durable, so that the limit holds against a crowd that comes at once.
        self.live_sessions().insert(session.clone(), live.clone());
        let opened = tokio::time::timeout(self.inner.config.opening_patience, live.tape.opened()).await;
        let refused = match opened {
            Ok(Ok(())) => return Ok(live),
            Ok(Err(why)) => Refusal::Journal { why: why.to_string() },
            Err(_) => Refusal::Slow,
        };
        self.forget(&live);
        Err(refused)
    }

    /// Why nothing can be accepted now, if so.
    pub fn refusal(&self) -> Result<(), Refusal> {
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
        let mut look = self.inner.room.lock().unwrap_or_else(PoisonError::into_inner);
        if look.at.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
            // A disk that can't be asked has its say when it is written.
            look.free = free_space(&self.inner.local).unwrap_or(u64::MAX);
            look.at = Some(std::time::Instant::now());
        }
        look.free
    }

    /// Ends a live session: the sender is told `message` in an error frame, which ends an enforced session.
    /// The event that says so is durable before that.
    pub async fn kill(
        &self,
        id: &SessionId,
        (message, reason): (&str, &str),
        (by, identity): (Actor, Identity),
    ) -> Result<(), KillError> {
        let live = self.open_session(id).ok_or_else(|| KillError::NotLive { session: id.clone() })?;
        let by_whom = by.label().unwrap_or_else(|| "somebody".to_owned());
        let message = live::plain(message);
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
        live.order(live::KillOrder { message, by: by_whom, reason: reason.to_owned() });
        Ok(())
    }

    /// Ends every session as interrupted, seals what can be sealed within a few seconds, lays out the journal.
    pub async fn close(self) {
        self.inner.stopping.cancel();
        self.inner.tasks.close();
        if tokio::time::timeout(SEALING_PATIENCE, self.inner.tasks.wait()).await.is_err() {
            tracing::warn!("sessions are not sealed yet; the next start goes on with them");
        }
        if let Some(journal) = &self.inner.journal {
            journal.rotate();
        }
    }

    /// Where recordings are kept.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// This machine's folder.
    pub fn local(&self) -> &Path {
        &self.inner.local
    }

    pub(crate) fn journal(&self) -> Option<&Journal> {
        self.inner.journal.as_ref()
    }

    /// Whether the session still needs what the journal has of it.
    pub(crate) fn is_unsealed(&self, id: &SessionId) -> bool {
        self.known(id).is_some()
    }

    pub(crate) fn config(&self) -> &RecordingConfig {
        &self.inner.config
    }

    pub(crate) fn ledger(&self) -> &dyn Ledger {
        &*self.inner.ledger
    }

    pub(crate) fn places(&self) -> &RecorderPlaces {
        &self.inner.places
    }

    /// Counts a refusal, and writes it into the log unless there are many.
    pub(crate) fn count_refusal(&self, peer: SocketAddr, what: &'static str, refusal: &Refusal) {
        let (name, help) = ("meshtrail_recorder_refused_total", "Recordings and events that were refused.");
        let labels = [("what", what), ("reason", refusal.label())];
        self.config().limits.metrics.counter(name, help, &labels).add();
        if let Some(left_out) = self.inner.refusals.allow(&Peer::from_socket(peer), std::time::Instant::now())
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

    fn live_sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Live>>> {
        self.inner.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, id: &SessionId) -> Option<Arc<Live>> {
        self.live_sessions().get(id).cloned()
    }

    /// The session, if bytes may still come.
    fn open_session(&self, id: &SessionId) -> Option<Arc<Live>> {
        self.known(id).filter(|live| live.is_open())
    }

    /// Takes a session off the list; what is left of it in spool and journal goes too.
    fn forget(&self, live: &Live) {
        if let Err(error) = live.tape.done() {
            tracing::warn!(%error, session = %live.id(), "spool files could not be removed; the next start does");
        }
        self.live_sessions().remove(live.id());
    }
}

fn free_space(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// The sender's place in the journal's order; two that share one only share their turn.
fn lane_of(sender: &Peer) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    sender.hash(&mut hasher);
    hasher.finish()
}

/// A number that no session had before: epochs grow with each start.
fn journal_number(epoch: u64, number: u64) -> u64 {
    (epoch << 32) | (number & 0xffff_ffff)
}

/// The number that a session of the trail `trail` had in the journal, by its id.
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

    /// How many sessions are live or not sealed yet.
    pub fn unsealed_count(&self) -> usize {
        self.live_sessions().len()
    }
}
