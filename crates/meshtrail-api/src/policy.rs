//! What a policy lets through: logins, reach, and the differences between two policies.

use meshtrail_event::{EventId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::open_enum::open_enum;

open_enum! {
    /// Whether a login may be.
    LoginDecision {
        /// It may.
        Accept = "accept",
        /// It may once the person has confirmed who they are.
        Check = "check",
        /// It may not.
        Deny = "deny",
    }
}

/// A login that somebody asks about.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LoginQuestion {
    /// Where it comes from: a login, or a device's name, id or address.
    pub from: String,
    /// The host: a device's name, id or address, or a tag.
    pub to: String,
    /// The local user there; `root` without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// As of when: `2h` ago, `2026-11-20`, `2026-11-20T14:02Z`. Now without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// A policy in place of the one in force then, as HuJSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// Who reaches a target.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ReachQuestion {
    /// A device's name, id or address, a tag, or a login: its devices.
    pub target: String,
    /// As of when; now without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// A policy in place of the one in force then, as HuJSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// A policy that is compared with the one in force.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct DiffQuestion {
    /// The new policy, as HuJSON.
    pub policy: String,
    /// As of when; now without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// The policy that an answer rests on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PolicyInForce {
    /// The control plane whose rules it is read by: `Tailscale`, `Headscale`, `plain WireGuard`.
    pub control_plane: String,
    /// The event that holds its text, or the first part of it; absent of a policy that was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub event: Option<EventId>,
    /// Since when it is known to be in force; absent of a policy that was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub since: Option<Timestamp>,
}

/// A rule of a policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RuleView {
    /// Its list, number and line: `ssh rule 2 (line 14)`.
    pub name: String,
    /// Its text, as it stands in the policy.
    pub text: String,
}

/// A rule that almost decided.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NearRule {
    /// The rule.
    pub rule: RuleView,
    /// What it lacks, in words.
    pub unmet: Vec<String>,
    /// Whether all that it lacks is what can't be evaluated, rather than known to fail.
    pub open: bool,
}

/// Whether one login may be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LoginView {
    /// Where it comes from: `bo-pc of bo@example.com`.
    pub from: String,
    /// The host.
    pub to: String,
    /// The local user.
    pub user: String,
    /// Whether it may be.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub decision: LoginDecision,
    /// The rule that decides; absent if none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleView>,
    /// How long a confirmation counts, where the rule asks for one, in seconds; 0 for each login anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_period: Option<u64>,
    /// Who records the session.
    pub recorders: Vec<String>,
    /// Whether the session is refused when no recorder can be reached.
    pub recording_enforced: bool,
    /// Whether packets reach the host's port 22, in words.
    pub port: String,
    /// Other rules: of a login with a rule, those that match behind it; of one without, those that almost matched.
    pub near: Vec<NearRule>,
    /// Why a device takes no part in the mesh, which denies the login.
    pub hindrances: Vec<String>,
}

/// Logins, one for each pair of devices.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LoginAnswers {
    /// The moment asked about.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub at: Timestamp,
    /// The policy.
    pub policy: PolicyInForce,
    /// The answers.
    pub logins: Vec<LoginView>,
    /// How many pairs of devices were left off.
    pub left_off: usize,
}

/// Who reaches what.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ReachView {
    /// Where connections begin, in words.
    pub source: String,
    /// The person's login, where a person's device it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// The device's id, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The device's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
    /// The tags that own the device in place of a person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Where they lead, in words.
    pub target: String,
    /// Protocols and ports, in words.
    pub ports: String,
    /// The rules that open them.
    pub rules: Vec<String>,
    /// What would have to be so, in words; empty where it is certain.
    pub conditions: Vec<String>,
}

/// Rows of reach, and what was left off.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ReachRows {
    /// The rows.
    pub rows: Vec<ReachView>,
    /// How many were left off.
    pub left_off: usize,
}

/// Who can reach a target.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ReachAnswer {
    /// The moment asked about.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub at: Timestamp,
    /// The policy.
    pub policy: PolicyInForce,
    /// What is certain.
    pub certain: ReachRows,
    /// What would be possible under conditions that nobody can evaluate here.
    pub possible: ReachRows,
}

/// What a policy opens and closes against the one in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DiffAnswer {
    /// The moment whose people and devices are asked about.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub at: Timestamp,
    /// The older policy.
    pub policy: PolicyInForce,
    /// One line for all of it.
    pub summary: String,
    /// Connections: protocols and ports.
    pub connections: KindChanges,
    /// Logins by `ssh` rules.
    pub logins: KindChanges,
    /// App capabilities.
    pub capabilities: KindChanges,
    /// Rules of one of the policies alone that open nothing for certain, with their conditions, in words.
    pub possible: Vec<String>,
    /// How many of these were left off.
    pub possible_left_off: usize,
    /// Who may give tags to devices, and whose routes need no approval, in words.
    pub authority: Vec<String>,
    /// How many devices take no part in the mesh, and are in none of this.
    pub devices_left_out: usize,
}

/// What opened and closed, of one kind.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct KindChanges {
    /// What opened, the largest first.
    pub opened: Vec<AccessChange>,
    /// What closed, the largest first.
    pub closed: Vec<AccessChange>,
    /// How many of what opened were left off.
    pub opened_left_off: usize,
    /// How many of what closed were left off.
    pub closed_left_off: usize,
}

/// People and machines between which the same opened, or closed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AccessChange {
    /// In words: `cem@example.com gained tag:db (2 machines): 5432`.
    pub sentence: String,
    /// Pairs of a source and a target.
    pub pairs: u64,
    /// The rules that open it, in the policy that has them.
    pub rules: Vec<String>,
}
