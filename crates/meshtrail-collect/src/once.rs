//! An audit record is in the trail once, however often and by whichever way it comes.
//!
//! - What is known is what the trail holds: the digests of its records. There is no second state: a crash loses
//!   nothing and doubles nothing.
//! - Digests are kept from a time on. A record before that makes the trail be read further back first.
//! - One lock covers looking and writing, so that two ways that bring one record at the same instant write it once.
//!
//! What makes two records the same one is the digest's business.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use meshtrail_event::{Change, Detail, Draft, Event, Family, Timestamp};
use meshtrail_trail::{AppendError, Emitter, ReadError, Scan, Trail};
use tokio::sync::Mutex;

use crate::joined::joined;

/// The most drafts of one append.
const BATCH: usize = 4_000;

/// How many drafts of the largest size are appended at once.
const LONG: usize = 48;

/// How long digests are kept after the newest record's time, beyond what was read for.
const KEPT: Duration = Duration::from_secs(25 * 3_600);

/// How far apart two ways may put the time of one record.
const MARGIN: Duration = Duration::from_secs(60);

/// The most digests at hand; what is older is read from the trail again when it is needed.
const MOST: usize = 1 << 20;

/// The audit records of a trail; cheap to clone.
#[derive(Clone)]
pub struct Once(Arc<Inner>);

struct Inner {
    trail: Trail,
    known: Mutex<Known>,
}

/// Digests of every record that happened at `from` or later, by time.
struct Known {
    from: Timestamp,
    by_time: BTreeSet<(Timestamp, Digest)>,
    digests: HashSet<Digest>,
}

/// The drafts of one record.
pub type Record = Vec<Draft>;

/// The first half of a record's SHA-256.
type Digest = u128;

/// What became of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Emitted {
    /// Written now.
    pub new: u64,
    /// Known before.
    pub known: u64,
    /// The newest of the new ones.
    pub newest: Option<Timestamp>,
}

/// Why records could not be written.
#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    /// The trail can't be read.
    #[error("the trail could not be read for what it holds already")]
    Read(#[from] ReadError),
    /// The trail takes nothing.
    #[error("the trail could not take the records")]
    Append(#[from] AppendError),
}

impl Once {
    /// The records of `trail`; nothing is read yet.
    pub fn new(trail: Trail) -> Self {
        let from = Timestamp::from_nanos(i64::MAX);
        let known = Mutex::new(Known { from, by_time: BTreeSet::new(), digests: HashSet::new() });
        Self(Arc::new(Inner { trail, known }))
    }

    /// Writes the records that the trail does not hold, in their order. A record is one draft or several, of which the
    /// first has its digest; they are written together. Where `since` is given, what the trail holds from then on is
    /// looked at even if all records are newer. Durable on return; after an error what was written is known.
    ///
    /// The work goes on to its end even if whoever waits for it goes away: what was written would not be known else.
    pub async fn emit_new(
        &self,
        emitter: &Emitter,
        records: Vec<Record>,
        since: Option<Timestamp>,
    ) -> Result<Emitted, OnceError> {
        let (inner, emitter) = (self.0.clone(), emitter.clone());
        joined(tokio::spawn(async move { inner.emit_new(&emitter, records, since).await })).await
    }
}

impl Inner {
    async fn emit_new(
        &self,
        emitter: &Emitter,
        records: Vec<Record>,
        since: Option<Timestamp>,
    ) -> Result<Emitted, OnceError> {
        let mut known = self.known.lock().await;
        let times = records.iter().filter_map(|record| Some(record.first()?.time));
        if let Some(oldest) = times.min().map(|oldest| oldest.min(since.unwrap_or(oldest))) {
            known.cover(&self.trail, oldest).await?;
        }
        let (mut emitted, mut batch, mut drafts) = (Emitted::default(), Vec::new(), 0);
        let mut taken: HashSet<Digest> = HashSet::new();
        for record in records {
            let digest = digest_of(&record);
            if digest.is_some_and(|digest| known.digests.contains(&digest) || !taken.insert(digest)) {
                emitted.known += 1;
                continue;
            }
            if drafts + record.len() > BATCH {
                known.write(emitter, std::mem::take(&mut batch)).await?;
                drafts = 0;
            }
            emitted.new += 1;
            emitted.newest = emitted.newest.max(record.first().map(|draft| draft.time));
            drafts += record.len();
            batch.push(record);
        }
        known.write(emitter, batch).await?;
        known.forget(since);
        Ok(emitted)
    }
}

impl Known {
    /// Reads the trail back to `oldest`, if that is earlier than what is known.
    async fn cover(&mut self, trail: &Trail, oldest: Timestamp) -> Result<(), ReadError> {
        if oldest >= self.from {
            return Ok(());
        }
        let oldest = oldest.before(MARGIN);
        let scan = Scan {
            families: vec![Family::Config],
            times: Some((oldest, self.from)),
            ..Scan::newest(0..trail.size())
        };
        let mut rows = std::pin::pin!(trail.scan(scan));
        while let Some((_, leaf)) = rows.try_next().await? {
            let Ok(event) = Event::from_json(&leaf) else { continue };
            if (oldest..=self.from).contains(&event.time)
                && let Some(digest) = digest(event.detail.as_ref())
            {
                self.learn(event.time, digest);
            }
        }
        self.from = oldest;
        Ok(())
    }

    /// Writes a batch, in halves where it is more than a trail takes at once.
    async fn write(&mut self, emitter: &Emitter, records: Vec<Record>) -> Result<(), AppendError> {
        let mut parts = vec![records];
        while let Some(mut records) = parts.pop() {
            match emitter.emit_all(records.iter().flatten().cloned().collect()).await {
                Ok(_) => self.learn_all(&records),
                Err(AppendError::TooLarge { .. }) if records.len() > 1 => {
                    let second = records.split_off(records.len() / 2);
                    parts.extend([second, records]);
                }
                Err(AppendError::TooLarge { .. }) => {
                    // The texts first: a crash before the record itself makes it come again, whole.
                    let drafts: Vec<Draft> = records.iter().flatten().rev().cloned().collect();
                    for some in drafts.chunks(LONG) {
                        emitter.emit_all(some.to_vec()).await?;
                    }
                    self.learn_all(&records);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn learn_all(&mut self, records: &[Record]) {
        for record in records {
            if let (Some(first), Some(digest)) = (record.first(), digest_of(record)) {
                self.learn(first.time, digest);
            }
        }
    }

    fn learn(&mut self, time: Timestamp, digest: Digest) {
        if self.digests.insert(digest) {
            self.by_time.insert((time, digest));
        }
    }

    /// Lets go what is much older than the newest, but for what happened `since`: a window that comes in parts is not to
    /// be read anew for each. What is let go is read again if it is asked for.
    fn forget(&mut self, since: Option<Timestamp>) {
        let Some((newest, _)) = self.by_time.last().copied() else { return };
        let kept = newest.min(Timestamp::now()).before(KEPT);
        let kept = since.map_or(kept, |since| kept.min(since.before(MARGIN)));
        while let Some((time, digest)) = self.by_time.first().copied() {
            if time >= kept && self.digests.len() <= MOST {
                break;
            }
            self.by_time.pop_first();
            self.digests.remove(&digest);
            self.from = self.from.max(time.after(Duration::from_nanos(1)));
        }
    }
}

fn digest_of(record: &[Draft]) -> Option<Digest> {
    digest(record.first()?.detail.as_ref())
}

/// The digest of an audit record, or of a webhook's event; other changes have one too, which means something else.
fn digest(detail: Option<&Detail>) -> Option<Digest> {
    match detail {
        Some(Detail::Change(change)) if is_record(change) => {
            Digest::from_str_radix(change.digest.as_deref()?.get(..32)?, 16).ok()
        }
        _ => None,
    }
}

fn is_record(change: &Change) -> bool {
    change.part.is_none() && matches!(change.origin.as_deref(), Some("audit-log" | "hec" | "webhook"))
}
