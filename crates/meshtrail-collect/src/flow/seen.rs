//! Which reports were counted, so that each counts once, whichever way and however often it comes.
//!
//! - The newest [`REPORTS`] reports are known by a digest of all they say. A sender that got no answer, an API whose
//!   windows overlap, the same report by log streaming and by poll: all are found again.
//! - A report that was cut off between two batches of the trail is known by its connections, until the rest came.
//! - At start the newest [`CONNECTIONS`] connections, of at most the last [`WINDOW`], are read back from the trail, so
//!   that what was durable when a server died counts once as well. They are forgotten after another [`WINDOW`].
//!
//! What comes again later than that counts twice. Nothing here is written anywhere.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use futures::StreamExt;
use meshtrail_event::{Family, Timestamp};
use meshtrail_trail::{ReadError, Scan, Trail};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::wire::{Connection, Layer, Message};

/// Reports that are known.
pub(crate) const REPORTS: usize = 1 << 19;
/// Connections that are read back at start.
const CONNECTIONS: usize = 1 << 20;
/// How far back connections are read at start, and how long they are kept.
pub(crate) const WINDOW: Duration = Duration::from_secs(3600);
/// Parts that reports are spread over, by their reporter: one part takes one upload at a time.
pub(crate) const PARTS: usize = 64;

/// A digest of 128 bits.
pub(crate) type Key = [u8; 16];

/// What is known of the reporters of one part.
#[derive(Default)]
pub(crate) struct Seen {
    reports: HashSet<Key>,
    order: VecDeque<Key>,
    /// Connections of reports that are known in part.
    connections: HashSet<Key>,
}

impl Seen {
    pub(crate) fn has_report(&self, key: &Key) -> bool {
        self.reports.contains(key)
    }

    /// Whether some reports may be known in part.
    pub(crate) fn has_parts(&self) -> bool {
        !self.connections.is_empty()
    }

    pub(crate) fn has_connection(&self, key: &Key) -> bool {
        self.connections.contains(key)
    }

    pub(crate) fn add_connection(&mut self, key: Key) {
        self.connections.insert(key);
    }

    pub(crate) fn add_report(&mut self, key: Key) {
        if !self.reports.insert(key) {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > REPORTS / PARTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.reports.remove(&oldest);
        }
    }

    pub(crate) fn forget(&mut self, key: &Key) {
        self.connections.remove(key);
    }

    pub(crate) fn forget_connections(&mut self) {
        self.connections = HashSet::new();
    }
}

/// The part of a reporter.
pub(crate) fn part_of(reporter: &str) -> usize {
    let hash = reporter
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    usize::try_from(hash >> 32).unwrap_or(0) % PARTS
}

/// The digest of everything a report counts.
pub(crate) fn report_key(message: &Message<'_>) -> Key {
    let mut hash = Sha256::new();
    window(&mut hash, &message.node_id, message.start, message.end);
    let mut line = Vec::with_capacity(160);
    for (layer, connection) in &message.connections {
        line.clear();
        write(&mut line, *layer, &Tuple::of(connection));
        hash.update(&line);
    }
    first_half(hash)
}

/// The digest of one connection of a report.
pub(crate) fn connection_key(message: &Message<'_>, layer: Layer, connection: &Connection<'_>) -> Key {
    key(&message.node_id, message.start, message.end, layer, &Tuple::of(connection))
}

struct Tuple<'a> {
    proto: Option<u64>,
    src: Option<&'a str>,
    dst: Option<&'a str>,
    counts: [u64; 4],
}

impl<'a> Tuple<'a> {
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

fn key(reporter: &str, start: Timestamp, end: Timestamp, layer: Layer, tuple: &Tuple<'_>) -> Key {
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

fn write(line: &mut Vec<u8>, layer: Layer, tuple: &Tuple<'_>) {
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

/// What a leaf tells of the connection it counts.
#[derive(Deserialize)]
struct Kept<'a> {
    #[serde(borrow)]
    detail: KeptFlow<'a>,
    received: Timestamp,
}

#[derive(Deserialize)]
struct KeptFlow<'a> {
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

/// The connections that the trail took last, each with its reporter's part.
pub(crate) async fn read_back(trail: &Trail) -> Result<Vec<(usize, Key)>, ReadError> {
    let scan = Scan { families: vec![Family::Flow], ..Scan::newest(0..trail.size()) };
    let mut leaves = std::pin::pin!(trail.scan(scan));
    let (mut keys, mut newest) = (Vec::new(), None);
    while let Some(leaf) = leaves.next().await {
        let (_, leaf) = leaf?;
        // A flow's event that no report made has no such members.
        let Ok(kept) = serde_json::from_slice::<Kept<'_>>(&leaf) else { continue };
        let newest = *newest.get_or_insert(kept.received);
        if newest.since(kept.received) > WINDOW || keys.len() >= CONNECTIONS {
            break;
        }
        let Some(layer) = Layer::read(kept.detail.layer) else { continue };
        let flow = kept.detail;
        let tuple = Tuple {
            proto: flow.proto,
            src: flow.src.as_deref(),
            dst: flow.dst.as_deref(),
            counts: [flow.tx_packets, flow.tx_bytes, flow.rx_packets, flow.rx_bytes],
        };
        keys.push((part_of(&flow.reporter), key(&flow.reporter, flow.start, flow.end, layer, &tuple)));
        if keys.len().is_multiple_of(1024) {
            tokio::task::yield_now().await;
        }
    }
    Ok(keys)
}
