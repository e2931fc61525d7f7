//! Network flow logs.
//!
//! - Windows are of `logged`, the time at which the log service took a record: a node that was offline uploads later, and
//!   its records are in a later window.
//! - Reading continues at the newest `logged` of this poller's events in the trail, and each window overlaps the last one.
//!   [`meshtrail_flow`] counts each report once.
//! - A record that can't be taken is reported as a gap, with the reason.
//! - The API returns the oldest record first, keeps records for 30 days, and silently moves an earlier start forward.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use meshtrail_event::{Detail, Event, Family, Timestamp};
use meshtrail_flow::{FlowRecord, Flows, IngestSummary};
use meshtrail_trail::{AppendError, ReadError, Scan};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::Client;
use super::log::{Log, LogPoller, LogSink};
use super::window::WindowPlan;
use crate::config::TailscaleConfig;
use crate::config::tailscale::FLOWS_RETENTION;
use crate::sources::Source;
use crate::start::Wiring;

const MINUTE: Duration = Duration::from_secs(60);

/// Number of this poller's newest events that are scanned for the newest `logged`; they are nearly in that order.
const MAX_SCANNED: usize = 10_000;

/// Records that are ingested at a time.
const BATCH: usize = 2_000;

/// The network flow logs as a [`Log`].
pub(super) struct FlowLog {
    flows: Flows,
}

/// The poller of the flow logs.
pub(super) fn poller(
    config: &TailscaleConfig,
    every: Duration,
    client: Arc<Client>,
    wiring: &Wiring,
) -> LogPoller<FlowLog> {
    let plan = WindowPlan {
        since: config.flows_since,
        retention: FLOWS_RETENTION,
        overlap: 5 * MINUTE,
        sweep: None,
        longest: 60 * MINUTE,
    };
    LogPoller::new(FlowLog { flows: wiring.flows.clone() }, client, wiring, every, plan)
}

impl Log for FlowLog {
    const SOURCE: &'static str = "tailscale.flow";
    const NAME: &'static str = "network flow logs";
    const SCOPE: &'static str = "logs:network:read";
    const PATH: &'static str = "network";
    const EXPIRED_REASON: &'static str =
        "flow logs are kept for 30 days; what came before that and was not read is gone";
    const OPERATOR_WAIT: Duration = Duration::from_secs(900);

    type Batch = Vec<FlowRecord>;
    type WriteError = AppendError;

    fn order(records: Vec<&RawValue>, _end: Timestamp, response: &Bytes) -> Vec<FlowRecord> {
        sort_by_logged(&records, response)
    }

    async fn write(
        &self,
        sink: &LogSink,
        window: (Timestamp, Timestamp),
        records: Vec<FlowRecord>,
    ) -> Result<(), AppendError> {
        sink.source.record_contact(0, None);
        for some in records.chunks(BATCH) {
            let summary = self.flows.ingest(&sink.emitter, some.to_vec()).await?;
            sink.source.record_contact(summary.new as u64, summary.newest);
            report_refused(&sink.source, &summary, window);
        }
        Ok(())
    }

    /// The newest `logged` of this poller's events.
    async fn newest_stored(&self, sink: &LogSink, now: Timestamp) -> Result<Option<Timestamp>, ReadError> {
        let scan = Scan { families: vec![Family::Flow], ..Scan::newest(0..sink.trail.size()) };
        let mut rows = std::pin::pin!(sink.trail.scan(scan));
        let (mut newest, mut scanned) = (None, 0);
        while scanned < MAX_SCANNED
            && let Some((_, leaf)) = rows.try_next().await?
        {
            let Ok(event) = Event::from_json(&leaf) else { continue };
            if event.id.source != *sink.emitter.source() {
                continue;
            }
            scanned += 1;
            if let Some(Detail::Flow(flow)) = &event.detail {
                newest = newest.max(flow.logged.filter(|logged| *logged <= now));
            }
        }
        Ok(newest)
    }
}

fn report_refused(source: &Source, summary: &IngestSummary, (from, end): (Timestamp, Timestamp)) {
    let Some((_, error)) = summary.refused.first() else { return };
    let text =
        format!("{} records could not be taken, the first of them because: {error}", summary.refused.len());
    source.record_gap(from, end, &text);
}

/// Sorts the records by `logged`, so that the trail always holds a prefix of them.
fn sort_by_logged(logs: &[&RawValue], body: &Bytes) -> Vec<FlowRecord> {
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
