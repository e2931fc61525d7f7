//! The plan of the story: actions are added in any order and run in the order of their times.

use super::world::World;
use crate::calendar::Days;
use crate::random::Random;

type Action = Box<dyn FnOnce(&mut World)>;

/// All planned actions.
pub(super) struct Plan {
    pub(super) days: Days,
    pub(super) seed: u64,
    actions: Vec<(i64, Action)>,
}

impl Plan {
    pub(super) fn new(seed: u64, days: Days) -> Self {
        Self { days, seed, actions: Vec::new() }
    }

    /// Random numbers for one part of the plan.
    pub(super) fn random(&self, part: &str) -> Random {
        Random::part_of(self.seed, part)
    }

    /// Adds an action at `at`; ignored outside the story's days.
    pub(super) fn add(&mut self, at: i64, action: impl FnOnce(&mut World) + 'static) {
        if (self.days.begin..self.days.until).contains(&at) {
            self.actions.push((at, Box::new(action)));
        }
    }

    /// Runs all actions; those of the same moment in the order in which they were added.
    pub(super) fn play(mut self, world: &mut World) {
        self.actions.sort_by_key(|(at, _)| *at);
        for (at, action) in self.actions {
            world.close_sessions_before(at);
            world.now = at;
            action(world);
        }
        world.close_sessions_before(self.days.until);
    }
}
