//! View models: the plain values that several pages render, without their origin.

use std::time::Duration;

use meshtrail_api::sessions::Session;
use meshtrail_event::{Event, Position, Timestamp};
use serde::Deserialize;

/// The time ranges that pages about people, devices and changes offer, in days.
pub const RANGES: &[(&str, u64)] = &[("24h", 1), ("7d", 7), ("30d", 30), ("90d", 90)];

/// A session in a list or on its page.
#[derive(Debug, Clone)]
pub struct SessionView {
    /// The session, as the API returns it.
    pub session: Session,
    /// The index of its terminal event; `None` where it has no such event, or where the index is not known.
    pub index: Option<u64>,
}

impl SessionView {
    /// The time from its start to its end, or to `now` while it is live.
    pub(crate) fn length(&self, now: Timestamp) -> Duration {
        let (started, end) = (self.session.started, self.session.ended.unwrap_or(now));
        if end > started { end.since(started) } else { Duration::ZERO }
    }
}

/// An event and its place in the trail.
#[derive(Debug, Clone)]
pub struct EventView {
    /// Its place in the trail.
    pub position: Position,
    /// The event as it was written.
    pub event: Event,
    /// The event with its late identity, where there is one.
    pub best_known: Option<Box<Event>>,
    /// The exact bytes that the trail proves.
    pub leaf: String,
}

impl EventView {
    /// The event with its late identity, or as it was written.
    pub(crate) fn best_known(&self) -> &Event {
        self.best_known.as_deref().unwrap_or(&self.event)
    }
}

/// The position of a page in its list.
#[derive(Debug, Clone, Default)]
pub struct Paging {
    /// The cursor of the next, older page.
    pub next: Option<String>,
    /// Whether this page is not the first one.
    pub inside: bool,
}

/// The signed-in reader of a page, and their capabilities.
#[derive(Debug, Clone)]
pub struct PageViewer {
    /// Who they are, in one line.
    pub name: String,
    /// The name of their role.
    pub role: &'static str,
    /// Whether they may see what was on the screen of a session.
    pub may_replay: bool,
    /// Whether they may take events and recordings out.
    pub may_export: bool,
    /// Whether they may end a live session.
    pub may_kill: bool,
}

/// The trail when a page was made, for the top bar.
#[derive(Debug, Clone)]
pub struct TrailStatus {
    /// The number of events.
    pub events: u64,
    /// When the newest event was received.
    pub newest: Option<Timestamp>,
    /// When the page was made.
    pub now: Timestamp,
}

/// What the address of a list of people or devices asks for; empty texts ask for nothing in particular.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ListRequest {
    /// A part of what a row shows.
    pub q: String,
    /// Which people or devices.
    pub show: String,
    /// The moment that the list describes.
    pub at: String,
    /// The number of rows to skip.
    pub from: usize,
}
