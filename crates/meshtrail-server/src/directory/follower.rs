//! Keeps the directory up to date with the trail.
//!
//! - Events of the config family are learned in the trail's order; other families are scanned only for events whose
//!   people are not known.
//! - The trail is read at most every [`LOOK_EVERY`], however fast it grows.
//! - An event leaves the pending queue only once its `identity.learned` event is in the trail (or the trail can't take
//!   it); a restart reads from the trail which were written, so that none is written twice.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use meshtrail_event::{Draft, Event, Family, Kind, Timestamp};
use meshtrail_identity::History;
use meshtrail_trail::segment::{ColumnTest, Predicate};
use meshtrail_trail::{AppendError, Emitter, Follower, ReadError, Scan, Trail};
use tokio_util::sync::CancellationToken;

use super::image::{self, DirectoryImage};
use super::late_identities::LateIdentities;
use super::pending::{PendingEvent, PendingQueue};

/// Pause between two reads of the trail.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How far back a start searches for pending events.
const LOOK_BACK: Duration = Duration::from_secs(7 * 86_400);

/// Number of leaves learned at a time; who looks up an identity meanwhile waits.
const CHUNK: usize = 4096;

/// Most `identity.learned` events written at a time.
const MAX_BATCH: usize = 500;

/// The families whose events may be pending.
const PENDING_FAMILIES: [Family; 3] = [Family::Session, Family::Login, Family::Kube];

/// What a start has read.
#[derive(Debug, Clone, Copy)]
pub struct Loaded {
    /// The index up to which it read.
    pub end: u64,
    /// Events that were read from the trail, and are not in the image.
    pub read: usize,
}

/// Reads the directory from its image, if there is a usable one, and the rest from the trail.
pub async fn load(
    history: &History,
    late: &LateIdentities,
    trail: &Trail,
    image: Option<&DirectoryImage>,
) -> Result<Loaded, ReadError> {
    let (begun, end) = (std::time::Instant::now(), trail.size());
    let start = image.map_or(0, |image| image.load(history, trail));
    let of_image = Scan { predicates: vec![learned_events()], ..scan(&[Family::Config], 0..start) };
    let of_trail = scan(&[Family::Config], start..end);
    let mut leaves = std::pin::pin!(trail.scan(of_image).chain(trail.scan(of_trail)).chunks(CHUNK));
    let mut read = 0;
    while let Some(chunk) = leaves.next().await {
        let chunk = chunk.into_iter().collect::<Result<Vec<_>, _>>()?;
        read += chunk.iter().filter(|(index, _)| *index >= start).count();
        learn(history, late, &chunk);
    }
    if end > 0 {
        tracing::info!(from_image = start, read, took = ?begun.elapsed(), directory = ?history, "directory read");
    }
    Ok(Loaded { end, read })
}

/// The image has no late identities: their events are read from the trail.
fn learned_events() -> Predicate {
    let is_learned = |kind: &str| kind == Kind::IdentityLearned.as_str();
    Predicate { any_of: vec![ColumnTest::new("kind", is_learned)] }
}

fn scan(families: &[Family], indexes: Range<u64>) -> Scan {
    Scan { families: families.to_vec(), ..Scan::oldest(indexes) }
}

fn learn(history: &History, late: &LateIdentities, leaves: &[(u64, Bytes)]) {
    for (_, leaf) in leaves {
        if may_be_learned_event(leaf)
            && let Ok(event) = Event::from_json(leaf)
        {
            late.learn(&event);
        }
    }
    history.learn_leaves(leaves.iter().map(|(_, leaf)| &leaf[..]));
}

/// Whether a leaf may be an `identity.learned` event.
fn may_be_learned_event(leaf: &[u8]) -> bool {
    let word = Kind::IdentityLearned.as_str().as_bytes();
    leaf.windows(word.len()).any(|window| window == word)
}

/// A task that updates the directory from the trail and writes `identity.learned` events.
pub struct DirectoryFollower {
    history: History,
    late: LateIdentities,
    trail: Trail,
    emitter: Emitter,
    /// The first index that was not read.
    next: u64,
    pending: PendingQueue,
    image: DirectoryImage,
    /// Leaves that were read and are not in the image.
    unsaved: usize,
}

impl DirectoryFollower {
    /// Follows `trail` from where [`load`] read to, and writes the image anew as the directory grows.
    pub fn new(
        history: History,
        late: LateIdentities,
        trail: Trail,
        loaded: Loaded,
        image: DirectoryImage,
    ) -> DirectoryFollower {
        let emitter = trail.emitter("identity");
        let Loaded { end: next, read: unsaved } = loaded;
        let pending = PendingQueue::default();
        DirectoryFollower { history, late, trail, emitter, next, pending, image, unsaved }
    }

    /// Runs until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut resolved_at = match self.find_pending(Timestamp::now()).await {
            Ok(()) => self.emit_resolved().await,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "events that waited for an identity were not found"
                );
                Some(self.progress())
            }
        };
        let families = [&[Family::Config], &PENDING_FAMILIES[..]].concat();
        let mut follower = Follower::new(self.trail.clone(), self.next, stop)
            .with_families(&families)
            .with_pause(LOOK_EVERY);
        if self.unsaved >= image::WRITE_AFTER {
            self.write_image(self.next).await;
        }
        loop {
            match follower.read().await {
                Ok(Some(batch)) => {
                    for chunk in batch.leaves.chunks(CHUNK) {
                        self.learn_chunk(chunk);
                        tokio::task::yield_now().await;
                    }
                    follower.advance(batch.range.end);
                    if self.unsaved >= image::WRITE_AFTER {
                        self.write_image(follower.position()).await;
                    }
                    // Not before: a later event may say more about who it was.
                    if batch.is_last && resolved_at != Some(self.progress()) {
                        resolved_at = self.emit_resolved().await;
                    }
                }
                Ok(None) => {
                    if self.unsaved > 0 {
                        self.write_image(follower.position()).await;
                    }
                    return;
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the directory does not follow the trail"
                    );
                }
            }
        }
    }

    fn learn_chunk(&mut self, leaves: &[(u64, Bytes)]) {
        learn(&self.history, &self.late, leaves);
        self.unsaved += leaves.len();
        for (_, leaf) in leaves {
            if let Some(event) = pending_event(leaf, &self.late) {
                self.pending.push(event);
            }
        }
    }

    /// Writes the image of what was learned from the events before `end`.
    async fn write_image(&mut self, end: u64) {
        let (image, history, trail) = (self.image.clone(), self.history.clone(), self.trail.clone());
        let written = tokio::task::spawn_blocking(move || image.write(&history, &trail, end)).await;
        if let Err(error) = written {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the image of the directory is not written"
            );
        }
        self.unsaved = 0;
    }

    /// What was learned and what is pending: pending events are looked up again only after a change of it.
    fn progress(&self) -> (u64, usize) {
        (self.history.generation(), self.pending.len())
    }

    /// Writes an `identity.learned` event for each pending event that is resolved now, and returns the progress after
    /// it; `None` where some could not be written, and stay pending.
    async fn emit_resolved(&mut self) -> Option<(u64, usize)> {
        loop {
            let resolved = self.pending.resolved(&self.history, MAX_BATCH);
            if resolved.is_empty() {
                return Some(self.progress());
            }
            let ids: HashSet<_> = resolved.iter().map(|(id, _)| id.clone()).collect();
            // What an earlier attempt wrote although it failed was read since.
            let new = resolved.into_iter().filter(|(id, _)| self.late.get(id).is_none());
            let drafts: Vec<Draft> = new.map(|(_, draft)| draft).collect();
            // A crash right here leaves the events pending: the next start finds and writes them.
            let written = match self.emitter.emit_all(drafts.clone()).await {
                Err(AppendError::Event { .. }) => self.emit_each(drafts).await,
                written => written.map(|_| ()),
            };
            if let Err(error) = written {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "identities that became known late are not written yet"
                );
                return None;
            }
            self.pending.remove(|id| ids.contains(id));
        }
    }

    /// Writes events one by one, without those that the trail can't take.
    async fn emit_each(&self, drafts: Vec<Draft>) -> Result<(), AppendError> {
        for draft in drafts {
            match self.emitter.emit(draft).await {
                Err(error @ AppendError::Event { .. }) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "an identity that became known late can't be written"
                    );
                }
                written => drop(written?),
            }
        }
        Ok(())
    }

    /// Finds the events that were pending when the server stopped.
    async fn find_pending(&mut self, now: Timestamp) -> Result<(), ReadError> {
        let times = Some((now.before(LOOK_BACK), Timestamp::from_nanos(i64::MAX)));
        let scan = Scan { times, ..scan(&PENDING_FAMILIES, 0..self.next) };
        let mut leaves = std::pin::pin!(self.trail.scan(scan));
        while let Some(leaf) = leaves.next().await {
            if let Some(event) = pending_event(&leaf?.1, &self.late) {
                self.pending.push(event);
            }
        }
        Ok(())
    }
}

/// The pending event of a leaf; `None` where nothing is unknown, or where it was learned already.
fn pending_event(leaf: &[u8], late: &LateIdentities) -> Option<PendingEvent> {
    let event =
        Event::from_json(leaf).ok().filter(|event| PENDING_FAMILIES.contains(&event.kind.family()))?;
    PendingEvent::of(&event).filter(|_| late.get(&event.id).is_none())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use meshtrail_trail::fault::{Faults, LogStep, Moment, Step};

    use super::*;
    use crate::directory::image::tests::{open, snapshot_of_device};

    /// The log finds no room while the switch is on.
    fn full_disk(is_full: &Arc<AtomicBool>) -> Faults {
        let is_full = is_full.clone();
        Faults::with_plan(move |step, when| {
            (step, when) == (Step::Log(LogStep::Extend), Moment::Before) && is_full.load(Ordering::SeqCst)
        })
    }

    fn login() -> Draft {
        let mut draft = Draft::new(Kind::SshLogin, Timestamp::now());
        draft.target.address = Some("100.64.0.1".to_owned());
        draft
    }

    /// How often each event is referred to by an `identity.learned` event.
    async fn learned(trail: &Trail) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let mut leaves = std::pin::pin!(trail.scan(scan(&[Family::Config], 0..trail.size())));
        while let Some(leaf) = leaves.next().await {
            let event = Event::from_json(&leaf.unwrap().1).unwrap();
            if event.kind == Kind::IdentityLearned {
                *counts.entry(event.target.id.clone().unwrap_or_default()).or_default() += 1;
            }
        }
        counts
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_full_disk_kept_from_being_written_is_written_once_when_there_is_room() {
        const LOGINS: usize = 3000;
        let folder = tempfile::tempdir().unwrap();
        let is_full = Arc::new(AtomicBool::new(false));
        let trail = open(folder.path(), full_disk(&is_full)).await;
        let source = trail.emitter("host");
        source.emit_all((0..LOGINS).map(|_| login()).collect()).await.unwrap();

        let (history, late) = (History::for_trail("main"), LateIdentities::default());
        let loaded = load(&history, &late, &trail, None).await.unwrap();
        let image = DirectoryImage::below(&folder.path().join("local"), &trail);
        let follower = DirectoryFollower::new(history, late, trail.clone(), loaded, image);
        let stop = CancellationToken::new();
        let running = tokio::spawn(follower.run(stop.clone()));
        is_full.store(true, Ordering::SeqCst);
        source.emit(snapshot_of_device("n1")).await.unwrap();
        tokio::time::sleep(5 * LOOK_EVERY).await;
        assert!(learned(&trail).await.len() < LOGINS, "the disk was not full");

        is_full.store(false, Ordering::SeqCst);
        source.emit(snapshot_of_device("n2")).await.unwrap();
        let limit = tokio::time::Instant::now() + Duration::from_secs(30);
        while learned(&trail).await.len() < LOGINS {
            assert!(tokio::time::Instant::now() < limit, "{} of {LOGINS}", learned(&trail).await.len());
            tokio::time::sleep(LOOK_EVERY).await;
        }
        stop.cancel();
        running.await.unwrap();
        assert!(learned(&trail).await.values().all(|count| *count == 1), "none was written twice");
        trail.close().await;
    }
}
