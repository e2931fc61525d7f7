//! Opening: what a stop left is taken up, then sessions can come.

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

use super::{Inner, Live, OpenError, RecorderPlaces, RecordingConfig, Recordings, finish, list, pump};
use crate::{
    cast::{Anomalies, Piece, Repair},
    journal::{Closing, End, Journal, Recovered},
    ledger::{Ledger, LedgerError, SessionScan, TrailLedger},
    portrait::{Portrait, SessionKind},
    session::Session,
    ship,
};

/// Recordings that are compressed at a time.
const SEALING_AT_ONCE: usize = 2;

/// The longest that bytes wait to be shipped to a bucket.
const SHIP_EVERY: Duration = Duration::from_secs(30);

/// Marks that are on their way to the trail at a time.
const MARKING_AT_ONCE: usize = 256;

impl Recordings {
    /// Opens recordings on a trail; takes up what the last stop left open. `local` is this machine's folder.
    /// With a bucket as store, the journal is shipped there as well.
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
        // A folder lies on the disk that the journal is on: nothing would be gained there.
        config.journal.ship |= matches!(store.facts().location, StoreLocation::Bucket { .. });
        let ledger = TrailLedger::begin(trail).await?;
        let in_bucket = matches!(store.facts().location, StoreLocation::Bucket { .. });
        config.journal.ship |= in_bucket;
        Self::open_on(store, local, Arc::new(ledger), resolver, config).await
    }

    /// Opens recordings to read only, beside a recorder or without one: nothing live, nothing taken up.
    pub fn open_read_only(store: Store, trail: Trail) -> Recordings {
        Self::read_only_on(store, Arc::new(TrailLedger::read_only(trail)))
    }

    /// Opens recordings over a ledger; takes up what the last stop left open.
    pub async fn open_on(
        store: Store,
        local: &Path,
        ledger: Arc<dyn Ledger>,
        resolver: Resolver,
        mut config: RecordingConfig,
    ) -> Result<Recordings, OpenError> {
        if config.journal.ship {
            // What a lost machine takes with it is bounded by this.
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
        let recorded = recordings.recorded_sessions(&recovered).await?;
        for found in recovered {
            recordings.take_up(found, &recorded);
        }
        if ships {
            ship::start(&recordings);
        }
        Ok(recordings)
    }

    /// Opens recordings to read only: no journal, nothing live, nothing taken up.
    pub fn read_only_on(store: Store, ledger: Arc<dyn Ledger>) -> Recordings {
        let (nobody, config) = (Resolver::knowing_nobody(), RecordingConfig::default());
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
        let places = RecorderPlaces::new(&config);
        Recordings {
            inner: Arc::new(Inner {
                places,
                refusals: LogThrottle::default(),
                store,
                ledger,
                resolver,
                config,
                journal,
                local: local.to_owned(),
                live: Mutex::default(),
                next: AtomicU64::new(1),
                stopping: CancellationToken::new(),
                tasks: TaskTracker::new(),
                sealing: Semaphore::new(SEALING_AT_ONCE),
                marking: Arc::new(Semaphore::new(MARKING_AT_ONCE)),
                room: Mutex::default(),
                by_digest: Arc::default(),
                rebuilt: Default::default(),
            }),
        }
    }

    /// The events of these sessions that the trail has from before the stop.
    async fn recorded_sessions(
        &self,
        recovered: &[Recovered],
    ) -> Result<HashMap<SessionId, RecordedSession>, LedgerError> {
        let mut recorded: HashMap<SessionId, RecordedSession> = HashMap::new();
        let Some(since) = recovered.iter().map(|found| list::first_day(&found.opening.session)).min() else {
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
            if Session::of_end(&event).is_some() {
                recorded.ended = true;
            } else {
                recorded.started = Some(event);
            }
        }
        Ok(recorded)
    }

    /// Goes on with one session where the stop left it.
    fn take_up(&self, found: Recovered, recorded: &HashMap<SessionId, RecordedSession>) {
        let journal = self.inner.journal.as_ref().expect("only a recorder takes sessions up");
        let live = Arc::new(Live::new(journal.resume(&found), None));
        let recorded = recorded.get(live.id());
        if recorded.is_some_and(|recorded| recorded.ended) {
            // Stopped between its event and the removal of its spool files.
            return self.forget(&live);
        }
        let started = recorded.and_then(|recorded| recorded.started.clone());
        let closing = closing_of(&found);
        info!(session = %live.id(), bytes = found.bytes, "a session was open when the recorder stopped");
        live.close(closing.clone());
        self.live_sessions().insert(live.id().clone(), live.clone());
        self.tasks().spawn(seal_taken_up(self.clone(), live, closing, started));
    }
}

/// The events of a session that are in the trail: its start, and whether it has ended.
#[derive(Default)]
struct RecordedSession {
    started: Option<Event>,
    ended: bool,
}

fn closing_of(found: &Recovered) -> Closing {
    let mut closing = found.closing.clone().unwrap_or_else(|| Closing {
        end: End::Interrupted,
        reason: Some(pump::STOPPED.to_owned()),
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

async fn seal_taken_up(
    recordings: Recordings,
    live: Arc<Live>,
    mut closing: Closing,
    started: Option<Event>,
) {
    let portrait = match started.as_ref().and_then(|event| portrait_of(&live, event)) {
        Some(portrait) => Some(portrait),
        None => portrait_from_bytes(&live).await,
    };
    match portrait {
        Some(portrait) => live.introduce(portrait),
        None if closing.end == End::Interrupted => {
            closing.end = End::Failed;
            closing.reason = closing.reason.map(|reason| format!("{reason} before a header came"));
        }
        None => {}
    }
    if let Some(event) = started {
        live.started(event.id);
    }
    let since = list::first_day(live.id());
    let marks = match recordings.ledger().marks(live.id().clone(), since).await {
        Ok(marks) => marks,
        Err(error) => {
            warn!(session = %live.id(), %error, "a session's marks can't be read; its bytes are sealed unchecked");
            Vec::new()
        }
    };
    live.marked(marks.len() as u64);
    finish::seal(recordings, live, closing, None, marks).await;
}

/// What the event that said it started tells.
fn portrait_of(live: &Live, event: &Event) -> Option<Portrait> {
    let Some(Detail::Session(facts)) = &event.detail else { return None };
    let kube = event.kind == meshtrail_event::Kind::KubeSessionStarted;
    Some(Portrait {
        kind: if kube { SessionKind::Kube } else { SessionKind::Ssh },
        session: live.id().clone(),
        actor: event.actor.clone(),
        target: event.target.clone(),
        identity: event.identity.clone(),
        facts: (**facts).clone(),
    })
}

/// What the header in the spool tells: the recorder stopped before it could tell the trail.
async fn portrait_from_bytes(live: &Arc<Live>) -> Option<Portrait> {
    let reading = live.clone();
    let read = move || reading.tape.read(0, crate::cast::MAX_HEADER + 1);
    let start = tokio::task::spawn_blocking(read).await.ok()?.ok()?;
    let mut repair = Repair::default();
    let mut portrait = None;
    let mut found = false;
    repair.push(&start, |piece| {
        if let (Piece::Header(header), false) = (&piece, found) {
            found = true;
            portrait = Some(Portrait::claimed(live.tape.opening(), header, &Anomalies::default()));
        }
    });
    let no_header = repair.anomalies().get(crate::cast::AnomalyKind::NoHeader).is_some();
    portrait.filter(|_| !no_header)
}
