//! Deduplicates audit records: each is in the trail once, however often and on whichever path (polling, log streaming,
//! webhook) it arrives.
//!
//! - The index of digests is read from the trail; there is no second state, so that a crash neither loses nor
//!   duplicates a record.
//! - The index covers the trail from some time on. A record before that time first extends it backwards.
//! - One lock covers lookup and append, so that a record that arrives on two paths at the same instant is written once.
//!
//! When two records are the same is decided by their digest, which the catalogue computes.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use meshtrail_event::{Change, Detail, Draft, Event, Family, Timestamp};
use meshtrail_trail::{AppendError, Emitter, ReadError, Scan, Trail, run_detached};
use tokio::sync::Mutex;

/// The most drafts of one append.
const BATCH: usize = 4_000;

/// The most drafts of the largest size in one append.
const LONG: usize = 48;

/// How far the index reaches back from its newest record, unless a caller's `since` is earlier.
const RETENTION: Duration = Duration::from_secs(25 * 3_600);

/// The most that the times of one record may differ between two paths.
const MARGIN: Duration = Duration::from_secs(60);

/// The most digests in the index; older ones are read from the trail again when they are needed.
const MAX_DIGESTS: usize = 1 << 20;

/// Writes audit records to a trail, each once; cheap to clone.
#[derive(Clone)]
pub struct RecordDedupe(Arc<Inner>);

struct Inner {
    trail: Trail,
    index: Mutex<DigestIndex>,
}

/// The digests of every record in the trail with a time of `from` or later.
///
/// Not a [`meshtrail_trail::Recent`]: it forgets by the record's own time, not by when it came, and knows from where on it
/// is complete, so that an older record extends it from the trail and is never taken for new.
struct DigestIndex {
    from: Timestamp,
    by_time: BTreeSet<(Timestamp, Digest)>,
    digests: HashSet<Digest>,
}

/// The drafts of one record; the first has its digest.
pub type RecordDrafts = Vec<Draft>;

/// The first half of a record's SHA-256.
type Digest = u128;

/// How many records were written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EmitCounts {
    /// Records written now.
    pub new: u64,
    /// Records that the trail held already, or that came twice in one call.
    pub duplicates: u64,
    /// The time of the newest record written now.
    pub newest: Option<Timestamp>,
}

/// Why records could not be written.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum DedupeError {
    #[error("the trail could not be read for what it holds already")]
    Read(#[from] ReadError),
    #[error("the trail could not take the records")]
    Append(#[from] AppendError),
}

impl RecordDedupe {
    /// Deduplicates records of `trail`; nothing is read yet.
    pub fn new(trail: Trail) -> Self {
        let from = Timestamp::from_nanos(i64::MAX);
        let index = Mutex::new(DigestIndex { from, by_time: BTreeSet::new(), digests: HashSet::new() });
        Self(Arc::new(Inner { trail, index }))
    }

    /// Writes the records that the trail does not hold, in their order. A record is one draft or several, of which the
    /// first has its digest; they are written together. With `since`, the index covers the trail from then on, even if
    /// all records are newer. Durable on return; after an error, the index has the records that were written.
    ///
    /// Runs to the end even if the caller's future is dropped: else records could be written without being indexed.
    pub async fn emit_new(
        &self,
        emitter: &Emitter,
        records: Vec<RecordDrafts>,
        since: Option<Timestamp>,
    ) -> Result<EmitCounts, DedupeError> {
        let (inner, emitter) = (self.0.clone(), emitter.clone());
        run_detached(tokio::spawn(async move { inner.emit_new(&emitter, records, since).await })).await
    }
}

impl Inner {
    async fn emit_new(
        &self,
        emitter: &Emitter,
        records: Vec<RecordDrafts>,
        since: Option<Timestamp>,
    ) -> Result<EmitCounts, DedupeError> {
        let mut index = self.index.lock().await;
        let times = records.iter().filter_map(|record| Some(record.first()?.time));
        if let Some(oldest) = times.min().map(|oldest| oldest.min(since.unwrap_or(oldest))) {
            index.extend_to(&self.trail, oldest).await?;
        }
        let (mut emitted, mut batch, mut drafts) = (EmitCounts::default(), Vec::new(), 0);
        let mut taken: HashSet<Digest> = HashSet::new();
        for record in records {
            let digest = digest_of(&record);
            if digest.is_some_and(|digest| index.digests.contains(&digest) || !taken.insert(digest)) {
                emitted.duplicates += 1;
                continue;
            }
            if drafts + record.len() > BATCH {
                index.write(emitter, std::mem::take(&mut batch)).await?;
                drafts = 0;
            }
            emitted.new += 1;
            emitted.newest = emitted.newest.max(record.first().map(|draft| draft.time));
            drafts += record.len();
            batch.push(record);
        }
        index.write(emitter, batch).await?;
        index.drop_old(since);
        Ok(emitted)
    }
}

impl DigestIndex {
    /// Reads the trail back to `oldest`, if that is before `from`.
    async fn extend_to(&mut self, trail: &Trail, oldest: Timestamp) -> Result<(), ReadError> {
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
                self.insert(event.time, digest);
            }
        }
        self.from = oldest;
        Ok(())
    }

    /// Writes a batch; one that is too large for one append is split in halves.
    async fn write(&mut self, emitter: &Emitter, records: Vec<RecordDrafts>) -> Result<(), AppendError> {
        let mut parts = vec![records];
        while let Some(mut records) = parts.pop() {
            match emitter.emit_all(records.iter().flatten().cloned().collect()).await {
                Ok(_) => self.insert_all(&records),
                Err(AppendError::TooLarge { .. }) if records.len() > 1 => {
                    let second = records.split_off(records.len() / 2);
                    parts.extend([second, records]);
                }
                Err(AppendError::TooLarge { .. }) => {
                    // The texts first: after a crash before the record itself, the record is not in the index, and it
                    // is written again completely.
                    let drafts: Vec<Draft> = records.iter().flatten().rev().cloned().collect();
                    for some in drafts.chunks(LONG) {
                        emitter.emit_all(some.to_vec()).await?;
                    }
                    self.insert_all(&records);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn insert_all(&mut self, records: &[RecordDrafts]) {
        for record in records {
            if let (Some(first), Some(digest)) = (record.first(), digest_of(record)) {
                self.insert(first.time, digest);
            }
        }
    }

    fn insert(&mut self, time: Timestamp, digest: Digest) {
        if self.digests.insert(digest) {
            self.by_time.insert((time, digest));
        }
    }

    /// Drops digests older than [`RETENTION`] before the newest, except those after `since`: a window that is fetched in
    /// several calls must not be read from the trail again for each. Dropped digests are read again when needed.
    fn drop_old(&mut self, since: Option<Timestamp>) {
        let Some((newest, _)) = self.by_time.last().copied() else { return };
        let oldest = newest.min(Timestamp::now()).before(RETENTION);
        let oldest = since.map_or(oldest, |since| oldest.min(since.before(MARGIN)));
        while let Some((time, digest)) = self.by_time.first().copied() {
            if time >= oldest && self.digests.len() <= MAX_DIGESTS {
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

/// The digest of an audit record or a webhook's event. The digests of other changes mean something else.
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
