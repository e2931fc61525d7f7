//! `[sources.headscale]`.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use super::{ConfigError, SecretPlace, api_url, config_error, duration_or};

/// `[sources.headscale]` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadscaleFile {
    url: String,
    api_key_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    every: Option<String>,
}

/// The Headscale that is polled, with which key and how often.
#[derive(Debug, Clone)]
pub struct HeadscaleConfig {
    /// Its server URL, as clients use it.
    pub url: Url,
    /// Its API key. Headscale's keys have no scopes: each allows everything.
    pub api_key: SecretPlace,
    /// A PEM file with CA certificates that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// How often nodes, users, policy and keys are read; also the precision of a change's time.
    pub every: Duration,
}

impl TryFrom<HeadscaleFile> for HeadscaleConfig {
    type Error = ConfigError;

    fn try_from(file: HeadscaleFile) -> Result<Self, ConfigError> {
        let url = api_url("sources.headscale.url", &file.url)?;
        if url.path().contains("/api/") {
            return Err(config_error(
                "sources.headscale.url",
                "write the server's address alone, without /api/v1",
            ));
        }
        let bounds = (Duration::from_secs(1), Duration::from_secs(86_400));
        let default = Duration::from_secs(10);
        Ok(Self {
            url,
            api_key: SecretPlace::file_or(file.api_key_file, "MESHTRAIL_HEADSCALE_API_KEY"),
            ca_file: file.ca_file,
            every: duration_or("sources.headscale.every", file.every.as_deref(), default, bounds)?,
        })
    }
}
