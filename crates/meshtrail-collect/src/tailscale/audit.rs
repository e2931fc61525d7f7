//! The configuration audit log, read by windows of time.
//!
//! - A window is asked and read as a whole, put in order of time, and written; only then is the next one asked.
//! - What the trail holds is where reading goes on: after a crash anywhere, records are asked for again from before
//!   the newest one held, and those that are there already are not written again ([`crate::once`]).
//! - A record that can't be understood is kept as it came, as `config.changed`, never passed over.
//!
//! The log: section "Logging" of Tailscale's OpenAPI description. Both ends of a window are part of it; there is no
//! paging; records are kept for 90 days.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use meshtrail_event::{Change, Detail, Draft, Event, Family, Json, Kind, Timestamp};
use meshtrail_trail::{Emitter, ReadError, Scan, Trail};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::client::{Client, Wanted};
use super::error::ApiError;
use super::shapes::Log;
use super::window::{Plan, Reading, Round};
use crate::catalogue::{self, Groups, RecordError};
use crate::config::TailscaleConfig;
use crate::config::tailscale::AUDIT_KEPT;
use crate::once::{Emitted, Once, OnceError, Record};
use crate::snapshot::Origin;
use crate::sources::Source;
use crate::start::Wiring;
use crate::turn::{Turn, causes};
use crate::web::Pace;

const HOUR: Duration = Duration::from_secs(3_600);

/// What is asked for, in words.
const WHAT: &str = "the configuration audit log";

/// How long to wait where only somebody's act helps.
const SOMEBODY: Duration = Duration::from_secs(300);

/// How many records are handed over at a time: making events of them must not keep others from their turn.
const HANDED: usize = 500;

/// The most bytes of a record that can't be understood which are kept of it.
const MAX_KEPT: usize = 40_000;

/// Reads the audit log again and again.
pub(super) struct AuditPoll {
    client: Arc<Client>,
    trail: Trail,
    once: Once,
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
    #[error("the records could not be written")]
    Once(#[from] OnceError),
}

impl AuditPoll {
    pub(super) fn new(
        config: &TailscaleConfig,
        client: Arc<Client>,
        wiring: &Wiring,
        emitter: Emitter,
        source: Source,
    ) -> Self {
        let plan = Plan {
            since: config.audit_since,
            kept: AUDIT_KEPT,
            overlap: HOUR / 6,
            sweep: Some((24 * HOUR, HOUR)),
            longest: 7 * 24 * HOUR,
        };
        let pace = Pace::new(config.audit_every);
        let (trail, once) = (wiring.trail.clone(), wiring.once.clone());
        Self { client, trail, once, emitter, source, pace, plan, reading: None }
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
                "the audit log keeps 90 days; what happened before that and was not read is gone",
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
                Ok((bytes, emitted)) => {
                    reading.took(end, bytes);
                    self.source.heard(emitted.new, emitted.newest);
                    from = end;
                }
                Err(RoundError::Api(ApiError::TooLarge(_))) if reading.shorten() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Asks for one window and writes what is new of it.
    async fn window(
        &self,
        from: Timestamp,
        end: Timestamp,
        now: Timestamp,
    ) -> Result<(usize, Emitted), RoundError> {
        let (start, end_text) = (from.to_string(), end.to_string());
        let wanted = Wanted {
            what: WHAT,
            scope: "logs:configuration:read",
            path: &["logging", "configuration"],
            query: &[("start", &start), ("end", &end_text)],
            accept: "application/json",
        };
        let answer = self.client.get(wanted, now).await?;
        let log = Log::read(WHAT, &answer)?;
        let groups = Groups::of(log.logs.iter().map(|record| record.get().as_bytes()));
        let mut all = Emitted::default();
        for some in in_order(log.logs, end).chunks(HANDED) {
            let records = some.iter().map(|record| drafts(record, end, &groups)).collect();
            let emitted = self.once.emit_new(&self.emitter, records, Some(from)).await?;
            all.new += emitted.new;
            all.known += emitted.known;
            all.newest = all.newest.max(emitted.newest);
        }
        Ok((answer.body.len(), all))
    }

    /// When the newest record happened that this poller wrote; what claims to be of the future does not count.
    async fn newest_held(&self, now: Timestamp) -> Result<Option<Timestamp>, ReadError> {
        let scan = Scan { families: vec![Family::Config], ..Scan::newest(0..self.trail.size()) };
        let mut rows = std::pin::pin!(self.trail.scan(scan));
        while let Some((_, leaf)) = rows.try_next().await? {
            let Ok(event) = Event::from_json(&leaf) else { continue };
            if event.id.source == *self.emitter.source() && event.time <= now {
                return Ok(Some(event.time));
            }
        }
        Ok(None)
    }
}

impl Turn for AuditPoll {
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

/// The records in order of time, so that what is written is a beginning of them; one whose time can't be read counts as
/// of `end`.
fn in_order(mut logs: Vec<&RawValue>, end: Timestamp) -> Vec<&RawValue> {
    #[derive(Deserialize)]
    struct Timed<'a> {
        #[serde(rename = "eventTime", borrow)]
        time: Option<std::borrow::Cow<'a, str>>,
    }
    let time = |record: &&RawValue| {
        let timed = serde_json::from_str::<Timed<'_>>(record.get()).ok();
        timed.and_then(|timed| timed.time?.parse::<Timestamp>().ok()).unwrap_or(end)
    };
    logs.sort_by_cached_key(time);
    logs
}

fn drafts(record: &RawValue, end: Timestamp, groups: &Groups) -> Record {
    let text = record.get();
    catalogue::audit(text.as_bytes(), Origin::AuditLog, None, groups)
        .unwrap_or_else(|error| vec![not_understood(text, &error, end)])
}

/// A record that can't be understood, kept as it came.
fn not_understood(text: &str, error: &RecordError, time: Timestamp) -> Draft {
    let kept: String = text.chars().take(MAX_KEPT / 4).collect();
    let change = Change {
        digest: Some(Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()),
        lines: vec![error.to_string()],
        origin: Some(Origin::AuditLog.as_str().to_owned()),
        record: Some(Json::from(&serde_json::Value::String(kept))),
        summary: Some("The audit log holds a record that can't be understood".to_owned()),
        ..Change::default()
    };
    Draft { detail: Some(Detail::Change(Box::new(change))), ..Draft::new(Kind::ConfigChanged, time) }
}
