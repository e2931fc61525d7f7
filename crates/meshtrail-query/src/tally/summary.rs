//! Summaries: cached counts of a range of the trail.
//!
//! A summary has counts by quarter of an hour, kind and outcome, and the most frequent values of each facet. It is computed
//! from leaves that never change, so it is never wrong, only missing; a deleted one is computed again.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Facet, KindOutcome, Tally};
use crate::filter::Filter;

/// The number of events of a whole summary, which begins at a multiple of it.
pub const SUMMARY_EVENTS: u64 = 1 << 17;

/// The width of a summary's time slot, in seconds.
pub const SLOT: u32 = 900;

/// Values of one facet in a summary, at most.
const MAX_TOP_VALUES: usize = 300;

/// The version of the format; summaries of other versions are computed again.
const VERSION: u32 = 1;

/// The counts of a range of the trail.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    version: u32,
    first: u64,
    end: u64,
    sorts: Vec<KindOutcome>,
    /// Time slot, index into `sorts`, number of events.
    cells: Vec<(i64, u16, u64)>,
    facets: Vec<Top>,
}

/// The most frequent values of a facet.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Top {
    facet: Facet,
    values: Vec<(Box<str>, u64)>,
    others: u64,
    without: u64,
}

/// Whether a summary could answer a filter.
pub(super) enum Fit {
    /// Its counts were added, except for the slots in `cut`, whose leaves must be read.
    Counted {
        /// The starts of the slots with a bound of the filter, in seconds.
        cut: Vec<i64>,
    },
    /// A bound of the filter lies within the range, and values have no counts by time: its leaves must be read.
    Read,
}

impl Summary {
    /// Creates the summary of the events with an index in `range`, from their tally.
    pub fn new(range: Range<u64>, tally: &Tally) -> Summary {
        let mut cells: Vec<(i64, u16, u64)> =
            tally.cells.iter().map(|(&(slot, sort), &count)| (slot, sort, count)).collect();
        cells.sort_unstable();
        let top = |facet: Facet| {
            let values = tally.values(facet)?;
            let top = values.top(MAX_TOP_VALUES);
            let rest = values.counts.values().sum::<u64>() - top.iter().map(|(_, count)| count).sum::<u64>();
            Some(Top {
                facet,
                values: top.into_iter().map(|(value, count)| (value.into(), count)).collect(),
                others: values.others + rest,
                without: values.without,
            })
        };
        let facets = Facet::ALL.into_iter().filter_map(top).collect();
        Summary {
            version: VERSION,
            first: range.start,
            end: range.end,
            sorts: tally.sorts.clone(),
            cells,
            facets,
        }
    }

    /// Reads a summary from [`Summary::to_bytes`]; none if its version or range differs.
    pub fn from_bytes(bytes: &[u8], range: &Range<u64>) -> Option<Summary> {
        let read: Summary = serde_json::from_slice(bytes).ok()?;
        let counted: u64 = read.cells.iter().map(|&(_, _, count)| count).sum();
        let sound = read.version == VERSION
            && read.range() == *range
            && counted <= range.end - range.start
            && read.cells.iter().all(|&(_, sort, _)| usize::from(sort) < read.sorts.len());
        sound.then_some(read)
    }

    /// Serialises the summary.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and texts are JSON")
    }

    /// Its range of indexes.
    pub fn range(&self) -> Range<u64> {
        self.first..self.end
    }

    /// The first and the last slot with events; none without events.
    pub fn slots(&self) -> Option<(i64, i64)> {
        Some((self.cells.first()?.0, self.cells.last()?.0))
    }

    /// The slot in which its events start, without the first hundredth, which may have wrong clocks.
    pub fn start(&self) -> Option<i64> {
        let few = self.cells.iter().map(|(_, _, events)| events).sum::<u64>() / 100;
        let mut seen = 0;
        let past_few = |(_, _, events): &&(i64, u16, u64)| {
            seen += events;
            seen > few
        };
        self.cells.iter().find(past_few).map(|(slot, _, _)| *slot)
    }

    /// Its most frequent values of a facet.
    pub fn values(&self, facet: Facet) -> impl Iterator<Item = (&str, u64)> {
        let top = self.facets.iter().filter(move |top| top.facet == facet);
        top.flat_map(|top| top.values.iter().map(|(value, count)| (&**value, *count)))
    }

    /// Adds the matching counts to `tally`. The filter looks only at time, kind and outcome; `bounds` are the seconds at
    /// which its times begin and end, ascending.
    pub(super) fn add_to(&self, tally: &mut Tally, filter: &Filter, bounds: &[i64]) -> Fit {
        let cut: Vec<i64> = match self.slots() {
            None => Vec::new(),
            Some((first, last)) => {
                let within = bounds.iter().map(|bound| bound.div_euclid(i64::from(SLOT)) * i64::from(SLOT));
                within.filter(|slot| (first..=last).contains(slot)).collect()
            }
        };
        let wants_values = tally.facets.is_some();
        if wants_values && (!cut.is_empty() || filter.looks_past_time()) {
            return Fit::Read;
        }
        // A summary has few kinds and outcomes, and a filter few bounds: each pair is matched once.
        let mut lets: Vec<Option<bool>> = vec![None; self.sorts.len() * (bounds.len() + 1)];
        let places: Vec<u16> = self.sorts.iter().map(|sort| tally.sort(&sort.kind, &sort.outcome)).collect();
        let mut any = false;
        for &(slot, sort, events) in self.cells.iter().filter(|(slot, _, _)| !cut.contains(slot)) {
            let (sort, side) = (usize::from(sort), bounds.partition_point(|&bound| bound <= slot));
            let known = &mut lets[side * self.sorts.len() + sort];
            if *known.get_or_insert_with(|| filter.matches_cell(&self.sorts[sort], slot)) {
                any = true;
                tally.add_cell(slot, places[sort], events);
            }
        }
        if any && wants_values {
            self.add_values(tally);
        }
        Fit::Counted { cut }
    }

    fn add_values(&self, tally: &mut Tally) {
        let Some(facets) = &mut tally.facets else { return };
        for top in &self.facets {
            let values = &mut facets[top.facet as usize];
            top.values.iter().for_each(|(value, count)| values.add(value, *count));
            values.others += top.others;
            values.without += top.without;
        }
    }
}
