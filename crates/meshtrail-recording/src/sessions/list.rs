//! Sessions, newest first: those that are not sealed from memory, the others from the events that ended them.
//!
//! - A list is of one moment, that of its first page: each session there was then stands in it exactly once, as it
//!   stood then, whatever is sealed between the two halves or between two pages.
//! - The moment is a size of the trail, read together with the sessions in memory: a session whose terminal event is
//!   below it belongs to the second half, every other one to the first.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use meshtrail_event::{Event, SessionId, Timestamp};

use super::{Live, ReadError, Recordings, number_of, source::Source};
use crate::{
    ledger::{Ledger, LedgerError, SessionScan},
    session::Session,
};

/// Clocks may be set back while a session runs; by more than a day would show elsewhere first.
const DAY_SECONDS: i64 = 86_400;

/// The moment that a list of sessions is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// The trail's size: what has a terminal event below it was sealed.
    pub size: u64,
    /// The time, by our clock.
    pub time: Timestamp,
}

/// Where a list of sessions goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// Sessions below a number that were not sealed at a moment, then all others.
    Unsealed {
        /// The number.
        below: u64,
        /// The moment.
        bound: Bound,
    },
    /// Sessions whose end is below this index of the trail.
    Below(u64),
}

/// A cursor that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cursor: expected one that a list of sessions gave")]
pub struct CursorError;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsealed { below, bound } => {
                write!(f, "live-{below}-{}-{}", bound.size, bound.time.as_nanos())
            }
            Self::Below(index) => write!(f, "{index}"),
        }
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let number = |text: &str| text.parse().map_err(|_| CursorError);
        let Some(rest) = text.strip_prefix("live-") else { return Ok(Self::Below(number(text)?)) };
        let parts: Vec<&str> = rest.splitn(3, '-').collect();
        let [below, size, time] = parts[..] else { return Err(CursorError) };
        let time = Timestamp::from_nanos(time.parse().map_err(|_| CursorError)?);
        Ok(Self::Unsealed { below: number(below)?, bound: Bound { size: number(size)?, time } })
    }
}

/// A page of sessions.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionsPage {
    /// The sessions, newest first, live ones on top.
    pub sessions: Vec<Session>,
    /// Where the next page starts; none at the end.
    pub next: Option<Cursor>,
}

/// A session that was not sealed at the moment of a list.
enum Unsealed {
    /// It is still in memory.
    Live(Arc<Live>),
    /// It was sealed since.
    Sealed(Box<Session>),
}

impl Recordings {
    /// A page of at most `limit` sessions for which `wanted` holds.
    pub async fn sessions(
        &self,
        cursor: Option<Cursor>,
        limit: usize,
        wanted: impl Fn(&Session) -> bool + Send,
    ) -> Result<SessionsPage, ReadError> {
        let mut sessions = Vec::new();
        let before = match cursor {
            Some(Cursor::Below(index)) => index,
            Some(Cursor::Unsealed { .. }) | None => {
                let (below, bound) = match cursor {
                    Some(Cursor::Unsealed { below, bound }) => (below, Some(bound)),
                    _ => (u64::MAX, None),
                };
                let (bound, unsealed) = self.unsealed_at(bound, below).await?;
                for (number, session) in unsealed.into_iter().rev() {
                    if sessions.len() >= limit {
                        let next = Some(Cursor::Unsealed { below: number + 1, bound });
                        return Ok(SessionsPage { sessions, next });
                    }
                    let session = match session {
                        Unsealed::Live(live) => live.session(),
                        Unsealed::Sealed(session) => *session,
                    };
                    sessions.push(session.at(bound.time));
                    sessions.pop_if(|session| !wanted(session));
                }
                bound.size
            }
        };
        let scan = SessionScan { before: Some(before), ..SessionScan::default() };
        let mut ended = self.ledger().sessions(scan);
        let mut lowest = None;
        while let Some(next) = ended.next().await {
            let next = next?;
            let index = next.0;
            let Some(session) = Session::of_end_at(&next) else { continue };
            if sessions.len() >= limit {
                let below = lowest.unwrap_or(index + 1);
                return Ok(SessionsPage { sessions, next: Some(Cursor::Below(below)) });
            }
            lowest = Some(index);
            sessions.push(session);
            sessions.pop_if(|session| !wanted(session));
        }
        Ok(SessionsPage { sessions, next: None })
    }

    /// Sessions with numbers below `below` that were not sealed at the moment `bound`, by number; now without one.
    async fn unsealed_at(
        &self,
        bound: Option<Bound>,
        below: u64,
    ) -> Result<(Bound, BTreeMap<u64, Unsealed>), LedgerError> {
        let (live, now) = self.unsealed_now(below);
        let bound = bound.unwrap_or(now);
        // A terminal event is in the trail before its session leaves memory.
        let first = live.iter().filter_map(|live| live.sealed_from()).min();
        let mut unsealed: BTreeMap<u64, Unsealed> =
            live.into_iter().map(|live| (live.number(), Unsealed::Live(live))).collect();
        if let Some(from) = first.filter(|from| *from < bound.size) {
            let mut sealed = self.sealed_between(from, bound.size);
            while let Some((number, _)) = sealed.try_next().await? {
                unsealed.remove(&number);
            }
        }
        if bound.size < now.size {
            let mut sealed = self.sealed_between(bound.size, now.size);
            while let Some((number, session)) = sealed.try_next().await? {
                // An import was never live, whenever it got its number.
                if number < below && session.imported_from.is_none() {
                    unsealed.entry(number).or_insert_with(|| Unsealed::Sealed(Box::new(session)));
                }
            }
        }
        Ok((bound, unsealed))
    }

    /// Sessions in memory with numbers below `below`, and the moment at which they were just those.
    fn unsealed_now(&self, below: u64) -> (Vec<Arc<Live>>, Bound) {
        let sessions = self.live_sessions();
        // Read under the lock: what left memory before has its event below this size.
        let bound = Bound { size: self.ledger().size(), time: Timestamp::now() };
        (sessions.values().filter(|live| live.number() < below).cloned().collect(), bound)
    }

    /// Sessions whose terminal events have these indices, with their numbers.
    fn sealed_between(
        &self,
        from: u64,
        before: u64,
    ) -> impl Stream<Item = Result<(u64, Session), LedgerError>> + Send + Unpin {
        let scan = SessionScan { from, before: Some(before), ..SessionScan::default() };
        let trail = self.ledger().trail();
        self.ledger().sessions(scan).try_filter_map(move |next| {
            let session = Session::of_end_at(&next);
            let numbered = session.and_then(|session| Some((number_of(&session.id, trail)?, session)));
            std::future::ready(Ok(numbered))
        })
    }

    /// Sessions that are not sealed, newest first.
    pub(super) fn unsealed(&self) -> Vec<Arc<Live>> {
        let (mut live, _) = self.unsealed_now(u64::MAX);
        live.sort_by_key(|live| std::cmp::Reverse(live.number()));
        live
    }

    /// One session, live or not.
    pub async fn session(&self, id: &SessionId) -> Result<Option<Session>, ReadError> {
        if let Some(live) = self.known(id) {
            return Ok(Some(live.session()));
        }
        Ok(end_of(self.ledger(), id).await?.as_ref().and_then(Session::of_end_at))
    }

    /// Exactly the received bytes; of a live session, those that are durable now.
    pub async fn received(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = Result<Bytes, ReadError>> + Send + 'static, ReadError> {
        Ok(Source::open(self, id).await?.stream(0))
    }

    /// A part of the received bytes.
    pub async fn received_range(
        &self,
        id: &SessionId,
        range: std::ops::Range<u64>,
    ) -> Result<Bytes, ReadError> {
        Source::open(self, id).await?.read(range).await
    }

    /// A session's marks, in the order of the bytes they cover.
    pub async fn marks(&self, id: &SessionId) -> Result<Vec<Event>, ReadError> {
        let mut marks = self.ledger().marks(id.clone(), first_day(id)).await?;
        marks.sort_by_key(|event| super::finish::statement_of(event).map(|statement| statement.bytes));
        Ok(marks)
    }
}

/// The event that ended a session, and its index.
pub(super) async fn end_of(ledger: &dyn Ledger, id: &SessionId) -> Result<Option<(u64, Event)>, LedgerError> {
    let scan =
        SessionScan { since: Some(first_day(id)), session: Some(id.clone()), ..SessionScan::default() };
    let mut events = ledger.sessions(scan);
    while let Some(next) = events.next().await {
        let (index, event) = next?;
        if event.session.as_ref() == Some(id) && Session::of_end(&event).is_some() {
            return Ok(Some((index, event)));
        }
    }
    Ok(None)
}

/// The start of the day in a session's id: nothing of it can be earlier.
pub(super) fn first_day(id: &SessionId) -> Timestamp {
    let (year, month, day) = id.day();
    let midnight = format!("{year}-{month}-{day}T00:00:00.000000000Z").parse::<Timestamp>();
    let before = std::time::Duration::from_secs(DAY_SECONDS.unsigned_abs());
    midnight.unwrap_or(Timestamp::from_nanos(0)).before(before)
}
