//! Thirty days of the company, one of whose nights is not like the others.
//!
//! - All streams tell one story: who connects is in the mesh at that moment, under the name, tags and address it has then.
//! - Items come in the order in which they happened; each source counts its events from 1 without a hole.
//! - The same seed and end give the same items, byte for byte.
//!
//! What to find: a contractor's sign-in brings a new device at 03:12, an admin's forgotten API token loosens the policy,
//! a session on the database host is followed by a transfer of some gigabytes, and then all is put back as it was.

mod changes;
mod incident;
mod plan;
mod policy;
mod settle;
mod traffic;
mod watch;
mod work;
mod world;

use meshtrail_event::{Draft, EventId, Timestamp};

use crate::calendar::Days;
use crate::company::{Company, Size};
use crate::tape::Tape;
use plan::Plan;
use world::World;

/// How many days a story has.
pub const DAYS: u64 = 30;

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum Item {
    /// An event.
    Event(Box<Told>),
    /// A session began, and was recorded.
    Opened {
        /// Its number in the story.
        number: usize,
        /// The recording.
        tape: Box<Tape>,
    },
    /// The session with this number ended.
    Closed {
        /// Its number in the story.
        number: usize,
    },
}

/// An event with its name, all but the moment of its receipt.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its name.
    pub id: EventId,
    /// What happened.
    pub draft: Draft,
    /// The recorded session it belongs to, by its number in the story.
    pub session: Option<usize>,
}

/// A made-up company's last thirty days.
#[derive(Debug)]
pub struct Story {
    /// What happened, in order.
    pub items: Vec<Item>,
    /// The company as it is at the end.
    pub company: Company,
    /// When the night's visit began.
    pub incident: Timestamp,
}

impl Story {
    /// The story from `seed` that ends at `until`; its events are named as the trail's own, `<trail>.<source>`.
    pub fn new(seed: u64, until: Timestamp, trail: &str) -> Self {
        let days = Days::before(until, DAYS);
        let founded = Timestamp::from_nanos(days.begin).before(std::time::Duration::from_secs(200 * 86_400));
        let mut world = World::new(seed, Company::new(seed, Size::DEMO, founded), trail, founded);
        let mut plan = Plan::new(seed, days);
        settle::plan(&mut plan);
        changes::plan(&mut plan);
        work::plan(&mut plan, &world.company);
        traffic::plan(&mut plan, &world.company);
        watch::plan(&mut plan);
        let incident = incident::plan(&mut plan);
        plan.play(&mut world);
        Self { items: world.items, company: world.company, incident }
    }
}

#[cfg(test)]
mod tests;
