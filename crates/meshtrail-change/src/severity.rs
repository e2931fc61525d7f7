//! The severity of a change.

use meshtrail_event::{Change, Event, Kind, Outcome, Severity};

use crate::catalogue;

/// The severity of a change: by its audit log name where the catalogue has that name, else by kind and property.
pub fn severity(event: &Event, change: &Change) -> Severity {
    if let Some(row) = catalogue::event_name(event, change).and_then(|name| catalogue::row(&name)) {
        return row.severity.clone();
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

/// The severity of a changed property of a device.
fn device_changed(property: &str) -> Severity {
    match property {
        "machine_key" => Severity::High,
        "ssh_enabled" | "serial_numbers" | "withholds_posture" => Severity::Medium,
        "client_version" => Severity::Info,
        _ => Severity::Low,
    }
}
