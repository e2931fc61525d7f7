//! The API's devices, users and keys in the one form of every control plane.

use std::collections::BTreeMap;

use meshtrail_identity::{DeviceState, UserState};
use serde_json::{Value, json};

use crate::json::said;
use crate::snapshot::KeyState;
use crate::tailscale::shapes::{ApiDevice, ApiKey, ApiUser};

pub(super) fn device(device: ApiDevice) -> Option<DeviceState> {
    let tags: std::collections::BTreeSet<String> = device.tags.into_iter().collect();
    // The API tells who registered a tagged device; its owner is the tag.
    let owner = said(device.user).filter(|_| tags.is_empty());
    let posture = device.posture_identity;
    (!device.node_id.is_empty()).then(|| DeviceState {
        addresses: device.addresses.iter().filter_map(|text| text.parse().ok()).collect(),
        advertised_routes: device.advertised_routes.into_iter().flatten().collect(),
        authorized: device.authorized,
        blocks_incoming: device.blocks_incoming_connections,
        client_version: said(device.client_version),
        created: device.created,
        enabled_routes: device.enabled_routes.into_iter().flatten().collect(),
        ephemeral: device.is_ephemeral,
        expired: None,
        expires: device.expires.filter(|_| device.key_expiry_disabled != Some(true)),
        external: device.is_external,
        hostname: said(device.hostname),
        id: device.node_id,
        key_expiry_disabled: device.key_expiry_disabled,
        last_seen: device.last_seen,
        machine_key: said(device.machine_key),
        name: said(device.name).map(|name| name.trim_end_matches('.').to_owned()),
        node_key: said(device.node_key),
        online: device.connected_to_control,
        os: said(device.os),
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
        tailnet_lock_error: said(device.tailnet_lock_error),
    })
}

/// What is wrong with devices, by id: a node key that two machines use, a signature that is missing. Only what is wrong stands here, so that a device that comes or goes changes nothing.
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
    if let Some(error) = said(device.tailnet_lock_error.clone()) {
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
        name: said(user.display_name),
        online: user.currently_connected,
        role: said(user.role),
        status: said(user.status),
        of_type: said(user.of_type),
    })
}

/// Logins by the ids of their users.
pub(super) fn logins(users: &[ApiUser]) -> BTreeMap<String, String> {
    users.iter().map(|user| (user.id.clone(), user.login_name.clone())).collect()
}

pub(super) fn key(key: ApiKey, logins: &BTreeMap<String, String>) -> KeyState {
    let create = key.capabilities.and_then(|can| can.devices?.create).unwrap_or_default();
    let owner = said(key.user_id).map(|id| logins.get(&id).cloned().unwrap_or(id));
    let mut tags = key.tags;
    tags.extend(create.tags);
    tags.sort();
    tags.dedup();
    KeyState {
        created: key.created,
        description: said(key.description),
        ephemeral: create.ephemeral,
        expires: key.expires,
        id: key.id,
        owner,
        preauthorized: create.preauthorized,
        reusable: create.reusable,
        revoked: key.revoked,
        scopes: key.scopes,
        tags,
        of_type: said(key.key_type),
        used: None,
    }
}
