//! What recordings need of a trail, no more.

use futures::{future::BoxFuture, stream::BoxStream};
use meshtrail_event::{Draft, Event, EventId, SessionId, Timestamp};

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

    /// Why it can't take events now, if it can't.
    fn refusal(&self) -> Option<String>;

    /// Appends an event; durable when it returns.
    fn emit(&self, draft: Draft) -> BoxFuture<'_, Result<EventId, LedgerError>>;

    /// Events that start or end sessions, newest first.
    fn sessions(&self, scan: SessionScan) -> BoxStream<'_, Result<Indexed, LedgerError>>;

    /// A session's marks, in any order.
    fn marks(&self, session: SessionId, since: Timestamp) -> BoxFuture<'_, Result<Vec<Event>, LedgerError>>;
}
