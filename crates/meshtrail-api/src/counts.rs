//! Histograms and facets of events.

use std::collections::BTreeMap;

use meshtrail_event::Timestamp;
use serde::{Deserialize, Serialize};

/// How far apart one bar's parts are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// By family of kinds: sessions, flows, changes, …
    #[default]
    Family,
    /// By outcome.
    Outcome,
    /// By kind.
    Kind,
}

/// Which events, and in how many bars.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct HistogramQuery {
    /// A filter; its `since` and `until` are the histogram's range.
    pub q: Option<String>,
    /// At most this many bars: 1 to 400, 96 without it.
    pub bars: Option<usize>,
    /// How a bar's parts are told apart: `family`, `outcome` or `kind`.
    pub by: Option<By>,
}

/// One bar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Bar {
    /// When it begins.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub at: Timestamp,
    /// Its events by part.
    pub counts: BTreeMap<String, u64>,
}

/// How many events there were when.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Histogram {
    /// When the first bar begins.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub from: Timestamp,
    /// When the last one ends.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub to: Timestamp,
    /// Seconds of a bar.
    pub width: u64,
    /// The bars with events, in order.
    pub bars: Vec<Bar>,
    /// Events that lie so far from the others in time that they have no bar.
    pub outside: u64,
    /// What was counted.
    #[serde(flatten)]
    pub extent: Extent,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Extent {
    /// Events that the filter lets through.
    pub matched: u64,
    /// Events that were looked at, the newest first.
    pub looked_at: u64,
    /// Events there are.
    pub of: u64,
    /// Whether all were looked at: then the counts are exact.
    pub whole: bool,
}

/// Which events, and how many values.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct FacetsQuery {
    /// A filter.
    pub q: Option<String>,
    /// At most this many values of each facet: 1 to 200, 10 without it.
    pub top: Option<usize>,
}

/// One value and how many events have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Value {
    /// The value, as the filter's field of the facet's name finds it.
    pub value: String,
    /// Events with it.
    pub count: u64,
}

/// The commonest values of one facet.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FacetValues {
    /// The facet, which is also the field to filter by.
    pub facet: String,
    /// The commonest values.
    pub values: Vec<Value>,
    /// How many more values there are.
    pub more: usize,
    /// Events whose value was not told apart: above zero, each count is at least what it says.
    pub others: u64,
    /// Events without any value.
    pub without: u64,
}

/// Which values there are among the events.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Facets {
    /// Each facet.
    pub facets: Vec<FacetValues>,
    /// What was counted.
    #[serde(flatten)]
    pub extent: Extent,
}
