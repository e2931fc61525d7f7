//! One device or person over time: each origin's accounts, and the merged state of all origins.
//!
//! - An origin's account of a moment is its last observation at or before it.
//! - In the merged state the newest account comes first; older ones only fill in what newer ones leave out. Accounts from
//!   before the last observed removal are ignored.
//! - Two accounts contradict each other only if one was observed again after the other began: an account that was not
//!   observed since is old, not contradicting.
//! - Insertion is idempotent, and independent of order.

use std::sync::Arc;

use meshtrail_event::Timestamp;

/// Facts that can be merged from several origins.
pub(super) trait Mergeable: Clone + Ord {
    /// Whether it has the decisive property: for a device, an owner or tags.
    fn is_decisive(&self) -> bool;
    /// Whether no other account could add anything that events need.
    fn is_complete(&self) -> bool;
    /// Fills in missing properties from an older account.
    fn fill_from(&mut self, other: &Self);
    /// The contradiction with another account, as the texts of both.
    fn contradicts(&self, other: &Self) -> Option<(String, String)>;
}

/// One origin's observation of one moment; a removal has no state.
pub(super) struct Sighting<S> {
    pub(super) at: Timestamp,
    /// Of two observations of the same moment the one with the higher rank counts.
    pub(super) rank: u64,
    pub(super) state: Option<Arc<S>>,
}

/// One origin's observations, oldest first, at most one for each moment.
pub(super) struct Track<S> {
    pub(super) origin: u32,
    /// The origin's name, by which ties are broken: numbers depend on the order of events.
    pub(super) name: Arc<str>,
    pub(super) sightings: Vec<Sighting<S>>,
}

/// The merged state of all origins from a moment on.
pub(super) struct MergedState<S> {
    pub(super) at: Timestamp,
    /// The origin of the decisive account.
    pub(super) origin: u32,
    /// The time of its observation.
    pub(super) as_of: Timestamp,
    pub(super) state: Option<Arc<S>>,
    /// The contradiction by another origin.
    pub(super) conflict: Option<Arc<OriginConflict>>,
}

/// A contradiction between two origins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OriginConflict {
    /// The text of the decisive account.
    pub(super) one: String,
    /// The text of the other account.
    pub(super) other: String,
    /// The origin of the other account.
    pub(super) origin: u32,
    /// The time of its observation.
    pub(super) as_of: Timestamp,
}

/// One device or person over time.
pub(super) struct Record<S> {
    pub(super) tracks: Vec<Track<S>>,
    /// Empty while there is only one track, which is the merged state then.
    merged: Vec<MergedState<S>>,
}

/// The state at a moment, borrowed.
pub(super) struct View<'a, S> {
    pub(super) at: Timestamp,
    pub(super) origin: u32,
    pub(super) as_of: Timestamp,
    pub(super) state: Option<&'a Arc<S>>,
    pub(super) conflict: Option<&'a Arc<OriginConflict>>,
}

impl<S> Default for Record<S> {
    fn default() -> Self {
        Record { tracks: Vec::new(), merged: Vec::new() }
    }
}

impl<S> Track<S> {
    /// Number of observations at or before `time`.
    fn count_until(&self, time: Timestamp) -> usize {
        // Most queries are about the newest one.
        match self.sightings.last() {
            Some(last) if last.at <= time => self.sightings.len(),
            _ => self.sightings.partition_point(|sighting| sighting.at <= time),
        }
    }
}

impl<S: HasFacts> Record<S> {
    /// A record with these observations.
    pub(super) fn of(tracks: Vec<Track<S>>, new_version: &mut dyn FnMut(S::Facts) -> S) -> Self {
        let mut record = Self { tracks, merged: Vec::new() };
        record.merge(Timestamp::default(), Timestamp::from_nanos(i64::MAX), new_version);
        record
    }

    /// Inserts an observation of `origin` at `at`. Returns the span of time whose state may have changed; none if the
    /// observation was known.
    pub(super) fn insert(
        &mut self,
        (origin, name): (u32, &Arc<str>),
        (at, rank): (Timestamp, u64),
        facts: Option<S::Facts>,
        new_version: impl FnOnce(S::Facts) -> S,
    ) -> Option<(Timestamp, Timestamp)> {
        let place = match self.tracks.iter().position(|track| track.origin == origin) {
            Some(place) => place,
            None => {
                self.tracks.push(Track { origin, name: name.clone(), sightings: Vec::new() });
                self.tracks.len() - 1
            }
        };
        let track = &mut self.tracks[place];
        let index = track.sightings.partition_point(|sighting| sighting.at < at);
        let known = track.sightings.get(index).filter(|sighting| sighting.at == at);
        if let Some(known) = known {
            let facts_of = |state: &Option<Arc<S>>| state.as_ref().map(|state| state.facts().clone());
            if (rank, &facts) <= (known.rank, &facts_of(&known.state)) {
                return None;
            }
        }
        let near = [index.checked_sub(1), Some(index), Some(index + 1)];
        let same = near.into_iter().flatten().filter_map(|near| track.sightings.get(near)?.state.as_ref());
        let state = facts.map(|facts| {
            let known = same.into_iter().find(|state| *state.facts() == facts).cloned();
            known.unwrap_or_else(|| Arc::new(new_version(facts)))
        });
        let sighting = Sighting { at, rank, state };
        if known.is_some() {
            track.sightings[index] = sighting;
        } else {
            track.sightings.insert(index, sighting);
        }
        Some((at, self.changed_until(place, index)))
    }

    /// The end of the time that the observation at `index` of a track affects. With several origins an old observation may
    /// change since when a later account has held, so that everything after it is merged again.
    fn changed_until(&self, place: usize, index: usize) -> Timestamp {
        let next = match self.tracks.len() {
            1 => self.tracks[place].sightings.get(index + 1),
            _ => None,
        };
        next.map_or(Timestamp::from_nanos(i64::MAX), |next| next.at)
    }

    /// Merges the origins' accounts of a span of time again.
    pub(super) fn merge(
        &mut self,
        from: Timestamp,
        until: Timestamp,
        new_version: &mut dyn FnMut(S::Facts) -> S,
    ) {
        if self.tracks.len() < 2 {
            return;
        }
        // The first observation of a second origin: everything is merged.
        let (from, until) = match self.merged.is_empty() {
            true => (Timestamp::default(), Timestamp::from_nanos(i64::MAX)),
            false => (from, until),
        };
        let within = |at: Timestamp| at >= from && at < until;
        let mut moments: Vec<Timestamp> = Vec::new();
        for track in &self.tracks {
            let begin = track.sightings.partition_point(|sighting| sighting.at < from);
            moments.extend(
                track.sightings[begin..].iter().map(|sighting| sighting.at).take_while(|&at| within(at)),
            );
        }
        moments.sort_unstable();
        moments.dedup();
        let begin = self.merged.partition_point(|entry| entry.at < from);
        let end = self.merged.partition_point(|entry| entry.at < until);
        let mut before = begin.checked_sub(1).and_then(|before| self.merged[before].state.clone());
        let mut merged = Vec::with_capacity(moments.len());
        for at in moments {
            let entry = self.merge_at(at, before.as_ref(), new_version);
            before.clone_from(&entry.state);
            merged.push(entry);
        }
        self.merged.splice(begin..end, merged);
    }

    /// The merged state at one moment.
    fn merge_at(
        &self,
        at: Timestamp,
        before: Option<&Arc<S>>,
        new_version: &mut dyn FnMut(S::Facts) -> S,
    ) -> MergedState<S> {
        let mut accounts: Vec<(&Track<S>, usize)> = self
            .tracks
            .iter()
            .filter_map(|track| Some((track, track.count_until(at).checked_sub(1)?)))
            .collect();
        accounts.sort_unstable_by(|&(one_track, one), &(two_track, two)| {
            let (one, two) = (&one_track.sightings[one], &two_track.sightings[two]);
            // At the same moment, a state takes precedence over a removal.
            let newest = (two.at, one.state.is_none()).cmp(&(one.at, two.state.is_none()));
            newest.then_with(|| one_track.name.cmp(&two_track.name))
        });
        let (newest, index) = accounts[0];
        let newest_at = newest.sightings[index].at;
        let present: Vec<(&Track<S>, usize, &Arc<S>)> = accounts
            .iter()
            .map_while(|&(track, index)| Some((track, index, track.sightings[index].state.as_ref()?)))
            .collect();
        let Some(&(_, _, first)) = present.first() else {
            return MergedState { at, origin: newest.origin, as_of: newest_at, state: None, conflict: None };
        };
        let deciding =
            present.iter().find(|(_, _, state)| state.facts().is_decisive()).unwrap_or(&present[0]);
        let (track, index, decided) = *deciding;
        let conflict = present.iter().filter(|(other, ..)| other.origin != track.origin).find_map(
            |&(other, other_index, state)| {
                let (one, two) = decided.facts().contradicts(state.facts())?;
                let as_of = other.sightings[other_index].at;
                let since = claimed_since(track, index);
                (since <= as_of)
                    .then(|| Arc::new(OriginConflict { one, other: two, origin: other.origin, as_of }))
            },
        );
        let mut facts = None;
        if !first.facts().is_complete() && present.len() > 1 {
            let mut filled = first.facts().clone();
            present[1..].iter().for_each(|(_, _, older)| filled.fill_from(older.facts()));
            facts = (filled != *first.facts()).then_some(filled);
        }
        let state = match facts {
            None => first.clone(),
            Some(facts) => match before {
                Some(before) if *before.facts() == facts => before.clone(),
                _ => Arc::new(new_version(facts)),
            },
        };
        MergedState {
            at,
            origin: track.origin,
            as_of: track.sightings[index].at,
            state: Some(state),
            conflict,
        }
    }

    /// The state at a moment; none before the first observation.
    pub(super) fn at(&self, time: Timestamp) -> Option<View<'_, S>> {
        if let [track] = &self.tracks[..] {
            let index = track.count_until(time).checked_sub(1)?;
            return Some(View::of_sighting(track, index));
        }
        let index = match self.merged.last() {
            Some(last) if last.at <= time => self.merged.len() - 1,
            _ => self.merged.partition_point(|entry| entry.at <= time).checked_sub(1)?,
        };
        Some(View::of_merged(&self.merged[index]))
    }

    /// The time since which the state has not changed.
    pub(super) fn stable_since(&self) -> Timestamp {
        let last = match &self.tracks[..] {
            [track] => track.sightings.last().map(|sighting| sighting.at),
            _ => self.merged.last().map(|entry| entry.at),
        };
        last.unwrap_or(Timestamp::default())
    }

    /// Each origin's account of a moment.
    pub(super) fn accounts(
        &self,
        time: Timestamp,
    ) -> impl Iterator<Item = (u32, Timestamp, Option<&Arc<S>>)> {
        self.tracks.iter().filter_map(move |track| {
            let sighting = &track.sightings[track.count_until(time).checked_sub(1)?];
            Some((track.origin, sighting.at, sighting.state.as_ref()))
        })
    }

    /// The states from `from` until `until`, in order.
    pub(super) fn between(&self, from: Timestamp, until: Timestamp) -> Vec<View<'_, S>> {
        let mut views: Vec<View<'_, S>> = self.at(from).into_iter().collect();
        let later = |at: Timestamp| at > from && at < until;
        match &self.tracks[..] {
            [track] => {
                let begin = track.count_until(from);
                let indexes =
                    (begin..track.sightings.len()).take_while(|&index| later(track.sightings[index].at));
                views.extend(indexes.map(|index| View::of_sighting(track, index)));
            }
            _ => {
                let begin = self.merged.partition_point(|entry| entry.at <= from);
                let entry = self.merged[begin..].iter().take_while(|entry| later(entry.at));
                views.extend(entry.map(View::of_merged));
            }
        }
        views
    }
}

impl<'a, S> View<'a, S> {
    fn of_sighting(track: &'a Track<S>, index: usize) -> View<'a, S> {
        let sighting = &track.sightings[index];
        View {
            at: sighting.at,
            origin: track.origin,
            as_of: sighting.at,
            state: sighting.state.as_ref(),
            conflict: None,
        }
    }

    fn of_merged(entry: &'a MergedState<S>) -> View<'a, S> {
        View {
            at: entry.at,
            origin: entry.origin,
            as_of: entry.as_of,
            state: entry.state.as_ref(),
            conflict: entry.conflict.as_ref(),
        }
    }
}

/// A value that contains facts, with what is derived from them.
pub(super) trait HasFacts {
    /// The facts.
    type Facts: Mergeable;
    /// The facts.
    fn facts(&self) -> &Self::Facts;
}

/// The time since which the origin has reported its account at `index` without contradicting itself.
fn claimed_since<S: HasFacts>(track: &Track<S>, index: usize) -> Timestamp {
    let state = &track.sightings[index].state;
    let contradicting = |sighting: &Sighting<S>| match (&sighting.state, state) {
        (Some(one), Some(two)) => !Arc::ptr_eq(one, two) && one.facts().contradicts(two.facts()).is_some(),
        (one, two) => one.is_some() != two.is_some(),
    };
    let run = track.sightings[..index].iter().rposition(contradicting).map_or(0, |index| index + 1);
    track.sightings[run].at
}
