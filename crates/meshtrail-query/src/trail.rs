//! Queries of a trail.

use std::ops::Range;
use std::sync::Arc;

use meshtrail_event::Timestamp;
use meshtrail_trail::segment::Predicate;
use meshtrail_trail::{ReadError, Scan, Trail};

use crate::filter::Filter;
use crate::hints::ScanHints;
use crate::page::{Order, Page, PageRequest, page_of};

/// A page of the trail's leaves that match the filter.
pub async fn query(trail: &Trail, filter: &Filter, request: &PageRequest) -> Result<Page, ReadError> {
    query_with(trail, filter, request, |_| None).await
}

/// Like [`query`], but `best` returns for some leaves a version with identities that were learned later: a leaf matches in
/// either version.
pub async fn query_with(
    trail: &Trail,
    filter: &Filter,
    request: &PageRequest,
    best: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Result<Page, ReadError> {
    let hints = filter.scan_hints();
    let fits = |leaf: &[u8]| filter.matches(leaf) || best(leaf).is_some_and(|best| filter.matches(&best));
    page_of(fits, request, trail.size(), |indexes, order| trail.scan(scan(&hints, indexes, order))).await
}

/// The scan of `indexes` with these hints.
pub(crate) fn scan(hints: &ScanHints, indexes: Range<u64>, order: Order) -> Scan {
    let predicate = |required: &crate::RequiredColumn| {
        let (column, required) = (required.column.to_owned(), required.clone());
        Predicate { column, accepts: Arc::new(move |value: &str| required.accepts(value)) }
    };
    let times = (hints.since.is_some() || hints.until.is_some()).then(|| {
        let end = Timestamp::from_nanos(i64::MAX);
        (hints.since.unwrap_or_default(), hints.until.unwrap_or(end))
    });
    Scan {
        families: hints.families.clone(),
        indexes,
        times,
        predicates: hints.required.iter().map(predicate).collect(),
        newest_first: order == Order::Newest,
    }
}
