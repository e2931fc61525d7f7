//! Counting matching events: from summaries where these are exact, else from leaves.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use meshtrail_event::Timestamp;
use meshtrail_trail::{ReadError, Scan, Trail};

use super::summary::{Fit, SLOT, Summary};
use super::{Tally, time};
use crate::filter::Filter;
use crate::matching::Subject;

/// Indexes that are scanned at a time; the clock is checked between them.
const WINDOW: u64 = 1 << 18;

/// Leaves after which the task yields and checks the clock.
const YIELD_EVERY: u64 = 256;

/// A query for counts.
#[derive(Clone, Copy, Debug)]
pub struct CountQuery<'a> {
    /// The events to count.
    pub filter: &'a Filter,
    /// The width of a time slot, in seconds.
    pub width: u32,
    /// Whether to count values of facets, besides times, kinds and outcomes.
    pub facets: bool,
    /// The approximate time limit.
    pub budget: Duration,
}

/// The result of counting.
#[derive(Clone, Debug)]
pub struct CountResult {
    /// The counts of matching events.
    pub tally: Tally,
    /// Events that were counted from leaves, summaries or a segment's statistics.
    pub looked_at: u64,
    /// The number of all events.
    pub of: u64,
}

impl CountResult {
    /// Whether the count is complete.
    pub fn is_whole(&self) -> bool {
        self.looked_at == self.of
    }
}

/// A range whose leaves must be read, possibly only in some time slots.
struct ReadJob {
    indexes: Range<u64>,
    slots: Option<Vec<i64>>,
}

/// Counts the trail's events from index `first` on, the newest first.
pub async fn count(
    trail: &Trail,
    first: u64,
    summaries: &[Arc<Summary>],
    query: &CountQuery<'_>,
) -> Result<CountResult, ReadError> {
    let until = Instant::now() + query.budget;
    let size = trail.size();
    let mut tally = Tally::new(query.width, query.facets);
    let of = size.saturating_sub(first);
    let (mut to_read, mut looked_at) = (Vec::new(), 0);
    let bounds = query.filter.time_bounds().filter(|_| query.width.is_multiple_of(SLOT));
    let mut end = size;
    for summary in newest_first(summaries, size).filter(|_| bounds.is_some()) {
        let range = summary.range();
        if range.start < first || range.end > end {
            continue;
        }
        to_read.push(ReadJob { indexes: range.end..end, slots: None });
        match summary.add_to(&mut tally, query.filter, bounds.as_deref().unwrap_or_default()) {
            Fit::Counted { cut } => {
                looked_at += range.end - range.start;
                if !cut.is_empty() {
                    to_read.push(ReadJob { indexes: range.clone(), slots: Some(cut) });
                }
            }
            Fit::Read => to_read.push(ReadJob { indexes: range.clone(), slots: None }),
        }
        end = range.start;
    }
    to_read.push(ReadJob { indexes: first.min(end)..end, slots: None });
    for part in to_read.into_iter().filter(|part| !part.indexes.is_empty()) {
        let read = read(trail, query.filter, &part, &mut tally, until).await?;
        // Counted by the summary already, except for the events of slots at a bound.
        looked_at = match (&part.slots, read.whole) {
            (None, _) => looked_at + read.covered,
            (Some(_), true) => looked_at,
            (Some(_), false) => looked_at.saturating_sub(1),
        };
        if !read.whole {
            break;
        }
    }
    Ok(CountResult { tally, looked_at, of })
}

fn newest_first(summaries: &[Arc<Summary>], size: u64) -> impl Iterator<Item = &Arc<Summary>> {
    let mut sorted: Vec<&Arc<Summary>> = summaries.iter().filter(|one| one.range().end <= size).collect();
    sorted.sort_unstable_by_key(|one| std::cmp::Reverse(one.range().start));
    sorted.into_iter()
}

/// The progress of reading a range.
struct ReadResult {
    covered: u64,
    whole: bool,
}

async fn read(
    trail: &Trail,
    filter: &Filter,
    part: &ReadJob,
    tally: &mut Tally,
    until: Instant,
) -> Result<ReadResult, ReadError> {
    let whole = crate::trail::scan(&filter.scan_hints());
    let mut left = part.indexes.clone();
    let all = left.end - left.start;
    let mut turn = 0;
    while !left.is_empty() {
        let window = left.end.saturating_sub(WINDOW).max(left.start)..left.end;
        let mut scan = Scan { indexes: window.clone(), ..whole.clone() };
        narrow_scan(&mut scan, part.slots.as_deref());
        let mut leaves = std::pin::pin!(trail.scan(scan));
        while let Some(leaf) = leaves.next().await {
            let (index, leaf) = leaf?;
            left.end = index;
            if let Some(subject) = Subject::new(&leaf, true)
                && in_slots(&subject, part.slots.as_deref())
                && filter.matches_subject(&subject)
            {
                tally.add_leaf(subject.leaf());
            }
            turn += 1;
            if turn % YIELD_EVERY == 0 {
                if Instant::now() >= until {
                    return Ok(ReadResult { covered: all - (left.end - left.start), whole: left.is_empty() });
                }
                tokio::task::yield_now().await;
            }
        }
        left.end = window.start;
        if Instant::now() >= until && !left.is_empty() {
            return Ok(ReadResult { covered: all - (left.end - left.start), whole: false });
        }
    }
    Ok(ReadResult { covered: all, whole: true })
}

/// Restricts the scan to the times of these slots.
fn narrow_scan(scan: &mut Scan, slots: Option<&[i64]>) {
    let Some((first, last)) = slots.and_then(|slots| Some((*slots.iter().min()?, *slots.iter().max()?)))
    else {
        return;
    };
    let at = |seconds: i64| Timestamp::from_seconds(seconds).unwrap_or_default();
    let (from, to) = (at(first), at(last.saturating_add(i64::from(SLOT))));
    scan.times = Some(match scan.times {
        Some((since, until)) => (since.max(from), until.min(to)),
        None => (from, to),
    });
}

fn in_slots(subject: &Subject<'_>, slots: Option<&[i64]>) -> bool {
    let Some(slots) = slots else { return true };
    let at = time(subject.leaf()).map_or(0, Timestamp::as_seconds);
    slots.contains(&(at.div_euclid(i64::from(SLOT)) * i64::from(SLOT)))
}

/// Adds the events with an index in `indexes` to `tally`. It pauses regularly for as long as it has worked, so that other
/// work is not delayed.
pub async fn summarise(trail: &Trail, indexes: Range<u64>, tally: &mut Tally) -> Result<(), ReadError> {
    const REST_AFTER: u64 = 2048;
    let mut leaves = std::pin::pin!(trail.scan(Scan::oldest(indexes)));
    let (mut done, mut since) = (0u64, Instant::now());
    while let Some(leaf) = leaves.next().await {
        tally.add(&leaf?.1);
        done += 1;
        if done.is_multiple_of(REST_AFTER) {
            tokio::time::sleep(since.elapsed()).await;
            since = Instant::now();
        }
    }
    Ok(())
}
