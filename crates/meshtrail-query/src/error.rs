//! Errors of filters, with their place.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// A range of a filter's text, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Span {
        Span { start, end }
    }

    pub(crate) fn to(self, end: Span) -> Span {
        Span { start: self.start, end: end.end }
    }

    /// The span as a range.
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// The span in UTF-16 units, as browsers count.
    pub fn in_utf16(self, text: &str) -> Range<usize> {
        let units = |end: usize| text.get(..end).map_or(0, |part| part.encode_utf16().count());
        units(self.start)..units(self.end)
    }
}

/// Why a text is not a filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub struct FilterError {
    pub span: Span,
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl FilterError {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> FilterError {
        FilterError { span, message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> FilterError {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, at character {}", self.message, self.span.start + 1)?;
        match &self.hint {
            Some(hint) => write!(f, ": {hint}"),
            None => Ok(()),
        }
    }
}

/// The words of `known` that are nearest to `given`, if they are near enough.
pub(crate) fn near<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let given = given.to_lowercase();
    let mut found: Vec<(usize, &str)> = known
        .filter_map(|word| {
            let distance =
                if !given.is_empty() && word.starts_with(&given) { 0 } else { distance(&given, word) };
            (distance <= 1 + given.chars().count() / 4).then_some((distance, word))
        })
        .collect();
    found.sort_unstable();
    let nearest = found.first().map_or(0, |(distance, _)| *distance);
    found.retain(|(distance, _)| *distance == nearest);
    found.truncate(4);
    found.into_iter().map(|(_, word)| word).collect()
}

/// Edit distance: insertions, deletions, substitutions and swaps of neighbours.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) =
        (one.chars().take(64).collect(), other.chars().take(64).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for i in 1..=one.len() {
        let mut next = vec![i];
        for j in 1..=other.len() {
            let replaced = row[j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut best = replaced.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_those_a_slip_away() {
        let known = ["actor", "person", "outcome", "source", "session"];
        assert_eq!(near("acotr", known.into_iter()), ["actor"]);
        assert_eq!(near("sess", known.into_iter()), ["session"]);
        assert_eq!(near("outcom", known.into_iter()), ["outcome"]);
        assert!(near("zebra", known.into_iter()).is_empty());
    }

    #[test]
    fn a_span_counts_as_a_browser_does() {
        assert_eq!(Span::new(5, 6).in_utf16("😀ax"), 3..4);
        assert_eq!(Span::new(50, 60).in_utf16("a"), 0..0);
    }
}
