//! The sealer thread: turns complete log files into segments, tiles, a manifest and a checkpoint.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use meshtrail_event::{Event, EventId, Family, SourceName, Timestamp};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::error::SealError;
use super::log_index::ClosedFile;
use super::seal_range::SealRange;
use super::shared::{Access, SealedState, Shared};
use super::writer::Message;
use crate::dedupe::Dedupe;
use crate::fault::{Moment, Step};
use crate::manifest::{self, Fold, MAX_SOURCES, ManifestChange, Put, PutNextError, SequenceSpan};
use crate::note::Checkpoint;
use crate::retention;
use crate::segment::{self, encode};
use crate::store::{GetError, Key, PutError, Store, StoreLocation};
use crate::tree::{Hash, TILE_WIDTH, Tail, TileId};
use crate::wal::{Entry, WalError, replay_bytes};

/// How often the sealer checks whether a seal is due.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

pub(super) struct Sealer {
    shared: Arc<Shared>,
    fold: Fold,
    /// The sequences received from each source, up to the sealed events.
    dedupe: Dedupe,
    runtime: Handle,
    /// Events to leave out of the next segment, because a crash left a file with one of its names.
    shorten: u64,
    /// The range of the segment that is being written.
    range: SealRange,
}

/// The log files to seal next.
struct SealJob {
    files: Vec<ClosedFile>,
    end: u64,
}

/// Leaves by family, borrowed from the log's bytes.
type RowsByFamily<'a> = BTreeMap<Family, FamilyRows<'a>>;

#[derive(Default)]
struct FamilyRows<'a> {
    rows: Vec<(u64, &'a [u8])>,
    sources: BTreeMap<SourceName, Vec<SequenceSpan>>,
}

impl<'a> FamilyRows<'a> {
    fn push(&mut self, entry: &Entry<'a>) {
        let Entry { index, id, leaf, .. } = entry;
        self.rows.push((*index, leaf));
        if !self.sources.contains_key(&id.source) {
            self.sources.insert(id.source.clone(), Vec::new());
        }
        let spans = self.sources.get_mut(&id.source).expect("just made sure of");
        match spans.iter_mut().find(|span| span.epoch == id.epoch) {
            Some(span) => {
                span.first = span.first.min(id.sequence);
                span.last = span.last.max(id.sequence);
            }
            None => {
                spans.push(SequenceSpan { epoch: id.epoch, first: id.sequence, last: id.sequence });
                spans.sort_unstable_by_key(|span| span.epoch);
            }
        }
    }
}

impl Sealer {
    pub(super) fn new(shared: Arc<Shared>, fold: Fold, runtime: Handle, range: SealRange) -> Self {
        let dedupe = Dedupe::new(fold.dedupe());
        Self { shared, fold, dedupe, runtime, shorten: 0, range }
    }

    pub(super) fn run(mut self, writer: JoinHandle<()>) {
        let mut writer = Some(writer);
        let mut pause = CHECK_INTERVAL;
        let mut swept: Option<Instant> = None;
        if let Err(error) = self.sign_sealed() {
            self.report(&error, "the next seal signs what counts by then");
        }
        loop {
            let (closing, overdue) = self.wait(pause);
            if closing {
                self.stop_writer(writer.take());
                if !self.must_ship() {
                    return;
                }
            }
            if (overdue || closing) && !self.rotate(closing) {
                return;
            }
            pause = match self.seal_due(overdue || closing) {
                Ok(()) => CHECK_INTERVAL,
                Err(error) if closing => {
                    return self.report(&error, "gave up, because the server is stopping");
                }
                Err(SealError::Manifest(PutNextError::SecondWriter { key })) => {
                    let reason =
                        format!("{key} was written by another server: two servers write to this trail");
                    return self.shared.stop(&reason);
                }
                Err(error) => {
                    let again = (pause * 2).clamp(CHECK_INTERVAL, LONGEST_PAUSE);
                    self.report(&error, "events stay in the local log; trying again");
                    again
                }
            };
            if closing {
                return;
            }
            if swept.is_none_or(|at| at.elapsed() >= SWEEP_INTERVAL) {
                self.sweep();
                swept = Some(Instant::now());
            }
        }
    }

    /// Stops the writer after its queued batches, and waits for it.
    fn stop_writer(&self, writer: Option<JoinHandle<()>>) {
        if let Access::Write(writing) = &self.shared.access {
            // The writer may have ended already.
            drop(writing.queue.blocking_send(Message::Stop));
        }
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!(trail = self.shared.config.name, "the writer ended in a panic");
        }
    }

    /// Whether events in the log must be shipped to a bucket.
    fn must_ship(&self) -> bool {
        matches!(self.shared.store.facts().location, StoreLocation::Bucket { .. })
    }

    /// Waits until a seal may be due; returns whether the trail is closing, and whether the oldest event is overdue.
    fn wait(&self, pause: Duration) -> (bool, bool) {
        let edge = self.shared.edge();
        let waited = if edge.closing || (pause == CHECK_INTERVAL && self.is_due(&edge.closed)) {
            edge
        } else {
            self.shared.wakeup.wait_timeout(edge, pause).unwrap_or_else(PoisonError::into_inner).0
        };
        let age =
            if self.must_ship() { self.shared.config.ship_every } else { self.shared.config.segment_age };
        let now = Timestamp::now();
        let overdue =
            waited.log_index.since.is_some_and(|since| now.since(since) >= age || since.date() != now.date());
        (waited.closing, overdue)
    }

    fn is_due<'a>(&self, closed: impl IntoIterator<Item = &'a ClosedFile>) -> bool {
        let (mut events, mut bytes) = (0, 0);
        closed.into_iter().any(|file| {
            events += file.end - file.first;
            bytes += file.bytes;
            events >= self.shared.config.segment_events || bytes >= self.shared.config.segment_bytes
        })
    }

    /// Has the writer close its current file; false if it has ended for another reason than closing.
    fn rotate(&self, closing: bool) -> bool {
        if closing {
            // The writer closed its file when it ended.
            return true;
        }
        let Access::Write(writing) = &self.shared.access else { return false };
        self.shared.edge().rotating = true;
        self.shared.wakeup.notify_all();
        let (done, closed) = oneshot::channel();
        let rotated = match writing.queue.blocking_send(Message::Rotate(done)) {
            Ok(()) => closed.blocking_recv().is_ok(),
            Err(_) => false,
        };
        let mut edge = self.shared.edge();
        edge.rotating = false;
        rotated || edge.closing
    }

    fn seal_due(&mut self, all: bool) -> Result<(), SealError> {
        while let Some(due) = self.next_job(all) {
            self.seal(&due)?;
        }
        Ok(())
    }

    fn next_job(&self, all: bool) -> Option<SealJob> {
        let edge = self.shared.edge();
        if let Some(job) = self.interrupted_job(&edge.closed) {
            return Some(job);
        }
        if edge.closed.is_empty() || (!all && !self.is_due(&edge.closed)) {
            return None;
        }
        let mut files: Vec<ClosedFile> = Vec::new();
        for file in &edge.closed {
            files.push(file.clone());
            if self.is_due(&files) {
                break;
            }
        }
        let end = files.last()?.end.saturating_sub(self.shorten).max(self.fold.size() + 1);
        Some(SealJob { files, end })
    }

    /// A segment that was begun, and is not in a manifest yet.
    fn interrupted_job<'a>(&self, closed: impl IntoIterator<Item = &'a ClosedFile>) -> Option<SealJob> {
        let first = self.fold.size();
        let end = self.range.end_from(first)?;
        let files: Vec<ClosedFile> =
            closed.into_iter().take_while(|file| file.first < end).cloned().collect();
        let is_whole = files.last().is_some_and(|file| file.end >= end);
        is_whole.then(|| SealJob { files, end: end.saturating_sub(self.shorten).max(first + 1) })
    }

    fn seal(&mut self, due: &SealJob) -> Result<(), SealError> {
        let (first, end) = (self.fold.size(), due.end);
        if end > first && files_end(due) > first {
            let logs: Result<Vec<_>, SealError> = due.files.iter().map(read).collect();
            let logs = logs?;
            let families = self.gather(due, &logs, first, end)?;
            let sealed = Timestamp::now();
            self.range.keep(first, end).map_err(SealError::Range)?;
            // A crash while segment files are written leaves some that no manifest names. The next start seals the same
            // range again from the log: equal files are reused; if one has other contents (another version wrote it), the segment is made
            // one event shorter and so gets other names.
            let files = self.put_segments(families, first, end)?;
            // A crash here leaves tiles that no manifest covers: any later tree has the same ones.
            let subtrees = self.put_tiles(first, end)?;
            let dedupe = self.dedupe.take_changed();
            let segment = manifest::Segment { files, first, last: end - 1, sealed, subtrees };
            let change = ManifestChange { sealed: vec![segment], dedupe, retired: None };
            // A crash before the manifest leaves all of the above without effect. Once the manifest exists, the segment
            // counts, and the log has only a copy.
            let Shared { store, root, .. } = &*self.shared;
            let Access::Write(writing) = &self.shared.access else { return Ok(()) };
            self.check(Step::PutManifest, Moment::Before)?;
            let put = manifest::put_next(store, root, &writing.key, &mut self.fold, change, sealed);
            let put = self.runtime.block_on(put)?;
            self.check(Step::PutManifest, Moment::After)?;
            if put == Put::Earlier {
                // An attempt thought to have failed had succeeded; the next job begins after it.
                return Ok(());
            }
        }
        // A crash here leaves an older checkpoint, or none after a trail's first seal. The next start signs again.
        self.put_checkpoint()?;
        // A crash here leaves log files whose events are all sealed: replay removes them.
        self.publish();
        self.shorten = 0;
        Ok(())
    }

    /// Reads the events `first..end` from the log.
    fn gather<'a>(
        &mut self,
        due: &SealJob,
        logs: &'a [Vec<u8>],
        first: u64,
        end: u64,
    ) -> Result<RowsByFamily<'a>, SealError> {
        let (mut families, mut next) = (RowsByFamily::new(), first);
        let dedupe = &mut self.dedupe;
        for (closed, bytes) in due.files.iter().zip(logs) {
            replay_bytes(closed.generation, &closed.path, bytes, &mut |batch| {
                let wanted = || batch.entries.iter().filter(|entry| (first..end).contains(&entry.index));
                for entry in wanted() {
                    // Indexes within a file have no gaps; gaps between files are detected here.
                    if entry.index != next {
                        let (path, found) = (closed.path.clone(), entry.index);
                        return Err(WalError::Gap { path, expected: next, found });
                    }
                    next += 1;
                    families.entry(entry.family).or_default().push(entry);
                }
                let ids: Vec<&EventId> = wanted().map(|entry| &entry.id).collect();
                let remembered = dedupe.record(ids.into_iter());
                let (path, offset) = (closed.path.clone(), batch.at);
                let what = "its sequences contradict those before";
                remembered.map(drop).map_err(|_| WalError::Damaged { path, offset, what })
            })?;
        }
        if next == end { Ok(families) } else { Err(SealError::Incomplete) }
    }

    fn put_segments(
        &mut self,
        families: RowsByFamily<'_>,
        first: u64,
        end: u64,
    ) -> Result<Vec<manifest::SegmentFile>, SealError> {
        let earliest =
            families.values().filter_map(|of_family| of_family.rows.first()).min_by_key(|row| row.0);
        let received = earliest.and_then(|(_, leaf)| Event::from_json(leaf).ok()).map(|event| event.received);
        let (year, month, day) = received.unwrap_or_else(Timestamp::now).date();
        let mut files = Vec::new();
        for (family, FamilyRows { rows, sources }) in families {
            let path = format!(
                "segments/family={family}/date={year:04}-{month:02}-{day:02}/{first:012}-{:012}.parquet",
                end - 1
            );
            let encoded = encode(family, &self.shared.config.name, &rows)?;
            let file = segment_file(family, path, &encoded, sources);
            let key = self.shared.key(&file.path);
            match self.put_same(Step::PutSegment, &key, encoded.bytes.into()) {
                Err(SealError::Conflict { key }) => {
                    self.shorten += 1;
                    return Err(SealError::Conflict { key });
                }
                put => put?,
            }
            files.push(file);
        }
        Ok(files)
    }

    fn put_tiles(&self, first: u64, end: u64) -> Result<Vec<Hash>, SealError> {
        let (tiles, subtrees, leaf_tiles) = {
            let edge = self.shared.edge();
            let full = (first / TILE_WIDTH as u64)..(end / TILE_WIDTH as u64);
            let leaf_tiles: Vec<_> =
                full.filter_map(|index| Some((index, edge.tail.tile(TileId::full(0, index))?))).collect();
            (tiles_of(&edge.tail, first, end), manifest::subtrees_of(&edge.tail, first, end), leaf_tiles)
        };
        leaf_tiles.iter().for_each(|(index, hashes)| self.shared.level0.put(*index, hashes));
        let (Some(tiles), Some(subtrees)) = (tiles, subtrees) else { return Err(SealError::Incomplete) };
        for (tile, bytes) in tiles {
            self.put_same(Step::PutTile, &self.shared.key(&tile.to_string()), bytes)?;
        }
        Ok(subtrees)
    }

    /// Puts an object that may exist already with the same contents.
    fn put_same(&self, step: Step, key: &Key, bytes: Bytes) -> Result<(), SealError> {
        let store = &self.shared.store;
        self.check(step, Moment::Before)?;
        let put = self.put_or_compare(store, key, bytes);
        self.check(step, Moment::After)?;
        put
    }

    fn put_or_compare(&self, store: &Store, key: &Key, bytes: Bytes) -> Result<(), SealError> {
        match self.runtime.block_on(store.put_new(key, bytes.clone())) {
            Ok(()) => Ok(()),
            Err(PutError::Exists { .. }) => {
                let there = self.runtime.block_on(store.get(key));
                let there = there.map_err(|source| SealError::ReadBack { key: key.clone(), source })?;
                if there == bytes { Ok(()) } else { Err(SealError::Conflict { key: key.clone() }) }
            }
            Err(source) => Err(SealError::Put { key: key.clone(), source }),
        }
    }

    fn check(&self, step: Step, moment: Moment) -> Result<(), SealError> {
        self.shared.config.faults.check(step, moment).map_err(SealError::OnPurpose)
    }

    /// Repairs a crash between a manifest and its checkpoint, because without events to seal no seal would.
    fn sign_sealed(&self) -> Result<(), SealError> {
        let key = self.shared.key("checkpoint");
        let older = match self.runtime.block_on(self.shared.store.get(&key)) {
            // An unreadable checkpoint, or one beyond the manifests, is evidence: it stays for `verify` until the next
            // seal. The start has logged a warning.
            Ok(note) => {
                Checkpoint::parse_unverified(&note).is_ok_and(|signed| signed.size < self.fold.size())
            }
            Err(GetError::Missing { .. }) => true,
            Err(source) => return Err(SealError::ReadBack { key, source }),
        };
        if older { self.put_checkpoint() } else { Ok(()) }
    }

    fn put_checkpoint(&self) -> Result<(), SealError> {
        let Access::Write(writing) = &self.shared.access else { return Ok(()) };
        let head = self.fold.tree();
        if head.size == 0 {
            return Ok(());
        }
        let signed = writing.key.sign(head.size, head.root);
        let key = self.shared.key("checkpoint");
        self.check(Step::ReplaceCheckpoint, Moment::Before)?;
        self.runtime.block_on(self.shared.store.replace(&key, signed.note.into()))?;
        self.check(Step::ReplaceCheckpoint, Moment::After)
    }

    /// Switches readers to the segments, and releases what only the log needed.
    fn publish(&self) {
        let sealed = SealedState::of(&self.fold);
        let size = sealed.size;
        *self.shared.sealed.write().unwrap_or_else(PoisonError::into_inner) = sealed;
        let mut edge = self.shared.edge();
        edge.tail.forget_before(size);
        edge.log_index.forget_before(size, Timestamp::now());
        let mut done = Vec::new();
        while edge.closed.front().is_some_and(|closed| closed.end <= size) {
            done.extend(edge.closed.pop_front());
        }
        drop(edge);
        self.shared.wakeup.notify_all();
        for closed in done {
            let removed =
                self.shared.config.faults.around(Step::WalDelete, || std::fs::remove_file(&closed.path));
            if let Err(error) = removed {
                let path = closed.path.display().to_string();
                tracing::warn!(path, %error, "a log file that is no longer needed could not be removed");
            }
        }
    }

    fn sweep(&mut self) {
        let Some(keep) = self.shared.config.retention else { return };
        let Shared { store, root, .. } = &*self.shared;
        let Access::Write(writing) = &self.shared.access else { return };
        let sweep = retention::sweep(store, root, &writing.key, &mut self.fold, keep, Timestamp::now());
        let swept = self.runtime.block_on(sweep);
        match swept {
            Ok(swept) if swept.events > 0 => {
                tracing::info!(
                    events = swept.events,
                    segments = swept.segments,
                    "retention dropped segments"
                );
                self.publish();
            }
            Ok(_) => {}
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "retention did not come to its end; trying again later");
            }
        }
    }

    fn report(&self, error: &SealError, what: &str) {
        let error: &dyn std::error::Error = error;
        tracing::warn!(trail = self.shared.config.name, error, "sealing failed: {what}");
    }
}

fn read(closed: &ClosedFile) -> Result<Vec<u8>, SealError> {
    Ok(std::fs::read(&closed.path).map_err(WalError::disk("read", &closed.path))?)
}

fn files_end(due: &SealJob) -> u64 {
    due.files.last().map_or(0, |file| file.end)
}

fn segment_file(
    family: Family,
    path: String,
    encoded: &segment::EncodedSegment,
    sources: BTreeMap<SourceName, Vec<SequenceSpan>>,
) -> manifest::SegmentFile {
    let times = encoded.times.map_or((Timestamp::default(), Timestamp::default()), |times| times);
    manifest::SegmentFile {
        bytes: encoded.bytes.len() as u64,
        family,
        first: encoded.indexes.0,
        last: encoded.indexes.1,
        path,
        rows: encoded.rows as u64,
        sha256: Hash::of(&encoded.bytes),
        sources: (sources.len() <= MAX_SOURCES).then(|| sources.into()),
        times: manifest::TimeSpan { max: times.1, min: times.0 },
    }
}

/// The tiles that sealing `first..end` adds: full ones from level 1 up, and partial ones at the end.
fn tiles_of(tail: &Tail, first: u64, end: u64) -> Option<Vec<(TileId, Bytes)>> {
    let full = (1..8u8).flat_map(|level| {
        let tiles = move |size: u64| (size >> (8 * u32::from(level))) >> 8;
        (tiles(first)..tiles(end)).map(move |index| TileId::full(level, index))
    });
    full.chain(TileId::partial(end)).map(|tile| Some((tile, tile_bytes(&tail.tile(tile)?)))).collect()
}

pub(super) fn tile_bytes(hashes: &[Hash]) -> Bytes {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect::<Vec<u8>>().into()
}
