//! Requests for each part of the tailnet's state.

use std::collections::BTreeMap;

use meshtrail_change::snapshot::{DnsState, PolicyText};
use meshtrail_event::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Part;
use crate::json::null_is_empty;
use crate::tailscale::client::{ApiResource, Client};
use crate::tailscale::error::ApiError;
use crate::tailscale::shapes::{self, ApiDevice, ApiKey, ApiUser};
use crate::web::ApiResponse;

/// Parts that are stored as the API returns them: name, scope, path.
pub(super) const OTHERS: &[(&str, &str, &[&str])] = &[
    ("webhooks", "webhooks:read", &["webhooks"]),
    ("contacts", "account_settings:read", &["contacts"]),
    ("posture_integrations", "feature_settings:read", &["posture", "integrations"]),
    ("configuration_log_stream", "log_streaming:read", &["logging", "configuration", "stream"]),
    ("network_log_stream", "log_streaming:read", &["logging", "network", "stream"]),
];

/// Kinds of keys: the type, the scope without `:read`, and the name of the part.
pub(super) const KEY_KINDS: &[(&str, &str, &str)] = &[
    ("auth", "auth_keys", "auth keys"),
    ("client", "oauth_keys", "OAuth clients"),
    ("api", "api_access_tokens", "API access tokens"),
    ("federated", "federated_keys", "federated identities"),
];

/// Members that are secrets, grant access, or change constantly.
const EXCLUDED: &[&str] = &[
    "token",
    "secret",
    "s3SecretAccessKey",
    "gcsCredentials",
    "inviteUrl",
    "clientSecret",
    "lastSync",
    "matchedCount",
    "possibleMatchedCount",
    "providerHostCount",
];

const JSON: &str = "application/json";

async fn get(
    client: &Client,
    what: &'static str,
    scope: &'static str,
    path: &[&str],
    query: &[(&str, &str)],
    now: Timestamp,
) -> Part<ApiResponse> {
    client.get(ApiResource { what, scope, path, query, accept: JSON }, now).await
}

async fn json<T: DeserializeOwned>(
    client: &Client,
    (what, scope): (&'static str, &'static str),
    path: &[&str],
    query: &[(&str, &str)],
    now: Timestamp,
) -> Part<T> {
    shapes::read(what, &get(client, what, scope, path, query, now).await?)
}

pub(super) async fn devices(client: &Client, now: Timestamp) -> Part<Vec<ApiDevice>> {
    let (what, scope) = ("devices", "devices:core:read");
    let response = get(client, what, scope, &["devices"], &[("fields", "all")], now).await?;
    let mut devices = shapes::read::<shapes::Devices>(what, &response)?.devices;
    for (device, others) in devices.iter_mut().zip(shapes::others_of_devices(&response)) {
        device.others = others;
    }
    // The older `id` is no substitute: the same device would look like a different one.
    require_ids(what, devices, |device| !device.node_id.is_empty())
}

pub(super) async fn users(client: &Client, now: Timestamp) -> Part<Vec<ApiUser>> {
    let about = ("users", "users:read");
    let users: shapes::Users = json(client, about, &["users"], &[("type", "all")], now).await?;
    require_ids(about.0, users.users, |user| !user.id.is_empty() && !user.login_name.is_empty())
}

pub(super) async fn keys(client: &Client, now: Timestamp) -> Part<Vec<ApiKey>> {
    let about = ("keys", "auth_keys:read, oauth_keys:read, api_access_tokens:read or federated_keys:read");
    let keys: shapes::Keys = json(client, about, &["keys"], &[("all", "true")], now).await?;
    require_ids(about.0, keys.keys, |key| !key.id.is_empty())
}

/// The items, if each has an id: items without one would make those with one look removed.
fn require_ids<T>(what: &'static str, items: Vec<T>, has_id: impl Fn(&T) -> bool) -> Part<Vec<T>> {
    match items.iter().position(|item| !has_id(item)) {
        None => Ok(items),
        Some(at) => Err(ApiError::Shape { what, reason: format!("{what}[{at}] has no id") }),
    }
}

/// The policy file, byte for byte, with its entity tag.
pub(super) async fn policy(client: &Client, now: Timestamp) -> Part<PolicyText> {
    let what = "the policy file";
    let resource = ApiResource {
        what,
        scope: "policy_file:read",
        path: &["acl"],
        query: &[],
        accept: "application/hujson",
    };
    let response = client.get(resource, now).await?;
    if response.media_type() == "text/html" {
        return Err(ApiError::Shape { what, reason: "it came as text/html".to_owned() });
    }
    let text = String::from_utf8(response.body.to_vec())
        .map_err(|error| ApiError::Shape { what, reason: error.utf8_error().to_string() })?;
    Ok(PolicyText { text, etag: response.etag(), updated: None })
}

pub(super) async fn settings(client: &Client, now: Timestamp) -> Part<Value> {
    json(client, ("settings", "feature_settings:read"), &["settings"], &[], now).await
}

pub(super) async fn other(
    client: &Client,
    name: &'static str,
    scope: &'static str,
    path: &[&str],
    now: Timestamp,
) -> Part<Value> {
    match json(client, (name, scope), path, &[], now).await {
        // Status 404 means that no log stream is configured, which is a state.
        Err(ApiError::NotFound { .. }) if path.last() == Some(&"stream") => Ok(Value::Null),
        Ok(value) => Ok(without_secrets(value)),
        Err(error) => Err(error),
    }
}

fn without_secrets(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(name, _)| !EXCLUDED.contains(&name.as_str()));
            Value::Object(kept.map(|(name, value)| (name, without_secrets(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_secrets).collect()),
        other => other,
    }
}

/// The DNS settings, from one endpoint where the API has it, else from four.
pub(super) async fn dns(client: &Client, now: Timestamp) -> Part<DnsState> {
    let about = ("DNS", "dns:read");
    match json::<Configuration>(client, about, &["dns", "configuration"], &[], now).await {
        Ok(configuration) => return Ok(configuration.into()),
        Err(ApiError::NotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    let nameservers: Nameservers = json(client, about, &["dns", "nameservers"], &[], now).await?;
    let preferences: Preferences = json(client, about, &["dns", "preferences"], &[], now).await?;
    let search: SearchPaths = json(client, about, &["dns", "searchpaths"], &[], now).await?;
    let split: BTreeMap<String, Option<Vec<String>>> =
        json(client, about, &["dns", "split-dns"], &[], now).await?;
    Ok(DnsState {
        magic_dns: preferences.magic_dns,
        nameservers: Some(nameservers.dns),
        override_local: preferences.override_local,
        search_paths: Some(search.search_paths),
        split: Some(
            split.into_iter().map(|(domain, servers)| (domain, servers.unwrap_or_default())).collect(),
        ),
    })
}

#[derive(Deserialize)]
struct Nameservers {
    #[serde(deserialize_with = "null_is_empty")]
    dns: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Preferences {
    #[serde(rename = "magicDNS")]
    magic_dns: Option<bool>,
    #[serde(rename = "overrideLocalDNS")]
    override_local: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SearchPaths {
    #[serde(deserialize_with = "null_is_empty")]
    search_paths: Vec<String>,
}

#[derive(Deserialize)]
struct Server {
    address: String,
}

/// `GET /tailnet/{tailnet}/dns/configuration`
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Configuration {
    nameservers: Option<Vec<Server>>,
    #[serde(rename = "splitDNS")]
    split: Option<BTreeMap<String, Option<Vec<Server>>>>,
    search_paths: Option<Vec<String>>,
    preferences: Preferences,
}

impl From<Configuration> for DnsState {
    fn from(configuration: Configuration) -> Self {
        let addresses = |servers: Vec<Server>| servers.into_iter().map(|server| server.address).collect();
        let domain = |(domain, servers): (String, Option<Vec<Server>>)| {
            (domain, addresses(servers.unwrap_or_default()))
        };
        Self {
            magic_dns: configuration.preferences.magic_dns,
            nameservers: configuration.nameservers.map(addresses),
            override_local: configuration.preferences.override_local,
            search_paths: configuration.search_paths,
            split: configuration.split.map(|split| split.into_iter().map(domain).collect()),
        }
    }
}
