//! Network flow logs.
//!
//! - Windows are of `logged`, the time at which the log service took a record: a node that was away uploads later, and
//!   its records are in a later window.
//! - Reading goes on at the newest `logged` that the trail holds of this poller, and each window overlaps the last.
//!   What counts once is the business of [`crate::flow`].
//! - A record that can't be taken is told as a gap, with the reason.
//! - The oldest record comes first, records are kept for 30 days, and a start before that is moved forward without a
//!   word.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use meshtrail_event::{Detail, Event, Family, Timestamp};
use meshtrail_trail::{AppendError, ReadError, Scan};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::Client;
use super::log::{Log, LogPoll, Place};
use super::window::Plan;
use crate::config::TailscaleConfig;
use crate::config::tailscale::FLOWS_KEPT;
use crate::flow::{FlowRecord, Flows, Taken};
use crate::sources::Source;
use crate::start::Wiring;

const MINUTE: Duration = Duration::from_secs(60);

/// How many events of this poller are looked at for the newest `logged`; they stand nearly in its order.
const LOOKED_AT: usize = 10_000;

/// How many records are handed over at a time.
const HANDED: usize = 2_000;

/// What writes flow logs' records.
pub(super) struct FlowLog {
    flows: Flows,
}

/// Reads flow logs every so often, again and again.
pub(super) fn poll(
    config: &TailscaleConfig,
    every: Duration,
    client: Arc<Client>,
    wiring: &Wiring,
) -> LogPoll<FlowLog> {
    let plan = Plan {
        since: config.flows_since,
        kept: FLOWS_KEPT,
        overlap: 5 * MINUTE,
        sweep: None,
        longest: 60 * MINUTE,
    };
    LogPoll::new(FlowLog { flows: wiring.flows.clone() }, client, wiring, every, plan)
}

impl Log for FlowLog {
    const SOURCE: &'static str = "tailscale.flow";
    const WHAT: &'static str = "network flow logs";
    const SCOPE: &'static str = "logs:network:read";
    const PATH: &'static str = "network";
    const GONE: &'static str =
        "flow logs are kept for 30 days; what came before that and was not read is gone";
    const SOMEBODY: Duration = Duration::from_secs(900);

    type Ordered = Vec<FlowRecord>;
    type WriteError = AppendError;

    fn order(records: Vec<&RawValue>, _end: Timestamp, answer: &Bytes) -> Vec<FlowRecord> {
        in_order(&records, answer)
    }

    async fn write(
        &self,
        to: &Place,
        window: (Timestamp, Timestamp),
        records: Vec<FlowRecord>,
    ) -> Result<(), AppendError> {
        to.source.heard(0, None);
        for some in records.chunks(HANDED) {
            let taken = self.flows.take(&to.emitter, some.to_vec()).await?;
            to.source.heard(taken.new as u64, taken.newest);
            tell_refused(&to.source, &taken, window);
        }
        Ok(())
    }

    /// The newest `logged` of what this poller wrote.
    async fn newest_held(&self, to: &Place, now: Timestamp) -> Result<Option<Timestamp>, ReadError> {
        let scan = Scan { families: vec![Family::Flow], ..Scan::newest(0..to.trail.size()) };
        let mut rows = std::pin::pin!(to.trail.scan(scan));
        let (mut newest, mut seen) = (None, 0);
        while seen < LOOKED_AT
            && let Some((_, leaf)) = rows.try_next().await?
        {
            let Ok(event) = Event::from_json(&leaf) else { continue };
            if event.id.source != *to.emitter.source() {
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

fn tell_refused(source: &Source, taken: &Taken, (from, end): (Timestamp, Timestamp)) {
    let Some((_, error)) = taken.refused.first() else { return };
    let text =
        format!("{} records could not be taken, the first of them because: {error}", taken.refused.len());
    source.gap(from, end, &text);
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
