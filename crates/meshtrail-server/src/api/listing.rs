//! What the lists of people and devices are asked for, and how far back one of them is looked into.

use meshtrail_event::Timestamp;
use serde::Deserialize;

use crate::extract::parsed;
use crate::problem::Problem;

/// Rows on a page when nothing is said.
const PAGE: usize = 500;

/// The most rows on a page.
const MAX_PAGE: usize = 5_000;

/// How far back doings are counted when nothing is said.
const SINCE: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);

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
    /// The part of a list that is asked for.
    pub(crate) fn part<T>(&self, rows: Vec<T>) -> Result<Vec<T>, Problem> {
        let limit = super::events::limit(self.limit, PAGE, MAX_PAGE)?;
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
    /// The moment from which on to look.
    pub(crate) fn moment(&self, now: Timestamp) -> Result<Timestamp, Problem> {
        match &self.since {
            Some(since) => parsed("since", since),
            None => Ok(now.before(SINCE)),
        }
    }
}
