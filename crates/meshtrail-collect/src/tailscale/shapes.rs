//! The API's answers, as far as they are read.
//!
//! - Unknown members are passed over where only the state matters, and kept where a record goes into the trail whole,
//!   and of devices.
//! - A list that is `null` is an empty one, as Go writes it; a list that is not there is an answer that can't be
//!   understood, which is said by its name.
//! - A time that is empty or unset is none.

use meshtrail_event::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use crate::catalogue::exact;
use crate::json::{lenient_time, null_is_empty, told_list};
use crate::web::Answer;

/// Reads an answer as JSON; the error names the member.
pub(super) fn read<T: DeserializeOwned>(what: &'static str, answer: &Answer) -> Result<T, ApiError> {
    let mut reader = serde_json::Deserializer::from_slice(&answer.body);
    let shape = |reason: String| ApiError::Shape { what, reason: explained(&reason, answer) };
    let value: T = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let at = if path == "." { String::new() } else { format!("{path}: ") };
        shape(format!("{at}{}", error.inner()))
    })?;
    reader.end().map_err(|error| shape(error.to_string()))?;
    Ok(value)
}

/// The records of a log, as they came.
#[derive(Deserialize)]
pub(super) struct Records<'a> {
    #[serde(borrow, deserialize_with = "null_is_empty")]
    pub(super) logs: Vec<&'a RawValue>,
}

impl<'a> Records<'a> {
    /// Reads a log's answer.
    pub(super) fn read(what: &'static str, answer: &'a Answer) -> Result<Self, ApiError> {
        serde_json::from_slice(&answer.body)
            .map_err(|error| ApiError::Shape { what, reason: explained(&error.to_string(), answer) })
    }
}

/// The reason, with what the answer is in place of JSON.
fn explained(reason: &str, answer: &Answer) -> String {
    let media = answer.media_type();
    let begins: String = String::from_utf8_lossy(&answer.body).trim_start().chars().take(40).collect();
    if begins.starts_with(['{', '[']) {
        return reason.to_owned();
    }
    let media = if media.is_empty() { "no content type" } else { media };
    let begins = meshtrail_event::text::visible(&begins).into_owned();
    format!("{reason}; it came as {media} and begins {begins:?}")
}

/// One device (`GET /tailnet/{tailnet}/devices?fields=all`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ApiDevice {
    pub(super) node_id: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) addresses: Vec<String>,
    pub(super) user: Option<String>,
    pub(super) name: Option<String>,
    pub(super) hostname: Option<String>,
    pub(super) client_version: Option<String>,
    pub(super) os: Option<String>,
    #[serde(deserialize_with = "lenient_time")]
    pub(super) created: Option<Timestamp>,
    pub(super) connected_to_control: Option<bool>,
    #[serde(deserialize_with = "lenient_time")]
    pub(super) last_seen: Option<Timestamp>,
    pub(super) key_expiry_disabled: Option<bool>,
    #[serde(deserialize_with = "lenient_time")]
    pub(super) expires: Option<Timestamp>,
    pub(super) authorized: Option<bool>,
    pub(super) blocks_incoming_connections: Option<bool>,
    pub(super) is_ephemeral: Option<bool>,
    pub(super) is_external: Option<bool>,
    pub(super) posture_identity: Option<PostureIdentity>,
    pub(super) ssh_enabled: Option<bool>,
    pub(super) machine_key: Option<String>,
    pub(super) node_key: Option<String>,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) tags: Vec<String>,
    #[serde(deserialize_with = "told_list")]
    pub(super) enabled_routes: Option<Vec<String>>,
    #[serde(deserialize_with = "told_list")]
    pub(super) advertised_routes: Option<Vec<String>>,
    pub(super) multiple_connections: Option<bool>,
    pub(super) tailnet_lock_error: Option<String>,
    /// What else stands there, as it came.
    #[serde(skip)]
    pub(super) others: Option<Value>,
}

/// `{"serialNumbers": […]}` or `{"disabled": true}`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PostureIdentity {
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) serial_numbers: Vec<String>,
    pub(super) disabled: bool,
}

/// Members of a device that are read, and those that change by themselves all the time.
const READ: &[&str] = &[
    "addresses",
    "advertisedRoutes",
    "authorized",
    "blocksIncomingConnections",
    "clientConnectivity",
    "clientVersion",
    "connectedToControl",
    "created",
    "enabledRoutes",
    "expires",
    "hostname",
    "id",
    "isEphemeral",
    "isExternal",
    "keyExpiryDisabled",
    "lastSeen",
    "machineKey",
    "multipleConnections",
    "name",
    "nodeId",
    "nodeKey",
    "os",
    "postureIdentity",
    "sshEnabled",
    "tags",
    "tailnetLockError",
    "user",
];

/// The most bytes of a device's other members that are kept.
const MOST_OTHERS: usize = 4 << 10;

/// What each device of an answer has besides the members that are read.
pub(super) fn others_of_devices(answer: &Answer) -> Vec<Option<Value>> {
    #[derive(Deserialize)]
    struct Others {
        #[serde(deserialize_with = "null_is_empty")]
        devices: Vec<Map<String, Value>>,
    }
    let read = serde_json::from_slice::<Others>(&answer.body);
    let others = |mut device: Map<String, Value>| {
        device.retain(|name, value| !READ.contains(&name.as_str()) && !value.is_null() && *value != "");
        let kept = exact(&Value::Object(device));
        match kept.text().len() {
            ..=2 => None,
            3..=MOST_OTHERS => Some(kept.value()),
            bytes => Some(json!({ "meshtrail": { "left_out": { "bytes": bytes } } })),
        }
    };
    read.map(|read| read.devices.into_iter().map(others).collect()).unwrap_or_default()
}

/// `{"devices": […]}`
#[derive(Deserialize)]
pub(super) struct Devices {
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) devices: Vec<ApiDevice>,
}

/// One person (`GET /tailnet/{tailnet}/users?type=all`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ApiUser {
    pub(super) id: String,
    pub(super) display_name: Option<String>,
    pub(super) login_name: String,
    #[serde(deserialize_with = "lenient_time")]
    pub(super) created: Option<Timestamp>,
    #[serde(rename = "type")]
    pub(super) of_type: Option<String>,
    pub(super) role: Option<String>,
    pub(super) status: Option<String>,
    pub(super) currently_connected: Option<bool>,
    #[serde(deserialize_with = "lenient_time")]
    pub(super) last_seen: Option<Timestamp>,
}

/// `{"users": […]}`
#[derive(Deserialize)]
pub(super) struct Users {
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) users: Vec<ApiUser>,
}

/// One key (`GET /tailnet/{tailnet}/keys?all=true`); never its secret, which a list does not hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ApiKey {
    pub(super) id: String,
    pub(super) key_type: Option<String>,
    pub(super) description: Option<String>,
    #[serde(deserialize_with = "lenient_time")]
    pub(super) created: Option<Timestamp>,
    #[serde(deserialize_with = "lenient_time")]
    pub(super) expires: Option<Timestamp>,
    #[serde(deserialize_with = "lenient_time")]
    pub(super) revoked: Option<Timestamp>,
    pub(super) user_id: Option<String>,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) scopes: Vec<String>,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) tags: Vec<String>,
    pub(super) capabilities: Option<Capabilities>,
}

/// `{"devices": {"create": {…}}}`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Capabilities {
    pub(super) devices: Option<DeviceCapabilities>,
}

/// `{"create": {…}}`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct DeviceCapabilities {
    pub(super) create: Option<Create>,
}

/// What an auth key lets in.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Create {
    pub(super) reusable: Option<bool>,
    pub(super) ephemeral: Option<bool>,
    pub(super) preauthorized: Option<bool>,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) tags: Vec<String>,
}

/// `{"keys": […]}`
#[derive(Deserialize)]
pub(super) struct Keys {
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) keys: Vec<ApiKey>,
}
