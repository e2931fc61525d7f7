//! JSON shapes of Headscale's responses, versions 0.27 to 0.30, as far as they are read.
//!
//! Ids are decimal texts, unset times `null`, empty lists `[]`; a missing member counts as unknown.

use std::collections::BTreeSet;

use meshtrail_change::snapshot::{KeyState, PolicyText};
use meshtrail_event::{DeviceState, Timestamp, UserState};
use serde::Deserialize;

use crate::json::{any_id, lenient_time, non_empty, null_is_empty};
use crate::web::ApiResponse;

/// The name of the user that owns tagged nodes.
const TAGGED: &str = "tagged-devices";

/// `{"users": […]}`
#[derive(Deserialize)]
pub(super) struct Users {
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) users: Vec<User>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct User {
    #[serde(deserialize_with = "any_id")]
    id: String,
    name: Option<String>,
    display_name: Option<String>,
    email: Option<String>,
    provider_id: Option<String>,
    #[serde(deserialize_with = "lenient_time")]
    created_at: Option<Timestamp>,
}

impl User {
    /// The login that Headscale reports to clients: the first of these that is set.
    fn login(&self) -> String {
        let named = [&self.email, &self.name, &self.provider_id];
        named.into_iter().flatten().find(|text| !text.is_empty()).unwrap_or(&self.id).clone()
    }

    pub(super) fn state(self) -> Option<UserState> {
        let login = self.login();
        let real = !self.id.is_empty() && self.name.as_deref() != Some(TAGGED);
        real.then(|| UserState {
            created: self.created_at,
            id: self.id,
            login,
            name: non_empty(self.display_name).or(non_empty(self.name)),
            ..UserState::default()
        })
    }
}

/// `{"nodes": […]}`
#[derive(Deserialize)]
pub(super) struct Nodes {
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) nodes: Vec<Node>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Node {
    #[serde(deserialize_with = "any_id")]
    pub(super) id: String,
    machine_key: Option<String>,
    node_key: Option<String>,
    #[serde(deserialize_with = "null_is_empty")]
    ip_addresses: Vec<String>,
    name: Option<String>,
    given_name: Option<String>,
    user: Option<User>,
    #[serde(deserialize_with = "lenient_time")]
    last_seen: Option<Timestamp>,
    #[serde(deserialize_with = "lenient_time")]
    expiry: Option<Timestamp>,
    #[serde(deserialize_with = "lenient_time")]
    created_at: Option<Timestamp>,
    online: Option<bool>,
    #[serde(deserialize_with = "null_is_empty")]
    approved_routes: Vec<String>,
    #[serde(deserialize_with = "null_is_empty")]
    available_routes: Vec<String>,
    #[serde(deserialize_with = "null_is_empty")]
    tags: Vec<String>,
    /// Before 0.28, in place of `tags`.
    #[serde(deserialize_with = "null_is_empty")]
    forced_tags: Vec<String>,
    /// Before 0.28.
    #[serde(deserialize_with = "null_is_empty")]
    valid_tags: Vec<String>,
}

impl Node {
    pub(super) fn state(self) -> DeviceState {
        let tags: BTreeSet<String> =
            self.tags.into_iter().chain(self.forced_tags).chain(self.valid_tags).collect();
        let owner = self.user.filter(|user| tags.is_empty() && user.name.as_deref() != Some(TAGGED));
        let advertised: BTreeSet<String> = self.available_routes.into_iter().collect();
        // A route is in force if it is approved and advertised. Which router serves it now depends on who is online.
        let enabled = self.approved_routes.into_iter().filter(|route| advertised.contains(route)).collect();
        DeviceState {
            addresses: self.ip_addresses.iter().filter_map(|text| text.parse().ok()).collect(),
            advertised_routes: advertised,
            created: self.created_at,
            enabled_routes: enabled,
            expires: self.expiry,
            hostname: non_empty(self.name),
            id: self.id,
            key_expiry_disabled: Some(self.expiry.is_none()),
            last_seen: self.last_seen,
            machine_key: non_empty(self.machine_key),
            name: non_empty(self.given_name),
            node_key: non_empty(self.node_key),
            online: self.online,
            owner: owner.map(|user| user.login()),
            tags,
            ..DeviceState::default()
        }
    }
}

/// `{"policy": "…", "updatedAt": "…"}`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Policy {
    policy: String,
    #[serde(default, deserialize_with = "lenient_time")]
    updated_at: Option<Timestamp>,
}

impl Policy {
    pub(super) fn text(self) -> PolicyText {
        PolicyText { text: self.policy, etag: None, updated: self.updated_at }
    }
}

/// `{"preAuthKeys": […]}`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PreAuthKeys {
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) pre_auth_keys: Vec<PreAuthKey>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PreAuthKey {
    #[serde(deserialize_with = "any_id")]
    pub(super) id: String,
    user: Option<User>,
    reusable: Option<bool>,
    ephemeral: Option<bool>,
    used: Option<bool>,
    #[serde(deserialize_with = "lenient_time")]
    expiration: Option<Timestamp>,
    #[serde(deserialize_with = "lenient_time")]
    created_at: Option<Timestamp>,
    #[serde(deserialize_with = "null_is_empty")]
    acl_tags: Vec<String>,
}

impl PreAuthKey {
    pub(super) fn state(self) -> KeyState {
        KeyState {
            created: self.created_at,
            ephemeral: self.ephemeral,
            expires: self.expiration,
            id: format!("preauth-{}", self.id),
            owner: self.user.map(|user| user.login()),
            reusable: self.reusable,
            tags: self.acl_tags,
            of_type: Some("auth".to_owned()),
            used: self.used,
            ..KeyState::default()
        }
    }
}

/// `{"apiKeys": […]}`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiKeys {
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) api_keys: Vec<ApiKey>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ApiKey {
    #[serde(deserialize_with = "any_id")]
    id: String,
    prefix: Option<String>,
    #[serde(deserialize_with = "lenient_time")]
    expiration: Option<Timestamp>,
    #[serde(deserialize_with = "lenient_time")]
    created_at: Option<Timestamp>,
}

impl ApiKey {
    pub(super) fn state(self) -> KeyState {
        KeyState {
            created: self.created_at,
            description: non_empty(self.prefix),
            expires: self.expiration,
            id: format!("apikey-{}", self.id),
            of_type: Some("api".to_owned()),
            ..KeyState::default()
        }
    }
}

/// Body of an error: a gRPC status as JSON up to 0.29, RFC 7807 from 0.30, or plain text.
#[derive(Deserialize)]
pub(super) struct Refusal {
    message: Option<String>,
    detail: Option<String>,
}

impl Refusal {
    /// The message, truncated and without invisible characters.
    pub(super) fn message(response: &ApiResponse) -> String {
        let error = serde_json::from_slice::<Self>(&response.body).ok();
        let text = error
            .and_then(|error| error.message.or(error.detail))
            .unwrap_or_else(|| String::from_utf8_lossy(&response.body).trim().to_owned());
        meshtrail_event::text::visible(&text).chars().take(300).collect()
    }
}
