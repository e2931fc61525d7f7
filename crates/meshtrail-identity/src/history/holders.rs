//! Who held something at which time: stretches of time, each with the devices that held it.
//!
//! Mostly one device holds an address at a time; several do where origins disagree, or where nobody saw the first one
//! go.

use meshtrail_event::Timestamp;

/// A device's place in the history.
pub(super) type Place = u32;

/// From a moment on, until the next stretch.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stretch {
    from: Timestamp,
    who: Who,
}

/// The devices of a stretch, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    Nobody,
    One([Place; 1]),
    Several(Box<[Place]>),
}

impl Who {
    fn all(&self) -> &[Place] {
        match self {
            Who::Nobody => &[],
            Who::One(one) => one,
            Who::Several(several) => several,
        }
    }

    fn of(places: &[Place]) -> Who {
        match *places {
            [] => Who::Nobody,
            [one] => Who::One([one]),
            _ => Who::Several(places.into()),
        }
    }

    fn set(&mut self, place: Place, held: bool) {
        let mut places = self.all().to_vec();
        match (places.binary_search(&place), held) {
            (Err(at), true) => places.insert(at, place),
            (Ok(at), false) => drop(places.remove(at)),
            _ => return,
        }
        *self = Who::of(&places);
    }
}

/// Who held one thing, over all time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Holders {
    /// By their beginnings; neighbours differ, and before the first nobody held it.
    stretches: Vec<Stretch>,
}

impl Holders {
    /// Notes whether `place` held it from `from` until `until`.
    pub(super) fn set(&mut self, place: Place, from: Timestamp, until: Timestamp, held: bool) {
        if from >= until {
            return;
        }
        let begin = self.cut(from);
        let end =
            if until == Timestamp::from_nanos(i64::MAX) { self.stretches.len() } else { self.cut(until) };
        for stretch in &mut self.stretches[begin..end] {
            stretch.who.set(place, held);
        }
        // Only the ends of what changed, and what lies between, can have become like their neighbours.
        let mut at = begin.saturating_sub(1);
        let mut left = end + 1 - at;
        while left > 0 && at < self.stretches.len() {
            let like_before = match at.checked_sub(1) {
                Some(before) => self.stretches[before].who == self.stretches[at].who,
                None => self.stretches[at].who == Who::Nobody,
            };
            if like_before {
                self.stretches.remove(at);
            } else {
                at += 1;
            }
            left -= 1;
        }
    }

    /// The index of the stretch that begins at `time`, which is made if there is none.
    fn cut(&mut self, time: Timestamp) -> usize {
        let index = self.stretches.partition_point(|stretch| stretch.from < time);
        if self.stretches.get(index).is_none_or(|stretch| stretch.from != time) {
            let who = index.checked_sub(1).map_or(Who::Nobody, |before| self.stretches[before].who.clone());
            self.stretches.insert(index, Stretch { from: time, who });
        }
        index
    }

    /// Who held it at `time`.
    pub(super) fn at(&self, time: Timestamp) -> &[Place] {
        let index = match self.stretches.last() {
            Some(last) if last.from <= time => self.stretches.len(),
            _ => self.stretches.partition_point(|stretch| stretch.from <= time),
        };
        index.checked_sub(1).map_or(&[], |index| self.stretches[index].who.all())
    }

    /// From when on the last of them hold it.
    pub(super) fn settled(&self) -> Timestamp {
        self.stretches.last().map_or(Timestamp::default(), |last| last.from)
    }

    /// Since when `place`, which held it at `time`, did so without a break.
    pub(super) fn since(&self, place: Place, time: Timestamp) -> Timestamp {
        let upto = self.stretches.partition_point(|stretch| stretch.from <= time);
        let held = self.stretches[..upto].iter().rev();
        let first = held.take_while(|stretch| stretch.who.all().contains(&place)).last();
        first.map_or(time, |first| first.from)
    }

    /// Each time a device held it: who, from when, until when.
    pub(super) fn tenures(&self) -> Vec<(Place, Timestamp, Option<Timestamp>)> {
        let mut open: Vec<(Place, Timestamp)> = Vec::new();
        let mut tenures = Vec::new();
        for stretch in &self.stretches {
            let who = stretch.who.all();
            open.retain(|&(place, from)| {
                let goes_on = who.contains(&place);
                if !goes_on {
                    tenures.push((place, from, Some(stretch.from)));
                }
                goes_on
            });
            let new = who.iter().filter(|place| !open.iter().any(|(known, _)| known == *place));
            let new: Vec<_> = new.map(|&place| (place, stretch.from)).collect();
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
            for pair in holders.stretches.windows(2) {
                prop_assert!(pair[0].from < pair[1].from && pair[0].who != pair[1].who);
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
