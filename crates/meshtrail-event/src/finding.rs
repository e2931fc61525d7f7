//! What findings of every rule have in common.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::open_enum::open_enum;

open_enum! {
    /// How urgent a finding is, in ascending order.
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

open_enum! {
    /// Whether somebody works on a finding.
    FindingStatus {
        /// Nobody has looked at it yet.
        Open = "open",
        /// Somebody works on it.
        Acknowledged = "acknowledged",
        /// It is done with: by somebody, or because its cause ended.
        Closed = "closed",
    }
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Subject {
    /// Its id, or its name where it has none: a device's stable id, a login, an address, a session's id; of a Kubernetes
    /// object, `cluster/namespace/resource/name`.
    pub id: String,
    /// `device`, `person`, `account`, `address`, `session`, `source`, `policy`, `destination` or `kubernetes`.
    #[serde(rename = "type")]
    pub of_type: String,
}

impl Subject {
    /// The subject of this type and id.
    pub fn new(of_type: &str, id: impl Into<String>) -> Self {
        Self { id: id.into(), of_type: of_type.to_owned() }
    }
}
