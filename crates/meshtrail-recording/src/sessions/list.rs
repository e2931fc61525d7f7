//! Lists of sessions, newest first: unsealed ones from memory, then the others from their terminal events.
//!
//! - All pages of a list are of one moment, that of the first page. Each session of that moment is listed exactly once,
//!   in its state at that moment, whatever is sealed while the two parts or the pages are read.
//! - The moment is a size of the trail, read together with the sessions in memory. A session whose terminal event is
//!   below that size belongs to the second part, every other session to the first.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use meshtrail_event::{Event, Position, RelativePosition, SessionId, Timestamp, TrailName, UnknownTrail};

use super::{LiveSession, ReadError, Recordings, byte_source::ByteSource, number_of};
use crate::{
    ledger::{Ledger, LedgerError, SessionScan},
    session_view::Session,
};

/// The most by which the clock may be set back while a session runs.
const DAY_SECONDS: i64 = 86_400;

/// The moment of a list of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListMoment {
    /// The trail's size: sessions with a terminal event below it were sealed.
    pub size: u64,
    /// The time by the recorder's clock.
    pub time: Timestamp,
}

/// Where a list of sessions continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// At the sessions with a number below this one that were not sealed at a moment; then all others.
    Unsealed {
        /// The number.
        below: u64,
        /// The moment.
        moment: ListMoment,
    },
    /// At the sessions whose terminal event is below this index.
    Below(u64),
}

/// Why a text is not a cursor of this trail's list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum CursorError {
    #[error("cursor: expected one that a list of sessions gave")]
    Text,
    #[error(transparent)]
    Trail(UnknownTrail),
}

impl Cursor {
    /// Its text as a cursor of `trail`: the position, or `live-`, the number, the moment's position and its time.
    pub fn write(self, trail: &TrailName) -> String {
        let position = |index| Position { trail: trail.clone(), index };
        match self {
            Self::Unsealed { below, moment } => {
                format!("live-{below}-{}-{}", position(moment.size), moment.time.as_nanos())
            }
            Self::Below(index) => position(index).to_string(),
        }
    }

    /// The cursor of this text, which must be one of `trail`. A bare index in place of a position is in `trail`.
    pub fn read(text: &str, trail: &TrailName) -> Result<Self, CursorError> {
        let index = |position: RelativePosition| position.index_in(trail).map_err(CursorError::Trail);
        // First, since a trail's name may begin with `live-`.
        if let Ok(position) = text.parse() {
            return Ok(Self::Below(index(position)?));
        }
        let rest = text.strip_prefix("live-").ok_or(CursorError::Text)?;
        let (below, moment) = rest.split_once('-').ok_or(CursorError::Text)?;
        // A trail's name may have a `-` itself; what follows the position begins after its index.
        let after_trail = moment.find(':').unwrap_or(0);
        let end = moment[after_trail..].find('-').ok_or(CursorError::Text)? + after_trail;
        let size = index(moment[..end].parse().map_err(|_| CursorError::Text)?)?;
        let time = &moment[end + 1..];
        let below = below.parse().map_err(|_| CursorError::Text)?;
        let time = Timestamp::from_nanos(time.parse().map_err(|_| CursorError::Text)?);
        Ok(Self::Unsealed { below, moment: ListMoment { size, time } })
    }
}

/// A page of sessions.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionsPage {
    /// The sessions, newest first, live ones on top.
    pub sessions: Vec<Session>,
    /// The start of the next page; `None` at the end.
    pub next: Option<Cursor>,
}

/// A session that was not sealed at the moment of a list.
enum UnsealedEntry {
    /// It is still in memory.
    Live(Arc<LiveSession>),
    /// It was sealed after that moment.
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
                let (below, moment) = match cursor {
                    Some(Cursor::Unsealed { below, moment }) => (below, Some(moment)),
                    _ => (u64::MAX, None),
                };
                let (moment, unsealed) = self.unsealed_at(moment, below).await?;
                for (number, session) in unsealed.into_iter().rev() {
                    if sessions.len() >= limit {
                        let next = Some(Cursor::Unsealed { below: number + 1, moment });
                        return Ok(SessionsPage { sessions, next });
                    }
                    let session = match session {
                        UnsealedEntry::Live(live) => live.session(),
                        UnsealedEntry::Sealed(session) => *session,
                    };
                    sessions.push(session.at_time(moment.time));
                    sessions.pop_if(|session| !wanted(session));
                }
                moment.size
            }
        };
        let scan = SessionScan { before: Some(before), ..SessionScan::default() };
        let mut ended = self.ledger().sessions(scan);
        let mut lowest = None;
        while let Some(next) = ended.next().await {
            let next = next?;
            let index = next.0;
            let Some(session) = Session::from_indexed_event(&next) else { continue };
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

    /// Sessions with numbers below `below` that were not sealed at `moment`, by number. `None` is the present moment.
    async fn unsealed_at(
        &self,
        moment: Option<ListMoment>,
        below: u64,
    ) -> Result<(ListMoment, BTreeMap<u64, UnsealedEntry>), LedgerError> {
        let (live, now) = self.unsealed_now(below);
        let moment = moment.unwrap_or(now);
        // A session is removed from memory only after its terminal event is in the trail.
        let first = live.iter().filter_map(|live| live.min_terminal_index()).min();
        let mut unsealed: BTreeMap<u64, UnsealedEntry> =
            live.into_iter().map(|live| (live.number(), UnsealedEntry::Live(live))).collect();
        if let Some(from) = first.filter(|from| *from < moment.size) {
            let mut sealed = self.sealed_between(from, moment.size);
            while let Some((number, _)) = sealed.try_next().await? {
                unsealed.remove(&number);
            }
        }
        if moment.size < now.size {
            let mut sealed = self.sealed_between(moment.size, now.size);
            while let Some((number, session)) = sealed.try_next().await? {
                // An import was never live, although it has a number as well.
                if number < below && session.imported_from.is_none() {
                    unsealed.entry(number).or_insert_with(|| UnsealedEntry::Sealed(Box::new(session)));
                }
            }
        }
        Ok((moment, unsealed))
    }

    /// The sessions in memory with numbers below `below`, and the moment of this snapshot.
    fn unsealed_now(&self, below: u64) -> (Vec<Arc<LiveSession>>, ListMoment) {
        let sessions = self.live_sessions();
        // Read under the lock: sessions that were removed from memory before have their events below this size.
        let moment = ListMoment { size: self.ledger().size(), time: Timestamp::now() };
        (sessions.values().filter(|live| live.number() < below).cloned().collect(), moment)
    }

    /// Sessions with terminal events from index `from` to `before`, with their numbers.
    fn sealed_between(
        &self,
        from: u64,
        before: u64,
    ) -> impl Stream<Item = Result<(u64, Session), LedgerError>> + Send + Unpin {
        let scan = SessionScan { from, before: Some(before), ..SessionScan::default() };
        let trail = self.ledger().trail();
        self.ledger().sessions(scan).try_filter_map(move |next| {
            let session = Session::from_indexed_event(&next);
            let numbered = session.and_then(|session| Some((number_of(&session.id, trail)?, session)));
            std::future::ready(Ok(numbered))
        })
    }

    /// Unsealed sessions, newest first.
    pub(super) fn unsealed(&self) -> Vec<Arc<LiveSession>> {
        let (mut live, _) = self.unsealed_now(u64::MAX);
        live.sort_by_key(|live| std::cmp::Reverse(live.number()));
        live
    }

    /// One session, live or not.
    pub async fn session(&self, id: &SessionId) -> Result<Option<Session>, ReadError> {
        if let Some(live) = self.find_unsealed(id) {
            return Ok(Some(live.session()));
        }
        Ok(find_terminal_event(self.ledger(), id).await?.as_ref().and_then(Session::from_indexed_event))
    }

    /// The received bytes; of a live session, the bytes that are durable now.
    pub async fn stream_bytes(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = Result<Bytes, ReadError>> + Send + 'static, ReadError> {
        Ok(ByteSource::open(self, id).await?.stream(0))
    }

    /// A range of the received bytes.
    pub async fn read_range(&self, id: &SessionId, range: std::ops::Range<u64>) -> Result<Bytes, ReadError> {
        ByteSource::open(self, id).await?.read(range).await
    }

    /// A session's marks, in the order of the bytes that they cover.
    pub async fn marks(&self, id: &SessionId) -> Result<Vec<Event>, ReadError> {
        let mut marks = self.ledger().marks(id.clone(), earliest_time(id)).await?;
        marks.sort_by_key(|event| super::sealing::mark_statement(event).map(|statement| statement.bytes));
        Ok(marks)
    }
}

/// The terminal event of a session, and its index.
pub(super) async fn find_terminal_event(
    ledger: &dyn Ledger,
    id: &SessionId,
) -> Result<Option<(u64, Event)>, LedgerError> {
    let scan =
        SessionScan { since: Some(earliest_time(id)), session: Some(id.clone()), ..SessionScan::default() };
    let mut events = ledger.sessions(scan);
    while let Some(next) = events.next().await {
        let (index, event) = next?;
        if event.session.as_ref() == Some(id) && Session::from_terminal_event(&event).is_some() {
            return Ok(Some((index, event)));
        }
    }
    Ok(None)
}

/// A time before all events of a session: a day before the day in its id.
pub(super) fn earliest_time(id: &SessionId) -> Timestamp {
    let (year, month, day) = id.day();
    let midnight = format!("{year}-{month}-{day}T00:00:00.000000000Z").parse::<Timestamp>();
    let before = std::time::Duration::from_secs(DAY_SECONDS.unsigned_abs());
    midnight.unwrap_or(Timestamp::from_nanos(0)).before(before)
}
