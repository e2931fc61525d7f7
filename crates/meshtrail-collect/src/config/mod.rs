//! The `[sources.*]` sections of the configuration, read into something that cannot be wrong.
//!
//! - What a section may hold is its `…File`: unknown keys are refused. What it means is its `…Config`, with defaults
//!   filled in and every relation checked.
//! - Errors name the key, such as `sources.tailscale.api_key_file`.
//! - Secrets come from files or from the environment, never from the configuration itself ([`secret`]).

pub mod headscale;
pub mod receivers;
pub mod secret;
pub mod span;
pub mod tailscale;

use std::time::Duration;

use serde::Deserialize;

pub use headscale::{HeadscaleConfig, HeadscaleFile};
pub use receivers::{DoorConfig, DoorFile, LogtailConfig, LogtailFile, TlsListen};
pub use secret::{Secret, SecretError, SecretPlace};
pub use tailscale::{Credentials, TailscaleConfig, TailscaleFile};

/// Why a section of `[sources]` is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct ConfigError {
    /// The key.
    pub key: String,
    /// What is wrong with its value, and what would be right.
    pub reason: String,
}

/// `[sources]` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourcesFile {
    tailscale: Option<TailscaleFile>,
    headscale: Option<HeadscaleFile>,
    logtail: Option<LogtailFile>,
    hec: Option<DoorFile>,
    bulk: Option<DoorFile>,
    webhook: Option<DoorFile>,
}

/// What is collected, and from where.
#[derive(Debug, Clone, Default)]
pub struct SourcesConfig {
    /// Tailscale's API.
    pub tailscale: Option<TailscaleConfig>,
    /// A Headscale's API.
    pub headscale: Option<HeadscaleConfig>,
    /// A central log server.
    pub logtail: Option<LogtailConfig>,
    /// A Splunk HTTP Event Collector.
    pub hec: Option<DoorConfig>,
    /// Elasticsearch's `_bulk`.
    pub bulk: Option<DoorConfig>,
    /// Tailscale's webhooks.
    pub webhook: Option<DoorConfig>,
}

impl TryFrom<SourcesFile> for SourcesConfig {
    type Error = ConfigError;

    fn try_from(file: SourcesFile) -> Result<Self, ConfigError> {
        Ok(Self {
            tailscale: file.tailscale.map(TailscaleConfig::try_from).transpose()?,
            headscale: file.headscale.map(HeadscaleConfig::try_from).transpose()?,
            logtail: file.logtail.map(LogtailConfig::try_from).transpose()?,
            hec: file.hec.map(|file| file.read("hec", "MESHTRAIL_HEC_TOKEN")).transpose()?,
            bulk: file.bulk.map(|file| file.read("bulk", "MESHTRAIL_BULK_TOKEN")).transpose()?,
            webhook: file.webhook.map(|file| file.read("webhook", "MESHTRAIL_WEBHOOK_SECRET")).transpose()?,
        })
    }
}

/// An error about `key`.
pub(crate) fn wrong(key: impl Into<String>, reason: impl Into<String>) -> ConfigError {
    ConfigError { key: key.into(), reason: reason.into() }
}

/// The length of time that `key` sets, between `least` and `most`, or its default.
pub(crate) fn span_or(
    key: &str,
    text: Option<&str>,
    default: Duration,
    (least, most): (Duration, Duration),
) -> Result<Duration, ConfigError> {
    let Some(text) = text else { return Ok(default) };
    let span = span::parse_span(text).map_err(|error| wrong(key, error.to_string()))?;
    if span < least || span > most {
        let (least, most) = (span::written(least), span::written(most));
        return Err(wrong(key, format!("{text} is not between {least} and {most}")));
    }
    Ok(span)
}

/// The address of an HTTP API that `key` sets: a scheme, a host, and nothing that would be sent in the clear.
pub(crate) fn web_address(key: &str, text: &str) -> Result<reqwest::Url, ConfigError> {
    let shown = || format!("{text:?} is not an address such as https://host.example.com");
    let url = reqwest::Url::parse(text).map_err(|_| wrong(key, shown()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong(key, shown()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(key, "write the address without a user name or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong(key, "write the address without ? and #"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests;
