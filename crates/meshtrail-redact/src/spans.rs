//! Where secrets stand in a text, and the text without them.

use std::ops::Range;

use crate::{fingerprint::Fingerprint, key::FingerprintKey};

/// A secret within a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    /// The bytes of the text that are cut.
    pub(crate) range: Range<usize>,
    /// The secret as it is without escapes: what is fingerprinted.
    pub(crate) value: Vec<u8>,
    /// What closes or opens a quote behind the fingerprint, where the secret begins and ends in different ones.
    pub(crate) after: &'static str,
}

impl Span {
    /// A secret with these decoded bytes.
    pub(crate) fn new(range: Range<usize>, value: Vec<u8>) -> Self {
        Self { range, value, after: "" }
    }

    /// A secret that stands in `text` without escapes.
    pub(crate) fn plain(text: &str, range: Range<usize>) -> Self {
        Self::new(range.clone(), text.as_bytes()[range].to_vec())
    }

    /// The same span in a text that has this one at `offset`.
    pub(crate) fn shifted(mut self, offset: usize) -> Self {
        self.range = self.range.start + offset..self.range.end + offset;
        self
    }
}

/// Orders spans and joins those that overlap. Of two that begin together the longer one counts; where two overlap in
/// part, all that either covers is cut, and the first one's value stands for both.
pub(crate) fn merge(mut spans: Vec<Span>) -> Vec<Span> {
    spans.retain(|span| !span.range.is_empty());
    spans.sort_by(|a, b| a.range.start.cmp(&b.range.start).then(b.range.end.cmp(&a.range.end)));
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.range.start < last.range.end => {
                if span.range.end > last.range.end {
                    (last.range.end, last.after) = (span.range.end, span.after);
                }
            }
            _ => merged.push(span),
        }
    }
    merged
}

/// The text with a fingerprint in place of each span, and the fingerprints in order. `spans` are merged.
pub(crate) fn cut(text: &str, spans: &[Span], key: &FingerprintKey) -> (String, Vec<Fingerprint>) {
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    let mut fingerprints = Vec::with_capacity(spans.len());
    for span in spans {
        out.push_str(&text[at..span.range.start]);
        let fingerprint = key.fingerprint(&span.value);
        out.push_str(&fingerprint.to_string());
        out.push_str(span.after);
        fingerprints.push(fingerprint);
        at = span.range.end;
    }
    out.push_str(&text[at..]);
    (out, fingerprints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_that_overlap_are_cut_as_one() {
        let text = "a secret b";
        let spans = merge(vec![
            Span::plain(text, 4..8),
            Span::plain(text, 2..6),
            Span::plain(text, 2..3),
            Span::plain(text, 9..9),
        ]);
        assert_eq!(spans, [Span::new(2..8, b"secr".to_vec())]);
    }
}
