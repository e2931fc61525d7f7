//! A log, read again and again by windows of time.
//!
//! - A window is asked and read as a whole, put in order, and written; only then is the next one asked. Reading and
//!   ordering 32 MiB takes a while: it is done beside the threads that everybody shares.
//! - What the trail holds is where reading goes on: after a crash anywhere, records are asked for again from before the
//!   newest one held. That none counts twice is the business of whoever writes them.
//!
//! What logs have in common: section "Logging" of Tailscale's OpenAPI description. Both ends of a window are part of it,
//! and there is no paging.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use meshtrail_event::Timestamp;
use meshtrail_trail::{Emitter, ReadError, Trail};
use serde_json::value::RawValue;

use super::client::{Client, Wanted};
use super::error::ApiError;
use super::shapes::Records;
use super::window::{Plan, Reading, Round};
use crate::joined::joined;
use crate::sources::{Expect, Source};
use crate::start::Wiring;
use crate::turn::{Turn, causes};
use crate::web::Pace;

/// What is particular to one log.
pub(super) trait Log: Send + Sync {
    /// The name of its source, and of what emits its events.
    const SOURCE: &'static str;
    /// What it is, in words.
    const WHAT: &'static str;
    /// The scope that unlocks it.
    const SCOPE: &'static str;
    /// Its name in the API's paths.
    const PATH: &'static str;
    /// What is told of a stretch that it keeps no more.
    const GONE: &'static str;
    /// How long to wait where only somebody's act helps.
    const SOMEBODY: Duration;

    /// A window's records, in the order in which they are written.
    type Ordered: Send + 'static;

    /// Why its records could not be written.
    type WriteError: std::error::Error + Send + Sync + 'static;

    /// Puts the records of a window that ends at `end`, parts of `answer`, in order. May take its time.
    fn order(records: Vec<&RawValue>, end: Timestamp, answer: &Bytes) -> Self::Ordered;

    /// Writes what is new of a window's records, and tells the source of it.
    fn write(
        &self,
        to: &Place,
        window: (Timestamp, Timestamp),
        records: Self::Ordered,
    ) -> impl Future<Output = Result<(), Self::WriteError>> + Send;

    /// Up to when the trail holds its records; what claims to be of later than `now` does not count.
    fn newest_held(
        &self,
        to: &Place,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<Timestamp>, ReadError>> + Send;
}

/// Where a log's records go, and where it is said how it does.
pub(super) struct Place {
    pub(super) trail: Trail,
    pub(super) emitter: Emitter,
    pub(super) source: Source,
}

/// Reads a log again and again.
pub(super) struct LogPoll<L> {
    log: L,
    client: Arc<Client>,
    to: Place,
    pace: Pace,
    plan: Plan,
    reading: Option<Reading>,
}

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
enum RoundError<E> {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the trail could not be read")]
    Read(#[from] ReadError),
    #[error("the records could not be written")]
    Write(#[source] E),
}

impl<L: Log> LogPoll<L> {
    pub(super) fn new(log: L, client: Arc<Client>, wiring: &Wiring, every: Duration, plan: Plan) -> Self {
        let to = Place {
            trail: wiring.trail.clone(),
            emitter: wiring.trail.emitter(L::SOURCE),
            source: wiring.sources.register(L::SOURCE, Expect::Every(every)),
        };
        Self { log, client, to, pace: Pace::new(every), plan, reading: None }
    }

    async fn round(&mut self, now: Timestamp) -> Result<(), RoundError<L::WriteError>> {
        let theirs = self.client.their_time(now);
        let mut reading = match self.reading.take() {
            Some(reading) => reading,
            None => Reading::new(self.plan, self.log.newest_held(&self.to, theirs).await?),
        };
        let round = reading.round(theirs);
        if let Some((first, last)) = round.gap {
            self.to.source.gap(first, last, L::GONE);
            reading.told(&round);
        }
        let done = self.windows(&mut reading, &round, now).await;
        if done.is_ok() {
            reading.done(&round, theirs);
        }
        self.reading = Some(reading);
        done
    }

    async fn windows(
        &self,
        reading: &mut Reading,
        round: &Round,
        now: Timestamp,
    ) -> Result<(), RoundError<L::WriteError>> {
        let mut from = round.from;
        while from < round.to {
            let end = reading.window(round, from);
            match self.window(from, end, now).await {
                Ok(bytes) => {
                    reading.took(end, bytes);
                    from = end;
                }
                Err(RoundError::Api(ApiError::TooLarge(_))) if reading.shorten() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Asks for one window and has it written; how many bytes the answer had.
    async fn window(
        &self,
        from: Timestamp,
        end: Timestamp,
        now: Timestamp,
    ) -> Result<usize, RoundError<L::WriteError>> {
        let (start_text, end_text) = (from.to_string(), end.to_string());
        let wanted = Wanted {
            what: L::WHAT,
            scope: L::SCOPE,
            path: &["logging", L::PATH],
            query: &[("start", &start_text), ("end", &end_text)],
            accept: "application/json",
        };
        let answer = self.client.get(wanted, now).await?;
        let bytes = answer.body.len();
        let ordering = tokio::task::spawn_blocking(move || {
            Ok::<_, ApiError>(L::order(Records::read(L::WHAT, &answer)?.logs, end, &answer.body))
        });
        self.log.write(&self.to, (from, end), joined(ordering).await?).await.map_err(RoundError::Write)?;
        Ok(bytes)
    }
}

impl<L: Log> Turn for LogPoll<L> {
    async fn turn(&mut self, now: Timestamp) -> Duration {
        match self.round(now).await {
            Ok(()) => self.pace.good(),
            Err(RoundError::Api(error)) => {
                self.to.source.trouble(&error.to_string());
                let wait = self.pace.bad(error.retry_after());
                if error.needs_somebody() { wait.max(L::SOMEBODY) } else { wait }
            }
            Err(error) => {
                self.to.source.trouble(&causes(&error));
                self.pace.bad(None)
            }
        }
    }
}
