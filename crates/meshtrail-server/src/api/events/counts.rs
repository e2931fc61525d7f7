//! Histograms and facets of events.
//!
//! A count is exact, or it covers the newest events only and says how many were read; it is never an estimate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use meshtrail_api::counts::{
    Bar, By, Extent, FacetValues, Facets, FacetsQuery, Histogram, HistogramQuery, Value,
};
use meshtrail_event::{Kind, Timestamp};
use meshtrail_query::Filter;
use meshtrail_query::tally::{CountQuery, CountResult, Facet, SLOT, Summary, Tally, count};
use meshtrail_trail::Trail;

use super::{check_limit, parse_filter, unreadable};
use crate::counts::Summaries;
use crate::extract::ValidQuery;
use crate::problem::Problem;

/// How long computing a response may take, about.
const BUDGET: Duration = Duration::from_secs(3);

/// The default and the largest number of bars of a histogram.
const BARS: usize = 96;
const MAX_BARS: usize = 400;

/// The default and the largest number of values of a facet.
const TOP: usize = 10;
const MAX_TOP: usize = 200;

/// The most events that are read one by one for bars shorter than a summary's slots.
const MAX_READ: u64 = 50_000;

/// The possible widths of a bar, in seconds.
const WIDTHS: &[i64] = &[
    1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800,
    604_800, 1_209_600, 2_419_200, 7_257_600, 31_536_000,
];

/// How many events a filter lets through, over time.
#[utoipa::path(get, path = "/api/v1/events/histogram", tag = "events", params(HistogramQuery),
    responses((status = 200, body = Histogram)))]
pub(crate) async fn histogram(
    State(trail): State<Trail>,
    State(summaries): State<Summaries>,
    ValidQuery(query): ValidQuery<HistogramQuery>,
) -> Result<Json<Histogram>, Problem> {
    let filter = parse_filter(query.q.as_deref())?;
    let bars = check_limit_of("bars", query.bars, BARS, MAX_BARS)?;
    let request = CountRequest { facets: false, budget: BUDGET, now: Timestamp::now() };
    let counts = Counts::compute(&trail, &summaries, &filter, &request).await?;
    Ok(Json(counts.histogram(bars, query.by.unwrap_or_default())))
}

/// The commonest values among the events that a filter lets through.
#[utoipa::path(get, path = "/api/v1/events/facets", tag = "events", params(FacetsQuery),
    responses((status = 200, body = Facets)))]
pub(crate) async fn facets(
    State(trail): State<Trail>,
    State(summaries): State<Summaries>,
    ValidQuery(query): ValidQuery<FacetsQuery>,
) -> Result<Json<Facets>, Problem> {
    let filter = parse_filter(query.q.as_deref())?;
    let top = check_limit_of("top", query.top, TOP, MAX_TOP)?;
    let request = CountRequest { facets: true, budget: BUDGET, now: Timestamp::now() };
    Ok(Json(Counts::compute(&trail, &summaries, &filter, &request).await?.facets(top)))
}

fn check_limit_of(
    field: &str,
    requested: Option<usize>,
    default: usize,
    max: usize,
) -> Result<usize, Problem> {
    check_limit(requested, default, max)
        .map_err(|_| Problem::bad_request(field, format!("ask for 1 to {max}")))
}

/// What to count, and how long counting may take.
pub(crate) struct CountRequest {
    pub(crate) facets: bool,
    pub(crate) budget: Duration,
    pub(crate) now: Timestamp,
}

/// Counts of the events that match a filter.
pub(crate) struct Counts {
    counted: CountResult,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    now: Timestamp,
}

impl Counts {
    pub(crate) async fn compute(
        trail: &Trail,
        summaries: &Summaries,
        filter: &Filter,
        request: &CountRequest,
    ) -> Result<Counts, Problem> {
        let summaries = summaries.all();
        let hints = filter.scan_hints();
        let until = hints.until.unwrap_or(request.now);
        let width = match hints.since.map(seconds).or_else(|| typical_start(&summaries)) {
            Some(since) => slot_width(seconds(until) - since),
            None => SLOT,
        };
        // Slots shorter than those of summaries require reading each event; over the whole trail that is done only while
        // it is short.
        let is_long = hints.since.is_none() && trail.size() > MAX_READ;
        let width = if is_long { width.max(SLOT) } else { width };
        let question = CountQuery { filter, width, facets: request.facets, budget: request.budget };
        let first = trail.snapshot().first();
        let counted = count(trail, first, &summaries, &question).await.map_err(|error| unreadable(&error))?;
        Ok(Counts { counted, since: hints.since, until: hints.until, now: request.now })
    }

    fn extent(&self) -> Extent {
        let CountResult { tally, looked_at, of } = &self.counted;
        Extent { matched: tally.events(), looked_at: *looked_at, of: *of, whole: self.counted.is_whole() }
    }

    /// A histogram of at most `bars` bars.
    pub(crate) fn histogram(&self, bars: usize, by: By) -> Histogram {
        let (from, to) = self.range();
        let width = bar_width(to - from, bars, self.counted.tally.width());
        let (from, to) = (from.div_euclid(width) * width, to.max(from + 1));
        let to = (to + width - 1).div_euclid(width) * width;
        let mut counts: BTreeMap<i64, BTreeMap<String, u64>> = BTreeMap::new();
        let mut outside = 0;
        for (slot, sort, events) in self.counted.tally.cells() {
            if !(from..to).contains(&slot) {
                outside += events;
                continue;
            }
            let part = match by {
                By::Family => Kind::from(&*sort.kind).family().to_string(),
                By::Outcome => sort.outcome.to_string(),
                By::Kind => sort.kind.to_string(),
            };
            *counts.entry(slot.div_euclid(width) * width).or_default().entry(part).or_default() += events;
        }
        let bars = counts.into_iter().map(|(slot, counts)| Bar { at: instant(slot), counts }).collect();
        let width = u64::try_from(width).unwrap_or(1);
        Histogram { from: instant(from), to: instant(to), width, bars, outside, extent: self.extent() }
    }

    /// The range to draw, in seconds: the filter's own, else the range of the events. The first 0.05 % of the events
    /// are left out if they are far from the others, so that a wrong clock does not compress the rest into one bar.
    fn range(&self) -> (i64, i64) {
        let mut slots: BTreeMap<i64, u64> = BTreeMap::new();
        for (slot, _, events) in self.counted.tally.cells() {
            *slots.entry(slot).or_default() += events;
        }
        let outliers = self.counted.tally.events() / 2000;
        let mut seen = 0;
        let past_outliers = |(_, events): &(&i64, &u64)| {
            seen += *events;
            seen > outliers
        };
        let first = slots.iter().find(past_outliers).map(|(slot, _)| *slot);
        let (earliest, last) = (slots.keys().next().copied(), slots.keys().last().copied());
        let end = self.until.map_or_else(|| seconds(self.now) + 1, seconds);
        let is_far = |first: i64, earliest: i64| end - earliest > 3 * (end - first).max(86_400);
        let from = match (self.since, first, earliest) {
            (Some(since), _, _) => seconds(since),
            (None, Some(first), Some(earliest)) if is_far(first, earliest) => first,
            (None, _, Some(earliest)) => earliest,
            _ => end - 3600,
        };
        // If the filter has no end, events of a clock that is ahead are drawn too, up to one day.
        let ahead = last.filter(|last| self.until.is_none() && *last >= end && *last < end + 86_400);
        (from.min(end - 1), ahead.map_or(end, |last| last + i64::from(SLOT)))
    }

    /// The most common values of each facet.
    pub(crate) fn facets(&self, top: usize) -> Facets {
        let facets = Facet::ALL.into_iter().filter_map(|facet| facet_values(&self.counted.tally, facet, top));
        Facets { facets: facets.collect(), extent: self.extent() }
    }
}

fn facet_values(tally: &Tally, facet: Facet, top: usize) -> Option<FacetValues> {
    let values = tally.values(facet)?;
    let shown: Vec<Value> =
        values.top(top).into_iter().map(|(value, count)| Value { value: value.to_owned(), count }).collect();
    Some(FacetValues {
        facet: facet.name().to_owned(),
        more: values.distinct() - shown.len(),
        values: shown,
        others: values.others(),
        without: values.without(),
    })
}

/// The smallest width of a bar, a multiple of `slot` seconds, with which `span` seconds fit into `bars` bars, and
/// perhaps part of one more.
fn bar_width(span: i64, bars: usize, slot: i64) -> i64 {
    let bars = i64::try_from(bars).unwrap_or(1).max(1);
    let fits = |width: &i64| span - 1 <= *width * bars && width % slot == 0;
    WIDTHS.iter().copied().find(fits).unwrap_or_else(|| (span / bars / slot + 1) * slot)
}

/// The width of the slots to count by for `span` seconds: as fine as the default number of bars needs, and no finer,
/// since a trail of years would have very many slots.
fn slot_width(span: i64) -> u32 {
    let width = bar_width(span, BARS, 1);
    let fine = |slot: &i64| *slot >= i64::from(SLOT) && *slot * 4 <= width && width % slot == 0;
    let slot = WIDTHS.iter().copied().rev().find(fine).unwrap_or(width.min(i64::from(SLOT)));
    u32::try_from(slot).unwrap_or(SLOT)
}

/// The time at which nearly all of the summaries start: the second percentile of their starts.
fn typical_start(summaries: &[Arc<Summary>]) -> Option<i64> {
    let mut firsts: Vec<i64> = summaries.iter().filter_map(|summary| summary.start()).collect();
    firsts.sort_unstable();
    firsts.get(firsts.len() / 50).copied()
}

fn seconds(at: Timestamp) -> i64 {
    at.as_seconds()
}

fn instant(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(times: &[(i64, u64)], since: Option<i64>, now: i64) -> Counts {
        let mut tally = Tally::new(1, false);
        for (at, events) in times {
            let leaf = serde_json::json!({ "kind": "ssh.login", "outcome": "denied", "time": instant(*at).to_string() });
            (0..*events).for_each(|_| assert!(tally.add(leaf.to_string().as_bytes())));
        }
        let counted = CountResult { looked_at: tally.events(), of: tally.events(), tally };
        Counts { counted, since: since.map(instant), until: None, now: instant(now) }
    }

    #[test]
    fn bars_are_whole_units_of_time_and_hold_every_event() {
        let histogram = counts(&[(1_000_000, 3), (1_000_900, 1), (1_003_599, 2)], None, 1_003_600)
            .histogram(60, By::Outcome);
        assert_eq!(histogram.width, 60);
        assert_eq!(histogram.from.as_seconds() % 60, 0);
        assert_eq!(histogram.bars.iter().map(|bar| bar.counts["denied"]).sum::<u64>(), 6);
        assert_eq!(histogram.outside, 0);
        assert!(histogram.extent.whole);
    }

    #[test]
    fn a_clock_that_was_wrong_once_does_not_press_a_year_into_one_bar() {
        let now = 1_800_000_000;
        let histogram =
            counts(&[(10, 1), (now - 7000, 1500), (now - 10, 1000)], None, now).histogram(96, By::Family);
        assert_eq!((histogram.outside, histogram.width), (1, 120));
        assert_eq!(histogram.bars[0].counts["login"], 1500);
    }

    #[test]
    fn without_events_there_is_still_a_range() {
        let histogram = counts(&[], Some(1_000_000), 1_086_400).histogram(96, By::Kind);
        assert_eq!((histogram.bars.len(), histogram.width), (0, 900));
        assert!(histogram.from < histogram.to);
    }
}
