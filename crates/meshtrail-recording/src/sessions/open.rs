//! Opening recordings: unsealed sessions are recovered before new ones are accepted.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture};
use meshtrail_event::{Detail, Event, SessionId, Timestamp};
use meshtrail_identity::Resolver;
use meshtrail_listen::LogThrottle;
use meshtrail_trail::{
    Trail,
    store::{Store, StoreLocation},
};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::{Inner, LiveSession, OpenError, RecorderSlots, RecordingConfig, Recordings, list, sealing};
use crate::{
    cast::{Anomalies, Piece, Repair},
    journal::{Closing, End, Journal, RecoveredSession},
    ledger::{Ledger, LedgerError, SessionScan, TrailLedger},
    refusal::RECORDER_STOPPED,
    session_identity::{SessionIdentity, SessionKind},
    session_view::Session,
    ship,
};

/// Recordings that are compressed at a time.
const SEALING_AT_ONCE: usize = 2;

/// The longest time until a journal file is shipped to a bucket.
const SHIP_EVERY: Duration = Duration::from_secs(30);

/// Marks that are appended to the trail at a time.
const MARKING_AT_ONCE: usize = 256;

impl Recordings {
    /// Opens recordings on a trail, and seals the sessions that the last stop left unsealed. `local` is the folder of
    /// this machine's journal and spool. With a bucket as store, the journal is shipped there as well.
    pub fn open(
        store: Store,
        local: &Path,
        trail: Trail,
        resolver: Resolver,
        config: RecordingConfig,
    ) -> BoxFuture<'_, Result<Recordings, OpenError>> {
        // Boxed here: a bare future would be compiled again by every crate that awaits it.
        Self::open_on_trail(store, local, trail, resolver, config).boxed()
    }

    async fn open_on_trail(
        store: Store,
        local: &Path,
        trail: Trail,
        resolver: Resolver,
        mut config: RecordingConfig,
    ) -> Result<Recordings, OpenError> {
        // Not to a folder: that is lost together with the journal.
        config.journal.ship |= matches!(store.facts().location, StoreLocation::Bucket { .. });
        let ledger = TrailLedger::begin(trail).await?;
        let in_bucket = matches!(store.facts().location, StoreLocation::Bucket { .. });
        config.journal.ship |= in_bucket;
        Self::open_on(store, local, Arc::new(ledger), resolver, config).await
    }

    /// Opens recordings for reading only, whether or not a recorder runs: without live sessions and recovery.
    pub fn open_read_only(store: Store, trail: Trail) -> Recordings {
        Self::read_only_on(store, Arc::new(TrailLedger::read_only(trail)))
    }

    /// The same as [`Recordings::open`], with any ledger.
    pub async fn open_on(
        store: Store,
        local: &Path,
        ledger: Arc<dyn Ledger>,
        resolver: Resolver,
        mut config: RecordingConfig,
    ) -> Result<Recordings, OpenError> {
        if config.journal.ship {
            // Limits the bytes that are lost with the machine.
            config.journal.rotate_every = config.journal.rotate_every.min(SHIP_EVERY);
        }
        let generation = ledger.epoch() << 32;
        let (folder, limits, faults) = (local.to_owned(), config.journal.clone(), config.faults.clone());
        let opening = move || Journal::open(&folder, generation, limits, faults);
        let opened = tokio::task::spawn_blocking(opening).await.expect("opening does not panic");
        let (journal, mut recovered) = opened?;
        let ships = config.journal.ship;
        if ships {
            let known: HashSet<u64> = recovered.iter().map(|found| found.opening.number).collect();
            recovered.extend(ship::restore(&store, &*ledger, &journal, known).await?);
        }
        let recordings = Self::assemble(store, local, ledger, resolver, config, Some(journal));
        let recorded = recordings.read_recorded_sessions(&recovered).await?;
        for found in recovered {
            recordings.resume(found, &recorded);
        }
        if ships {
            ship::start(&recordings);
        }
        Ok(recordings)
    }

    /// The same as [`Recordings::open_read_only`], with any ledger.
    pub fn read_only_on(store: Store, ledger: Arc<dyn Ledger>) -> Recordings {
        let (nobody, config) = (Resolver::without_providers(), RecordingConfig::default());
        Self::assemble(store, Path::new("."), ledger, nobody, config, None)
    }

    fn assemble(
        store: Store,
        local: &Path,
        ledger: Arc<dyn Ledger>,
        resolver: Resolver,
        config: RecordingConfig,
        journal: Option<Journal>,
    ) -> Recordings {
        let slots = RecorderSlots::new(&config);
        Recordings {
            inner: Arc::new(Inner {
                slots,
                refusal_log: LogThrottle::default(),
                store,
                ledger,
                resolver,
                config,
                journal,
                local: local.to_owned(),
                live: Mutex::default(),
                next_number: AtomicU64::new(1),
                stopping: CancellationToken::new(),
                tasks: TaskTracker::new(),
                sealing_permits: Semaphore::new(SEALING_AT_ONCE),
                mark_permits: Arc::new(Semaphore::new(MARKING_AT_ONCE)),
                free_space: Mutex::default(),
                digests: Arc::default(),
                rebuilt_indexes: Default::default(),
            }),
        }
    }

    /// Reads the events of recovered sessions that are in the trail.
    async fn read_recorded_sessions(
        &self,
        recovered: &[RecoveredSession],
    ) -> Result<HashMap<SessionId, RecordedSession>, LedgerError> {
        let mut recorded: HashMap<SessionId, RecordedSession> = HashMap::new();
        let Some(since) = recovered.iter().map(|found| list::earliest_time(&found.opening.session)).min()
        else {
            return Ok(recorded);
        };
        let open: HashSet<&SessionId> = recovered.iter().map(|found| &found.opening.session).collect();
        let mut events = self.ledger().sessions(SessionScan { since: Some(since), ..SessionScan::default() });
        while let Some(next) = events.next().await {
            let (_, event) = next?;
            let Some(session) = event.session.clone().filter(|session| open.contains(session)) else {
                continue;
            };
            let recorded = recorded.entry(session).or_default();
            if Session::from_terminal_event(&event).is_some() {
                recorded.ended = true;
            } else {
                recorded.started = Some(event);
            }
        }
        Ok(recorded)
    }

    /// Continues one session where the stop left it: seals it, or removes its files.
    fn resume(&self, found: RecoveredSession, recorded: &HashMap<SessionId, RecordedSession>) {
        let journal = self.inner.journal.as_ref().expect("only a recorder resumes sessions");
        let live = Arc::new(LiveSession::new(journal.resume(&found), None));
        let recorded = recorded.get(live.id());
        if recorded.is_some_and(|recorded| recorded.ended) {
            // The recorder stopped between the terminal event and the removal of the spool files.
            return self.forget(&live);
        }
        let started = recorded.and_then(|recorded| recorded.started.clone());
        let closing = closing_of(&found);
        info!(session = %live.id(), bytes = found.bytes, "a session was open when the recorder stopped");
        live.close(closing.clone());
        self.live_sessions().insert(live.id().clone(), live.clone());
        self.tasks().spawn(seal_recovered(self.clone(), live, closing, started));
    }
}

/// The events of a session in the trail: the start event, and whether there is a terminal event.
#[derive(Default)]
struct RecordedSession {
    started: Option<Event>,
    ended: bool,
}

/// The closing of a recovered session: the durable one, or one that ends the session as interrupted.
fn closing_of(found: &RecoveredSession) -> Closing {
    let mut closing = found.closing.clone().unwrap_or_else(|| Closing {
        end: End::Interrupted,
        reason: Some(RECORDER_STOPPED.to_owned()),
        ended: Timestamp::now(),
        bytes: found.bytes,
        sha256: None,
    });
    if let Some(damage) = &found.damage {
        closing.end = if closing.end == End::Ended { End::Interrupted } else { closing.end };
        closing.bytes = found.bytes;
        closing.sha256 = None;
        let reason = closing.reason.take().map(|reason| format!("{reason}; ")).unwrap_or_default();
        closing.reason = Some(format!("{reason}{damage}"));
    }
    closing
}

async fn seal_recovered(
    recordings: Recordings,
    live: Arc<LiveSession>,
    mut closing: Closing,
    started: Option<Event>,
) {
    let identity = match started.as_ref().and_then(|event| identity_from_event(&live, event)) {
        Some(identity) => Some(identity),
        None => identity_from_bytes(&live).await,
    };
    match identity {
        Some(identity) => live.set_identity(identity),
        None if closing.end == End::Interrupted => {
            closing.end = End::Failed;
            closing.reason = closing.reason.map(|reason| format!("{reason} before a header came"));
        }
        None => {}
    }
    if let Some(event) = started {
        live.set_start_event(event.id);
    }
    let since = list::earliest_time(live.id());
    let marks = match recordings.ledger().marks(live.id().clone(), since).await {
        Ok(marks) => marks,
        Err(error) => {
            warn!(session = %live.id(), %error, "a session's marks can't be read; its bytes are sealed unchecked");
            Vec::new()
        }
    };
    live.add_marks(marks.len() as u64);
    sealing::seal(recordings, live, closing, None, marks).await;
}

/// The identity by the start event.
fn identity_from_event(live: &LiveSession, event: &Event) -> Option<SessionIdentity> {
    let Some(Detail::Session(facts)) = &event.detail else { return None };
    let kube = event.kind == meshtrail_event::Kind::KubeSessionStarted;
    Some(SessionIdentity {
        kind: if kube { SessionKind::Kube } else { SessionKind::Ssh },
        session: live.id().clone(),
        actor: event.actor.clone(),
        target: event.target.clone(),
        identity: event.identity.clone(),
        facts: (**facts).clone(),
    })
}

/// The identity by the header in the spool, if the recorder stopped before the start event.
async fn identity_from_bytes(live: &Arc<LiveSession>) -> Option<SessionIdentity> {
    let reading = live.clone();
    let read = move || reading.stream.read(0, crate::cast::MAX_HEADER + 1);
    let start = tokio::task::spawn_blocking(read).await.ok()?.ok()?;
    let mut repair = Repair::default();
    let mut identity = None;
    let mut found = false;
    repair.push(&start, |piece| {
        if let (Piece::Header(header), false) = (&piece, found) {
            found = true;
            identity =
                Some(SessionIdentity::from_header(live.stream.opening(), header, &Anomalies::default()));
        }
    });
    let no_header = repair.anomalies().get(crate::cast::AnomalyKind::NoHeader).is_some();
    identity.filter(|_| !no_header)
}
