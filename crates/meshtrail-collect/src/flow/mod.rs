//! Flow logs of every source in one model: who talked to whom, as one of the two ends counted it.
//!
//! - A node's report (`netlogtype.Message`) becomes one `flow.counted` event for each of its connections, with the
//!   people and devices behind both ends as of then. What nobody knows stays unknown, and members that are not known
//!   here are kept in `detail.record`.
//! - A report counts once, however often and whichever way it comes: by upload, by log streaming, by the API; also
//!   across a restart, as far as an hour and a million connections reach back.
//! - [`Flows::take`] returns once everything is durable. What it could not finish is finished, not doubled, when the
//!   same reports come again.
//! - Both ends report the same connection, each as it saw it: events stay as reported, and are put side by side when
//!   they are read.

mod event;
mod party;
mod seen;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;

use bytes::Bytes;
use meshtrail_event::{Family, Timestamp};
use meshtrail_identity::History;
use meshtrail_trail::{AppendError, Emitter, MAX_BATCH, Trail};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use event::Sheet;
use party::Parties;
use seen::{Seen, connection_key, part_of, report_key};
use wire::Message;

use crate::joined::joined;

pub(crate) use wire::looks_like_a_report;
pub use wire::{Layer, MAX_CONNECTIONS, MAX_NODES, protocol_number};

/// Connections in one batch of the trail, at most.
const BATCH: usize = 2048;
/// Bytes of leaves after which a batch goes out.
const BATCH_BYTES: usize = MAX_BATCH - (1 << 20);

/// One report as it came.
#[derive(Debug, Clone)]
pub struct FlowRecord {
    /// A `netlogtype.Message` as JSON.
    pub json: Bytes,
    /// When a log service between took it, where that is not in the report itself.
    pub logged: Option<Timestamp>,
}

/// Why a report can't be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlowError {
    /// Not JSON, or not a report.
    #[error("not a flow report: {reason}")]
    Syntax {
        /// What is wrong, with the place.
        reason: String,
    },
    /// The window ends before it begins.
    #[error("end: {end} is before the start, {start}")]
    Window {
        /// Its start.
        start: Timestamp,
        /// Its end.
        end: Timestamp,
    },
    /// What one connection needs is longer than an event may be.
    #[error("connection {connection}: with both ends named it would be longer than an event may be")]
    TooLong {
        /// The how-manyth connection, from 0.
        connection: usize,
    },
}

/// What became of reports.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Events that are in the trail now and were not before.
    pub new: usize,
    /// Connections that had been counted.
    pub duplicates: usize,
    /// Reports that could not be taken, by their place.
    pub refused: Vec<(usize, FlowError)>,
    /// The newest end of a window.
    pub newest: Option<Timestamp>,
}

/// Takes flow reports; cheap to clone, one for a server.
#[derive(Clone)]
pub struct Flows(Arc<Inner>);

struct Inner {
    trail: Trail,
    history: History,
    /// What was counted, by the reporter's part. Held while a report goes into the trail, so that the same report
    /// coming twice at once counts once.
    parts: Vec<Mutex<Seen>>,
    /// Set once what the trail took last is known.
    ready: OnceCell<Timestamp>,
}

impl Flows {
    /// Takes reports into `trail`, naming people and devices as `history` knows them.
    pub fn new(trail: Trail, history: History) -> Self {
        let parts = (0..seen::PARTS).map(|_| Mutex::default()).collect();
        Self(Arc::new(Inner { trail, history, parts, ready: OnceCell::new() }))
    }

    /// Whether `json` is a report that can be taken.
    pub fn check(json: &[u8]) -> Result<(), FlowError> {
        read(json, None).map(drop)
    }

    /// Takes reports under the name of `emitter`; on return all but the refused ones are durable.
    ///
    /// The work goes on to its end even if whoever waits for it goes away.
    pub async fn take(&self, emitter: &Emitter, records: Vec<FlowRecord>) -> Result<Taken, AppendError> {
        let (inner, emitter) = (self.0.clone(), emitter.clone());
        joined(tokio::spawn(async move { inner.take(&emitter, &records).await })).await
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
    async fn take(&self, emitter: &Emitter, records: &[FlowRecord]) -> Result<Taken, AppendError> {
        self.remember().await?;
        let mut taken = Taken::default();
        let mut messages = Vec::with_capacity(records.len());
        for (at, record) in records.iter().enumerate() {
            match read(&record.json, record.logged) {
                Ok(message) => messages.push((at, message)),
                Err(error) => taken.refused.push((at, error)),
            }
        }
        let mut places: Vec<usize> = messages.iter().map(|(_, message)| part_of(&message.node_id)).collect();
        places.sort_unstable();
        places.dedup();
        let mut parts: Vec<Option<MutexGuard<'_, Seen>>> = (0..seen::PARTS).map(|_| None).collect();
        for place in places {
            parts[place] = Some(self.parts[place].lock().await);
        }
        for (at, message) in &messages {
            let seen = parts[part_of(&message.node_id)].as_deref_mut().expect("locked just before");
            taken.newest = taken.newest.max(Some(message.end));
            if let Some(error) = self.take_one(emitter, message, seen, &mut taken).await? {
                taken.refused.push((*at, error));
            }
        }
        taken.refused.sort_by_key(|(at, _)| *at);
        Ok(taken)
    }

    /// Takes one report in as many batches as it needs.
    async fn take_one(
        &self,
        emitter: &Emitter,
        message: &Message<'_>,
        seen: &mut Seen,
        taken: &mut Taken,
    ) -> Result<Option<FlowError>, AppendError> {
        let report = report_key(message);
        if seen.has_report(&report) {
            taken.duplicates += message.connections.len();
            return Ok(None);
        }
        let mut sheet = Sheet::of(message, Parties::of(message, &self.history));
        let mut at = 0;
        while at < message.connections.len() {
            let begun = at;
            let mut leaves = emitter.leaves((message.connections.len() - at).min(BATCH)).await;
            let mut new = Vec::new();
            while leaves.left() > 0 && at < message.connections.len() && leaves.bytes() < BATCH_BYTES {
                let (layer, connection) = &message.connections[at];
                if seen.has_parts() && seen.has_connection(&connection_key(message, *layer, connection)) {
                    taken.duplicates += 1;
                    at += 1;
                    continue;
                }
                let received = leaves.received();
                let one = &message.connections[at];
                let pushed =
                    leaves.push(Family::Flow, message.start, |id, out| sheet.write(one, id, received, out));
                if let Err(AppendError::Event { .. }) = pushed {
                    return Ok(Some(FlowError::TooLong { connection: at }));
                }
                pushed?;
                new.push(at);
                at += 1;
            }
            emitter.emit_leaves(leaves).await?;
            taken.new += new.len();
            // A crash right here leaves the first batches of a long report: the next start reads them back, and the
            // sender, which got no answer, sends the whole report again.
            if begun > 0 || at < message.connections.len() {
                for &place in &new {
                    let (layer, connection) = &message.connections[place];
                    seen.add_connection(connection_key(message, *layer, connection));
                }
            }
        }
        seen.add_report(report);
        if message.connections.len() > BATCH && seen.has_parts() {
            message
                .connections
                .iter()
                .for_each(|(layer, one)| seen.forget(&connection_key(message, *layer, one)));
        }
        Ok(None)
    }

    /// Reads back once what the trail took last, and forgets it when it is too old to come again.
    async fn remember(&self) -> Result<(), AppendError> {
        let since = self
            .ready
            .get_or_try_init(|| async {
                let keys = seen::read_back(&self.trail).await.map_err(|error| AppendError::Closed {
                    reason: format!("what was counted last can't be read back: {error}").into(),
                })?;
                for (place, key) in keys {
                    self.parts[place].lock().await.add_connection(key);
                }
                Ok::<_, AppendError>(Timestamp::now())
            })
            .await?;
        if Timestamp::now().since(*since) > seen::WINDOW * 2 {
            return Ok(());
        }
        if Timestamp::now().since(*since) > seen::WINDOW {
            for part in &self.parts {
                part.lock().await.forget_connections();
            }
        }
        Ok(())
    }
}
