//! Reports that were counted, so that each counts once, from whichever source and however often it comes.
//!
//! - The newest [`REPORTS`] reports are known by a digest of everything they count. This finds a report again that its
//!   sender repeats for want of an answer, that two overlapping windows of the API hold, or that comes by log streaming as
//!   well as by the poller.
//! - A report that was cut off between two batches of the trail is known by its connections until the rest has come.
//! - At start the newest [`CONNECTIONS`] connections of at most the last [`WINDOW`] are read from the trail, so that a
//!   report that was durable when a server died counts once as well. They are dropped after another [`WINDOW`].
//!
//! A report that is repeated later than that counts twice. All of this is in memory only.

use std::collections::HashSet;
use std::time::Duration;

use futures::StreamExt;
use meshtrail_event::{Family, Timestamp};
use meshtrail_trail::{ReadError, Recent, Scan, Trail};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::wire::{Connection, Layer, Message};

/// The most reports that are remembered.
pub(crate) const REPORTS: usize = 1 << 19;
/// The most connections that are read from the trail at start.
const CONNECTIONS: usize = 1 << 20;
/// How far back connections are read at start, and how long they are kept in memory.
pub(crate) const WINDOW: Duration = Duration::from_secs(3600);
/// Reports are spread over this many shards by their reporter. A shard takes one upload at a time.
pub(crate) const SHARDS: usize = 64;

/// A digest of 128 bits.
pub(crate) type Key = [u8; 16];

/// The counted reports of one shard.
#[derive(Default)]
pub(crate) struct CountedReports {
    reports: Recent<Key, { REPORTS / SHARDS }>,
    /// Connections of reports of which only a part is known. They are dropped by time or once the rest has come, not by
    /// number: a report of which some connections were forgotten would count in part twice.
    connections: HashSet<Key>,
}

impl CountedReports {
    pub(crate) fn has_report(&self, key: &Key) -> bool {
        self.reports.contains(key)
    }

    /// Whether there may be reports of which only a part is known.
    pub(crate) fn has_partial_reports(&self) -> bool {
        !self.connections.is_empty()
    }

    pub(crate) fn has_connection(&self, key: &Key) -> bool {
        self.connections.contains(key)
    }

    pub(crate) fn add_connection(&mut self, key: Key) {
        self.connections.insert(key);
    }

    pub(crate) fn add_report(&mut self, key: Key) {
        self.reports.add(key);
    }

    pub(crate) fn remove_connection(&mut self, key: &Key) {
        self.connections.remove(key);
    }

    pub(crate) fn clear_connections(&mut self) {
        self.connections = HashSet::new();
    }
}

/// The index of a reporter's shard (FNV-1a).
pub(crate) fn shard_of(reporter: &str) -> usize {
    let hash = reporter
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    usize::try_from(hash >> 32).unwrap_or(0) % SHARDS
}

/// The digest of everything a report counts.
pub(crate) fn report_key(message: &Message<'_>) -> Key {
    let mut hash = Sha256::new();
    window(&mut hash, &message.node_id, message.start, message.end);
    let mut line = Vec::with_capacity(160);
    for (layer, connection) in &message.connections {
        line.clear();
        write(&mut line, *layer, &FlowTuple::of(connection));
        hash.update(&line);
    }
    first_half(hash)
}

/// The digest of one connection of a report.
pub(crate) fn connection_key(message: &Message<'_>, layer: Layer, connection: &Connection<'_>) -> Key {
    key(&message.node_id, message.start, message.end, layer, &FlowTuple::of(connection))
}

struct FlowTuple<'a> {
    proto: Option<u64>,
    src: Option<&'a str>,
    dst: Option<&'a str>,
    counts: [u64; 4],
}

impl<'a> FlowTuple<'a> {
    fn of(connection: &'a Connection<'_>) -> Self {
        let Connection { tx_packets, tx_bytes, rx_packets, rx_bytes, .. } = *connection;
        Self {
            proto: connection.proto,
            src: connection.src.as_ref().map(|end| &*end.text),
            dst: connection.dst.as_ref().map(|end| &*end.text),
            counts: [tx_packets, tx_bytes, rx_packets, rx_bytes],
        }
    }
}

fn key(reporter: &str, start: Timestamp, end: Timestamp, layer: Layer, tuple: &FlowTuple<'_>) -> Key {
    let (mut hash, mut line) = (Sha256::new(), Vec::with_capacity(160));
    window(&mut hash, reporter, start, end);
    write(&mut line, layer, tuple);
    hash.update(&line);
    first_half(hash)
}

fn window(hash: &mut Sha256, reporter: &str, start: Timestamp, end: Timestamp) {
    hash.update((reporter.len() as u64).to_le_bytes());
    hash.update(reporter);
    hash.update(start.as_nanos().to_le_bytes());
    hash.update(end.as_nanos().to_le_bytes());
}

fn write(line: &mut Vec<u8>, layer: Layer, tuple: &FlowTuple<'_>) {
    line.push(layer as u8);
    line.extend_from_slice(&tuple.proto.map_or(u64::MAX, |proto| proto).to_le_bytes());
    for end in [tuple.src, tuple.dst] {
        let text = end.unwrap_or_default();
        line.extend_from_slice(&(text.len() as u64).to_le_bytes());
        line.extend_from_slice(text.as_bytes());
    }
    tuple.counts.iter().for_each(|count| line.extend_from_slice(&count.to_le_bytes()));
}

fn first_half(hash: Sha256) -> Key {
    let digest: [u8; 32] = hash.finalize().into();
    let mut key = Key::default();
    key.copy_from_slice(&digest[..16]);
    key
}

/// The members of a `flow.counted` leaf that identify its connection.
#[derive(Deserialize)]
struct StoredFlow<'a> {
    #[serde(borrow)]
    detail: StoredDetail<'a>,
    received: Timestamp,
}

#[derive(Deserialize)]
struct StoredDetail<'a> {
    #[serde(borrow)]
    reporter: std::borrow::Cow<'a, str>,
    start: Timestamp,
    end: Timestamp,
    #[serde(borrow)]
    layer: &'a str,
    proto: Option<u64>,
    #[serde(borrow)]
    src: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    dst: Option<std::borrow::Cow<'a, str>>,
    #[serde(default)]
    tx_packets: u64,
    #[serde(default)]
    tx_bytes: u64,
    #[serde(default)]
    rx_packets: u64,
    #[serde(default)]
    rx_bytes: u64,
}

/// The newest connections in the trail, each with the index of its reporter's shard.
pub(crate) async fn load_from_trail(trail: &Trail) -> Result<Vec<(usize, Key)>, ReadError> {
    let scan = Scan { families: vec![Family::Flow], ..Scan::newest(0..trail.size()) };
    let mut leaves = std::pin::pin!(trail.scan(scan));
    let (mut keys, mut newest) = (Vec::new(), None);
    while let Some(leaf) = leaves.next().await {
        let (_, leaf) = leaf?;
        // A flow event that was not made from a report lacks these members.
        let Ok(stored) = serde_json::from_slice::<StoredFlow<'_>>(&leaf) else { continue };
        let newest = *newest.get_or_insert(stored.received);
        if newest.since(stored.received) > WINDOW || keys.len() >= CONNECTIONS {
            break;
        }
        let Some(layer) = Layer::parse(stored.detail.layer) else { continue };
        let flow = stored.detail;
        let tuple = FlowTuple {
            proto: flow.proto,
            src: flow.src.as_deref(),
            dst: flow.dst.as_deref(),
            counts: [flow.tx_packets, flow.tx_bytes, flow.rx_packets, flow.rx_bytes],
        };
        keys.push((shard_of(&flow.reporter), key(&flow.reporter, flow.start, flow.end, layer, &tuple)));
        if keys.len().is_multiple_of(1024) {
            tokio::task::yield_now().await;
        }
    }
    Ok(keys)
}
