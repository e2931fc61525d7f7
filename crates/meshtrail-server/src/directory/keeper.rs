//! Keeps the directory up with the trail.
//!
//! - What the config family tells is learned in the trail's order; other families are only looked at for events whose
//!   people were not known.
//! - The trail is looked at a few times a second at most, however fast it grows.
//! - An `identity.learned` event is in the trail before its event stops waiting, and a restart knows from the trail
//!   which were written: none is written twice.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use meshtrail_event::{Event, Family, Kind, Timestamp};
use meshtrail_identity::History;
use meshtrail_trail::{Emitter, ReadError, Scan, Trail};
use tokio_util::sync::CancellationToken;

use super::learned::Learned;
use super::waiting::{Queue, Waiting};

/// How long the trail is left alone between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How far back a start looks for events that still wait.
const WAIT: Duration = Duration::from_secs(7 * 86_400);

/// How many leaves are learned at a time.
const CHUNK: usize = 4096;

/// How many events are told late at a time.
const TOLD_AT_ONCE: usize = 500;

/// The families whose events may wait.
const WAITING: [Family; 3] = [Family::Session, Family::Login, Family::Kube];

/// Reads what the trail tells of devices and people. Gives back up to where it read.
pub async fn load(history: &History, learned: &Learned, trail: &Trail) -> Result<u64, ReadError> {
    let (begun, size) = (std::time::Instant::now(), trail.size());
    let mut leaves = std::pin::pin!(trail.scan(scan(&[Family::Config], 0..size)).chunks(CHUNK));
    let mut count = 0;
    while let Some(chunk) = leaves.next().await {
        let chunk = chunk.into_iter().collect::<Result<Vec<_>, _>>()?;
        count += chunk.len();
        learn(history, learned, &chunk);
    }
    if count > 0 {
        tracing::info!(events = count, took = ?begun.elapsed(), directory = ?history, "directory read from the trail");
    }
    Ok(size)
}

fn scan(families: &[Family], indexes: Range<u64>) -> Scan {
    Scan { families: families.to_vec(), ..Scan::oldest(indexes) }
}

fn learn(history: &History, learned: &Learned, leaves: &[(u64, Bytes)]) {
    for (_, leaf) in leaves {
        if is_late(leaf)
            && let Ok(event) = Event::from_json(leaf)
        {
            learned.learn(&event);
        }
    }
    history.learn_leaves(leaves.iter().map(|(_, leaf)| &leaf[..]));
}

/// Whether a leaf may be an `identity.learned` event.
fn is_late(leaf: &[u8]) -> bool {
    let word = Kind::IdentityLearned.as_str().as_bytes();
    leaf.windows(word.len()).any(|window| window == word)
}

/// Follows the trail.
pub struct Keeper {
    history: History,
    learned: Learned,
    trail: Trail,
    emitter: Emitter,
    /// Up to where the trail was read.
    next: u64,
    waiting: Queue,
}

impl Keeper {
    /// Follows `trail` from the index `next`, up to which [`load`] read.
    pub fn new(history: History, learned: Learned, trail: Trail, next: u64) -> Keeper {
        let emitter = trail.emitter("identity");
        Keeper { history, learned, trail, emitter, next, waiting: Queue::default() }
    }

    /// Follows until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut size = self.trail.subscribe();
        if let Err(error) = self.find_waiting(Timestamp::now()).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "events that waited for an identity were not found"
            );
        }
        loop {
            if let Err(error) = self.catch_up().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the directory does not follow the trail"
                );
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = size.changed() => if changed.is_err() { return },
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Reads what came to the trail since, and tells what became known by it.
    async fn catch_up(&mut self) -> Result<(), ReadError> {
        let (known, waited) = (self.history.learned(), self.waiting.len());
        let mut families = vec![Family::Config];
        families.extend(WAITING);
        let size = self.trail.size();
        let mut leaves = std::pin::pin!(self.trail.scan(scan(&families, self.next..size)).chunks(CHUNK));
        while let Some(chunk) = leaves.next().await {
            let chunk = chunk.into_iter().collect::<Result<Vec<_>, _>>()?;
            learn(&self.history, &self.learned, &chunk);
            for (index, leaf) in &chunk {
                self.next = index + 1;
                if let Some(waiting) = waits(leaf, &self.learned) {
                    self.waiting.push(waiting);
                }
            }
        }
        self.next = size;
        if self.history.learned() != known || self.waiting.len() != waited {
            self.tell().await;
        }
        Ok(())
    }

    /// Writes down what is known now of events that waited.
    async fn tell(&mut self) {
        loop {
            let told = self.waiting.take_told(&self.history, TOLD_AT_ONCE);
            if told.is_empty() {
                return;
            }
            // A crash right here leaves the events waiting: the next start finds and tells them.
            if let Err(error) = self.emitter.emit_all(told).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "what became known late was not written"
                );
                return;
            }
        }
    }

    /// Finds the events that a restart left waiting.
    async fn find_waiting(&mut self, now: Timestamp) -> Result<(), ReadError> {
        let times = Some((now.before(WAIT), Timestamp::from_nanos(i64::MAX)));
        let scan = Scan { times, ..scan(&WAITING, 0..self.next) };
        let mut leaves = std::pin::pin!(self.trail.scan(scan));
        while let Some(leaf) = leaves.next().await {
            if let Some(waiting) = waits(&leaf?.1, &self.learned) {
                self.waiting.push(waiting);
            }
        }
        self.tell().await;
        Ok(())
    }
}

/// What waits in a leaf: nothing in one that was told of already.
fn waits(leaf: &[u8], learned: &Learned) -> Option<Waiting> {
    let event = Event::from_json(leaf).ok().filter(|event| WAITING.contains(&event.kind.family()))?;
    Waiting::of(&event).filter(|_| learned.of(&event.id).is_none())
}
