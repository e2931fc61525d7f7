//! What came of each stream: which entries of which process, so that each counts once and a hole shows.
//!
//! - A client sends its entries in order and the same batch again until it hears 200: what is up to the highest number
//!   of its process, and no known hole, came before.
//! - After a restart the newest log lines of the trail say how far each process had come, and which bodies could not be
//!   read.
//! - At most [`STREAMS`] streams with [`PROCESSES`] processes each are kept; the ones not heard for longest go first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures::StreamExt as _;
use meshtrail_event::{Detail, Event, Family, Timestamp};
use meshtrail_trail::{ReadError, Scan, Trail};
use tokio::sync::Mutex;

use super::spoiled::{self, Allowance};

/// Streams that are remembered.
const STREAMS: usize = 1 << 16;
/// Processes of a stream that are remembered.
const PROCESSES: usize = 4;
/// Holes of a process that are remembered.
const HOLES: usize = 64;
/// Bodies of a stream that are remembered: those with entries that no process numbered, and those that can't be read.
const BODIES: usize = 16;
/// Log lines that are read back at start.
const LINES: u64 = 200_000;

/// A stream's name: its collection and its public id.
pub(crate) type Name = (String, String);

/// All streams.
pub(crate) struct Streams {
    live: std::sync::Mutex<HashMap<Name, (Arc<Mutex<Stream>>, Timestamp)>>,
    ready: tokio::sync::OnceCell<HashMap<Name, Stream>>,
}

/// One stream. Held while a batch of it goes into the trail.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stream {
    processes: VecDeque<Process>,
    bodies: VecDeque<[u8; 32]>,
    /// What it may have kept of bodies that can't be read.
    pub(crate) allowance: Allowance,
}

/// What came of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    id: u64,
    high: u64,
    /// Ranges below `high` that did not come, in order.
    holes: Vec<(u64, u64)>,
}

/// What an entry is in the order of its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It came before.
    Before,
    /// It is new.
    Next,
    /// It is new, and these before it did not come.
    After(u64, u64),
}

impl Streams {
    pub(crate) fn new() -> Self {
        Self { live: std::sync::Mutex::default(), ready: tokio::sync::OnceCell::new() }
    }

    /// The stream of this name.
    pub(crate) async fn stream(&self, trail: &Trail, name: &Name) -> Result<Arc<Mutex<Stream>>, ReadError> {
        let before = self.ready.get_or_try_init(|| read_back(trail)).await?;
        let now = Timestamp::now();
        let mut live = self.live.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if live.len() >= STREAMS && !live.contains_key(name) {
            let oldest = live.iter().min_by_key(|(_, (_, heard))| *heard).map(|(name, _)| name.clone());
            oldest.and_then(|oldest| live.remove(&oldest));
        }
        let new = || Arc::new(Mutex::new(before.get(name).cloned().unwrap_or_default()));
        let (stream, heard) = live.entry(name.clone()).or_insert_with(|| (new(), now));
        *heard = now;
        Ok(stream.clone())
    }
}

impl Stream {
    /// Where an entry stands; nothing is remembered yet.
    pub(crate) fn place(&self, process: u64, number: u64) -> Place {
        let Some(known) = self.processes.iter().find(|known| known.id == process) else {
            // The first of a process that this stream began after others: what is missing before it is missing.
            let begun = !self.processes.is_empty() && number > 1;
            return if begun { Place::After(1, number - 1) } else { Place::Next };
        };
        if number > known.high {
            return if number == known.high + 1 {
                Place::Next
            } else {
                Place::After(known.high + 1, number - 1)
            };
        }
        let hole = known.holes.iter().any(|&(first, last)| (first..=last).contains(&number));
        if hole { Place::Next } else { Place::Before }
    }

    /// Whether a numbered entry came before.
    pub(crate) fn has(&self, numbered: Option<(u64, u64)>) -> bool {
        numbered.is_some_and(|(process, number)| self.place(process, number) == Place::Before)
    }

    /// Remembers an entry that is durable.
    pub(crate) fn came(&mut self, process: u64, number: u64) {
        let place = self.place(process, number);
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
            if let Place::After(first, last) = place
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

    /// Whether nothing of it came yet that could be read.
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

/// How far each process had come, by the newest lines of the trail.
async fn read_back(trail: &Trail) -> Result<HashMap<Name, Stream>, ReadError> {
    let scan = Scan { families: vec![Family::Log], ..Scan::newest(0..trail.size()) };
    let mut leaves = std::pin::pin!(trail.scan(scan).take(usize::try_from(LINES).unwrap_or(usize::MAX)));
    let mut numbers: HashMap<Name, HashMap<u64, Vec<u64>>> = HashMap::new();
    let mut bad: HashMap<Name, Vec<[u8; 32]>> = HashMap::new();
    while let Some(leaf) = leaves.next().await {
        let (_, leaf) = leaf?;
        let Ok(event) = Event::from_json(&leaf) else { continue };
        let Some(Detail::Log(line)) = event.detail else { continue };
        let digest = spoiled::digest(&line);
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
    let mut streams: HashMap<Name, Stream> =
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
        numbers.iter().for_each(|&number| stream.came(process, number));
    }
    stream
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_of_a_process_counts_once_and_a_hole_shows_once() {
        let mut stream = Stream::default();
        assert_eq!(stream.place(7, 40), Place::Next, "the process ran before we were there");
        stream.came(7, 40);
        assert_eq!(stream.place(7, 40), Place::Before);
        assert_eq!(stream.place(7, 44), Place::After(41, 43));
        stream.came(7, 44);
        assert_eq!(stream.place(7, 42), Place::Next);
        stream.came(7, 42);
        assert_eq!((stream.place(7, 42), stream.place(7, 41)), (Place::Before, Place::Next));
        assert_eq!(stream.place(7, 45), Place::Next);
        assert_eq!(stream.place(8, 3), Place::After(1, 2), "a process that began while we were there");
    }
}
