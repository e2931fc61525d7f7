//! What changed in the mesh: one entry per change, whoever told of it and however often.

use std::pin::pin;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use futures::TryStreamExt;
use meshtrail_collect::weight::{Severity, severity};
use meshtrail_collect::witness::{self, Folded};
use meshtrail_event::{Actor, Change, Event, Family, Identity, Target, Timestamp};
use meshtrail_query::instant;
use meshtrail_trail::Scan;
use serde::{Deserialize, Serialize};

use super::events::{filter, limit, unreadable};
use crate::cursor;
use crate::extract::{Asked, parsed};
use crate::problem::Problem;
use crate::state::AppState;

/// Changes on a page when nothing is said.
const PAGE: usize = 200;

/// The most changes on a page.
const MAX_PAGE: usize = 1000;

/// How far back is looked when nothing is said.
const SPAN: Duration = Duration::from_secs(7 * 86_400);

/// The most events that are read for an answer.
const MAX_EVENTS: usize = 100_000;

/// How far beyond the asked time witnesses of a change are looked for.
const AROUND: Duration = Duration::from_secs(86_400);

/// Which changes, and how many.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ChangesQuery {
    /// A filter, such as `actor:alice@example.com kind:policy.*`; one that any event of a change meets.
    pub q: Option<String>,
    /// From when on: a time, or a span before now such as `7d`. Seven days without it.
    pub since: Option<String>,
    /// Until when: a time, or a span before now.
    pub until: Option<String>,
    /// Only what matters at least this much: `info`, `low`, `medium` or `high`.
    #[param(value_type = Option<String>)]
    pub severity: Option<Severity>,
    /// Whether unified diffs are wanted.
    pub diff: bool,
    /// At most this many: 1 to 1000, 200 without it.
    pub limit: Option<usize>,
    /// Where the last answer's `next` left off.
    pub cursor: Option<String>,
}

/// A page of changes, the newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ChangesPage {
    /// Each once, whoever told of it.
    pub changes: Vec<ChangeView>,
    /// Where the list goes on; absent at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// From when on the trail was read, where the stretch holds more events than are read for one answer: ask for
    /// what is older with `until`.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_since: Option<Timestamp>,
}

/// One change.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ChangeView {
    /// When it happened, as best known.
    #[schema(value_type = String)]
    pub time: Timestamp,
    /// Where only snapshots tell of it: when it was still as before.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// What happened.
    pub kind: String,
    /// How much it matters.
    #[schema(value_type = String)]
    pub severity: Severity,
    /// Who did it.
    #[schema(value_type = Object)]
    #[serde(skip_serializing_if = "Actor::is_empty")]
    pub actor: Actor,
    /// How they are known, or why not.
    #[schema(value_type = Object)]
    #[serde(skip_serializing_if = "Identity::is_empty")]
    pub identity: Identity,
    /// On what.
    #[schema(value_type = Object)]
    #[serde(skip_serializing_if = "Target::is_empty")]
    pub target: Target,
    /// How it went.
    pub outcome: String,
    /// A sentence a person would say.
    pub summary: String,
    /// What changed, one sentence each, where it has several parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// Whether there is a diff.
    pub has_diff: bool,
    /// The hunks of a unified diff, where they are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// Every event that tells of it, the one that tells it best first.
    pub witnesses: Vec<WitnessView>,
    /// The other records of the same operation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<WitnessView>,
}

/// An event that tells of a change.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct WitnessView {
    /// Who told: `audit-log`, `hec`, `webhook`, `snapshot`, `headscale`, `localapi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The event.
    pub event: String,
    /// Where it is in the trail.
    pub index: u64,
    /// When it says that it happened.
    #[schema(value_type = String)]
    pub time: Timestamp,
    /// Its kind.
    pub kind: String,
    /// What it says.
    pub summary: String,
}

/// Lists what changed in the mesh, each change once.
#[utoipa::path(get, path = "/api/v1/changes", tag = "changes", params(ChangesQuery),
    responses((status = 200, body = ChangesPage)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    Asked(query): Asked<ChangesQuery>,
) -> Result<Json<ChangesPage>, Problem> {
    page(&state, &query).await.map(Json)
}

/// The stretch of time that a question asks for.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    since: Timestamp,
    until: Timestamp,
}

/// A page of changes, for pages and answers.
pub(crate) async fn page(state: &AppState, query: &ChangesQuery) -> Result<ChangesPage, Problem> {
    let now = Timestamp::now();
    let stretch = Stretch {
        since: moment("since", query.since.as_deref(), now)?.unwrap_or_else(|| now.before(SPAN)),
        until: moment("until", query.until.as_deref(), now)?.unwrap_or(Timestamp::from_nanos(i64::MAX)),
    };
    let (filter, limit) = (filter(query.q.as_deref())?, limit(query.limit, PAGE, MAX_PAGE)?);
    let question = format!("changes {:?} {:?} {:?} {filter}", query.since, query.until, query.severity);
    let before = query.cursor.as_deref().map(|text| position(&cursor::read(&question, text)?)).transpose()?;
    let (rows, read_since) = read(state, stretch).await?;
    let (leaves, events): (Vec<_>, Vec<_>) =
        rows.into_iter().map(|row| ((row.index, row.leaf), row.event)).unzip();
    let floor = read_since.unwrap_or(stretch.since).max(stretch.since);
    let wanted = |folded: &Folded| {
        let main = &events[folded.main];
        let place = (main.time, leaves[folded.main].0);
        let weight = witness::change(main).map_or(Severity::Info, |change| severity(main, change));
        let in_time = main.time >= floor && main.time < stretch.until;
        in_time
            && before.is_none_or(|before| place < before)
            && query.severity.is_none_or(|least| weight >= least)
            && (filter.is_everything() || folded.all().any(|event| filter.matches(&leaves[event].1)))
    };
    let mut folded: Vec<Folded> = witness::fold(&events).into_iter().filter(wanted).collect();
    folded.sort_by_key(|folded| std::cmp::Reverse((events[folded.main].time, leaves[folded.main].0)));
    let more = folded.len() > limit;
    folded.truncate(limit);
    let last = folded.last().filter(|_| more).map(|last| (events[last.main].time, leaves[last.main].0));
    let next = last.map(|(time, index)| cursor::write(&question, &format!("{} {index}", time.as_nanos())));
    let view = |folded: &Folded| view(folded, &events, |place| leaves[place].0, query.diff);
    Ok(ChangesPage { changes: folded.iter().map(view).collect(), next, read_since })
}

fn moment(field: &str, text: Option<&str>, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
    let read = |text: &str| {
        instant(text, now).ok_or_else(|| {
            Problem::bad_request(
                field,
                "give a time such as 2026-11-20T14:02Z, or a span before now such as 7d",
            )
        })
    };
    text.filter(|text| !text.is_empty()).map(read).transpose()
}

/// Where the last page ended.
fn position(text: &str) -> Result<(Timestamp, u64), Problem> {
    let (nanos, index) = text.split_once(' ').unwrap_or_default();
    Ok((Timestamp::from_nanos(parsed("cursor", nanos)?), parsed("cursor", index)?))
}

struct Row {
    index: u64,
    leaf: Bytes,
    event: Event,
}

/// The events that may tell of changes in the stretch, by index; and from when on they were read, where there are more.
async fn read(state: &AppState, stretch: Stretch) -> Result<(Vec<Row>, Option<Timestamp>), Problem> {
    let times = (stretch.since.before(AROUND), stretch.until.after(AROUND));
    let scan =
        Scan { families: vec![Family::Config], times: Some(times), ..Scan::newest(0..state.trail().size()) };
    let mut scanned = pin!(state.trail().scan(scan));
    let (mut rows, mut read_since) = (Vec::new(), None);
    while let Some((index, leaf)) = scanned.try_next().await.map_err(|error| unreadable(&error))? {
        let Ok(event) = Event::from_json(&leaf) else { continue };
        if witness::change(&event).is_none() || event.time < times.0 || event.time > times.1 {
            continue;
        }
        if rows.len() == MAX_EVENTS {
            // What is older may lack its witnesses.
            read_since = Some(event.time.after(AROUND));
            break;
        }
        rows.push(Row { index, leaf, event });
    }
    rows.reverse();
    Ok((rows, read_since))
}

fn view(folded: &Folded, events: &[Event], index: impl Fn(usize) -> u64, with_diff: bool) -> ChangeView {
    let main = &events[folded.main];
    let told = |place: usize| {
        let event = &events[place];
        let change = witness::change(event);
        WitnessView {
            origin: change.and_then(|change| change.origin.clone()),
            event: event.id.to_string(),
            index: index(place),
            time: event.time,
            kind: event.kind.to_string(),
            summary: change.and_then(|change| change.summary.clone()).unwrap_or_default(),
        }
    };
    let changes = || folded.all().filter_map(|place| witness::change(&events[place]));
    let first = |of: fn(&Change) -> bool| changes().find(|change| of(change));
    let diff = first(|change| change.diff.is_some()).and_then(|change| change.diff.clone());
    let lines = first(|change| !change.lines.is_empty()).map(|change| change.lines.clone());
    let own = witness::change(main);
    ChangeView {
        time: main.time,
        not_before: own.and_then(|change| change.not_before),
        kind: main.kind.to_string(),
        severity: own.map_or(Severity::Info, |change| severity(main, change)),
        actor: main.actor.clone(),
        identity: main.identity.clone(),
        target: main.target.clone(),
        outcome: main.outcome.to_string(),
        summary: summary(main, own),
        lines: lines.unwrap_or_default(),
        has_diff: diff.is_some(),
        diff: diff.filter(|_| with_diff),
        witnesses: [folded.main].iter().chain(&folded.witnesses).map(|place| told(*place)).collect(),
        parts: folded.parts.iter().map(|place| told(*place)).collect(),
    }
}

/// The change's own sentence; of one that came without, its kind and what it was about.
fn summary(event: &Event, change: Option<&Change>) -> String {
    match change.and_then(|change| change.summary.clone()) {
        Some(summary) => summary,
        None => {
            let what = event.target.label().map(|label| format!(" {label}")).unwrap_or_default();
            format!("{}{what}", event.kind)
        }
    }
}
