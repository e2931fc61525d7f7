//! Changes in the mesh: one entry per change, however many events report it, the newest first.
//!
//! - A change has the time of its most authoritative event; events of other origins corroborate it and are listed with it.
//! - Work is bounded: the newest events are read first, and a list that does not cover the whole time tells from when on
//!   it is complete ([`ChangesList::read_since`]).
//! - The list is computed anew for each page: a change that is corroborated later keeps its position.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use meshtrail_api::changes::{ChangeEventView, ChangeView};
use meshtrail_change::corroborate::{self, CorroboratedChange};
use meshtrail_change::severity::severity;
use meshtrail_event::{Change, Event, Family, Position, Severity, Timestamp, TrailName};
use meshtrail_query::Filter;
use meshtrail_trail::{ReadError, Scan, Trail};

/// The most events that are read for one list.
const MAX_EVENTS: usize = 100_000;

/// How far beyond the requested time events that corroborate a change are searched.
const CORROBORATION_MARGIN: Duration = Duration::from_secs(86_400);

/// Which changes, and how many.
#[derive(Debug)]
pub struct ChangesSelection<'a> {
    /// Only changes at this time or later.
    pub since: Timestamp,
    /// Only changes before this time.
    pub until: Timestamp,
    /// Only changes of which at least one event matches.
    pub filter: &'a Filter,
    /// Only changes of this severity or a higher one.
    pub severity: Option<Severity>,
    /// Only changes after this position in the list: older ones.
    pub after: Option<ChangePosition>,
    /// At most this many.
    pub limit: usize,
    /// Whether each change has its diff.
    pub with_diff: bool,
}

/// The position of a change in the list. Positions are in the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChangePosition {
    /// The time of the change.
    pub time: Timestamp,
    /// The index of its main event in the trail.
    pub index: u64,
}

/// Changes, the newest first.
#[derive(Debug)]
pub struct ChangesList {
    /// Each change once.
    pub changes: Vec<ChangeView>,
    /// The position of the last change, where there are further ones.
    pub next: Option<ChangePosition>,
    /// From when on the trail was read, where the time holds more events than are read for one list.
    pub read_since: Option<Timestamp>,
}

/// The changes of a selection.
pub async fn list_changes(trail: &Trail, selection: &ChangesSelection<'_>) -> Result<ChangesList, ReadError> {
    let &ChangesSelection { since, until, filter, ref severity, after, limit, with_diff } = selection;
    let read = read_events(trail, since, until).await?;
    let floor = read.read_since.unwrap_or(since).max(since);
    let wanted = |group: &CorroboratedChange| {
        let main = &read.events[group.main];
        (floor..until).contains(&main.time)
            && after.is_none_or(|after| read.position(group) < after)
            && severity.as_ref().is_none_or(|least| severity_of(main) >= *least)
            && (filter.is_everything() || group.all().any(|place| filter.matches(&read.rows[place].leaf)))
    };
    let mut groups: Vec<CorroboratedChange> =
        corroborate::fold(&read.events).into_iter().filter(wanted).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(read.position(group)));
    let more = groups.len() > limit;
    groups.truncate(limit);
    let next = groups.last().filter(|_| more).map(|last| read.position(last));
    let changes = groups.iter().map(|group| read.change_view(group, with_diff)).collect();
    Ok(ChangesList { changes, next, read_since: read.read_since })
}

struct Row {
    index: u64,
    leaf: Bytes,
}

/// The events that may report changes, by index, and the row of each.
struct EventsRead {
    rows: Vec<Row>,
    events: Vec<Event>,
    trail: TrailName,
    /// The time from which on they were read, if there are more than [`MAX_EVENTS`].
    read_since: Option<Timestamp>,
}

async fn read_events(trail: &Trail, since: Timestamp, until: Timestamp) -> Result<EventsRead, ReadError> {
    let times = (since.before(CORROBORATION_MARGIN), until.after(CORROBORATION_MARGIN));
    let scan = Scan { families: vec![Family::Config], times: Some(times), ..Scan::newest(0..trail.size()) };
    let mut scanned = pin!(trail.scan(scan));
    let mut read =
        EventsRead { rows: Vec::new(), events: Vec::new(), trail: trail.name().clone(), read_since: None };
    while let Some((index, leaf)) = scanned.try_next().await? {
        let Ok(event) = Event::from_json(&leaf) else { continue };
        if corroborate::change(&event).is_none() || event.time < times.0 || event.time > times.1 {
            continue;
        }
        if read.rows.len() == MAX_EVENTS {
            // Older changes may lack events that corroborate them.
            read.read_since = Some(event.time.after(CORROBORATION_MARGIN));
            break;
        }
        read.rows.push(Row { index, leaf });
        read.events.push(event);
    }
    read.rows.reverse();
    read.events.reverse();
    Ok(read)
}

impl EventsRead {
    fn position(&self, group: &CorroboratedChange) -> ChangePosition {
        ChangePosition { time: self.events[group.main].time, index: self.rows[group.main].index }
    }

    fn change_view(&self, group: &CorroboratedChange, with_diff: bool) -> ChangeView {
        let main = &self.events[group.main];
        let own = corroborate::change(main);
        let reports = || group.all().filter_map(|place| corroborate::change(&self.events[place]));
        let diff = reports().find_map(|change| change.diff.clone());
        let lines = reports().find(|change| !change.lines.is_empty()).map(|change| change.lines.clone());
        let corroborations = group.corroborations.iter();
        ChangeView {
            time: main.time,
            not_before: own.and_then(|change| change.not_before),
            kind: main.kind.to_string(),
            severity: severity_of(main).as_str().into(),
            actor: main.actor.clone(),
            identity: main.identity.clone(),
            target: main.target.clone(),
            outcome: main.outcome.to_string(),
            summary: summary(main, own),
            lines: lines.unwrap_or_default(),
            has_diff: diff.is_some(),
            diff: diff.filter(|_| with_diff),
            events: [group.main].iter().chain(corroborations).map(|place| self.event_view(*place)).collect(),
            parts: group.parts.iter().map(|place| self.event_view(*place)).collect(),
        }
    }

    fn event_view(&self, place: usize) -> ChangeEventView {
        let event = &self.events[place];
        let change = corroborate::change(event);
        let position = Position { trail: self.trail.clone(), index: self.rows[place].index };
        ChangeEventView {
            origin: change.and_then(|change| change.origin.clone()),
            event: event.id.to_string(),
            index: position.index,
            position,
            time: event.time,
            kind: event.kind.to_string(),
            summary: change.and_then(|change| change.summary.clone()).unwrap_or_default(),
        }
    }
}

/// The severity of an event that reports a change.
fn severity_of(event: &Event) -> Severity {
    corroborate::change(event).map_or(Severity::Info, |change| severity(event, change))
}

/// The summary of a change; without one, its kind and target.
fn summary(event: &Event, change: Option<&Change>) -> String {
    match change.and_then(|change| change.summary.clone()) {
        Some(summary) => summary,
        None => {
            let what = event.target.label().map(|label| format!(" {label}")).unwrap_or_default();
            format!("{}{what}", event.kind)
        }
    }
}
