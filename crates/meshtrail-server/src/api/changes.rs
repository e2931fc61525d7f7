//! Changes in the mesh: one entry per change, however many events report it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use meshtrail_api::changes::{self as view, ChangesPage, ChangesQuery};
use meshtrail_event::{RelativePosition, Severity, Timestamp, TrailName};
use meshtrail_query::instant;
use meshtrail_trail::Trail;
use meshtrail_views::changes::{ChangePosition, ChangesSelection, list_changes};

use super::events::{check_limit, parse_filter, unreadable};
use crate::cursor;
use crate::extract::{ValidQuery, own_index, parse_field};
use crate::problem::Problem;

/// The default number of changes on a page.
const PAGE: usize = 200;

/// The most changes on a page.
const MAX_PAGE: usize = 1000;

/// The default time range before now.
const DEFAULT_SPAN: Duration = Duration::from_secs(7 * 86_400);

/// Lists what changed in the mesh, each change once.
#[utoipa::path(get, path = "/api/v1/changes", tag = "changes", params(ChangesQuery),
    responses((status = 200, body = ChangesPage)))]
pub(crate) async fn list(
    State(trail): State<Trail>,
    ValidQuery(query): ValidQuery<ChangesQuery>,
) -> Result<Json<ChangesPage>, Problem> {
    page(&trail, &query).await.map(Json)
}

/// A page of changes, for the console and the API.
pub(crate) async fn page(trail: &Trail, query: &ChangesQuery) -> Result<ChangesPage, Problem> {
    let now = Timestamp::now();
    let since = parse_time("since", query.since.as_deref(), now)?;
    let until = parse_time("until", query.until.as_deref(), now)?;
    let (filter, limit) = (parse_filter(query.q.as_deref())?, check_limit(query.limit, PAGE, MAX_PAGE)?);
    let question = format!("changes {:?} {:?} {:?} {filter}", query.since, query.until, query.severity);
    let severity = query.severity.as_ref().map(parse_severity).transpose()?;
    let read = |text: &str| parse_position(&cursor::read(&question, text)?, trail.name());
    let after = query.cursor.as_deref().map(read).transpose()?;
    let selection = ChangesSelection {
        since: since.unwrap_or_else(|| now.before(DEFAULT_SPAN)),
        until: until.unwrap_or(Timestamp::from_nanos(i64::MAX)),
        filter: &filter,
        severity,
        after,
        limit,
        with_diff: query.diff,
    };
    let list = list_changes(trail, &selection).await.map_err(|error| unreadable(&error))?;
    let next = list.next.map(|next| cursor::write(&question, &position_text(next, trail)));
    Ok(ChangesPage { changes: list.changes, next, read_since: list.read_since })
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

/// Parses a severity; the problem names those that there are.
pub(crate) fn parse_severity(severity: &view::Severity) -> Result<Severity, Problem> {
    let known = Severity::from(severity.as_str());
    let problem = || Problem::bad_request("severity", "ask for info, low, medium, high or critical");
    Severity::KNOWN.contains(&known).then_some(known).ok_or_else(problem)
}

/// A position as it stands in a cursor.
fn position_text(position: ChangePosition, trail: &Trail) -> String {
    format!("{} {}", position.time.as_nanos(), trail.position(position.index))
}

/// Parses the position where the last page ended.
fn parse_position(text: &str, own: &TrailName) -> Result<ChangePosition, Problem> {
    let (nanos, position) = text.split_once(' ').unwrap_or_default();
    let time = Timestamp::from_nanos(parse_field("cursor", nanos)?);
    let position: RelativePosition = parse_field("cursor", position)?;
    Ok(ChangePosition { time, index: own_index("cursor", &position, own)? })
}
