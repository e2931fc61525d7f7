//! `[sources.headscale]`.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use super::{ConfigError, SecretPlace, span_or, web_address, wrong};

/// `[sources.headscale]` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadscaleFile {
    url: String,
    api_key_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    every: Option<String>,
}

/// Which Headscale is asked, how, and how often.
#[derive(Debug, Clone)]
pub struct HeadscaleConfig {
    /// Where it is: what its clients call the server URL.
    pub url: Url,
    /// Its API key; every key of a Headscale can do everything.
    pub api_key: SecretPlace,
    /// A file of PEM certificates that its own is checked with, besides the system's.
    pub ca_file: Option<PathBuf>,
    /// How often nodes, users, policy and keys are read. It bounds how exactly a change's time is known.
    pub every: Duration,
}

impl TryFrom<HeadscaleFile> for HeadscaleConfig {
    type Error = ConfigError;

    fn try_from(file: HeadscaleFile) -> Result<Self, ConfigError> {
        let url = web_address("sources.headscale.url", &file.url)?;
        if url.path().contains("/api/") {
            return Err(wrong("sources.headscale.url", "write the server's address alone, without /api/v1"));
        }
        let bounds = (Duration::from_secs(1), Duration::from_secs(86_400));
        let default = Duration::from_secs(10);
        Ok(Self {
            url,
            api_key: SecretPlace::file_or(file.api_key_file, "MESHTRAIL_HEADSCALE_API_KEY"),
            ca_file: file.ca_file,
            every: span_or("sources.headscale.every", file.every.as_deref(), default, bounds)?,
        })
    }
}
