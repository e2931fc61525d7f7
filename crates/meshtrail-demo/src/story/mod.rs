//! Thirty days of the company, with one incident.
//!
//! - All sources are consistent: a device that connects is in the mesh at that moment, with its name, tags and address then.
//! - Items are in the order of time; each source numbers its events from 1 without gaps.
//! - The same seed and end give the same items, byte for byte.
//!
//! The incident: a contractor's sign-in adds a new device at 03:12, an admin's forgotten API token loosens the policy, a
//! session on the database host is followed by a transfer of some gigabytes, and then everything is restored.

mod access;
mod changes;
mod incident;
mod monitoring;
mod plan;
mod policy;
mod snapshots;
mod traffic;
mod world;

use meshtrail_event::{Draft, EventId, Timestamp};

use crate::calendar::Days;
use crate::company::{Company, Size};
use crate::recording::DemoRecording;
use plan::Plan;
use world::World;

/// Number of days of a story.
pub const DAYS: u64 = 30;

/// An item of the story.
#[derive(Debug, Clone)]
pub enum Item {
    /// An event.
    Event(Box<StoryEvent>),
    /// A recorded session began.
    SessionOpened {
        /// Number of the session in the story.
        number: usize,
        /// The recording.
        recording: Box<DemoRecording>,
    },
    /// A session ended.
    SessionClosed {
        /// Number of the session in the story.
        number: usize,
    },
}

/// An event with its id, without its time of receipt.
#[derive(Debug, Clone)]
pub struct StoryEvent {
    /// The event's id.
    pub id: EventId,
    /// The event's content.
    pub draft: Draft,
    /// Number of the recorded session that it belongs to.
    pub session: Option<usize>,
}

/// The last thirty days of the company.
#[derive(Debug)]
pub struct Story {
    /// All items, in order of time.
    pub items: Vec<Item>,
    /// The company at the end.
    pub company: Company,
    /// Start of the incident's session.
    pub incident: Timestamp,
}

impl Story {
    /// The story of `seed` that ends at `until`. Its sources have the names of the trail's own: `<trail>.<source>`.
    pub fn new(seed: u64, until: Timestamp, trail: &str) -> Self {
        let days = Days::before(until, DAYS);
        let founded = Timestamp::from_nanos(days.begin).before(std::time::Duration::from_secs(200 * 86_400));
        let mut world = World::new(seed, Company::new(seed, Size::DEMO, founded), trail, founded);
        let mut plan = Plan::new(seed, days);
        snapshots::plan(&mut plan);
        changes::plan(&mut plan);
        access::plan(&mut plan, &world.company);
        traffic::plan(&mut plan, &world.company);
        monitoring::plan(&mut plan);
        let incident = incident::plan(&mut plan);
        plan.play(&mut world);
        Self { items: world.items, company: world.company, incident }
    }
}

#[cfg(test)]
mod tests;
