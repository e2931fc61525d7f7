//! Network flow logs, read by windows of time.
//!
//! - Windows are of `logged`, the time at which the log service took a record: a node that was away uploads later, and
//!   its records are in a later window.
//! - Reading goes on at the newest `logged` that the trail holds of this poller, and each window overlaps the last.
//!   What counts once is the business of [`crate::flow`].
//! - A record that can't be taken is told as a gap, with the reason.
//!
//! The log: section "Logging" of Tailscale's OpenAPI description. There is no paging, the oldest record comes first,
//! records are kept for 30 days, and a start before that is moved forward without a word.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use meshtrail_event::{Detail, Event, Family, Timestamp};
use meshtrail_trail::{AppendError, Emitter, ReadError, Scan, Trail};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::{Client, Wanted};
use super::error::ApiError;
use super::shapes::Log;
use super::window::{Plan, Reading, Round};
use crate::config::TailscaleConfig;
use crate::config::tailscale::FLOWS_KEPT;
use crate::flow::{FlowRecord, Flows, Taken};
use crate::sources::Source;
use crate::start::Wiring;
use crate::turn::{Turn, causes};
use crate::web::Pace;

const MINUTE: Duration = Duration::from_secs(60);

/// What is asked for, in words.
const WHAT: &str = "network flow logs";

/// How long to wait where only somebody's act helps.
const SOMEBODY: Duration = Duration::from_secs(900);

/// How many events of this poller are looked at for the newest `logged`; they stand nearly in its order.
const LOOKED_AT: usize = 10_000;

/// How many records are handed over at a time.
const HANDED: usize = 2_000;

/// Reads flow logs again and again.
pub(super) struct FlowPoll {
    client: Arc<Client>,
    trail: Trail,
    flows: Flows,
    emitter: Emitter,
    source: Source,
    pace: Pace,
    plan: Plan,
    reading: Option<Reading>,
}

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the trail could not be read")]
    Read(#[from] ReadError),
    #[error("the flows could not be written")]
    Append(#[from] AppendError),
}

impl FlowPoll {
    pub(super) fn new(
        config: &TailscaleConfig,
        every: Duration,
        client: Arc<Client>,
        wiring: &Wiring,
        emitter: Emitter,
        source: Source,
    ) -> Self {
        let plan = Plan {
            since: config.flows_since,
            kept: FLOWS_KEPT,
            overlap: 5 * MINUTE,
            sweep: None,
            longest: 60 * MINUTE,
        };
        let (trail, flows) = (wiring.trail.clone(), wiring.flows.clone());
        Self { client, trail, flows, emitter, source, pace: Pace::new(every), plan, reading: None }
    }

    async fn round(&mut self, now: Timestamp) -> Result<(), RoundError> {
        let theirs = self.client.their_time(now);
        let mut reading = match self.reading.take() {
            Some(reading) => reading,
            None => Reading::new(self.plan, self.newest_held(theirs).await?),
        };
        let round = reading.round(theirs);
        if let Some((first, last)) = round.gap {
            self.source.gap(
                first,
                last,
                "flow logs are kept for 30 days; what came before that and was not read is gone",
            );
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
        &mut self,
        reading: &mut Reading,
        round: &Round,
        now: Timestamp,
    ) -> Result<(), RoundError> {
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

    /// Asks for one window and counts what is new of it; the answer's bytes.
    async fn window(&self, from: Timestamp, end: Timestamp, now: Timestamp) -> Result<usize, RoundError> {
        let (start, end_text) = (from.to_string(), end.to_string());
        let wanted = Wanted {
            what: WHAT,
            scope: "logs:network:read",
            path: &["logging", "network"],
            query: &[("start", &start), ("end", &end_text)],
            accept: "application/json",
        };
        let answer = self.client.get(wanted, now).await?;
        let log = Log::read(WHAT, &answer)?;
        let records = in_order(&log.logs, &answer.body);
        self.source.heard(0, None);
        for some in records.chunks(HANDED) {
            let taken = self.flows.take(&self.emitter, some.to_vec()).await?;
            self.source.heard(taken.new as u64, taken.newest);
            self.tell_refused(&taken, (from, end));
        }
        Ok(answer.body.len())
    }

    fn tell_refused(&self, taken: &Taken, (from, end): (Timestamp, Timestamp)) {
        let Some((_, error)) = taken.refused.first() else { return };
        let text =
            format!("{} records could not be taken, the first of them because: {error}", taken.refused.len());
        self.source.gap(from, end, &text);
    }

    /// The newest `logged` of what this poller wrote; what claims to be of the future does not count.
    async fn newest_held(&self, now: Timestamp) -> Result<Option<Timestamp>, ReadError> {
        let scan = Scan { families: vec![Family::Flow], ..Scan::newest(0..self.trail.size()) };
        let mut rows = std::pin::pin!(self.trail.scan(scan));
        let (mut newest, mut seen) = (None, 0);
        while seen < LOOKED_AT
            && let Some((_, leaf)) = rows.try_next().await?
        {
            let Ok(event) = Event::from_json(&leaf) else { continue };
            if event.id.source != *self.emitter.source() {
                continue;
            }
            seen += 1;
            if let Some(Detail::Flow(flow)) = &event.detail {
                newest = newest.max(flow.logged.filter(|logged| *logged <= now));
            }
        }
        Ok(newest)
    }
}

impl Turn for FlowPoll {
    async fn turn(&mut self, now: Timestamp) -> Duration {
        match self.round(now).await {
            Ok(()) => self.pace.good(),
            Err(RoundError::Api(error)) => {
                self.source.trouble(&error.to_string());
                let wait = self.pace.bad(error.retry_after());
                if error.needs_somebody() { wait.max(SOMEBODY) } else { wait }
            }
            Err(error) => {
                self.source.trouble(&causes(&error));
                self.pace.bad(None)
            }
        }
    }
}

/// The records, in the order in which the log service took them, so that what is written is a beginning of it.
fn in_order(logs: &[&RawValue], body: &Bytes) -> Vec<FlowRecord> {
    #[derive(Deserialize)]
    struct Logged {
        logged: Option<Timestamp>,
    }
    let logged = |text: &str| serde_json::from_str::<Logged>(text).ok().and_then(|record| record.logged);
    let mut records: Vec<(Option<Timestamp>, FlowRecord)> = logs
        .iter()
        .map(|record| {
            let json = body.slice_ref(record.get().as_bytes());
            (logged(record.get()), FlowRecord { json, logged: None })
        })
        .collect();
    records.sort_by_key(|(logged, _)| *logged);
    records.into_iter().map(|(_, record)| record).collect()
}
