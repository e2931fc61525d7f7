//! JSON shapes of the API's responses, as far as they are read.
//!
//! - Unknown members are ignored where only the state matters. Records of logs are stored whole, and so are the unknown
//!   members of devices.
//! - A list that is `null` counts as empty, since Go writes empty lists so; a missing list is an error that names it.
//! - An empty or zero time counts as none.

use meshtrail_event::{Json, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use crate::json::{lenient_time, null_is_empty, optional_list};
use crate::web::ApiResponse;

/// Parses a response; an error names the member.
pub(super) fn read<T: DeserializeOwned>(what: &'static str, response: &ApiResponse) -> Result<T, ApiError> {
    let mut reader = serde_json::Deserializer::from_slice(&response.body);
    let shape = |reason: String| ApiError::Shape { what, reason: with_content_hint(&reason, response) };
    let value: T = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let at = if path == "." { String::new() } else { format!("{path}: ") };
        shape(format!("{at}{}", error.inner()))
    })?;
    reader.end().map_err(|error| shape(error.to_string()))?;
    Ok(value)
}

/// The records of a log, unparsed.
#[derive(Deserialize)]
pub(super) struct Records<'a> {
    #[serde(borrow, deserialize_with = "null_is_empty")]
    pub(super) logs: Vec<&'a RawValue>,
}

impl<'a> Records<'a> {
    /// Parses a log's response.
    pub(super) fn read(what: &'static str, response: &'a ApiResponse) -> Result<Self, ApiError> {
        serde_json::from_slice(&response.body).map_err(|error| ApiError::Shape {
            what,
            reason: with_content_hint(&error.to_string(), response),
        })
    }
}

/// The reason, with the content type and the first characters of a response that is not JSON.
fn with_content_hint(reason: &str, response: &ApiResponse) -> String {
    let media = response.media_type();
    let begins: String = String::from_utf8_lossy(&response.body).trim_start().chars().take(40).collect();
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
    #[serde(deserialize_with = "optional_list")]
    pub(super) enabled_routes: Option<Vec<String>>,
    #[serde(deserialize_with = "optional_list")]
    pub(super) advertised_routes: Option<Vec<String>>,
    pub(super) multiple_connections: Option<bool>,
    pub(super) tailnet_lock_error: Option<String>,
    /// Unknown members.
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

/// Members of a device that are parsed, and those that change constantly.
const KNOWN_MEMBERS: &[&str] = &[
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

/// The most bytes of a device's unknown members that are stored.
const MAX_OTHERS: usize = 4 << 10;

/// The unknown members of each device in a response.
pub(super) fn others_of_devices(response: &ApiResponse) -> Vec<Option<Value>> {
    #[derive(Deserialize)]
    struct Others {
        #[serde(deserialize_with = "null_is_empty")]
        devices: Vec<Map<String, Value>>,
    }
    let read = serde_json::from_slice::<Others>(&response.body);
    let others = |mut device: Map<String, Value>| {
        device.retain(|name, value| {
            !KNOWN_MEMBERS.contains(&name.as_str()) && !value.is_null() && *value != ""
        });
        let others = Json::exact(&Value::Object(device));
        match others.text().len() {
            ..=2 => None,
            3..=MAX_OTHERS => Some(others.value()),
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

/// One key (`GET /tailnet/{tailnet}/keys?all=true`), without its secret: the list does not contain it.
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

/// Properties of devices that an auth key adds.
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
