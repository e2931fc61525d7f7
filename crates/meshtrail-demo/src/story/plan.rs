//! What is to happen, and when: deeds are planned in any order and played in the order of their times.

use super::world::World;
use crate::calendar::Days;
use crate::random::Random;

type Deed = Box<dyn FnOnce(&mut World)>;

/// Everything that is to happen.
pub(super) struct Plan {
    pub(super) days: Days,
    pub(super) seed: u64,
    deeds: Vec<(i64, Deed)>,
}

impl Plan {
    pub(super) fn new(seed: u64, days: Days) -> Self {
        Self { days, seed, deeds: Vec::new() }
    }

    /// Random numbers for one part of the plan.
    pub(super) fn random(&self, part: &str) -> Random {
        Random::part_of(self.seed, part)
    }

    /// At `at`, do this; outside the story's days nothing is done.
    pub(super) fn add(&mut self, at: i64, deed: impl FnOnce(&mut World) + 'static) {
        if (self.days.begin..self.days.until).contains(&at) {
            self.deeds.push((at, Box::new(deed)));
        }
    }

    /// Plays all of it; what was planned for one moment is played in the order of planning.
    pub(super) fn play(mut self, world: &mut World) {
        self.deeds.sort_by_key(|(at, _)| *at);
        for (at, deed) in self.deeds {
            world.close_sessions_before(at);
            world.now = at;
            deed(world);
        }
        world.close_sessions_before(self.days.until);
    }
}
