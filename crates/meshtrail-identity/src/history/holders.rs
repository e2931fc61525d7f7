//! The holders of an address or a route over time: spans of time, each with a set of devices.
//!
//! Usually one device holds an address at a time; several do if origins disagree, or if the removal of the first one was not
//! observed.

use meshtrail_event::Timestamp;

/// The index of a device or a person in the history's lists.
pub(super) type RecordIndex = u32;

/// A span of time, which ends at the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    from: Timestamp,
    holders: HolderSet,
}

/// The devices of a span, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum HolderSet {
    Nobody,
    One([RecordIndex; 1]),
    Several(Box<[RecordIndex]>),
}

impl HolderSet {
    fn all(&self) -> &[RecordIndex] {
        match self {
            HolderSet::Nobody => &[],
            HolderSet::One(one) => one,
            HolderSet::Several(several) => several,
        }
    }

    fn of(places: &[RecordIndex]) -> HolderSet {
        match *places {
            [] => HolderSet::Nobody,
            [one] => HolderSet::One([one]),
            _ => HolderSet::Several(places.into()),
        }
    }

    fn set(&mut self, place: RecordIndex, held: bool) {
        let mut places = self.all().to_vec();
        match (places.binary_search(&place), held) {
            (Err(at), true) => places.insert(at, place),
            (Ok(at), false) => drop(places.remove(at)),
            _ => return,
        }
        *self = HolderSet::of(&places);
    }
}

/// The holders of one address or route, over all time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Holders {
    /// In order of their starts; neighbours differ, and before the first there was no holder.
    spans: Vec<Span>,
}

impl Holders {
    /// Sets whether `place` held it from `from` until `until`.
    pub(super) fn set(&mut self, place: RecordIndex, from: Timestamp, until: Timestamp, held: bool) {
        if from >= until {
            return;
        }
        let begin = self.split_at(from);
        let end =
            if until == Timestamp::from_nanos(i64::MAX) { self.spans.len() } else { self.split_at(until) };
        for span in &mut self.spans[begin..end] {
            span.holders.set(place, held);
        }
        // Only the changed spans and those next to them can have become equal to their neighbours.
        let mut at = begin.saturating_sub(1);
        let mut left = end + 1 - at;
        while left > 0 && at < self.spans.len() {
            let like_before = match at.checked_sub(1) {
                Some(before) => self.spans[before].holders == self.spans[at].holders,
                None => self.spans[at].holders == HolderSet::Nobody,
            };
            if like_before {
                self.spans.remove(at);
            } else {
                at += 1;
            }
            left -= 1;
        }
    }

    /// The index of the span that starts at `time`; a span is split if there is none.
    fn split_at(&mut self, time: Timestamp) -> usize {
        let index = self.spans.partition_point(|span| span.from < time);
        if self.spans.get(index).is_none_or(|span| span.from != time) {
            let holders =
                index.checked_sub(1).map_or(HolderSet::Nobody, |before| self.spans[before].holders.clone());
            self.spans.insert(index, Span { from: time, holders });
        }
        index
    }

    /// The holders at `time`.
    pub(super) fn at(&self, time: Timestamp) -> &[RecordIndex] {
        let index = match self.spans.last() {
            Some(last) if last.from <= time => self.spans.len(),
            _ => self.spans.partition_point(|span| span.from <= time),
        };
        index.checked_sub(1).map_or(&[], |index| self.spans[index].holders.all())
    }

    /// The start of the last span.
    pub(super) fn stable_since(&self) -> Timestamp {
        self.spans.last().map_or(Timestamp::default(), |last| last.from)
    }

    /// The time since which `place`, which held it at `time`, did so without interruption.
    pub(super) fn since(&self, place: RecordIndex, time: Timestamp) -> Timestamp {
        let upto = self.spans.partition_point(|span| span.from <= time);
        let held = self.spans[..upto].iter().rev();
        let first = held.take_while(|span| span.holders.all().contains(&place)).last();
        first.map_or(time, |first| first.from)
    }

    /// All tenures: device, start, end.
    pub(super) fn tenures(&self) -> Vec<(RecordIndex, Timestamp, Option<Timestamp>)> {
        let mut open: Vec<(RecordIndex, Timestamp)> = Vec::new();
        let mut tenures = Vec::new();
        for span in &self.spans {
            let holders = span.holders.all();
            open.retain(|&(place, from)| {
                let goes_on = holders.contains(&place);
                if !goes_on {
                    tenures.push((place, from, Some(span.from)));
                }
                goes_on
            });
            let new = holders.iter().filter(|place| !open.iter().any(|(known, _)| known == *place));
            let new: Vec<_> = new.map(|&place| (place, span.from)).collect();
            open.extend(new);
        }
        tenures.extend(open.into_iter().map(|(place, from)| (place, from, None)));
        tenures.sort_unstable_by_key(|&(place, from, _)| (from, place));
        tenures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    proptest! {
        #[test]
        fn stretches_say_what_was_noted_moment_by_moment(
            notes in proptest::collection::vec((0u32..4, 0i64..20, 0i64..21, any::<bool>()), 0..40)
        ) {
            let mut holders = Holders::default();
            let mut naive = vec![std::collections::BTreeSet::new(); 20];
            for (place, from, until, held) in notes {
                let end = if until == 20 { at(i64::MAX) } else { at(until) };
                holders.set(place, at(from), end, held);
                for moment in from..until {
                    let set = &mut naive[usize::try_from(moment).unwrap()];
                    if held { set.insert(place); } else { set.remove(&place); }
                }
            }
            for (moment, set) in (0i64..).zip(&naive) {
                let set: Vec<u32> = set.iter().copied().collect();
                prop_assert_eq!(holders.at(at(moment)), &set[..]);
            }
            for pair in holders.spans.windows(2) {
                prop_assert!(pair[0].from < pair[1].from && pair[0].holders != pair[1].holders);
            }
            for (place, from, until) in holders.tenures() {
                let until = until.map_or(20, Timestamp::as_nanos);
                for moment in from.as_nanos()..until {
                    prop_assert!(naive[usize::try_from(moment).unwrap()].contains(&place));
                }
            }
        }
    }
}
