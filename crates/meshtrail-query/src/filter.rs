//! A filter: read, written, and held against leaves.

use std::fmt;
use std::str::FromStr;

use meshtrail_event::Timestamp;

use crate::expr::Expr;
use crate::field::Field;
use crate::hints::{ScanHints, scan_hints};
use crate::matching::Subject;
use crate::parse::parse;
use crate::problem::FilterError;
use crate::tally::Sort;

/// A filter over events.
///
/// Written out by `Display`, it reads back as the same filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    expr: Expr,
    now: Timestamp,
    looks_at_members: bool,
}

impl Filter {
    /// The filter that `text` says; times relative to now are relative to this moment.
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        let expr = parse(text)?;
        let looks_at_members = expr.any_term(&mut |term| !matches!(term, Expr::Term(Field::Text, _)));
        Ok(Filter { expr, now: Timestamp::now(), looks_at_members })
    }

    /// The filter that lets everything through.
    pub fn everything() -> Filter {
        Filter { expr: Expr::All(Vec::new()), now: Timestamp::default(), looks_at_members: false }
    }

    /// The same filter, with times relative to another moment.
    #[must_use]
    pub fn with_now(mut self, now: Timestamp) -> Filter {
        self.now = now;
        self
    }

    /// Whether it lets everything through.
    pub fn is_everything(&self) -> bool {
        self.expr == Expr::All(Vec::new())
    }

    /// Whether it lets this leaf through. Bytes that are no event have no members, and are let through by nothing
    /// that looks at one.
    pub fn matches(&self, leaf: &[u8]) -> bool {
        Subject::new(leaf, self.looks_at_members).is_some_and(|subject| subject.is(&self.expr, self.now))
    }

    /// Whether it lets this leaf through, which was read with all its members.
    pub(crate) fn lets(&self, subject: &Subject<'_>) -> bool {
        subject.is(&self.expr, self.now)
    }

    /// Whether it lets an event of this sort through that happened in the slot of time that begins at `slot`; for
    /// filters that look at nothing else, and whose times do not begin or end within the slot.
    pub(crate) fn lets_through(&self, sort: &Sort, slot: i64) -> bool {
        let time = Timestamp::from_seconds(slot).unwrap_or_default().to_string();
        let leaf =
            serde_json::json!({ "kind": sort.kind, "outcome": sort.outcome, "time": time }).to_string();
        self.matches(leaf.as_bytes())
    }

    /// Where in time it begins or ends to let events through, in seconds, ascending, if it looks at nothing but time,
    /// kind and outcome.
    pub(crate) fn bounds_if_summed(&self) -> Option<Vec<i64>> {
        let mut bounds = Vec::new();
        let other = self.expr.any_term(&mut |term| {
            match term {
                Expr::Since(moment) => bounds.push(moment.begins(self.now)),
                Expr::Until(moment) => bounds.push(moment.ends(self.now)),
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

    /// Whether it looks at something beside time.
    pub(crate) fn looks_past_time(&self) -> bool {
        self.expr.any_term(&mut |term| !matches!(term, Expr::Since(_) | Expr::Until(_)))
    }

    /// What a reader may skip without looking.
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
