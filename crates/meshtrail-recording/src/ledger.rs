//! What recordings need of a trail, no more.

use std::sync::Arc;

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::BoxStream};
use meshtrail_event::{Detail, Draft, Event, EventId, Family, Kind, Own, SessionId, Timestamp};
use meshtrail_trail::{AppendOutcome, Emitter, Scan, State, Trail, segment::Predicate};

/// Why the trail did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[error("the trail {doing}")]
pub struct LedgerError {
    /// What it could not do: `could not take an event`.
    pub doing: &'static str,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Which events of sessions to read, newest first.
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
pub type Indexed = (u64, Event);

/// A trail as recordings see it: a place to tell what happened, and to read back what was told of sessions.
pub trait Ledger: Send + Sync + 'static {
    /// The trail's name.
    fn trail(&self) -> &str;

    /// A number that grows with each start; sessions and journal files are named by it.
    fn epoch(&self) -> u64;

    /// How many events are durable; an event that is on its way gets this index or a later one.
    fn size(&self) -> u64;

    /// Why it can't take events now, if it can't.
    fn refusal(&self) -> Option<String>;

    /// Appends an event; durable when it returns.
    fn emit(&self, draft: Draft) -> BoxFuture<'_, Result<EventId, LedgerError>>;

    /// Events that start or end sessions, newest first.
    fn sessions(&self, scan: SessionScan) -> BoxStream<'_, Result<Indexed, LedgerError>>;

    /// A session's marks, in any order.
    fn marks(&self, session: SessionId, since: Timestamp) -> BoxFuture<'_, Result<Vec<Event>, LedgerError>>;
}

/// The source under which a recorder tells of itself and its sessions.
const SOURCE: &str = "recorder";

/// The real trail as a ledger.
pub(crate) struct TrailLedger {
    trail: Trail,
    emitter: Emitter,
}

impl TrailLedger {
    /// Begins a new epoch. It is in the trail before anything is named by it: a start that told nothing would
    /// leave its epoch to the next one.
    pub(crate) async fn begin(trail: Trail) -> Result<TrailLedger, LedgerError> {
        let ledger = Self::read_only(trail);
        let source = Some(ledger.emitter.source().to_string());
        let own = Own { source, what: Some("recorder".to_owned()), ..Own::default() };
        let detail = Some(Detail::Own(Box::new(own)));
        let draft = Draft { detail, ..Draft::new(Kind::MeshtrailSourceConnected, Timestamp::now()) };
        ledger.emit(draft).await?;
        Ok(ledger)
    }

    /// Reads only.
    pub(crate) fn read_only(trail: Trail) -> TrailLedger {
        let emitter = trail.emitter(SOURCE);
        TrailLedger { trail, emitter }
    }

    fn scan(&self, scan: Scan) -> BoxStream<'_, Result<Indexed, LedgerError>> {
        let read = self.trail.scan(scan).map(|row| {
            let (index, leaf) = row.map_err(|error| failed("could not be read", error))?;
            let event = Event::from_json(&leaf).map_err(|error| failed("holds what is no event", error))?;
            Ok((index, event))
        });
        read.boxed()
    }

    fn of(&self, family: Family, wanted: SessionScan) -> Scan {
        let before = wanted.before.unwrap_or(u64::MAX).min(self.trail.size());
        let session = wanted.session.map(|session| Predicate {
            column: "session".to_owned(),
            accepts: Arc::new(move |found| found == session.as_str()),
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

fn failed(doing: &'static str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LedgerError {
    LedgerError { doing, source: error.into() }
}

impl Ledger for TrailLedger {
    fn trail(&self) -> &str {
        self.trail.name()
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
                Ok(AppendOutcome::Duplicate { .. }) => {
                    Err(failed("could not take an event", "another process sends under this recorder's name"))
                }
                Err(error) => Err(failed("could not take an event", error)),
            }
        }
        .boxed()
    }

    fn sessions(&self, scan: SessionScan) -> BoxStream<'_, Result<Indexed, LedgerError>> {
        let session = scan.session.clone();
        let events = self.scan(self.of(Family::Session, scan));
        // The log's part of a scan is not narrowed down by its conditions.
        let wanted = move |row: &Result<Indexed, LedgerError>| match row {
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
            let mut events = self.scan(self.of(Family::Recording, scan));
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
