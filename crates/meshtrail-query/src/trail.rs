//! Queries of a trail.

use meshtrail_event::Timestamp;
use meshtrail_trail::segment::{ColumnTest, Predicate};
use meshtrail_trail::{Exemption, ReadError, Scan, Trail};

use crate::filter::Filter;
use crate::hints::ScanHints;
use crate::page::{Order, Page, PageRequest, page_of};
use crate::requirement::{RequiredColumn, Requirement};

/// A page of the trail's leaves that match the filter.
pub async fn query(trail: &Trail, filter: &Filter, request: &PageRequest) -> Result<Page, ReadError> {
    query_with(trail, filter, request, LateKnowledge { apply: |_: &[u8]| None, events: None }).await
}

/// What became known of events after they were written.
pub struct LateKnowledge<A> {
    /// Returns the version of a leaf with what is known now; none if nothing became known.
    pub apply: A,
    /// The events of which something became known; none if there are no such events.
    pub events: Option<Exemption>,
}

/// Like [`query`], but a leaf matches in the version that was written or in the one with later knowledge.
pub async fn query_with(
    trail: &Trail,
    filter: &Filter,
    request: &PageRequest,
    late: LateKnowledge<impl Fn(&[u8]) -> Option<Vec<u8>>>,
) -> Result<Page, ReadError> {
    let hints = filter.scan_hints();
    let LateKnowledge { apply, events } = late;
    let fits = |leaf: &[u8]| filter.matches(leaf) || apply(leaf).is_some_and(|late| filter.matches(&late));
    let whole = Scan { exemption: events, ..scan(&hints) };
    page_of(fits, request, trail.size(), |indexes, order| {
        let newest_first = order == Order::Newest;
        trail.scan(Scan { indexes, newest_first, ..whole.clone() })
    })
    .await
}

/// The scan of all events with these hints. Its clones share the results of tests.
pub(crate) fn scan(hints: &ScanHints) -> Scan {
    let test = |required: &RequiredColumn| {
        let accepted = required.clone();
        let test = ColumnTest::new(required.column, move |value| accepted.accepts(value));
        match required.prefixes() {
            Some(prefixes) => test.with_prefixes(prefixes),
            None => test,
        }
    };
    let predicate =
        |required: &Requirement| Predicate { any_of: required.columns.iter().map(test).collect() };
    let times = (hints.since.is_some() || hints.until.is_some()).then(|| {
        let end = Timestamp::from_nanos(i64::MAX);
        (hints.since.unwrap_or_default(), hints.until.unwrap_or(end))
    });
    Scan {
        families: hints.families.clone(),
        times,
        predicates: hints.required.iter().map(predicate).collect(),
        ..Scan::newest(0..u64::MAX)
    }
}
