//! [`Ledger`]: the part of a trail that recordings need.

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::BoxStream};
use meshtrail_event::{Detail, Draft, Event, EventId, Family, Kind, Own, SessionId, Timestamp};
use meshtrail_trail::{
    AppendOutcome, Emitter, Scan, State, Trail,
    segment::{ColumnTest, Predicate},
};

/// Why an operation on the trail failed.
#[derive(Debug, thiserror::Error)]
#[error("the trail {failure}")]
#[expect(missing_docs, reason = "the message says it")]
pub struct LedgerError {
    /// What failed, such as `could not take an event`.
    pub failure: &'static str,
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// The conditions on events of sessions that are read, newest first.
#[derive(Debug, Clone, Default)]
pub struct SessionScan {
    /// Only events at or after this index.
    pub from: u64,
    /// Only events below this index.
    pub before: Option<u64>,
    /// Only events at or after this time.
    pub since: Option<Timestamp>,
    /// Only events of this session.
    pub session: Option<SessionId>,
}

/// An event and its index in the trail.
pub type IndexedEvent = (u64, Event);

/// A trail as recordings use it: appends events, and reads the events of sessions.
pub trait Ledger: Send + Sync + 'static {
    /// The trail's name.
    fn trail(&self) -> &str;

    /// A number that grows with each start. Names of sessions and journal files contain it.
    fn epoch(&self) -> u64;

    /// The number of durable events. An event that is being appended gets this index or a later one.
    fn size(&self) -> u64;

    /// Why no events can be appended now; `None` if they can.
    fn refusal(&self) -> Option<String>;

    /// Appends an event; durable when it returns.
    fn emit(&self, draft: Draft) -> BoxFuture<'_, Result<EventId, LedgerError>>;

    /// Start and terminal events of sessions, newest first.
    fn sessions(&self, scan: SessionScan) -> BoxStream<'_, Result<IndexedEvent, LedgerError>>;

    /// A session's marks, in any order.
    fn marks(&self, session: SessionId, since: Timestamp) -> BoxFuture<'_, Result<Vec<Event>, LedgerError>>;
}

/// The source of a recorder's events.
const SOURCE: &str = "recorder";

/// A [`Trail`] as a ledger.
pub(crate) struct TrailLedger {
    trail: Trail,
    emitter: Emitter,
}

impl TrailLedger {
    /// Begins a new epoch, with an event in the trail before the epoch is used in a name: after a start without any
    /// event the next start would get the same epoch.
    pub(crate) async fn begin(trail: Trail) -> Result<TrailLedger, LedgerError> {
        let ledger = Self::read_only(trail);
        let source = Some(ledger.emitter.source().to_string());
        let own = Own { source, what: Some("recorder".to_owned()), ..Own::default() };
        let detail = Some(Detail::Own(Box::new(own)));
        let draft = Draft { detail, ..Draft::new(Kind::MeshtrailSourceConnected, Timestamp::now()) };
        ledger.emit(draft).await?;
        Ok(ledger)
    }

    /// A ledger for reading only: begins no epoch.
    pub(crate) fn read_only(trail: Trail) -> TrailLedger {
        let emitter = trail.emitter(SOURCE);
        TrailLedger { trail, emitter }
    }

    fn scan(&self, scan: Scan) -> BoxStream<'_, Result<IndexedEvent, LedgerError>> {
        let read = self.trail.scan(scan).map(|row| {
            let (index, leaf) = row.map_err(|error| ledger_error("could not be read", error))?;
            let event =
                Event::from_json(&leaf).map_err(|error| ledger_error("holds what is no event", error))?;
            Ok((index, event))
        });
        read.boxed()
    }

    fn family_scan(&self, family: Family, wanted: SessionScan) -> Scan {
        let before = wanted.before.unwrap_or(u64::MAX).min(self.trail.size());
        let session = wanted.session.map(|session| {
            let only = session.clone();
            let test = ColumnTest::new("session", move |found| found == only.as_str());
            Predicate { any_of: vec![test.with_prefixes([session.as_str()])] }
        });
        let times = wanted.since.map(|since| (since, Timestamp::from_nanos(i64::MAX)));
        Scan {
            families: vec![family],
            times,
            predicates: session.into_iter().collect(),
            ..Scan::newest(wanted.from.min(before)..before)
        }
    }
}

fn ledger_error(
    failure: &'static str,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> LedgerError {
    LedgerError { failure, source: error.into() }
}

impl Ledger for TrailLedger {
    fn trail(&self) -> &str {
        self.trail.name().as_str()
    }

    fn epoch(&self) -> u64 {
        self.emitter.epoch()
    }

    fn size(&self) -> u64 {
        self.trail.size()
    }

    fn refusal(&self) -> Option<String> {
        match self.trail.state() {
            State::Accepting => None,
            State::ReadOnly => Some("it is open for reading only".to_owned()),
            State::Full => Some("its log is full, since the store takes no segments".to_owned()),
            State::Stopped { reason } => Some(reason.to_string()),
        }
    }

    fn emit(&self, draft: Draft) -> BoxFuture<'_, Result<EventId, LedgerError>> {
        async move {
            match self.emitter.emit(draft).await {
                Ok(AppendOutcome::New { id, .. }) => Ok(id),
                Ok(AppendOutcome::Duplicate { .. }) => Err(ledger_error(
                    "could not take an event",
                    "another process sends under this recorder's name",
                )),
                Err(error) => Err(ledger_error("could not take an event", error)),
            }
        }
        .boxed()
    }

    fn sessions(&self, scan: SessionScan) -> BoxStream<'_, Result<IndexedEvent, LedgerError>> {
        let session = scan.session.clone();
        let events = self.scan(self.family_scan(Family::Session, scan));
        // Predicates only prune: the scan may return events of other sessions.
        let wanted = move |row: &Result<IndexedEvent, LedgerError>| match row {
            Ok((_, event)) => session.is_none() || session == event.session,
            Err(_) => true,
        };
        events.filter(move |row| std::future::ready(wanted(row))).boxed()
    }

    fn marks(&self, session: SessionId, since: Timestamp) -> BoxFuture<'_, Result<Vec<Event>, LedgerError>> {
        async move {
            let scan =
                SessionScan { since: Some(since), session: Some(session.clone()), ..SessionScan::default() };
            let mut marks = Vec::new();
            let mut events = self.scan(self.family_scan(Family::Recording, scan));
            while let Some(row) = events.next().await {
                let (_, event) = row?;
                if event.kind == Kind::RecordingMark && event.session.as_ref() == Some(&session) {
                    marks.push(event);
                }
            }
            Ok(marks)
        }
        .boxed()
    }
}
