//! Sessions, newest first: those that are live from memory, the others from the events that ended them.

use std::{fmt, str::FromStr, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use meshtrail_event::{Event, SessionId, Timestamp};

use super::{Live, ReadError, Recordings, source::Source};
use crate::{
    ledger::{Ledger, LedgerError, SessionScan},
    session::Session,
};

/// Clocks may be set back while a session runs; by more than a day would show elsewhere first.
const DAY_SECONDS: i64 = 86_400;

/// Where a list of sessions goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// Live sessions below this number, then all others.
    Live(u64),
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
            Self::Live(number) => write!(f, "live-{number}"),
            Self::Below(index) => write!(f, "{index}"),
        }
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let number = |text: &str| text.parse().map_err(|_| CursorError);
        match text.strip_prefix("live-") {
            Some(rest) => Ok(Self::Live(number(rest)?)),
            None => Ok(Self::Below(number(text)?)),
        }
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

impl Recordings {
    /// A page of at most `limit` sessions for which `wanted` holds.
    pub async fn sessions(
        &self,
        cursor: Option<Cursor>,
        limit: usize,
        wanted: impl Fn(&Session) -> bool + Send,
    ) -> Result<SessionsPage, ReadError> {
        let mut sessions = Vec::new();
        if !matches!(cursor, Some(Cursor::Below(_))) {
            for live in self.unsealed(cursor) {
                if sessions.len() >= limit {
                    return Ok(SessionsPage { sessions, next: Some(Cursor::Live(live.number() + 1)) });
                }
                sessions.push(live.session());
                sessions.pop_if(|session| !wanted(session));
            }
        }
        let before = match cursor {
            Some(Cursor::Below(index)) => Some(index),
            _ => None,
        };
        let mut ended = self.ledger().sessions(SessionScan { before, ..SessionScan::default() });
        let mut lowest = None;
        while let Some(next) = ended.next().await {
            let next = next?;
            let index = next.0;
            if sessions.len() >= limit {
                let below = lowest.unwrap_or(index + 1);
                return Ok(SessionsPage { sessions, next: Some(Cursor::Below(below)) });
            }
            lowest = Some(index);
            // Between its event and the end of sealing a session is on both lists.
            let shown = Session::of_end_at(&next).filter(|session| self.known(&session.id).is_none());
            sessions.extend(shown.filter(|session| wanted(session)));
        }
        Ok(SessionsPage { sessions, next: None })
    }

    /// Sessions that are not sealed, newest first.
    pub(super) fn unsealed(&self, cursor: Option<Cursor>) -> Vec<Arc<Live>> {
        let below = match cursor {
            Some(Cursor::Live(number)) => number,
            _ => u64::MAX,
        };
        let mut live: Vec<Arc<Live>> =
            self.live_sessions().values().filter(|live| live.number() < below).cloned().collect();
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
    let scan = SessionScan { since: Some(first_day(id)), session: Some(id.clone()), before: None };
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
