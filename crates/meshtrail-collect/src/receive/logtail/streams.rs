//! Received entries of each stream, by process, so that each counts once and missing ones are found.
//!
//! - A client sends its entries in order, and repeats a batch until it gets status 200: an entry up to the highest number of
//!   its process that is in no known hole is a duplicate.
//! - At start the highest numbers of processes and the digests of unreadable bodies are loaded from the newest log lines of
//!   the trail.
//! - At most [`STREAMS`] streams with [`PROCESSES`] processes each are kept; the least recently heard one is dropped first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures::StreamExt as _;
use meshtrail_event::{Detail, Event, Family, Timestamp};
use meshtrail_trail::{ReadError, Scan, Trail};
use tokio::sync::Mutex;

use super::unreadable::{self, Allowance};

/// The most streams in memory.
const STREAMS: usize = 1 << 16;
/// The most processes of a stream.
const PROCESSES: usize = 4;
/// The most holes of a process.
const HOLES: usize = 64;
/// The most bodies of a stream: those with unnumbered entries, and unreadable ones.
const BODIES: usize = 16;
/// The most log lines that are read at start.
const LINES: u64 = 200_000;

/// A stream's key: its collection and its public id.
pub(crate) type StreamKey = (String, String);

/// All streams.
pub(crate) struct Streams {
    live: std::sync::Mutex<HashMap<StreamKey, (Arc<Mutex<Stream>>, Timestamp)>>,
    stored: tokio::sync::OnceCell<HashMap<StreamKey, Stream>>,
}

/// One stream. Locked while a batch of it is written to the trail.
///
/// Both memories are short lists that are searched, not a [`meshtrail_trail::Recent`]: there are up to [`STREAMS`] of
/// them, and a table for sixteen digests would be larger than the digests.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stream {
    processes: VecDeque<Process>,
    bodies: VecDeque<[u8; 32]>,
    /// Limits the unreadable bodies that are stored for it.
    pub(crate) allowance: Allowance,
}

/// Received entries of one process.
///
/// Not the state of [`meshtrail_trail::dedupe`], which is made for events' ids: a process is first heard at any number,
/// and beyond [`HOLES`] the oldest hole counts as received, where an event would be refused.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    id: u64,
    high: u64,
    /// Missing ranges below `high`, in order.
    holes: Vec<(u64, u64)>,
}

/// The order of an entry among those of its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryOrder {
    /// It was received before.
    Duplicate,
    /// It is new.
    Next,
    /// It is new, and the entries with these first and last numbers before it are missing.
    AfterGap(u64, u64),
}

impl Streams {
    pub(crate) fn new() -> Self {
        Self { live: std::sync::Mutex::default(), stored: tokio::sync::OnceCell::new() }
    }

    /// The stream with this key.
    pub(crate) async fn stream(
        &self,
        trail: &Trail,
        key: &StreamKey,
    ) -> Result<Arc<Mutex<Stream>>, ReadError> {
        let before = self.stored.get_or_try_init(|| load_from_trail(trail)).await?;
        let now = Timestamp::now();
        let mut live = self.live.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if live.len() >= STREAMS && !live.contains_key(key) {
            let oldest =
                live.iter().min_by_key(|(_, (_, last_heard))| *last_heard).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| live.remove(&oldest));
        }
        let new = || Arc::new(Mutex::new(before.get(key).cloned().unwrap_or_default()));
        let (stream, last_heard) = live.entry(key.clone()).or_insert_with(|| (new(), now));
        *last_heard = now;
        Ok(stream.clone())
    }
}

impl Stream {
    /// The order of an entry, which is not recorded yet.
    pub(crate) fn order_of(&self, process: u64, number: u64) -> EntryOrder {
        let Some(known) = self.processes.iter().find(|known| known.id == process) else {
            // The first entry of a process that started while this server was receiving: the ones before it are missing.
            let begun = !self.processes.is_empty() && number > 1;
            return if begun { EntryOrder::AfterGap(1, number - 1) } else { EntryOrder::Next };
        };
        if number > known.high {
            return if number == known.high + 1 {
                EntryOrder::Next
            } else {
                EntryOrder::AfterGap(known.high + 1, number - 1)
            };
        }
        let hole = known.holes.iter().any(|&(first, last)| (first..=last).contains(&number));
        if hole { EntryOrder::Next } else { EntryOrder::Duplicate }
    }

    /// Whether a numbered entry was received before.
    pub(crate) fn has_entry(&self, numbered: Option<(u64, u64)>) -> bool {
        numbered.is_some_and(|(process, number)| self.order_of(process, number) == EntryOrder::Duplicate)
    }

    /// Records an entry that is durable.
    pub(crate) fn record(&mut self, process: u64, number: u64) {
        let order = self.order_of(process, number);
        if !self.processes.iter().any(|known| known.id == process) {
            if self.processes.len() == PROCESSES {
                self.processes.pop_front();
            }
            self.processes.push_back(Process {
                id: process,
                high: number.saturating_sub(1),
                holes: Vec::new(),
            });
        }
        let known = self.processes.iter_mut().find(|known| known.id == process).expect("just made sure of");
        if number > known.high {
            if let EntryOrder::AfterGap(first, last) = order
                && known.high + 1 == first
            {
                if known.holes.len() == HOLES {
                    known.holes.remove(0);
                }
                known.holes.push((first, last));
            }
            known.high = number;
        } else if let Some(at) =
            known.holes.iter().position(|&(first, last)| (first..=last).contains(&number))
        {
            let (first, last) = known.holes.remove(at);
            if number < last {
                known.holes.insert(at, (number + 1, last));
            }
            if first < number {
                known.holes.insert(at, (first, number - 1));
            }
        }
    }

    /// Whether no numbered entry of it was received yet.
    pub(crate) fn is_new(&self) -> bool {
        self.processes.is_empty()
    }

    pub(crate) fn has_body(&self, digest: &[u8; 32]) -> bool {
        self.bodies.contains(digest)
    }

    pub(crate) fn add_body(&mut self, digest: [u8; 32]) {
        if self.bodies.len() == BODIES {
            self.bodies.pop_front();
        }
        self.bodies.push_back(digest);
    }
}

/// Loads all streams from the newest log lines of the trail.
async fn load_from_trail(trail: &Trail) -> Result<HashMap<StreamKey, Stream>, ReadError> {
    let scan = Scan { families: vec![Family::Log], ..Scan::newest(0..trail.size()) };
    let mut leaves = std::pin::pin!(trail.scan(scan).take(usize::try_from(LINES).unwrap_or(usize::MAX)));
    let mut numbers: HashMap<StreamKey, HashMap<u64, Vec<u64>>> = HashMap::new();
    let mut bad: HashMap<StreamKey, Vec<[u8; 32]>> = HashMap::new();
    while let Some(leaf) = leaves.next().await {
        let (_, leaf) = leaf?;
        let Ok(event) = Event::from_json(&leaf) else { continue };
        let Some(Detail::Log(line)) = event.detail else { continue };
        let digest = unreadable::digest(&line);
        let (Some(collection), Some(id)) = (line.collection, event.target.id) else { continue };
        if let Some(digest) = digest {
            let bodies = bad.entry((collection.clone(), id.clone())).or_default();
            if bodies.len() < BODIES {
                bodies.push(digest);
            }
        }
        if let (Some(process), Some(number)) = (line.proc_id, line.proc_seq) {
            numbers.entry((collection, id)).or_default().entry(process).or_default().push(number);
        }
    }
    let mut streams: HashMap<StreamKey, Stream> =
        numbers.into_iter().map(|(name, processes)| (name, stream_of(processes))).collect();
    for (name, bodies) in bad {
        let stream = streams.entry(name).or_default();
        bodies.into_iter().rev().for_each(|digest| stream.add_body(digest));
    }
    Ok(streams)
}

fn stream_of(processes: HashMap<u64, Vec<u64>>) -> Stream {
    let mut stream = Stream::default();
    for (process, mut numbers) in processes {
        numbers.sort_unstable();
        numbers.iter().for_each(|&number| stream.record(process, number));
    }
    stream
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_of_a_process_counts_once_and_a_hole_shows_once() {
        let mut stream = Stream::default();
        assert_eq!(stream.order_of(7, 40), EntryOrder::Next, "the process ran before we were there");
        stream.record(7, 40);
        assert_eq!(stream.order_of(7, 40), EntryOrder::Duplicate);
        assert_eq!(stream.order_of(7, 44), EntryOrder::AfterGap(41, 43));
        stream.record(7, 44);
        assert_eq!(stream.order_of(7, 42), EntryOrder::Next);
        stream.record(7, 42);
        assert_eq!(
            (stream.order_of(7, 42), stream.order_of(7, 41)),
            (EntryOrder::Duplicate, EntryOrder::Next)
        );
        assert_eq!(stream.order_of(7, 45), EntryOrder::Next);
        assert_eq!(
            stream.order_of(8, 3),
            EntryOrder::AfterGap(1, 2),
            "a process that began while we were there"
        );
    }
}
