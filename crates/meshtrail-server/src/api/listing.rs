//! Pages of the lists of people and devices, and how far back the activity of one is counted.

use std::str::FromStr;

use meshtrail_api::directory::{ListQuery, LookBack};
use meshtrail_event::Timestamp;
use meshtrail_views::mesh::{ActivityError, ListSelection, UnknownSelection};

use super::events::unreadable;
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

/// The rows that a query selects.
pub(crate) fn selection<S: FromStr<Err = UnknownSelection>>(
    query: &ListQuery,
    now: Timestamp,
) -> Result<ListSelection<'_, S>, Problem> {
    let at = parse_moment(query.at.as_deref(), now)?;
    let show = parse_field("show", query.show.as_deref().unwrap_or_default())?;
    Ok(ListSelection { at, show, text: query.q.as_deref().unwrap_or_default() })
}

/// The moment that a list describes: `at`, or now where it is absent or blank.
fn parse_moment(at: Option<&str>, now: Timestamp) -> Result<Timestamp, Problem> {
    match at.map(str::trim).filter(|at| !at.is_empty()) {
        None => Ok(now),
        Some(at) => at
            .parse()
            .map_err(|_| Problem::bad_request("at", "write a moment as 2026-11-20T14:02:11Z, with its zone")),
    }
}

impl From<ActivityError> for Problem {
    fn from(error: ActivityError) -> Problem {
        match &error {
            ActivityError::Subject(error) => Problem::bad_request("id", error.to_string()),
            ActivityError::Read(error) => unreadable(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_without_its_zone_is_refused() {
        let now = Timestamp::from_nanos(9);
        assert_eq!(parse_moment(None, now).unwrap(), now);
        assert!(parse_moment(Some("2026-11-20T14:02:11Z"), now).is_ok());
        assert_eq!(parse_moment(Some("yesterday"), now).unwrap_err().field.as_deref(), Some("at"));
    }
}
