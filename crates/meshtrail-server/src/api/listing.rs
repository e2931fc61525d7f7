//! Query parameters of the lists of people and devices, and of one person or device.

use meshtrail_event::Timestamp;
use serde::Deserialize;

use crate::extract::parse_field;
use crate::problem::Problem;

/// The default number of rows on a page.
const PAGE: usize = 500;

/// The most rows on a page.
const MAX_PAGE: usize = 5_000;

/// How far back activity is counted when the query has no `since`.
const DEFAULT_SPAN: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);

/// Which people or devices; what may be searched and shown is said with each list.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// A part of what is shown.
    #[param(ignore)]
    pub q: Option<String>,
    /// Only some.
    #[param(ignore)]
    pub show: Option<String>,
    /// As they were at this moment: `2026-11-20T14:02:11Z`. Now without it.
    pub at: Option<String>,
    /// At most this many: 1 to 5000, 500 without it.
    pub limit: Option<usize>,
    /// After so many.
    pub from: Option<usize>,
}

impl ListQuery {
    /// The requested page of a list.
    pub(crate) fn page<T>(&self, rows: Vec<T>) -> Result<Vec<T>, Problem> {
        let limit = super::events::check_limit(self.limit, PAGE, MAX_PAGE)?;
        Ok(rows.into_iter().skip(self.from.unwrap_or(0)).take(limit).collect())
    }
}

/// How far back to look.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct LookBack {
    /// Doings from this moment on: `2026-11-20T14:02:11Z`. The last 30 days without it.
    pub since: Option<String>,
}

impl LookBack {
    /// The time from which on activity is counted.
    pub(crate) fn start_time(&self, now: Timestamp) -> Result<Timestamp, Problem> {
        match &self.since {
            Some(since) => parse_field("since", since),
            None => Ok(now.before(DEFAULT_SPAN)),
        }
    }
}
