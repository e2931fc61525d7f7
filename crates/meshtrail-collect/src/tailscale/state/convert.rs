//! Converts the API's devices, users and keys to the common form of all control planes.

use std::collections::BTreeMap;

use meshtrail_change::snapshot::KeyState;
use meshtrail_event::{DeviceState, UserState};
use serde_json::{Value, json};

use crate::json::non_empty;
use crate::tailscale::shapes::{ApiDevice, ApiKey, ApiUser};

pub(super) fn device(device: ApiDevice) -> Option<DeviceState> {
    let tags: std::collections::BTreeSet<String> = device.tags.into_iter().collect();
    // Of a tagged device the API returns who registered it; its owner is the tag.
    let owner = non_empty(device.user).filter(|_| tags.is_empty());
    let posture = device.posture_identity;
    (!device.node_id.is_empty()).then(|| DeviceState {
        addresses: device.addresses.iter().filter_map(|text| text.parse().ok()).collect(),
        advertised_routes: device.advertised_routes.into_iter().flatten().collect(),
        authorized: device.authorized,
        blocks_incoming: device.blocks_incoming_connections,
        client_version: non_empty(device.client_version),
        created: device.created,
        enabled_routes: device.enabled_routes.into_iter().flatten().collect(),
        ephemeral: device.is_ephemeral,
        expired: None,
        expires: device.expires.filter(|_| device.key_expiry_disabled != Some(true)),
        external: device.is_external,
        hostname: non_empty(device.hostname),
        id: device.node_id,
        key_expiry_disabled: device.key_expiry_disabled,
        last_seen: device.last_seen,
        machine_key: non_empty(device.machine_key),
        name: non_empty(device.name).map(|name| name.trim_end_matches('.').to_owned()),
        node_key: non_empty(device.node_key),
        online: device.connected_to_control,
        os: non_empty(device.os),
        others: device.others,
        owner,
        withholds_posture: posture.as_ref().map(|posture| posture.disabled),
        serial_numbers: posture
            .map(|posture| posture.serial_numbers)
            .unwrap_or_default()
            .into_iter()
            .collect(),
        ssh_enabled: device.ssh_enabled,
        tags,
        tailnet_lock_error: non_empty(device.tailnet_lock_error),
    })
}

/// Faults of devices, by id: a node key that two machines use, a missing signature. Devices without faults are left out, so
/// that adding or removing one changes nothing here.
pub(super) fn faults(devices: &[ApiDevice]) -> Value {
    let by_id: BTreeMap<&str, Value> =
        devices.iter().filter_map(|device| Some((device.node_id.as_str(), fault(device)?))).collect();
    json!(by_id)
}

fn fault(device: &ApiDevice) -> Option<Value> {
    let mut faults = serde_json::Map::new();
    if device.multiple_connections == Some(true) {
        faults.insert("multiple_connections".to_owned(), Value::Bool(true));
    }
    if let Some(error) = non_empty(device.tailnet_lock_error.clone()) {
        faults.insert("tailnet_lock_error".to_owned(), Value::String(error));
    }
    (!faults.is_empty()).then_some(Value::Object(faults))
}

pub(super) fn user(user: ApiUser) -> Option<UserState> {
    (!user.id.is_empty()).then(|| UserState {
        created: user.created,
        groups: Default::default(),
        id: user.id,
        last_seen: user.last_seen,
        login: user.login_name,
        name: non_empty(user.display_name),
        online: user.currently_connected,
        role: non_empty(user.role),
        status: non_empty(user.status),
        of_type: non_empty(user.of_type),
    })
}

/// Logins by user id.
pub(super) fn logins(users: &[ApiUser]) -> BTreeMap<String, String> {
    users.iter().map(|user| (user.id.clone(), user.login_name.clone())).collect()
}

pub(super) fn key(key: ApiKey, logins: &BTreeMap<String, String>) -> KeyState {
    let create = key.capabilities.and_then(|can| can.devices?.create).unwrap_or_default();
    let owner = non_empty(key.user_id).map(|id| logins.get(&id).cloned().unwrap_or(id));
    let mut tags = key.tags;
    tags.extend(create.tags);
    tags.sort();
    tags.dedup();
    KeyState {
        created: key.created,
        description: non_empty(key.description),
        ephemeral: create.ephemeral,
        expires: key.expires,
        id: key.id,
        owner,
        preauthorized: create.preauthorized,
        reusable: create.reusable,
        revoked: key.revoked,
        scopes: key.scopes,
        tags,
        of_type: non_empty(key.key_type),
        used: None,
    }
}
