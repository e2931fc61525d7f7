//! The configuration audit log.
//!
//! - Reading goes on at the newest record that the trail holds of this poller; those that are there already are not
//!   written again ([`crate::once`]).
//! - A record that can't be understood is kept as it came, as `config.changed`, never passed over.
//! - Records are kept for 90 days.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use meshtrail_event::{Change, Detail, Draft, Event, Family, Json, Kind, Timestamp};
use meshtrail_trail::{ReadError, Scan};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::client::Client;
use super::log::{Log, LogPoll, Place};
use super::window::Plan;
use crate::catalogue::{self, Groups, RecordError};
use crate::config::TailscaleConfig;
use crate::config::tailscale::AUDIT_KEPT;
use crate::once::{Emitted, Once, OnceError, Record};
use crate::snapshot::Origin;
use crate::start::Wiring;

const HOUR: Duration = Duration::from_secs(3_600);

/// How many records are handed over at a time: making events of them must not keep others from their turn.
const HANDED: usize = 500;

/// The most bytes of a record that can't be understood which are kept of it.
const MAX_KEPT: usize = 40_000;

/// What writes the audit log's records.
pub(super) struct AuditLog {
    once: Once,
}

/// Reads the audit log again and again.
pub(super) fn poll(config: &TailscaleConfig, client: Arc<Client>, wiring: &Wiring) -> LogPoll<AuditLog> {
    let plan = Plan {
        since: config.audit_since,
        kept: AUDIT_KEPT,
        overlap: HOUR / 6,
        sweep: Some((24 * HOUR, HOUR)),
        longest: 7 * 24 * HOUR,
    };
    LogPoll::new(AuditLog { once: wiring.once.clone() }, client, wiring, config.audit_every, plan)
}

impl Log for AuditLog {
    const SOURCE: &'static str = "tailscale.audit";
    const WHAT: &'static str = "the configuration audit log";
    const SCOPE: &'static str = "logs:configuration:read";
    const PATH: &'static str = "configuration";
    const GONE: &'static str =
        "the audit log keeps 90 days; what happened before that and was not read is gone";
    const SOMEBODY: Duration = Duration::from_secs(300);

    /// With what they say of their operations.
    type Ordered = (Vec<Bytes>, Groups);
    type WriteError = OnceError;

    fn order(records: Vec<&RawValue>, end: Timestamp, answer: &Bytes) -> (Vec<Bytes>, Groups) {
        let groups = Groups::of(records.iter().map(|record| record.get().as_bytes()));
        let ordered = in_order(records, end).into_iter();
        (ordered.map(|record| answer.slice_ref(record.get().as_bytes())).collect(), groups)
    }

    async fn write(
        &self,
        to: &Place,
        (from, end): (Timestamp, Timestamp),
        (records, groups): (Vec<Bytes>, Groups),
    ) -> Result<(), OnceError> {
        let mut all = Emitted::default();
        for some in records.chunks(HANDED) {
            let records = some.iter().map(|record| drafts(record, end, &groups)).collect();
            let emitted = self.once.emit_new(&to.emitter, records, Some(from)).await?;
            all.new += emitted.new;
            all.newest = all.newest.max(emitted.newest);
        }
        to.source.heard(all.new, all.newest);
        Ok(())
    }

    /// When the newest record happened that this poller wrote.
    async fn newest_held(&self, to: &Place, now: Timestamp) -> Result<Option<Timestamp>, ReadError> {
        let scan = Scan { families: vec![Family::Config], ..Scan::newest(0..to.trail.size()) };
        let mut rows = std::pin::pin!(to.trail.scan(scan));
        while let Some((_, leaf)) = rows.try_next().await? {
            let Ok(event) = Event::from_json(&leaf) else { continue };
            if event.id.source == *to.emitter.source() && event.time <= now {
                return Ok(Some(event.time));
            }
        }
        Ok(None)
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

fn drafts(record: &Bytes, end: Timestamp, groups: &Groups) -> Record {
    catalogue::audit(record, Origin::AuditLog, None, groups)
        .unwrap_or_else(|error| vec![not_understood(&String::from_utf8_lossy(record), &error, end)])
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
