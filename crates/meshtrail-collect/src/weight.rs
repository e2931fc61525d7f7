//! How much a change matters.

use std::fmt;

use meshtrail_event::{Change, Event, Kind, Outcome};
use serde::{Deserialize, Serialize};

use crate::catalogue;

/// How much something matters, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Worth a look some time.
    Low,
    /// Worth a look.
    Medium,
    /// Worth a look now.
    High,
    /// Worth waking somebody.
    Critical,
}

impl Severity {
    /// The word in `detail.severity`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How much a change matters, by its kind and property; for a record of the audit log, by its name.
pub fn severity(event: &Event, change: &Change) -> Severity {
    if let Some(row) = catalogue::name(event, change).and_then(|name| catalogue::row(&name)) {
        return row.severity;
    }
    let property = change.property.as_deref().unwrap_or_default();
    match &event.kind {
        Kind::PolicyChanged | Kind::DeviceUnauthorized | Kind::UserRoleChanged => Severity::High,
        Kind::DeviceExpiredActive | Kind::KeyCreated | Kind::DeviceShared => Severity::High,
        Kind::DeviceTagged | Kind::RouteEnabled | Kind::RouteExitNodeChanged => Severity::High,
        Kind::KeyExpiryChanged if property == "key_expiry_disabled" => Severity::High,
        Kind::KeyExpiryChanged => Severity::Low,
        Kind::DeviceAdded | Kind::DeviceApproved | Kind::DeviceTransferred => Severity::Medium,
        Kind::UserAdded | Kind::UserRemoved | Kind::UserSuspended | Kind::UserRestored => Severity::Medium,
        Kind::DnsChanged | Kind::RouteDisabled | Kind::RouteAdvertised | Kind::KeyRevoked => Severity::Medium,
        Kind::PolicyTagCreated | Kind::PolicyTagDeleted | Kind::ConfigChanged => Severity::Medium,
        Kind::DeviceChanged => device_changed(property),
        Kind::PolicyTested if event.outcome == Outcome::Failure => Severity::Medium,
        Kind::UserLogin | Kind::UserLogout | Kind::ConfigSnapshot | Kind::PolicyTested => Severity::Info,
        _ => Severity::Low,
    }
}

/// How much it matters that this of a device changed.
fn device_changed(property: &str) -> Severity {
    match property {
        "machine_key" => Severity::High,
        "ssh_enabled" | "serial_numbers" | "withholds_posture" => Severity::Medium,
        "client_version" => Severity::Info,
        _ => Severity::Low,
    }
}
