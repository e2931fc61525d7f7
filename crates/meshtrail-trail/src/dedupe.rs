//! Detection of duplicates: the sequences received from each source, so that an event counts once however often it is sent.
//!
//! - The state of the newest [`EPOCHS`] epochs of a source is complete: the highest sequence and the missing ones below.
//! - What can't be decided is refused, never guessed: an epoch older than those, or more gaps than are remembered.
//! - A batch is atomic: if one event is refused, no event of it is recorded.
//!
//! Not a [`crate::Recent`]: ranges of numbers take no more room the more events came, and what was forgotten is refused,
//! never taken for new.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use meshtrail_event::{EventId, SourceName};

use crate::manifest::{EpochState, Sources};

/// Epochs that are remembered of one source.
pub const EPOCHS: usize = 8;
/// Gaps that are remembered of one epoch.
pub const GAPS: usize = 1024;
/// Sources that are remembered.
pub const SOURCES: usize = 1 << 20;

/// Why it can't be decided whether an event is new.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SequenceError {
    #[error("event {id} is of an epoch before {oldest}, the oldest that is remembered of its source")]
    Epoch { id: EventId, oldest: u64 },
    #[error(
        "event {id} leaves one gap more than the {GAPS} that are remembered: send what is missing, or begin a new epoch"
    )]
    Gaps { id: EventId },
    #[error("event {id} has epoch or sequence 0: both count from 1")]
    Zero { id: EventId },
    #[error("event {id} comes from one source more than the {SOURCES} that are remembered")]
    Sources { id: EventId },
}

/// Whether an event is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Novelty {
    New,
    Duplicate,
}

/// The sequences received from all sources.
#[derive(Debug, Default)]
pub(crate) struct Dedupe {
    sources: HashMap<SourceName, BTreeMap<u64, EpochState>>,
    /// Epochs with new events since the last [`Dedupe::take_changed`].
    changed: BTreeSet<(SourceName, u64)>,
}

impl Dedupe {
    pub(crate) fn new(sources: &Sources) -> Self {
        let newest = |epochs: &Vec<EpochState>| -> BTreeMap<u64, EpochState> {
            epochs.iter().rev().take(EPOCHS).map(|epoch| (epoch.epoch, epoch.clone())).collect()
        };
        let sources = sources.iter().map(|(name, epochs)| (name.clone(), newest(epochs))).collect();
        Self { sources, changed: BTreeSet::new() }
    }

    /// The highest epoch of `source`; 0 if none.
    #[cfg(test)]
    pub(crate) fn newest_epoch(&self, source: &SourceName) -> u64 {
        self.sources.get(source).and_then(|epochs| epochs.keys().next_back().copied()).unwrap_or(0)
    }

    /// The highest epoch of each source.
    pub(crate) fn newest_epochs(&self) -> impl Iterator<Item = (SourceName, u64)> {
        let newest = |epochs: &BTreeMap<u64, EpochState>| epochs.keys().next_back().copied().unwrap_or(0);
        self.sources.iter().map(move |(source, epochs)| (source.clone(), newest(epochs)))
    }

    /// Records a batch in order, and returns for each event whether it is new; on an error nothing is recorded.
    pub(crate) fn record<'a>(
        &mut self,
        ids: impl ExactSizeIterator<Item = &'a EventId> + Clone,
    ) -> Result<Vec<Novelty>, SequenceError> {
        // The states to restore if an event is refused.
        let mut before: Vec<(&EventId, Option<EpochState>)> = Vec::new();
        let mut state = Vec::with_capacity(ids.len());
        for id in ids {
            let known =
                before.last().is_some_and(|(last, _)| last.epoch == id.epoch && last.source == id.source)
                    || before.iter().any(|(saved, _)| saved.epoch == id.epoch && saved.source == id.source);
            if !known {
                let epoch = self.sources.get(&id.source).and_then(|epochs| epochs.get(&id.epoch));
                before.push((id, epoch.cloned()));
            }
            match self.record_one(id) {
                Ok(one) => state.push(one),
                Err(error) => {
                    self.undo(before);
                    return Err(error);
                }
            }
        }
        for (id, _) in before {
            if !self.changed.contains(&(id.source.clone(), id.epoch)) {
                self.changed.insert((id.source.clone(), id.epoch));
            }
            self.drop_oldest(&id.source);
        }
        Ok(state)
    }

    fn record_one(&mut self, id: &EventId) -> Result<Novelty, SequenceError> {
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
            return record_sequence(epoch, id);
        }
        let oldest = epochs.keys().next().copied().unwrap_or(0);
        if epochs.len() >= EPOCHS && id.epoch < oldest {
            return Err(SequenceError::Epoch { id: id.clone(), oldest });
        }
        let missing = if id.sequence > 1 { vec![(1, id.sequence - 1)] } else { Vec::new() };
        epochs.insert(id.epoch, EpochState { epoch: id.epoch, high: id.sequence, missing });
        Ok(Novelty::New)
    }

    fn undo(&mut self, before: Vec<(&EventId, Option<EpochState>)>) {
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

    fn drop_oldest(&mut self, source: &SourceName) {
        let Some(epochs) = self.sources.get_mut(source) else { return };
        while epochs.len() > EPOCHS {
            epochs.pop_first();
        }
    }

    /// Takes the state of every epoch with new events since the last call.
    pub(crate) fn take_changed(&mut self) -> Sources {
        let mut sources = Sources::new();
        for (source, epoch) in std::mem::take(&mut self.changed) {
            let state = self.sources.get(&source).and_then(|epochs| epochs.get(&epoch));
            if let Some(state) = state {
                sources.entry(source).or_default().push(state.clone());
            }
        }
        sources
    }
}

fn record_sequence(state: &mut EpochState, id: &EventId) -> Result<Novelty, SequenceError> {
    let sequence = id.sequence;
    if sequence > state.high {
        if sequence > state.high + 1 {
            if state.missing.len() >= GAPS {
                return Err(SequenceError::Gaps { id: id.clone() });
            }
            state.missing.push((state.high + 1, sequence - 1));
        }
        state.high = sequence;
        return Ok(Novelty::New);
    }
    let at = state.missing.partition_point(|&(_, last)| last < sequence);
    let Some(&(first, last)) = state.missing.get(at).filter(|&&(first, _)| first <= sequence) else {
        return Ok(Novelty::Duplicate);
    };
    match (first == sequence, last == sequence) {
        (true, true) => drop(state.missing.remove(at)),
        (true, false) => state.missing[at].0 = sequence + 1,
        (false, true) => state.missing[at].1 = sequence - 1,
        (false, false) => {
            if state.missing.len() >= GAPS {
                return Err(SequenceError::Gaps { id: id.clone() });
            }
            state.missing[at].1 = sequence - 1;
            state.missing.insert(at + 1, (sequence + 1, last));
        }
    }
    Ok(Novelty::New)
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
                let state = dedupe.record([id(1, sequence)].iter()).unwrap();
                let expected = if model.insert(sequence) { Novelty::New } else { Novelty::Duplicate };
                prop_assert_eq!(state, vec![expected]);
            }
            let restarted = Dedupe::new(&dedupe.take_changed());
            prop_assert_eq!(restarted.sources, dedupe.sources);
        });
    }

    #[test]
    fn a_refused_batch_leaves_no_trace() {
        let mut dedupe = Dedupe::default();
        let batch = [id(1, 1), id(1, 2), id(1, 0)];
        assert!(matches!(dedupe.record(batch.iter()), Err(SequenceError::Zero { .. })));
        assert_eq!(dedupe.record(batch[..2].iter()), Ok(vec![Novelty::New, Novelty::New]));
        assert_eq!(dedupe.record(batch[..2].iter()), Ok(vec![Novelty::Duplicate, Novelty::Duplicate]));
    }

    #[test]
    fn what_is_too_old_to_tell_is_refused() {
        let mut dedupe = Dedupe::default();
        (2..=9).for_each(|epoch| assert!(dedupe.record([id(epoch, 1)].iter()).is_ok()));
        assert!(matches!(dedupe.record([id(1, 5)].iter()), Err(SequenceError::Epoch { oldest: 2, .. })));
        assert_eq!(dedupe.newest_epoch(&"agent.a".parse().unwrap()), 9);
        for sequence in (2..).step_by(2).take(GAPS) {
            dedupe.record([id(9, sequence + 10)].iter()).unwrap();
        }
        assert!(matches!(dedupe.record([id(9, 9_000_000)].iter()), Err(SequenceError::Gaps { .. })));
    }
}
