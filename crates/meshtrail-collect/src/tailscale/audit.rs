//! The configuration audit log.
//!
//! - Reading continues at the newest record of this poller in the trail; records that are there already are not
//!   written again ([`crate::dedupe`]).
//! - A record that can't be parsed is stored as received, as `config.changed`; none is dropped.
//! - The API keeps records for 90 days.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use meshtrail_change::catalogue::{self, Groups, RecordError};
use meshtrail_change::snapshot::Origin;
use meshtrail_event::{Change, Detail, Draft, Event, Family, Json, Kind, Timestamp};
use meshtrail_trail::{ReadError, Scan};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::client::Client;
use super::log::{Log, LogPoller, LogSink};
use super::window::WindowPlan;
use crate::config::TailscaleConfig;
use crate::config::tailscale::AUDIT_RETENTION;
use crate::dedupe::{DedupeError, EmitCounts, RecordDedupe, RecordDrafts};
use crate::start::Wiring;

const HOUR: Duration = Duration::from_secs(3_600);

/// Records that are converted to events at a time, so that other tasks of the thread are not blocked for long.
const BATCH: usize = 500;

/// The most bytes that are stored of a record that can't be parsed.
const MAX_RAW: usize = 40_000;

/// The configuration audit log as a [`Log`].
pub(super) struct AuditLog {
    dedupe: RecordDedupe,
}

/// The poller of the audit log.
pub(super) fn poller(config: &TailscaleConfig, client: Arc<Client>, wiring: &Wiring) -> LogPoller<AuditLog> {
    let plan = WindowPlan {
        since: config.audit_since,
        retention: AUDIT_RETENTION,
        overlap: HOUR / 6,
        sweep: Some((24 * HOUR, HOUR)),
        longest: 7 * 24 * HOUR,
    };
    LogPoller::new(AuditLog { dedupe: wiring.dedupe.clone() }, client, wiring, config.audit_every, plan)
}

impl Log for AuditLog {
    const SOURCE: &'static str = "tailscale.audit";
    const NAME: &'static str = "the configuration audit log";
    const SCOPE: &'static str = "logs:configuration:read";
    const PATH: &'static str = "configuration";
    const EXPIRED_REASON: &'static str =
        "the audit log keeps 90 days; what happened before that and was not read is gone";
    const OPERATOR_WAIT: Duration = Duration::from_secs(300);

    /// The records, and the groups of operations that they belong to.
    type Batch = (Vec<Bytes>, Groups);
    type WriteError = DedupeError;

    fn order(records: Vec<&RawValue>, end: Timestamp, response: &Bytes) -> (Vec<Bytes>, Groups) {
        let groups = Groups::of(records.iter().map(|record| record.get().as_bytes()));
        let ordered = sort_by_time(records, end).into_iter();
        (ordered.map(|record| response.slice_ref(record.get().as_bytes())).collect(), groups)
    }

    async fn write(
        &self,
        sink: &LogSink,
        (from, end): (Timestamp, Timestamp),
        (records, groups): (Vec<Bytes>, Groups),
    ) -> Result<(), DedupeError> {
        let mut all = EmitCounts::default();
        for some in records.chunks(BATCH) {
            let records = some.iter().map(|record| drafts(record, end, &groups)).collect();
            let emitted = self.dedupe.emit_new(&sink.emitter, records, Some(from)).await?;
            all.new += emitted.new;
            all.newest = all.newest.max(emitted.newest);
        }
        sink.source.record_contact(all.new, all.newest);
        Ok(())
    }

    /// The time of the newest record that this poller wrote.
    async fn newest_stored(&self, sink: &LogSink, now: Timestamp) -> Result<Option<Timestamp>, ReadError> {
        let scan = Scan { families: vec![Family::Config], ..Scan::newest(0..sink.trail.size()) };
        let mut rows = std::pin::pin!(sink.trail.scan(scan));
        while let Some((_, leaf)) = rows.try_next().await? {
            let Ok(event) = Event::from_json(&leaf) else { continue };
            if event.id.source == *sink.emitter.source() && event.time <= now {
                return Ok(Some(event.time));
            }
        }
        Ok(None)
    }
}

/// Sorts the records by time, so that the trail always holds a prefix of them. One whose time can't be read counts as of
/// `end`.
fn sort_by_time(mut logs: Vec<&RawValue>, end: Timestamp) -> Vec<&RawValue> {
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

fn drafts(record: &Bytes, end: Timestamp, groups: &Groups) -> RecordDrafts {
    catalogue::audit(record, Origin::AuditLog, None, groups)
        .unwrap_or_else(|error| vec![unparsed_record(&String::from_utf8_lossy(record), &error, end)])
}

/// The draft for a record that can't be parsed: it is stored as received.
fn unparsed_record(text: &str, error: &RecordError, time: Timestamp) -> Draft {
    let raw: String = text.chars().take(MAX_RAW / 4).collect();
    let change = Change {
        digest: Some(Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()),
        lines: vec![error.to_string()],
        origin: Some(Origin::AuditLog.as_str().to_owned()),
        record: Some(Json::from(&serde_json::Value::String(raw))),
        summary: Some("The audit log holds a record that can't be understood".to_owned()),
        ..Change::default()
    };
    Draft { detail: Some(Detail::Change(Box::new(change))), ..Draft::new(Kind::ConfigChanged, time) }
}
