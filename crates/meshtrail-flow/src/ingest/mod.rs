//! Flow reports as events: one for each connection, as one of its two ends counted it.
//!
//! - A node's report (`netlogtype.Message`) becomes one `flow.counted` event for each of its connections, with the people
//!   and devices at both ends as of that time. An unknown end stays unresolved; unknown members of the report go
//!   to `detail.record`.
//! - A report counts once, however often it comes and by whichever source (upload, log streaming, API). After a restart
//!   this holds for the last hour and the last million connections.
//! - [`Flows::ingest`] returns once everything is durable. What it could not finish is finished, not doubled, when the same
//!   reports come again.
//! - Both ends report the same connection. Events stay as reported; they are compared only when they are read.

mod counted;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use meshtrail_event::{Family, Timestamp};
use meshtrail_identity::History;
use meshtrail_trail::{AppendError, Emitter, MAX_BATCH, Trail, run_detached};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::endpoints::Endpoints;
use crate::leaves::FlowLeaves;
use crate::wire::Message;
use counted::{CountedReports, connection_key, report_key, shard_of};

/// The most connections in one batch of the trail.
const BATCH: usize = 2048;
/// Bytes of leaves after which a batch goes out.
const BATCH_BYTES: usize = MAX_BATCH - (1 << 20);

/// One report as it was received.
#[derive(Debug, Clone)]
pub struct FlowRecord {
    /// A `netlogtype.Message` as JSON.
    pub json: Bytes,
    /// When a log service in between took the report, where the report itself does not say so.
    pub logged: Option<Timestamp>,
}

/// Why a report can't be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum FlowError {
    #[error("not a flow report: {reason}")]
    Syntax { reason: String },
    #[error("end: {end} is before the start, {start}")]
    Window { start: Timestamp, end: Timestamp },
    #[error("connection {connection}: with both ends named it would be longer than an event may be")]
    TooLong {
        /// Index of the connection in the report, from 0.
        connection: usize,
    },
}

/// The result of [`Flows::ingest`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct IngestSummary {
    /// Number of events written.
    pub new: usize,
    /// Connections that had been counted before.
    pub duplicates: usize,
    /// Refused reports, by their index.
    pub refused: Vec<(usize, FlowError)>,
    /// The newest end of a report's window.
    pub newest: Option<Timestamp>,
}

/// Writes flow reports to the trail. Cheap to clone; a server has one.
#[derive(Clone)]
pub struct Flows(Arc<Inner>);

struct Inner {
    trail: Trail,
    history: History,
    /// Counted reports, by the reporter's shard. Locked while a report goes into the trail, so that the same report
    /// arriving twice at once counts once.
    shards: Vec<Mutex<CountedReports>>,
    /// Set once the newest connections were loaded from the trail; the time of that.
    loaded: OnceCell<Timestamp>,
}

impl Flows {
    /// Writes reports to `trail`, with people and devices from `history`.
    pub fn new(trail: Trail, history: History) -> Self {
        let shards = (0..counted::SHARDS).map(|_| Mutex::default()).collect();
        Self(Arc::new(Inner { trail, history, shards, loaded: OnceCell::new() }))
    }

    /// Checks that `json` is a valid report.
    pub fn check(json: &[u8]) -> Result<(), FlowError> {
        read(json, None).map(drop)
    }

    /// Writes reports as events of `emitter`; on return all but the refused ones are durable.
    ///
    /// The work runs to its end even if this future is dropped.
    pub async fn ingest(
        &self,
        emitter: &Emitter,
        records: Vec<FlowRecord>,
    ) -> Result<IngestSummary, AppendError> {
        let (inner, emitter) = (self.0.clone(), emitter.clone());
        run_detached(tokio::spawn(async move { inner.ingest(&emitter, &records).await })).await
    }
}

fn read(json: &[u8], logged: Option<Timestamp>) -> Result<Message<'_>, FlowError> {
    let mut message: Message<'_> =
        serde_json::from_slice(json).map_err(|error| FlowError::Syntax { reason: error.to_string() })?;
    if message.end < message.start {
        return Err(FlowError::Window { start: message.start, end: message.end });
    }
    message.logged = message.logged.or(logged);
    Ok(message)
}

impl Inner {
    async fn ingest(&self, emitter: &Emitter, records: &[FlowRecord]) -> Result<IngestSummary, AppendError> {
        self.load_recent().await?;
        let mut summary = IngestSummary::default();
        let mut messages = Vec::with_capacity(records.len());
        for (at, record) in records.iter().enumerate() {
            match read(&record.json, record.logged) {
                Ok(message) => messages.push((at, message)),
                Err(error) => summary.refused.push((at, error)),
            }
        }
        // Locked in ascending order, so that two calls never wait for each other.
        let mut indexes: Vec<usize> =
            messages.iter().map(|(_, message)| shard_of(&message.node_id)).collect();
        indexes.sort_unstable();
        indexes.dedup();
        let mut shards: Vec<Option<MutexGuard<'_, CountedReports>>> =
            (0..counted::SHARDS).map(|_| None).collect();
        for index in indexes {
            shards[index] = Some(self.shards[index].lock().await);
        }
        for (at, message) in &messages {
            let reports = shards[shard_of(&message.node_id)].as_deref_mut().expect("locked just before");
            summary.newest = summary.newest.max(Some(message.end));
            if let Some(error) = self.ingest_one(emitter, message, reports, &mut summary).await? {
                summary.refused.push((*at, error));
            }
        }
        summary.refused.sort_by_key(|(at, _)| *at);
        Ok(summary)
    }

    /// Writes one report in as many batches as it needs.
    async fn ingest_one(
        &self,
        emitter: &Emitter,
        message: &Message<'_>,
        reports: &mut CountedReports,
        summary: &mut IngestSummary,
    ) -> Result<Option<FlowError>, AppendError> {
        let report = report_key(message);
        if reports.has_report(&report) {
            summary.duplicates += message.connections.len();
            return Ok(None);
        }
        let mut template = FlowLeaves::of(message, Endpoints::of(message, &self.history));
        let mut at = 0;
        while at < message.connections.len() {
            let begun = at;
            let mut leaves = emitter.leaves((message.connections.len() - at).min(BATCH)).await;
            let mut new = Vec::new();
            while leaves.left() > 0 && at < message.connections.len() && leaves.bytes() < BATCH_BYTES {
                let (layer, connection) = &message.connections[at];
                if reports.has_partial_reports()
                    && reports.has_connection(&connection_key(message, *layer, connection))
                {
                    summary.duplicates += 1;
                    at += 1;
                    continue;
                }
                let received = leaves.received();
                let one = &message.connections[at];
                let pushed = leaves
                    .push(Family::Flow, message.start, |id, out| template.write(one, id, received, out));
                if let Err(AppendError::Event { .. }) = pushed {
                    return Ok(Some(FlowError::TooLong { connection: at }));
                }
                pushed?;
                new.push(at);
                at += 1;
            }
            emitter.emit_leaves(leaves).await?;
            summary.new += new.len();
            // A crash right here leaves the first batches of a long report: the next start reads them back, and the
            // sender, which got no answer, sends the whole report again.
            if begun > 0 || at < message.connections.len() {
                for &index in &new {
                    let (layer, connection) = &message.connections[index];
                    reports.add_connection(connection_key(message, *layer, connection));
                }
            }
        }
        reports.add_report(report);
        if message.connections.len() > BATCH && reports.has_partial_reports() {
            message
                .connections
                .iter()
                .for_each(|(layer, one)| reports.remove_connection(&connection_key(message, *layer, one)));
        }
        Ok(None)
    }

    /// Loads the newest connections from the trail once, and drops them when they are too old to be sent again.
    async fn load_recent(&self) -> Result<(), AppendError> {
        let since = self
            .loaded
            .get_or_try_init(|| async {
                let keys =
                    counted::load_from_trail(&self.trail).await.map_err(|error| AppendError::Closed {
                        reason: format!("what was counted last can't be read back: {error}").into(),
                    })?;
                for (index, key) in keys {
                    self.shards[index].lock().await.add_connection(key);
                }
                Ok::<_, AppendError>(Timestamp::now())
            })
            .await?;
        if Timestamp::now().since(*since) > counted::WINDOW * 2 {
            return Ok(());
        }
        if Timestamp::now().since(*since) > counted::WINDOW {
            for shard in &self.shards {
                shard.lock().await.clear_connections();
            }
        }
        Ok(())
    }
}
