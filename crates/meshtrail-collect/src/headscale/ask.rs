//! The questions to Headscale, and what its refusals mean.

use std::time::Duration;

use http::{Method, StatusCode};
use meshtrail_event::Timestamp;
use meshtrail_identity::{DeviceState, UserState};
use serde::de::DeserializeOwned;

use super::shapes::{ApiKeys, Nodes, Policy, PreAuthKey, PreAuthKeys, Refusal, Users};
use crate::config::{SecretError, SecretPlace};
use crate::snapshot::{KeyState, PolicyText};
use crate::web::{Answer, Ask, Web, WebError};

/// The most bytes of one answer: some ten thousand nodes.
const MOST: usize = 64 << 20;

/// Why Headscale did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// There is no whole answer.
    #[error(transparent)]
    Web(#[from] WebError),
    /// The key can't be read.
    #[error("sources.headscale.api_key_file: {0}")]
    Secret(#[from] SecretError),
    /// The key is not taken.
    #[error(
        "Headscale refuses the API key: make a new one with `headscale apikeys create --expiration 90d` and put it into {place}"
    )]
    Key {
        /// Where the key lies.
        place: String,
    },
    /// Something that is no Headscale answered, or the address has a path too many.
    #[error(
        "no Headscale API at this address ({status} to /api/v1/{path}): is sources.headscale.url the server URL?"
    )]
    NotThere {
        /// The path.
        path: &'static str,
        /// The status.
        status: u16,
    },
    /// It is in trouble.
    #[error("Headscale answered {status} to /api/v1/{path}: {message}")]
    Refused {
        /// The path.
        path: &'static str,
        /// The status.
        status: u16,
        /// What it says.
        message: String,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The answer is not what the API's description promises.
    #[error("Headscale's answer to /api/v1/{path} can't be understood: {reason}")]
    Shape {
        /// The path.
        path: &'static str,
        /// Where it goes wrong.
        reason: String,
    },
}

impl AskError {
    /// Whether every other question would end the same way.
    pub(super) fn is_for_all(&self) -> bool {
        matches!(self, Self::Web(_) | Self::Secret(_) | Self::Key { .. } | Self::NotThere { .. })
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Asks one Headscale.
pub(super) struct Asker {
    web: Web,
    key: SecretPlace,
}

impl Asker {
    pub(super) fn new(web: Web, key: SecretPlace) -> Self {
        Self { web, key }
    }

    /// How far Headscale's clock is ahead of ours, in milliseconds.
    pub(super) fn skew(&self) -> Option<i64> {
        self.web.skew()
    }

    pub(super) fn their_time(&self, now: Timestamp) -> Timestamp {
        self.web.their_time(now)
    }

    /// Asks for one thing. The key is read each time, so that a new one is found without a restart.
    async fn get(
        &self,
        path: &'static str,
        query: &[(&str, &str)],
        now: Timestamp,
    ) -> Result<Answer, AskError> {
        let key = self.key.read()?;
        let ask = Ask {
            method: Method::GET,
            path: &["api", "v1", path],
            query,
            accept: Some("application/json"),
            bearer: Some(&key),
            form: None,
            most: MOST,
        };
        let answer = self.web.ask(&ask).await?;
        let status = answer.status;
        match status {
            StatusCode::OK => Ok(answer),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(AskError::Key { place: self.key.to_string() })
            }
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                Err(AskError::NotThere { path, status: status.as_u16() })
            }
            status if status.is_redirection() => Err(AskError::NotThere { path, status: status.as_u16() }),
            status => Err(AskError::Refused {
                path,
                status: status.as_u16(),
                message: Refusal::message(&answer),
                retry_after: answer.retry_after(now),
            }),
        }
    }

    async fn json<T: DeserializeOwned>(
        &self,
        path: &'static str,
        query: &[(&str, &str)],
        now: Timestamp,
    ) -> Result<T, AskError> {
        let answer = self.get(path, query, now).await?;
        let mut reader = serde_json::Deserializer::from_slice(&answer.body);
        let shape = |reason: String| AskError::Shape { path, reason };
        let value: T =
            serde_path_to_error::deserialize(&mut reader).map_err(|error| shape(error.to_string()))?;
        reader.end().map_err(|error| shape(error.to_string()))?;
        Ok(value)
    }

    pub(super) async fn users(&self, now: Timestamp) -> Result<Vec<UserState>, AskError> {
        let users: Users = self.json("user", &[], now).await?;
        Ok(users.users.into_iter().filter_map(|user| user.state()).collect())
    }

    pub(super) async fn devices(&self, now: Timestamp) -> Result<Vec<DeviceState>, AskError> {
        let nodes: Nodes = self.json("node", &[], now).await?;
        if let Some(at) = nodes.nodes.iter().position(|node| node.id.is_empty()) {
            return Err(AskError::Shape { path: "node", reason: format!("nodes[{at}] has no id") });
        }
        Ok(nodes.nodes.into_iter().map(super::shapes::Node::state).collect())
    }

    /// The policy; none where the database holds none, to which Headscale answers 500.
    pub(super) async fn policy(&self, now: Timestamp) -> Result<Option<PolicyText>, AskError> {
        match self.json::<Policy>("policy", &[], now).await {
            Ok(policy) => Ok(Some(policy.text())),
            Err(AskError::Refused { status: 500, message, .. }) if message.contains("not found") => Ok(None),
            Err(AskError::NotThere { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Pre-auth keys and API keys. Before 0.28 the former are asked for by user.
    pub(super) async fn keys(&self, users: &[String], now: Timestamp) -> Result<Vec<KeyState>, AskError> {
        let mut keys: Vec<PreAuthKey> = match self.json::<PreAuthKeys>("preauthkey", &[], now).await {
            Ok(keys) => keys.pre_auth_keys,
            Err(AskError::Refused { status: 400 | 404 | 500, .. }) if !users.is_empty() => {
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
