//! Changes in the mesh: one entry per change, however many events report it.

use std::pin::pin;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use futures::TryStreamExt;
use meshtrail_api::changes::{self as view, ChangeEventView, ChangeView, ChangesPage, ChangesQuery};
use meshtrail_change::corroborate::{self, CorroboratedChange};
use meshtrail_change::severity::{Severity, severity};
use meshtrail_event::{Change, Event, Family, Position, RelativePosition, Timestamp, TrailName};
use meshtrail_query::instant;
use meshtrail_trail::Scan;

use super::events::{check_limit, parse_filter, unreadable};
use crate::cursor;
use crate::extract::{ValidQuery, own_index, parse_field};
use crate::problem::Problem;
use crate::state::AppState;

/// The default number of changes on a page.
const PAGE: usize = 200;

/// The most changes on a page.
const MAX_PAGE: usize = 1000;

/// The default time range before now.
const DEFAULT_SPAN: Duration = Duration::from_secs(7 * 86_400);

/// The most events that are read for one response.
const MAX_EVENTS: usize = 100_000;

/// How far beyond the requested time events that corroborate a change are searched.
const CORROBORATION_MARGIN: Duration = Duration::from_secs(86_400);

/// Lists what changed in the mesh, each change once.
#[utoipa::path(get, path = "/api/v1/changes", tag = "changes", params(ChangesQuery),
    responses((status = 200, body = ChangesPage)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    ValidQuery(query): ValidQuery<ChangesQuery>,
) -> Result<Json<ChangesPage>, Problem> {
    page(&state, &query).await.map(Json)
}

/// The time range of a request.
#[derive(Debug, Clone, Copy)]
struct TimeRange {
    since: Timestamp,
    until: Timestamp,
}

/// A page of changes, for the console and the API.
pub(crate) async fn page(state: &AppState, query: &ChangesQuery) -> Result<ChangesPage, Problem> {
    let now = Timestamp::now();
    let range = TimeRange {
        since: parse_time("since", query.since.as_deref(), now)?.unwrap_or_else(|| now.before(DEFAULT_SPAN)),
        until: parse_time("until", query.until.as_deref(), now)?.unwrap_or(Timestamp::from_nanos(i64::MAX)),
    };
    let (filter, limit) = (parse_filter(query.q.as_deref())?, check_limit(query.limit, PAGE, MAX_PAGE)?);
    let question = format!("changes {:?} {:?} {:?} {filter}", query.since, query.until, query.severity);
    let least = query.severity.as_ref().map(parse_severity).transpose()?;
    let trail = state.trail();
    let read = |text: &str| parse_place(&cursor::read(&question, text)?, trail.name());
    let before = query.cursor.as_deref().map(read).transpose()?;
    let (rows, read_since) = read_events(state, range).await?;
    let (leaves, events): (Vec<_>, Vec<_>) =
        rows.into_iter().map(|row| ((row.index, row.leaf), row.event)).unzip();
    let floor = read_since.unwrap_or(range.since).max(range.since);
    let wanted = |group: &CorroboratedChange| {
        let main = &events[group.main];
        let place = (main.time, leaves[group.main].0);
        let own_severity = corroborate::change(main).map_or(Severity::Info, |change| severity(main, change));
        let in_time = main.time >= floor && main.time < range.until;
        in_time
            && before.is_none_or(|before| place < before)
            && least.is_none_or(|least| own_severity >= least)
            && (filter.is_everything() || group.all().any(|event| filter.matches(&leaves[event].1)))
    };
    let mut groups: Vec<CorroboratedChange> = corroborate::fold(&events).into_iter().filter(wanted).collect();
    groups.sort_by_key(|group| std::cmp::Reverse((events[group.main].time, leaves[group.main].0)));
    let more = groups.len() > limit;
    groups.truncate(limit);
    let last = groups.last().filter(|_| more).map(|last| (events[last.main].time, leaves[last.main].0));
    let next = last.map(|(time, index)| {
        cursor::write(&question, &format!("{} {}", time.as_nanos(), trail.position(index)))
    });
    let position = |place: usize| trail.position(leaves[place].0);
    let view = |group: &CorroboratedChange| change_view(group, &events, position, query.diff);
    Ok(ChangesPage { changes: groups.iter().map(view).collect(), next, read_since })
}

fn parse_time(field: &str, text: Option<&str>, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
    let parse = |text: &str| {
        instant(text, now).ok_or_else(|| {
            Problem::bad_request(
                field,
                "give a time such as 2026-11-20T14:02Z, or a span before now such as 7d",
            )
        })
    };
    text.filter(|text| !text.is_empty()).map(parse).transpose()
}

fn parse_severity(severity: &view::Severity) -> Result<Severity, Problem> {
    let all = [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
    all.into_iter()
        .find(|one| one.as_str() == severity.as_str())
        .ok_or_else(|| Problem::bad_request("severity", "ask for info, low, medium, high or critical"))
}

/// Parses the place where the last page ended: the time and the position of its last change.
fn parse_place(text: &str, own: &TrailName) -> Result<(Timestamp, u64), Problem> {
    let (nanos, position) = text.split_once(' ').unwrap_or_default();
    let time = Timestamp::from_nanos(parse_field("cursor", nanos)?);
    let position: RelativePosition = parse_field("cursor", position)?;
    Ok((time, own_index("cursor", &position, own)?))
}

struct Row {
    index: u64,
    leaf: Bytes,
    event: Event,
}

/// The events that may report changes in the range, by index; and the time from which on they were read, if there are
/// more than [`MAX_EVENTS`].
async fn read_events(state: &AppState, range: TimeRange) -> Result<(Vec<Row>, Option<Timestamp>), Problem> {
    let times = (range.since.before(CORROBORATION_MARGIN), range.until.after(CORROBORATION_MARGIN));
    let scan =
        Scan { families: vec![Family::Config], times: Some(times), ..Scan::newest(0..state.trail().size()) };
    let mut scanned = pin!(state.trail().scan(scan));
    let (mut rows, mut read_since) = (Vec::new(), None);
    while let Some((index, leaf)) = scanned.try_next().await.map_err(|error| unreadable(&error))? {
        let Ok(event) = Event::from_json(&leaf) else { continue };
        if corroborate::change(&event).is_none() || event.time < times.0 || event.time > times.1 {
            continue;
        }
        if rows.len() == MAX_EVENTS {
            // Older changes may lack events that corroborate them.
            read_since = Some(event.time.after(CORROBORATION_MARGIN));
            break;
        }
        rows.push(Row { index, leaf, event });
    }
    rows.reverse();
    Ok((rows, read_since))
}

fn change_view(
    group: &CorroboratedChange,
    events: &[Event],
    position: impl Fn(usize) -> Position,
    with_diff: bool,
) -> ChangeView {
    let main = &events[group.main];
    let event_view = |place: usize| {
        let event = &events[place];
        let (change, position) = (corroborate::change(event), position(place));
        ChangeEventView {
            origin: change.and_then(|change| change.origin.clone()),
            event: event.id.to_string(),
            index: position.index,
            position,
            time: event.time,
            kind: event.kind.to_string(),
            summary: change.and_then(|change| change.summary.clone()).unwrap_or_default(),
        }
    };
    let changes = || group.all().filter_map(|place| corroborate::change(&events[place]));
    let first = |of: fn(&Change) -> bool| changes().find(|change| of(change));
    let diff = first(|change| change.diff.is_some()).and_then(|change| change.diff.clone());
    let lines = first(|change| !change.lines.is_empty()).map(|change| change.lines.clone());
    let own = corroborate::change(main);
    ChangeView {
        time: main.time,
        not_before: own.and_then(|change| change.not_before),
        kind: main.kind.to_string(),
        severity: own.map_or(Severity::Info, |change| severity(main, change)).as_str().into(),
        actor: main.actor.clone(),
        identity: main.identity.clone(),
        target: main.target.clone(),
        outcome: main.outcome.to_string(),
        summary: summary(main, own),
        lines: lines.unwrap_or_default(),
        has_diff: diff.is_some(),
        diff: diff.filter(|_| with_diff),
        events: [group.main].iter().chain(&group.corroborations).map(|place| event_view(*place)).collect(),
        parts: group.parts.iter().map(|place| event_view(*place)).collect(),
    }
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
