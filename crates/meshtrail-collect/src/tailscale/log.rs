//! A poller of a log, which is read by windows of time.
//!
//! - A window is requested as a whole, its records are sorted and written; only then is the next one requested. Parsing and
//!   sorting 32 MiB takes a while: it runs on tokio's blocking pool.
//! - The trail is the cursor: after a crash, reading continues from before the newest stored record. [`Log::write`] must
//!   write records that come again only once.
//!
//! Source: section "Logging" of Tailscale's OpenAPI description. Both ends of a window are inclusive, and there is no
//! paging.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use meshtrail_event::Timestamp;
use meshtrail_trail::{Emitter, ReadError, Trail, run_detached};
use serde_json::value::RawValue;

use super::client::{ApiResource, Client};
use super::error::ApiError;
use super::shapes::Records;
use super::window::{ReadProgress, Round, WindowPlan};
use crate::poll::{Poller, causes};
use crate::sources::{Cadence, Source};
use crate::start::Wiring;
use crate::web::Backoff;

/// A log of Tailscale's API.
pub(super) trait Log: Send + Sync {
    /// The name of its source and of its emitter.
    const SOURCE: &'static str;
    /// Its name in messages.
    const NAME: &'static str;
    /// The scope that it needs.
    const SCOPE: &'static str;
    /// Its name in the API's paths.
    const PATH: &'static str;
    /// The reason of a gap whose records the API has dropped.
    const EXPIRED_REASON: &'static str;
    /// The minimum wait after an error that only an operator can fix.
    const OPERATOR_WAIT: Duration;

    /// The records of a window in the order in which they are written.
    type Batch: Send + 'static;

    /// Why its records could not be written.
    type WriteError: std::error::Error + Send + Sync + 'static;

    /// Sorts the records of a window that ends at `end`; they are slices of `response`. May be slow.
    fn order(records: Vec<&RawValue>, end: Timestamp, response: &Bytes) -> Self::Batch;

    /// Writes the new records of a window, and records the contact with the source.
    fn write(
        &self,
        sink: &LogSink,
        window: (Timestamp, Timestamp),
        records: Self::Batch,
    ) -> impl Future<Output = Result<(), Self::WriteError>> + Send;

    /// The time of the newest record in the trail, ignoring those dated after `now`.
    fn newest_stored(
        &self,
        sink: &LogSink,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<Timestamp>, ReadError>> + Send;
}

/// Where a log's records and its state go.
pub(super) struct LogSink {
    pub(super) trail: Trail,
    pub(super) emitter: Emitter,
    pub(super) source: Source,
}

/// Polls one log.
pub(super) struct LogPoller<L> {
    log: L,
    client: Arc<Client>,
    sink: LogSink,
    backoff: Backoff,
    plan: WindowPlan,
    progress: Option<ReadProgress>,
}

/// Why a round was aborted.
#[derive(Debug, thiserror::Error)]
enum RoundError<E> {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the trail could not be read")]
    Read(#[from] ReadError),
    #[error("the records could not be written")]
    Write(#[source] E),
}

impl<L: Log> LogPoller<L> {
    pub(super) fn new(
        log: L,
        client: Arc<Client>,
        wiring: &Wiring,
        every: Duration,
        plan: WindowPlan,
    ) -> Self {
        let sink = LogSink {
            trail: wiring.trail.clone(),
            emitter: wiring.trail.emitter(L::SOURCE),
            source: wiring.sources.register(L::SOURCE, Cadence::Every(every)),
        };
        Self { log, client, sink, backoff: Backoff::new(every), plan, progress: None }
    }

    async fn round(&mut self, now: Timestamp) -> Result<(), RoundError<L::WriteError>> {
        let theirs = self.client.their_time(now);
        let mut progress = match self.progress.take() {
            Some(progress) => progress,
            None => ReadProgress::new(self.plan, self.log.newest_stored(&self.sink, theirs).await?),
        };
        let round = progress.round(theirs);
        if let Some((first, last)) = round.gap {
            self.sink.source.record_gap(first, last, L::EXPIRED_REASON);
            progress.skip_gap(&round);
        }
        let done = self.read_windows(&mut progress, &round, now).await;
        if done.is_ok() {
            progress.finish(&round, theirs);
        }
        self.progress = Some(progress);
        done
    }

    async fn read_windows(
        &self,
        progress: &mut ReadProgress,
        round: &Round,
        now: Timestamp,
    ) -> Result<(), RoundError<L::WriteError>> {
        let mut from = round.from;
        while from < round.to {
            let end = progress.window(round, from);
            match self.read_window(from, end, now).await {
                Ok(bytes) => {
                    progress.advance(end, bytes);
                    from = end;
                }
                Err(RoundError::Api(ApiError::TooLarge(_))) if progress.shorten() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Requests and writes one window. Returns the length of the response in bytes.
    async fn read_window(
        &self,
        from: Timestamp,
        end: Timestamp,
        now: Timestamp,
    ) -> Result<usize, RoundError<L::WriteError>> {
        let (start_text, end_text) = (from.to_string(), end.to_string());
        let resource = ApiResource {
            what: L::NAME,
            scope: L::SCOPE,
            path: &["logging", L::PATH],
            query: &[("start", &start_text), ("end", &end_text)],
            accept: "application/json",
        };
        let response = self.client.get(resource, now).await?;
        let bytes = response.body.len();
        let ordered = tokio::task::spawn_blocking(move || {
            Ok::<_, ApiError>(L::order(Records::read(L::NAME, &response)?.logs, end, &response.body))
        });
        self.log
            .write(&self.sink, (from, end), run_detached(ordered).await?)
            .await
            .map_err(RoundError::Write)?;
        Ok(bytes)
    }
}

impl<L: Log> Poller for LogPoller<L> {
    async fn poll(&mut self, now: Timestamp) -> Duration {
        match self.round(now).await {
            Ok(()) => self.backoff.success(),
            Err(RoundError::Api(error)) => {
                self.sink.source.record_trouble(&error.to_string());
                let wait = self.backoff.failure(error.retry_after());
                if error.needs_operator() { wait.max(L::OPERATOR_WAIT) } else { wait }
            }
            Err(error) => {
                self.sink.source.record_trouble(&causes(&error));
                self.backoff.failure(None)
            }
        }
    }
}
