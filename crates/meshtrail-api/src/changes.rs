//! Changes in the mesh: one entry per change, however many events report it.

use meshtrail_event::{Actor, Identity, Position, Target, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};

use crate::open_enum::open_enum;

open_enum! {
    /// Severities, in ascending order.
    Severity {
        /// For information only.
        Info = "info",
        /// To be looked at at some time.
        Low = "low",
        /// To be looked at.
        Medium = "medium",
        /// To be looked at now.
        High = "high",
        /// Wakes somebody up.
        Critical = "critical",
    }
}

/// Which changes, and how many.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct ChangesQuery {
    /// A filter, such as `actor:alice@example.com kind:policy.*`; one that any event of a change meets.
    pub q: Option<String>,
    /// From when on: a time, or a span before now such as `7d`. Seven days without it.
    pub since: Option<String>,
    /// Until when: a time, or a span before now.
    pub until: Option<String>,
    /// Only what matters at least this much: `info`, `low`, `medium` or `high`.
    #[serde(deserialize_with = "known_severity")]
    #[cfg_attr(feature = "schema", param(value_type = Option<String>))]
    pub severity: Option<Severity>,
    /// Whether unified diffs are wanted.
    pub diff: bool,
    /// At most this many: 1 to 1000, 200 without it.
    pub limit: Option<usize>,
    /// Where the last answer's `next` left off.
    pub cursor: Option<String>,
}

fn known_severity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Severity>, D::Error> {
    Severity::deserialize_known(deserializer).map(Some)
}

/// A page of changes, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ChangesPage<C = ChangeView> {
    /// Each once, whoever told of it.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<ChangeView>))]
    pub changes: Vec<C>,
    /// Where the list goes on; absent at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// From when on the trail was read, where the stretch holds more events than are read for one answer: ask for
    /// what is older with `until`.
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_since: Option<Timestamp>,
}

/// One change.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ChangeView {
    /// When it happened, as best known.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub time: Timestamp,
    /// Where only snapshots tell of it: when it was still as before.
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// What happened.
    pub kind: String,
    /// How much it matters.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub severity: Severity,
    /// Who did it.
    #[cfg_attr(feature = "schema", schema(value_type = crate::schema::Actor))]
    #[serde(default, skip_serializing_if = "Actor::is_empty")]
    pub actor: Actor,
    /// How they are known, or why not.
    #[cfg_attr(feature = "schema", schema(value_type = crate::schema::Identity))]
    #[serde(default, skip_serializing_if = "Identity::is_empty")]
    pub identity: Identity,
    /// On what.
    #[cfg_attr(feature = "schema", schema(value_type = crate::schema::Target))]
    #[serde(default, skip_serializing_if = "Target::is_empty")]
    pub target: Target,
    /// How it went.
    pub outcome: String,
    /// A sentence a person would say.
    pub summary: String,
    /// What changed, one sentence each, where it has several parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// Whether there is a diff.
    pub has_diff: bool,
    /// The hunks of a unified diff, where they are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// Every event that tells of it, the one that tells it best first.
    #[serde(rename = "witnesses")]
    pub events: Vec<ChangeEventView>,
    /// The other records of the same operation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<ChangeEventView>,
}

/// An event that tells of a change.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = WitnessView))]
pub struct ChangeEventView {
    /// Who told: `audit-log`, `hec`, `webhook`, `snapshot`, `headscale`, `localapi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The event.
    pub event: String,
    /// Where it is in the trail.
    pub index: u64,
    /// The same with the trail: `main:17`.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub position: Position,
    /// When it says that it happened.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub time: Timestamp,
    /// Its kind.
    pub kind: String,
    /// What it says.
    pub summary: String,
}
