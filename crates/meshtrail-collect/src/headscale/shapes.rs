//! Headscale's answers, as far as they are read, from 0.27 to 0.30.
//!
//! Ids are decimal texts, unset times `null`, empty lists `[]`; all that may be missing is taken as not told.

use std::collections::BTreeSet;

use meshtrail_event::Timestamp;
use meshtrail_identity::{DeviceState, UserState};
use serde::Deserialize;

use crate::json::{any_id, lenient_time, null_is_empty, said};
use crate::snapshot::{KeyState, PolicyText};
use crate::web::Answer;

/// What the list shows as the owner of tagged nodes.
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
    /// What Headscale tells clients that this user signs in with: the first of these that is set.
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
            name: said(self.display_name).or(said(self.name)),
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
        // In force is what is approved and offered. What is served at this moment depends on who is online.
        let enabled = self.approved_routes.into_iter().filter(|route| advertised.contains(route)).collect();
        DeviceState {
            addresses: self.ip_addresses.iter().filter_map(|text| text.parse().ok()).collect(),
            advertised_routes: advertised,
            created: self.created_at,
            enabled_routes: enabled,
            expires: self.expiry,
            hostname: said(self.name),
            id: self.id,
            key_expiry_disabled: Some(self.expiry.is_none()),
            last_seen: self.last_seen,
            machine_key: said(self.machine_key),
            name: said(self.given_name),
            node_key: said(self.node_key),
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
            description: said(self.prefix),
            expires: self.expiration,
            id: format!("apikey-{}", self.id),
            of_type: Some("api".to_owned()),
            ..KeyState::default()
        }
    }
}

/// A refusal: a gRPC status as JSON up to 0.29, RFC 7807 from 0.30, or plain text.
#[derive(Deserialize)]
pub(super) struct Refusal {
    message: Option<String>,
    detail: Option<String>,
}

impl Refusal {
    /// What it says, short and visible.
    pub(super) fn message(answer: &Answer) -> String {
        let said = serde_json::from_slice::<Self>(&answer.body).ok();
        let text = said
            .and_then(|said| said.message.or(said.detail))
            .unwrap_or_else(|| String::from_utf8_lossy(&answer.body).trim().to_owned());
        meshtrail_event::text::visible(&text).chars().take(300).collect()
    }
}
