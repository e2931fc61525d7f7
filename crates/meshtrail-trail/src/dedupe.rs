//! What was seen of each source, so that an event counts once however often it is sent.
//!
//! - Of the newest [`EPOCHS`] epochs of a source everything is known: the highest sequence and what is missing below.
//! - What can't be decided is refused, never guessed: an epoch older than those, or more gaps than are kept.
//! - A batch is judged as a whole; if one event is refused, nothing of it counts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use meshtrail_event::{EventId, SourceName};

use crate::manifest::{EpochSeen, Sources};

/// Epochs of one source that are remembered.
pub const EPOCHS: usize = 8;
/// Gaps in one epoch that are remembered.
pub const GAPS: usize = 1024;
/// Sources that are remembered.
pub const SOURCES: usize = 1 << 20;

/// Why it can't be told whether an event is new.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// An epoch before those that are remembered.
    #[error("event {id} is of an epoch before {oldest}, the oldest that is remembered of its source")]
    Epoch {
        /// The event.
        id: EventId,
        /// The oldest epoch that is remembered.
        oldest: u64,
    },
    /// One gap more than is remembered.
    #[error(
        "event {id} leaves one gap more than the {GAPS} that are remembered: send what is missing, or begin a new epoch"
    )]
    Gaps {
        /// The event.
        id: EventId,
    },
    /// Counting begins at 1.
    #[error("event {id} has epoch or sequence 0: both count from 1")]
    Zero {
        /// The event.
        id: EventId,
    },
    /// One source more than is remembered.
    #[error("event {id} comes from one source more than the {SOURCES} that are remembered")]
    Sources {
        /// The event.
        id: EventId,
    },
}

/// Whether an event was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    New,
    Before,
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub(crate) struct Dedupe {
    sources: HashMap<SourceName, BTreeMap<u64, EpochSeen>>,
    /// Heard since the last [`Dedupe::take_changed`].
    changed: BTreeSet<(SourceName, u64)>,
}

impl Dedupe {
    pub(crate) fn new(sources: &Sources) -> Self {
        let newest = |epochs: &Vec<EpochSeen>| -> BTreeMap<u64, EpochSeen> {
            epochs.iter().rev().take(EPOCHS).map(|epoch| (epoch.epoch, epoch.clone())).collect()
        };
        let sources = sources.iter().map(|(name, epochs)| (name.clone(), newest(epochs))).collect();
        Self { sources, changed: BTreeSet::new() }
    }

    /// The highest epoch seen of `source`; 0 if none.
    #[cfg(test)]
    pub(crate) fn newest_epoch(&self, source: &SourceName) -> u64 {
        self.sources.get(source).and_then(|epochs| epochs.keys().next_back().copied()).unwrap_or(0)
    }

    /// The highest epoch seen of each source.
    pub(crate) fn newest_epochs(&self) -> impl Iterator<Item = (SourceName, u64)> {
        let newest = |epochs: &BTreeMap<u64, EpochSeen>| epochs.keys().next_back().copied().unwrap_or(0);
        self.sources.iter().map(move |(source, epochs)| (source.clone(), newest(epochs)))
    }

    /// Judges a batch in order and remembers it; on an error nothing is remembered.
    pub(crate) fn see<'a>(
        &mut self,
        ids: impl ExactSizeIterator<Item = &'a EventId> + Clone,
    ) -> Result<Vec<Seen>, SequenceError> {
        // What a refusal has to put back.
        let mut before: Vec<(&EventId, Option<EpochSeen>)> = Vec::new();
        let mut seen = Vec::with_capacity(ids.len());
        for id in ids {
            let known =
                before.last().is_some_and(|(last, _)| last.epoch == id.epoch && last.source == id.source)
                    || before.iter().any(|(saved, _)| saved.epoch == id.epoch && saved.source == id.source);
            if !known {
                let epoch = self.sources.get(&id.source).and_then(|epochs| epochs.get(&id.epoch));
                before.push((id, epoch.cloned()));
            }
            match self.see_one(id) {
                Ok(one) => seen.push(one),
                Err(error) => {
                    self.put_back(before);
                    return Err(error);
                }
            }
        }
        for (id, _) in before {
            if !self.changed.contains(&(id.source.clone(), id.epoch)) {
                self.changed.insert((id.source.clone(), id.epoch));
            }
            self.forget_old(&id.source);
        }
        Ok(seen)
    }

    fn see_one(&mut self, id: &EventId) -> Result<Seen, SequenceError> {
        if id.epoch == 0 || id.sequence == 0 {
            return Err(SequenceError::Zero { id: id.clone() });
        }
        if !self.sources.contains_key(&id.source) {
            if self.sources.len() >= SOURCES {
                return Err(SequenceError::Sources { id: id.clone() });
            }
            self.sources.insert(id.source.clone(), BTreeMap::new());
        }
        let epochs = self.sources.get_mut(&id.source).expect("just made sure of");
        if let Some(epoch) = epochs.get_mut(&id.epoch) {
            return see_sequence(epoch, id);
        }
        let oldest = epochs.keys().next().copied().unwrap_or(0);
        if epochs.len() >= EPOCHS && id.epoch < oldest {
            return Err(SequenceError::Epoch { id: id.clone(), oldest });
        }
        let missing = if id.sequence > 1 { vec![(1, id.sequence - 1)] } else { Vec::new() };
        epochs.insert(id.epoch, EpochSeen { epoch: id.epoch, high: id.sequence, missing });
        Ok(Seen::New)
    }

    fn put_back(&mut self, before: Vec<(&EventId, Option<EpochSeen>)>) {
        for (id, epoch) in before {
            let Some(epochs) = self.sources.get_mut(&id.source) else { continue };
            match epoch {
                Some(epoch) => drop(epochs.insert(id.epoch, epoch)),
                None => drop(epochs.remove(&id.epoch)),
            }
            if epochs.is_empty() {
                self.sources.remove(&id.source);
            }
        }
    }

    fn forget_old(&mut self, source: &SourceName) {
        let Some(epochs) = self.sources.get_mut(source) else { return };
        while epochs.len() > EPOCHS {
            epochs.pop_first();
        }
    }

    /// What is seen of every epoch heard since the last call.
    pub(crate) fn take_changed(&mut self) -> Sources {
        let mut sources = Sources::new();
        for (source, epoch) in std::mem::take(&mut self.changed) {
            let seen = self.sources.get(&source).and_then(|epochs| epochs.get(&epoch));
            if let Some(seen) = seen {
                sources.entry(source).or_default().push(seen.clone());
            }
        }
        sources
    }
}

fn see_sequence(seen: &mut EpochSeen, id: &EventId) -> Result<Seen, SequenceError> {
    let sequence = id.sequence;
    if sequence > seen.high {
        if sequence > seen.high + 1 {
            if seen.missing.len() >= GAPS {
                return Err(SequenceError::Gaps { id: id.clone() });
            }
            seen.missing.push((seen.high + 1, sequence - 1));
        }
        seen.high = sequence;
        return Ok(Seen::New);
    }
    let at = seen.missing.partition_point(|&(_, last)| last < sequence);
    let Some(&(first, last)) = seen.missing.get(at).filter(|&&(first, _)| first <= sequence) else {
        return Ok(Seen::Before);
    };
    match (first == sequence, last == sequence) {
        (true, true) => drop(seen.missing.remove(at)),
        (true, false) => seen.missing[at].0 = sequence + 1,
        (false, true) => seen.missing[at].1 = sequence - 1,
        (false, false) => {
            if seen.missing.len() >= GAPS {
                return Err(SequenceError::Gaps { id: id.clone() });
            }
            seen.missing[at].1 = sequence - 1;
            seen.missing.insert(at + 1, (sequence + 1, last));
        }
    }
    Ok(Seen::New)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(epoch: u64, sequence: u64) -> EventId {
        format!("agent.a.{epoch}.{sequence}").parse().unwrap()
    }

    #[test]
    fn any_order_with_any_repeats_counts_each_event_once() {
        use proptest::prelude::*;
        proptest!(|(sequences in proptest::collection::vec(1u64..60, 0..200))| {
            let (mut dedupe, mut model) = (Dedupe::default(), BTreeSet::new());
            for sequence in sequences {
                let seen = dedupe.see([id(1, sequence)].iter()).unwrap();
                let expected = if model.insert(sequence) { Seen::New } else { Seen::Before };
                prop_assert_eq!(seen, vec![expected]);
            }
            let restarted = Dedupe::new(&dedupe.take_changed());
            prop_assert_eq!(restarted.sources, dedupe.sources);
        });
    }

    #[test]
    fn a_refused_batch_leaves_no_trace() {
        let mut dedupe = Dedupe::default();
        let batch = [id(1, 1), id(1, 2), id(1, 0)];
        assert!(matches!(dedupe.see(batch.iter()), Err(SequenceError::Zero { .. })));
        assert_eq!(dedupe.see(batch[..2].iter()), Ok(vec![Seen::New, Seen::New]));
        assert_eq!(dedupe.see(batch[..2].iter()), Ok(vec![Seen::Before, Seen::Before]));
    }

    #[test]
    fn what_is_too_old_to_tell_is_refused() {
        let mut dedupe = Dedupe::default();
        (2..=9).for_each(|epoch| assert!(dedupe.see([id(epoch, 1)].iter()).is_ok()));
        assert!(matches!(dedupe.see([id(1, 5)].iter()), Err(SequenceError::Epoch { oldest: 2, .. })));
        assert_eq!(dedupe.newest_epoch(&"agent.a".parse().unwrap()), 9);
        for sequence in (2..).step_by(2).take(GAPS) {
            dedupe.see([id(9, sequence + 10)].iter()).unwrap();
        }
        assert!(matches!(dedupe.see([id(9, 9_000_000)].iter()), Err(SequenceError::Gaps { .. })));
    }
}
