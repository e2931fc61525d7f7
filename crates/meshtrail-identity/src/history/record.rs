//! One device or person over time, as each origin told of it, and as they did together.
//!
//! - An origin's account of a moment is the last thing it told at or before it.
//! - Together, the newest account speaks first, and an older one only of what the newer ones leave out. Nothing that
//!   was told before the thing was last seen gone counts any more.
//! - Accounts contradict each other where one was still confirmed after the other began: an account that was simply
//!   not looked at since is old, not contrary.
//! - The order in which things are told here changes nothing, nor does telling them twice.

use std::sync::Arc;

use meshtrail_event::Timestamp;

/// What an origin tells.
pub(super) trait Account: Clone + Ord {
    /// Whether it tells what matters: whose the device is.
    fn decides(&self) -> bool;
    /// Whether no other account could add to it what events need.
    fn is_whole(&self) -> bool;
    /// Takes from an older account what this one leaves out.
    fn fill_from(&mut self, other: &Self);
    /// In what it can't be true together with the other: what either says.
    fn contradicts(&self, other: &Self) -> Option<(String, String)>;
}

/// What one origin told at one moment; without a state, that the thing is gone.
pub(super) struct Seen<S> {
    pub(super) at: Timestamp,
    /// Decides between two that are told of the same moment: the later told.
    rank: u64,
    pub(super) state: Option<Arc<S>>,
}

/// What one origin told, oldest first, at most once for each moment.
pub(super) struct Track<S> {
    pub(super) origin: u32,
    /// The origin's name, which decides where moments are the same: numbers depend on who was heard first.
    name: Arc<str>,
    pub(super) seen: Vec<Seen<S>>,
}

/// What is known from a moment on, by all origins together.
pub(super) struct Told<S> {
    pub(super) at: Timestamp,
    /// Whose account decides.
    pub(super) origin: u32,
    /// When that was observed.
    pub(super) as_of: Timestamp,
    pub(super) state: Option<Arc<S>>,
    /// What another origin says against it.
    pub(super) against: Option<Arc<Against>>,
}

/// What two origins tell differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Against {
    /// What the account that was taken says.
    pub(super) one: String,
    /// What the other says.
    pub(super) other: String,
    /// Which origin that is, as a number.
    pub(super) origin: u32,
    /// When that was observed.
    pub(super) as_of: Timestamp,
}

/// One device or person over time.
pub(super) struct Record<S> {
    pub(super) tracks: Vec<Track<S>>,
    /// Empty while only one origin tells of it: its track says all then.
    merged: Vec<Told<S>>,
}

/// What a moment's answer is made of, borrowed.
pub(super) struct View<'a, S> {
    pub(super) at: Timestamp,
    pub(super) origin: u32,
    pub(super) as_of: Timestamp,
    pub(super) state: Option<&'a Arc<S>>,
    pub(super) against: Option<&'a Arc<Against>>,
}

impl<S> Default for Record<S> {
    fn default() -> Self {
        Record { tracks: Vec::new(), merged: Vec::new() }
    }
}

impl<S> Track<S> {
    /// How many were told at or before `time`.
    fn upto(&self, time: Timestamp) -> usize {
        // What is asked about is mostly the newest.
        match self.seen.last() {
            Some(last) if last.at <= time => self.seen.len(),
            _ => self.seen.partition_point(|seen| seen.at <= time),
        }
    }
}

impl<S: Holds> Record<S> {
    /// Takes in what `origin` told of `at`. Gives back from when to when that may change what is known; none where
    /// it was known before.
    pub(super) fn tell(
        &mut self,
        (origin, name): (u32, &Arc<str>),
        (at, rank): (Timestamp, u64),
        facts: Option<S::Facts>,
        hold: impl FnOnce(S::Facts) -> S,
    ) -> Option<(Timestamp, Timestamp)> {
        let place = match self.tracks.iter().position(|track| track.origin == origin) {
            Some(place) => place,
            None => {
                self.tracks.push(Track { origin, name: name.clone(), seen: Vec::new() });
                self.tracks.len() - 1
            }
        };
        let track = &mut self.tracks[place];
        let index = track.seen.partition_point(|seen| seen.at < at);
        let known = track.seen.get(index).filter(|seen| seen.at == at);
        if let Some(known) = known {
            let facts_of = |state: &Option<Arc<S>>| state.as_ref().map(|state| state.facts().clone());
            if (rank, &facts) <= (known.rank, &facts_of(&known.state)) {
                return None;
            }
        }
        let near = [index.checked_sub(1), Some(index), Some(index + 1)];
        let same = near.into_iter().flatten().filter_map(|near| track.seen.get(near)?.state.as_ref());
        let state = facts.map(|facts| {
            let known = same.into_iter().find(|state| *state.facts() == facts).cloned();
            known.unwrap_or_else(|| Arc::new(hold(facts)))
        });
        let seen = Seen { at, rank, state };
        if known.is_some() {
            track.seen[index] = seen;
        } else {
            track.seen.insert(index, seen);
        }
        Some((at, self.changed_until(place, index)))
    }

    /// Up to when what stands at `index` of a track changes anything. Among several origins a word from the past may
    /// change for how long a later one held, so that everything after it is looked at again.
    fn changed_until(&self, place: usize, index: usize) -> Timestamp {
        let next = match self.tracks.len() {
            1 => self.tracks[place].seen.get(index + 1),
            _ => None,
        };
        next.map_or(Timestamp::from_nanos(i64::MAX), |next| next.at)
    }

    /// Puts the origins' accounts of a stretch together anew.
    pub(super) fn merge(&mut self, from: Timestamp, until: Timestamp, hold: &mut dyn FnMut(S::Facts) -> S) {
        if self.tracks.len() < 2 {
            return;
        }
        // The second origin's first word makes the whole from what the first one told.
        let (from, until) = match self.merged.is_empty() {
            true => (Timestamp::default(), Timestamp::from_nanos(i64::MAX)),
            false => (from, until),
        };
        let within = |at: Timestamp| at >= from && at < until;
        let mut moments: Vec<Timestamp> = Vec::new();
        for track in &self.tracks {
            let begin = track.seen.partition_point(|seen| seen.at < from);
            moments.extend(track.seen[begin..].iter().map(|seen| seen.at).take_while(|&at| within(at)));
        }
        moments.sort_unstable();
        moments.dedup();
        let begin = self.merged.partition_point(|told| told.at < from);
        let end = self.merged.partition_point(|told| told.at < until);
        let mut before = begin.checked_sub(1).and_then(|before| self.merged[before].state.clone());
        let mut anew = Vec::with_capacity(moments.len());
        for at in moments {
            let told = self.together(at, before.as_ref(), hold);
            before.clone_from(&told.state);
            anew.push(told);
        }
        self.merged.splice(begin..end, anew);
    }

    /// What all origins tell together of one moment.
    fn together(
        &self,
        at: Timestamp,
        before: Option<&Arc<S>>,
        hold: &mut dyn FnMut(S::Facts) -> S,
    ) -> Told<S> {
        let mut accounts: Vec<(&Track<S>, usize)> =
            self.tracks.iter().filter_map(|track| Some((track, track.upto(at).checked_sub(1)?))).collect();
        accounts.sort_unstable_by(|&(one_track, one), &(two_track, two)| {
            let (one, two) = (&one_track.seen[one], &two_track.seen[two]);
            // Of the same moment, a state goes before its absence: somebody sees it.
            let newest = (two.at, one.state.is_none()).cmp(&(one.at, two.state.is_none()));
            newest.then_with(|| one_track.name.cmp(&two_track.name))
        });
        let (newest, index) = accounts[0];
        let newest_at = newest.seen[index].at;
        let present: Vec<(&Track<S>, usize, &Arc<S>)> = accounts
            .iter()
            .map_while(|&(track, index)| Some((track, index, track.seen[index].state.as_ref()?)))
            .collect();
        let Some(&(_, _, first)) = present.first() else {
            return Told { at, origin: newest.origin, as_of: newest_at, state: None, against: None };
        };
        let deciding = present.iter().find(|(_, _, state)| state.facts().decides()).unwrap_or(&present[0]);
        let (track, index, decided) = *deciding;
        let against = present.iter().filter(|(other, ..)| other.origin != track.origin).find_map(
            |&(other, other_index, state)| {
                let (one, two) = decided.facts().contradicts(state.facts())?;
                let as_of = other.seen[other_index].at;
                let began = began(track, index);
                (began <= as_of).then(|| Arc::new(Against { one, other: two, origin: other.origin, as_of }))
            },
        );
        let mut facts = None;
        if !first.facts().is_whole() && present.len() > 1 {
            let mut filled = first.facts().clone();
            present[1..].iter().for_each(|(_, _, older)| filled.fill_from(older.facts()));
            facts = (filled != *first.facts()).then_some(filled);
        }
        let state = match facts {
            None => first.clone(),
            Some(facts) => match before {
                Some(before) if *before.facts() == facts => before.clone(),
                _ => Arc::new(hold(facts)),
            },
        };
        Told { at, origin: track.origin, as_of: track.seen[index].at, state: Some(state), against }
    }

    /// What is known of a moment; none before anything was told.
    pub(super) fn at(&self, time: Timestamp) -> Option<View<'_, S>> {
        if let [track] = &self.tracks[..] {
            let index = track.upto(time).checked_sub(1)?;
            return Some(View::of_seen(track, index));
        }
        let index = match self.merged.last() {
            Some(last) if last.at <= time => self.merged.len() - 1,
            _ => self.merged.partition_point(|told| told.at <= time).checked_sub(1)?,
        };
        Some(View::of_told(&self.merged[index]))
    }

    /// From when on the answer stays the same.
    pub(super) fn settled(&self) -> Timestamp {
        let last = match &self.tracks[..] {
            [track] => track.seen.last().map(|seen| seen.at),
            _ => self.merged.last().map(|told| told.at),
        };
        last.unwrap_or(Timestamp::default())
    }

    /// What each origin says of a moment.
    pub(super) fn accounts(
        &self,
        time: Timestamp,
    ) -> impl Iterator<Item = (u32, Timestamp, Option<&Arc<S>>)> {
        self.tracks.iter().filter_map(move |track| {
            let seen = &track.seen[track.upto(time).checked_sub(1)?];
            Some((track.origin, seen.at, seen.state.as_ref()))
        })
    }

    /// What is known, stretch by stretch, of the time from `from` until `until`.
    pub(super) fn between(&self, from: Timestamp, until: Timestamp) -> Vec<View<'_, S>> {
        let mut views: Vec<View<'_, S>> = self.at(from).into_iter().collect();
        let later = |at: Timestamp| at > from && at < until;
        match &self.tracks[..] {
            [track] => {
                let begin = track.upto(from);
                let indexes = (begin..track.seen.len()).take_while(|&index| later(track.seen[index].at));
                views.extend(indexes.map(|index| View::of_seen(track, index)));
            }
            _ => {
                let begin = self.merged.partition_point(|told| told.at <= from);
                let told = self.merged[begin..].iter().take_while(|told| later(told.at));
                views.extend(told.map(View::of_told));
            }
        }
        views
    }
}

impl<'a, S> View<'a, S> {
    fn of_seen(track: &'a Track<S>, index: usize) -> View<'a, S> {
        let seen = &track.seen[index];
        View { at: seen.at, origin: track.origin, as_of: seen.at, state: seen.state.as_ref(), against: None }
    }

    fn of_told(told: &'a Told<S>) -> View<'a, S> {
        View {
            at: told.at,
            origin: told.origin,
            as_of: told.as_of,
            state: told.state.as_ref(),
            against: told.against.as_ref(),
        }
    }
}

/// What holds facts, with what is derived from them.
pub(super) trait Holds {
    /// The facts.
    type Facts: Account;
    /// The facts.
    fn facts(&self) -> &Self::Facts;
}

/// When the origin began to tell what it tells at `index`, without saying anything contrary since.
fn began<S: Holds>(track: &Track<S>, index: usize) -> Timestamp {
    let state = &track.seen[index].state;
    let contrary = |seen: &Seen<S>| match (&seen.state, state) {
        (Some(one), Some(two)) => !Arc::ptr_eq(one, two) && one.facts().contradicts(two.facts()).is_some(),
        (one, two) => one.is_some() != two.is_some(),
    };
    let run = track.seen[..index].iter().rposition(contrary).map_or(0, |contrary| contrary + 1);
    track.seen[run].at
}
