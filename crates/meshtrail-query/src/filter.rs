//! Filters: parsing, formatting and matching against leaves.

use std::fmt;
use std::str::FromStr;

use meshtrail_event::Timestamp;

use crate::error::FilterError;
use crate::expr::Expr;
use crate::field::Field;
use crate::hints::{ScanHints, scan_hints};
use crate::matching::Subject;
use crate::parse::parse;
use crate::tally::KindOutcome;

/// A filter over events.
///
/// Its `Display` form parses as the same filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    expr: Expr,
    now: Timestamp,
    looks_at_members: bool,
}

impl Filter {
    /// Parses `text`; relative times count from now.
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        let expr = parse(text)?;
        let looks_at_members = expr.any_term(&mut |term| !matches!(term, Expr::Term(Field::Text, _)));
        Ok(Filter { expr, now: Timestamp::now(), looks_at_members })
    }

    /// The filter that matches everything.
    pub fn everything() -> Filter {
        Filter { expr: Expr::All(Vec::new()), now: Timestamp::default(), looks_at_members: false }
    }

    /// The same filter, with relative times counted from `now`.
    #[must_use]
    pub fn with_now(mut self, now: Timestamp) -> Filter {
        self.now = now;
        self
    }

    /// Whether it matches everything.
    pub fn is_everything(&self) -> bool {
        self.expr == Expr::All(Vec::new())
    }

    /// Whether it matches this leaf. Bytes that are not an event have no members, and match no filter that looks at one.
    pub fn matches(&self, leaf: &[u8]) -> bool {
        Subject::new(leaf, self.looks_at_members).is_some_and(|subject| subject.matches(&self.expr, self.now))
    }

    /// Whether it matches this leaf, which was read with all its members.
    pub(crate) fn matches_subject(&self, subject: &Subject<'_>) -> bool {
        subject.matches(&self.expr, self.now)
    }

    /// Whether it matches events of this kind and outcome in the time slot that begins at `slot`; for filters that look at
    /// nothing else, and whose times do not begin or end within the slot.
    pub(crate) fn matches_cell(&self, sort: &KindOutcome, slot: i64) -> bool {
        let time = Timestamp::from_seconds(slot).unwrap_or_default().to_string();
        let leaf =
            serde_json::json!({ "kind": sort.kind, "outcome": sort.outcome, "time": time }).to_string();
        self.matches(leaf.as_bytes())
    }

    /// The times at which it begins or ends to match, in seconds, ascending, if it looks only at time, kind and outcome.
    pub(crate) fn time_bounds(&self) -> Option<Vec<i64>> {
        let mut bounds = Vec::new();
        let other = self.expr.any_term(&mut |term| {
            match term {
                Expr::Since(moment) => bounds.push(moment.start(self.now)),
                Expr::Until(moment) => bounds.push(moment.end(self.now)),
                Expr::Term(Field::Kind | Field::Outcome, _) => {}
                _ => return true,
            }
            false
        });
        let mut seconds: Vec<i64> = bounds.into_iter().map(Timestamp::as_seconds).collect();
        seconds.sort_unstable();
        seconds.dedup();
        (!other).then_some(seconds)
    }

    /// Whether it looks at anything but time.
    pub(crate) fn looks_past_time(&self) -> bool {
        self.expr.any_term(&mut |term| !matches!(term, Expr::Since(_) | Expr::Until(_)))
    }

    /// What a reader may skip without reading it.
    pub fn scan_hints(&self) -> ScanHints {
        scan_hints(&self.expr, self.now)
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Filter, FilterError> {
        Filter::parse(text)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)
    }
}
