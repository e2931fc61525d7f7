//! Pages of the lists of people and devices, and how far back the activity of one is counted.

use meshtrail_api::directory::{ListQuery, LookBack};
use meshtrail_event::Timestamp;

use crate::extract::parse_field;
use crate::problem::Problem;

/// The default number of rows on a page.
const PAGE: usize = 500;

/// The most rows on a page.
const MAX_PAGE: usize = 5_000;

/// How far back activity is counted when the query has no `since`.
const DEFAULT_SPAN: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);

/// The requested page of a list.
pub(crate) fn page<T>(query: &ListQuery, rows: Vec<T>) -> Result<Vec<T>, Problem> {
    let limit = super::events::check_limit(query.limit, PAGE, MAX_PAGE)?;
    Ok(rows.into_iter().skip(query.from.unwrap_or(0)).take(limit).collect())
}

/// The time from which on activity is counted.
pub(crate) fn start_time(query: &LookBack, now: Timestamp) -> Result<Timestamp, Problem> {
    match &query.since {
        Some(since) => parse_field("since", since),
        None => Ok(now.before(DEFAULT_SPAN)),
    }
}
