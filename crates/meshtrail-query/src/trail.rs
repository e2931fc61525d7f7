//! How a filter reads a trail.

use std::ops::Range;
use std::sync::Arc;

use meshtrail_event::Timestamp;
use meshtrail_trail::segment::Predicate;
use meshtrail_trail::{ReadError, Scan, Trail};

use crate::filter::Filter;
use crate::hints::ScanHints;
use crate::page::{Ask, Order, Page, page_of};

/// A page of the trail's leaves that the filter lets through.
pub async fn query(trail: &Trail, filter: &Filter, ask: &Ask) -> Result<Page, ReadError> {
    query_with(trail, filter, ask, |_| None).await
}

/// Like [`query`], where `best` tells of some leaves how they would be had all been known when they were written: a
/// leaf is let through by either form.
pub async fn query_with(
    trail: &Trail,
    filter: &Filter,
    ask: &Ask,
    best: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Result<Page, ReadError> {
    let hints = filter.scan_hints();
    let fits = |leaf: &[u8]| filter.matches(leaf) || best(leaf).is_some_and(|best| filter.matches(&best));
    page_of(fits, ask, trail.size(), |indexes, order| trail.scan(scan(&hints, indexes, order))).await
}

/// The scan that these hints leave of `indexes`.
pub(crate) fn scan(hints: &ScanHints, indexes: Range<u64>, order: Order) -> Scan {
    let predicate = |needed: &crate::Needed| {
        let (column, needed) = (needed.column.to_owned(), needed.clone());
        Predicate { column, accepts: Arc::new(move |value: &str| needed.accepts(value)) }
    };
    let times = (hints.since.is_some() || hints.until.is_some()).then(|| {
        let end = Timestamp::from_nanos(i64::MAX);
        (hints.since.unwrap_or_default(), hints.until.unwrap_or(end))
    });
    Scan {
        families: hints.families.clone(),
        indexes,
        times,
        predicates: hints.needed.iter().map(predicate).collect(),
        newest_first: order == Order::Newest,
    }
}
