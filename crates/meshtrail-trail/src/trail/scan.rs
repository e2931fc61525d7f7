//! Scans over a range of the trail, in either direction, over segments and the log.
//!
//! Segments whose families, times or indexes don't match are not opened, files without a matching value are skipped, pages
//! whose statistics don't match are not read.
//! The result is a stream that reads only as it is polled.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, stream};
use meshtrail_event::{Family, Timestamp};

use super::shared::Shared;
use super::{ReadError, Trail};
use crate::manifest::SegmentFile;
use crate::run_blocking;
use crate::segment::{ExemptEvents, Predicate, SegmentReader, Selection};

/// Commits of the log that are read at a time.
const COMMITS: usize = 16;

/// Which events to scan, and in which order.
///
/// Families and indexes are exact. Times and predicates only prune: the scan may return events that don't match them, but
/// never misses one that does.
#[derive(Clone)]
pub struct Scan {
    /// The families.
    pub families: Vec<Family>,
    /// The indexes.
    pub indexes: Range<u64>,
    /// The first and last time, inclusive.
    pub times: Option<(Timestamp, Timestamp)>,
    /// Predicates that must all hold.
    pub predicates: Vec<Predicate>,
    /// Events that match all predicates, whatever they contain.
    pub exemption: Option<Exemption>,
    /// Whether to scan from the highest index down.
    pub newest_first: bool,
}

/// Events that predicates must not exclude.
#[derive(Clone)]
pub struct Exemption {
    /// Whether one of them may be in a file.
    pub in_file: Arc<dyn Fn(&SegmentFile) -> bool + Send + Sync>,
    /// Whether an event is one of them.
    pub events: ExemptEvents,
}

impl Scan {
    /// All events with an index in `indexes`, the newest first.
    pub fn newest(indexes: Range<u64>) -> Self {
        let families = Family::ALL.to_vec();
        Self { families, indexes, times: None, predicates: Vec::new(), exemption: None, newest_first: true }
    }

    /// All events with an index in `indexes`, the oldest first.
    pub fn oldest(indexes: Range<u64>) -> Self {
        Self { newest_first: false, ..Self::newest(indexes) }
    }

    fn may_hold(&self, file: &SegmentFile, range: &Range<u64>) -> bool {
        let in_time = self.times.is_none_or(|(from, to)| file.times.max >= from && file.times.min <= to);
        in_time && self.families.contains(&file.family) && file.first < range.end && file.last >= range.start
    }
}

impl Trail {
    /// Scans the trail. Events that retention dropped are skipped.
    pub fn scan(&self, scan: Scan) -> impl Stream<Item = Result<(u64, Bytes), ReadError>> + Send + use<> {
        rows(self.shared.clone(), self.size(), scan)
    }
}

/// Scans the events before `end`.
pub(super) fn rows(
    shared: Arc<Shared>,
    end: u64,
    scan: Scan,
) -> impl Stream<Item = Result<(u64, Bytes), ReadError>> + Send + use<> {
    let remaining = scan.indexes.start..scan.indexes.end.min(end);
    let run = Run { shared, scan, remaining, ready: VecDeque::new(), merge: Vec::new() };
    stream::try_unfold(run, |mut run| async move { Ok(run.next().await?.map(|row| (row, run))) })
}

struct Run {
    shared: Arc<Shared>,
    scan: Scan,
    /// The indexes that were not read yet.
    remaining: Range<u64>,
    /// Rows from the log, in order.
    ready: VecDeque<(u64, Bytes)>,
    /// The files of the segment that is being read.
    merge: Vec<FileCursor>,
}

/// The position in one file of the segment being read.
struct FileCursor {
    reader: SegmentReader,
    selection: Selection,
    pages: VecDeque<usize>,
    rows: VecDeque<(u64, Bytes)>,
}

impl Run {
    async fn next(&mut self) -> Result<Option<(u64, Bytes)>, ReadError> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                return Ok(Some(row));
            }
            if let Some(row) = self.next_merged().await? {
                return Ok(Some(row));
            }
            if self.remaining.is_empty() {
                return Ok(None);
            }
            self.begin().await?;
        }
    }

    /// Starts the next segment, or the next commits of the log.
    async fn begin(&mut self) -> Result<(), ReadError> {
        let sealed = self.shared.sealed();
        self.remaining.start = self.remaining.start.max(sealed.retired_size());
        if self.remaining.is_empty() {
            return Ok(());
        }
        let index = if self.scan.newest_first { self.remaining.end - 1 } else { self.remaining.start };
        if index >= sealed.size {
            return self.begin_log(sealed.size).await;
        }
        let segment = sealed.segment_of(index).ok_or(ReadError::Missing { index })?;
        let range = self.remaining.start.max(segment.first)..self.remaining.end.min(segment.last + 1);
        for file in segment.files.iter().filter(|file| self.scan.may_hold(file, &range)) {
            let exemption = self.scan.exemption.as_ref().filter(|exemption| (exemption.in_file)(file));
            if exemption.is_none() && !self.shared.may_match(file, &self.scan.predicates).await? {
                continue;
            }
            let reader = self.shared.reader(file).await?;
            let selection = Selection {
                indexes: range.clone(),
                times: self.scan.times,
                predicates: self.scan.predicates.clone(),
                exempt: exemption.map(|exemption| exemption.events.clone()),
            };
            let pages = reader.pages(&selection).into();
            self.merge.push(FileCursor { reader, selection, pages, rows: VecDeque::new() });
        }
        self.done(&range);
        Ok(())
    }

    async fn begin_log(&mut self, sealed: u64) -> Result<(), ReadError> {
        let mut commits =
            self.shared.edge().log_index.between(self.remaining.start.max(sealed), self.remaining.end);
        match self.scan.newest_first {
            true => drop(commits.drain(..commits.len().saturating_sub(COMMITS))),
            false => commits.truncate(COMMITS),
        }
        let (Some(first), Some(last)) = (commits.first(), commits.last()) else {
            // Sealed meanwhile: the next attempt finds it in a segment.
            return Ok(());
        };
        let range = first.first.max(self.remaining.start)..last.end().min(self.remaining.end);
        let read = run_blocking(move || {
            commits.iter().map(super::log_index::Commit::read).collect::<Result<Vec<_>, ReadError>>()
        });
        let rows = match read.await {
            Ok(rows) => rows,
            // Its file was removed because it is sealed.
            Err(_) if self.shared.sealed().size > sealed => return Ok(()),
            Err(error) => return Err(error),
        };
        let wanted = rows.into_iter().flatten().filter_map(|(index, family, leaf)| {
            (range.contains(&index) && self.scan.families.contains(&family)).then_some((index, leaf))
        });
        self.ready = wanted.collect();
        if self.scan.newest_first {
            self.ready.make_contiguous().reverse();
        }
        self.done(&range);
        Ok(())
    }

    fn done(&mut self, range: &Range<u64>) {
        match self.scan.newest_first {
            true => self.remaining.end = range.start,
            false => self.remaining.start = range.end,
        }
    }

    /// The next row of the segment being read.
    async fn next_merged(&mut self) -> Result<Option<(u64, Bytes)>, ReadError> {
        let newest_first = self.scan.newest_first;
        for cursor in &mut self.merge {
            cursor.fill(newest_first).await?;
        }
        self.merge.retain(|cursor| !cursor.rows.is_empty());
        let heads = self.merge.iter_mut().filter_map(|cursor| Some((cursor.rows.front()?.0, cursor)));
        let next = match newest_first {
            true => heads.max_by_key(|(index, _)| *index),
            false => heads.min_by_key(|(index, _)| *index),
        };
        Ok(next.and_then(|(_, cursor)| cursor.rows.pop_front()))
    }
}

impl FileCursor {
    /// Reads pages until there is a row, or no page is left.
    async fn fill(&mut self, newest_first: bool) -> Result<(), ReadError> {
        while self.rows.is_empty() {
            let page = if newest_first { self.pages.pop_back() } else { self.pages.pop_front() };
            let Some(page) = page else { return Ok(()) };
            self.rows = self.reader.read_page(page, &self.selection).await?.into();
            if newest_first {
                self.rows.make_contiguous().reverse();
            }
        }
        Ok(())
    }
}
