//! Requests to Headscale, and the meaning of its errors.

use std::time::Duration;

use http::{Method, StatusCode};
use meshtrail_change::snapshot::{KeyState, PolicyText};
use meshtrail_event::{DeviceState, Timestamp, UserState};
use serde::de::DeserializeOwned;

use super::shapes::{ApiKeys, Nodes, Policy, PreAuthKey, PreAuthKeys, Refusal, Users};
use crate::config::{SecretError, SecretPlace};
use crate::web::{ApiClient, ApiRequest, ApiResponse, WebError};

/// The most bytes of one response: some ten thousand nodes.
const MAX_RESPONSE: usize = 64 << 20;

/// Why a request to Headscale failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeadscaleError {
    #[error(transparent)]
    Web(#[from] WebError),
    #[error("sources.headscale.api_key_file: {0}")]
    Secret(#[from] SecretError),
    #[error(
        "Headscale refuses the API key: make a new one with `headscale apikeys create --expiration 90d` and put it into {place}"
    )]
    Key { place: String },
    /// Another server answered, or the configured address has an additional path.
    #[error(
        "no Headscale API at this address ({status} to /api/v1/{path}): is sources.headscale.url the server URL?"
    )]
    NotThere { path: &'static str, status: u16 },
    #[error("Headscale answered {status} to /api/v1/{path}: {message}")]
    Refused { path: &'static str, status: u16, message: String, retry_after: Option<Duration> },
    #[error("Headscale's answer to /api/v1/{path} can't be understood: {reason}")]
    Shape { path: &'static str, reason: String },
}

impl HeadscaleError {
    /// Whether every other request would fail the same way.
    pub(super) fn affects_all_requests(&self) -> bool {
        matches!(self, Self::Web(_) | Self::Secret(_) | Self::Key { .. } | Self::NotThere { .. })
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Client of one Headscale.
pub(super) struct HeadscaleClient {
    api: ApiClient,
    key: SecretPlace,
}

impl HeadscaleClient {
    pub(super) fn new(api: ApiClient, key: SecretPlace) -> Self {
        Self { api, key }
    }

    /// How far Headscale's clock is ahead of ours, in milliseconds.
    pub(super) fn skew(&self) -> Option<i64> {
        self.api.skew()
    }

    pub(super) fn their_time(&self, now: Timestamp) -> Timestamp {
        self.api.their_time(now)
    }

    /// Sends one request. The key is read each time, so that a renewed one is used without a restart.
    async fn get(
        &self,
        path: &'static str,
        query: &[(&str, &str)],
        now: Timestamp,
    ) -> Result<ApiResponse, HeadscaleError> {
        let key = self.key.read()?;
        let request = ApiRequest {
            method: Method::GET,
            path: &["api", "v1", path],
            query,
            accept: Some("application/json"),
            bearer: Some(&key),
            form: None,
            most: MAX_RESPONSE,
        };
        let response = self.api.send(&request).await?;
        let status = response.status;
        match status {
            StatusCode::OK => Ok(response),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(HeadscaleError::Key { place: self.key.to_string() })
            }
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                Err(HeadscaleError::NotThere { path, status: status.as_u16() })
            }
            status if status.is_redirection() => {
                Err(HeadscaleError::NotThere { path, status: status.as_u16() })
            }
            status => Err(HeadscaleError::Refused {
                path,
                status: status.as_u16(),
                message: Refusal::message(&response),
                retry_after: response.retry_after(now),
            }),
        }
    }

    async fn json<T: DeserializeOwned>(
        &self,
        path: &'static str,
        query: &[(&str, &str)],
        now: Timestamp,
    ) -> Result<T, HeadscaleError> {
        let response = self.get(path, query, now).await?;
        let mut reader = serde_json::Deserializer::from_slice(&response.body);
        let shape = |reason: String| HeadscaleError::Shape { path, reason };
        let value: T =
            serde_path_to_error::deserialize(&mut reader).map_err(|error| shape(error.to_string()))?;
        reader.end().map_err(|error| shape(error.to_string()))?;
        Ok(value)
    }

    pub(super) async fn users(&self, now: Timestamp) -> Result<Vec<UserState>, HeadscaleError> {
        let users: Users = self.json("user", &[], now).await?;
        Ok(users.users.into_iter().filter_map(|user| user.state()).collect())
    }

    pub(super) async fn devices(&self, now: Timestamp) -> Result<Vec<DeviceState>, HeadscaleError> {
        let nodes: Nodes = self.json("node", &[], now).await?;
        if let Some(at) = nodes.nodes.iter().position(|node| node.id.is_empty()) {
            return Err(HeadscaleError::Shape { path: "node", reason: format!("nodes[{at}] has no id") });
        }
        Ok(nodes.nodes.into_iter().map(super::shapes::Node::state).collect())
    }

    /// The policy; none where the database holds none, which Headscale reports as status 500.
    pub(super) async fn policy(&self, now: Timestamp) -> Result<Option<PolicyText>, HeadscaleError> {
        match self.json::<Policy>("policy", &[], now).await {
            Ok(policy) => Ok(Some(policy.text())),
            Err(HeadscaleError::Refused { status: 500, message, .. }) if message.contains("not found") => {
                Ok(None)
            }
            Err(HeadscaleError::NotThere { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Pre-auth keys and API keys. Before 0.28 the former are requested for each user.
    pub(super) async fn keys(
        &self,
        users: &[String],
        now: Timestamp,
    ) -> Result<Vec<KeyState>, HeadscaleError> {
        let mut keys: Vec<PreAuthKey> = match self.json::<PreAuthKeys>("preauthkey", &[], now).await {
            Ok(keys) => keys.pre_auth_keys,
            Err(HeadscaleError::Refused { status: 400 | 404 | 500, .. }) if !users.is_empty() => {
                let mut keys = Vec::new();
                for user in users {
                    let of_user: PreAuthKeys = self.json("preauthkey", &[("user", user)], now).await?;
                    keys.extend(of_user.pre_auth_keys);
                }
                keys
            }
            Err(error) => return Err(error),
        };
        keys.retain(|key| !key.id.is_empty());
        let mut states: Vec<KeyState> = keys.into_iter().map(PreAuthKey::state).collect();
        states.sort_by(|a, b| a.id.cmp(&b.id));
        states.dedup_by(|a, b| a.id == b.id);
        let api: ApiKeys = self.json("apikey", &[], now).await?;
        states.extend(api.api_keys.into_iter().map(super::shapes::ApiKey::state));
        Ok(states)
    }
}
