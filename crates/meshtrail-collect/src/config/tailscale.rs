//! `[sources.tailscale]`.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use super::{ConfigError, SecretPlace, api_url, config_error, duration_or};

/// Tailscale's own API.
pub const API_URL: &str = "https://api.tailscale.com";

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// How long Tailscale keeps the configuration audit log.
pub const AUDIT_RETENTION: Duration = Duration::from_secs(90 * 86_400);

/// How long Tailscale keeps network flow logs.
pub const FLOWS_RETENTION: Duration = Duration::from_secs(30 * 86_400);

/// `[sources.tailscale]` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TailscaleFile {
    tailnet: Option<String>,
    api_url: Option<String>,
    ca_file: Option<PathBuf>,
    api_key_file: Option<PathBuf>,
    oauth_client_id: Option<String>,
    oauth_secret_file: Option<PathBuf>,
    audit_every: Option<String>,
    audit_since: Option<String>,
    flow_logs: Option<bool>,
    flows_every: Option<String>,
    flows_since: Option<String>,
    devices_every: Option<String>,
    settings_every: Option<String>,
}

/// The tailnet that is polled, with which credential and how often.
#[derive(Debug, Clone)]
pub struct TailscaleConfig {
    /// The tailnet's name or id; `-` is the one the credential belongs to.
    pub tailnet: String,
    /// URL of the API, without `/api/v2`.
    pub api_url: Url,
    /// A PEM file with CA certificates that are trusted besides the system's, for instance of a proxy.
    pub ca_file: Option<PathBuf>,
    /// Credentials for the API.
    pub credentials: Credentials,
    /// How often the configuration audit log is read.
    pub audit_every: Duration,
    /// How far back the audit log is read at the first start.
    pub audit_since: Duration,
    /// Whether network flow logs are read, and how often.
    pub flows_every: Option<Duration>,
    /// How far back flow logs are read at the first start.
    pub flows_since: Duration,
    /// How often devices, users and the policy are read.
    pub devices_every: Duration,
    /// How often everything else is read: DNS, keys, webhooks, settings, log streaming.
    pub settings_every: Duration,
}

/// Credentials for Tailscale's API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// An API access token, `tskey-api-…`: valid for 90 days at most, and not longer than its user.
    ApiKey(SecretPlace),
    /// An OAuth client, `tskey-client-…`: exchanged for tokens that are valid for an hour.
    OAuth {
        /// The client's id.
        client_id: String,
        /// Its secret.
        secret: SecretPlace,
    },
}

impl Credentials {
    /// The location of the secret.
    pub fn place(&self) -> &SecretPlace {
        match self {
            Self::ApiKey(place) | Self::OAuth { secret: place, .. } => place,
        }
    }

    /// The key of the configuration that names the secret's file.
    pub fn key(&self) -> &'static str {
        match self {
            Self::ApiKey(_) => "sources.tailscale.api_key_file",
            Self::OAuth { .. } => "sources.tailscale.oauth_secret_file",
        }
    }
}

impl TryFrom<TailscaleFile> for TailscaleConfig {
    type Error = ConfigError;

    fn try_from(file: TailscaleFile) -> Result<Self, ConfigError> {
        let key = |name: &str| format!("sources.tailscale.{name}");
        let credentials = credentials(&file)?;
        let tailnet = file.tailnet.unwrap_or_else(|| "-".to_owned());
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
        if tailnet.is_empty() || tailnet.starts_with('.') || !tailnet.chars().all(fine) {
            let reason =
                format!("{tailnet:?} is not a tailnet such as example.com, or - for the credential's own");
            return Err(config_error(key("tailnet"), reason));
        }
        let span = |name: &str, text: &Option<String>, default, bounds| {
            duration_or(&key(name), text.as_deref(), default, bounds)
        };
        let often = (Duration::from_secs(5), DAY);
        let flows_every = span("flows_every", &file.flows_every, MINUTE, often)?;
        Ok(Self {
            tailnet,
            api_url: api_url(&key("api_url"), file.api_url.as_deref().unwrap_or(API_URL))?,
            ca_file: file.ca_file,
            credentials,
            audit_every: span("audit_every", &file.audit_every, MINUTE, often)?,
            audit_since: span("audit_since", &file.audit_since, AUDIT_RETENTION, (MINUTE, AUDIT_RETENTION))?,
            flows_every: file.flow_logs.unwrap_or(true).then_some(flows_every),
            flows_since: span("flows_since", &file.flows_since, DAY, (MINUTE, FLOWS_RETENTION))?,
            devices_every: span("devices_every", &file.devices_every, 2 * MINUTE, often)?,
            settings_every: span("settings_every", &file.settings_every, 15 * MINUTE, often)?,
        })
    }
}

fn credentials(file: &TailscaleFile) -> Result<Credentials, ConfigError> {
    let key = |name: &str| format!("sources.tailscale.{name}");
    match (&file.api_key_file, &file.oauth_client_id, &file.oauth_secret_file) {
        (Some(_), None, None) | (None, None, None) => Ok(Credentials::ApiKey(SecretPlace::file_or(
            file.api_key_file.clone(),
            "MESHTRAIL_TAILSCALE_API_KEY",
        ))),
        (None, Some(id), secret) => {
            if id.is_empty() || id.contains(char::is_whitespace) {
                return Err(config_error(
                    key("oauth_client_id"),
                    format!("{id:?} is not the id of an OAuth client"),
                ));
            }
            let secret = SecretPlace::file_or(secret.clone(), "MESHTRAIL_TAILSCALE_OAUTH_SECRET");
            Ok(Credentials::OAuth { client_id: id.clone(), secret })
        }
        (None, None, Some(_)) => Err(config_error(
            key("oauth_client_id"),
            "is missing beside oauth_secret_file: which client's secret is it?",
        )),
        (Some(_), _, _) => {
            Err(config_error(key("api_key_file"), "give either an API key or an OAuth client, not both"))
        }
    }
}
