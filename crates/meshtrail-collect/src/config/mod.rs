//! The `[sources.*]` sections of the configuration, parsed and validated.
//!
//! - A section's `…File` is its shape as written: unknown keys are refused. Its `…Config` has defaults filled in and all
//!   relations between keys checked.
//! - Receivers are listed in [`receivers`]; a new one needs a field in [`SourcesFile`] as well, because serde can't flatten
//!   a struct that refuses unknown keys.
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
pub use receivers::{LogtailConfig, LogtailFile, ReceiverConfig, ReceiverFile, ReceiversConfig, TlsListen};
pub use secret::{Secret, SecretError, SecretPlace};
pub use tailscale::{Credentials, TailscaleConfig, TailscaleFile};

/// Why a section of `[sources]` is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
#[expect(missing_docs, reason = "the messages say it")]
pub struct ConfigError {
    pub key: String,
    pub reason: String,
}

/// `[sources]` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourcesFile {
    tailscale: Option<TailscaleFile>,
    headscale: Option<HeadscaleFile>,
    logtail: Option<LogtailFile>,
    hec: Option<ReceiverFile>,
    bulk: Option<ReceiverFile>,
    webhook: Option<ReceiverFile>,
}

impl SourcesFile {
    /// Whether the policy of a control plane is read.
    pub fn has_control_plane(&self) -> bool {
        self.tailscale.is_some() || self.headscale.is_some()
    }
}

/// The configured sources.
#[derive(Debug, Clone, Default)]
pub struct SourcesConfig {
    /// Tailscale's API.
    pub tailscale: Option<TailscaleConfig>,
    /// Headscale's API.
    pub headscale: Option<HeadscaleConfig>,
    /// Receivers.
    pub receivers: ReceiversConfig,
}

impl TryFrom<SourcesFile> for SourcesConfig {
    type Error = ConfigError;

    fn try_from(file: SourcesFile) -> Result<Self, ConfigError> {
        let SourcesFile { tailscale, headscale, logtail, hec, bulk, webhook } = file;
        Ok(Self {
            tailscale: tailscale.map(TailscaleConfig::try_from).transpose()?,
            headscale: headscale.map(HeadscaleConfig::try_from).transpose()?,
            receivers: ReceiversConfig::read(logtail, hec, bulk, webhook)?,
        })
    }
}

/// An error about `key`.
pub(crate) fn config_error(key: impl Into<String>, reason: impl Into<String>) -> ConfigError {
    ConfigError { key: key.into(), reason: reason.into() }
}

/// The duration that `key` sets, between `least` and `most`, or its default.
pub(crate) fn duration_or(
    key: &str,
    text: Option<&str>,
    default: Duration,
    (least, most): (Duration, Duration),
) -> Result<Duration, ConfigError> {
    let Some(text) = text else { return Ok(default) };
    let span = span::parse_span(text).map_err(|error| config_error(key, error.to_string()))?;
    if span < least || span > most {
        let (least, most) = (span::format_span(least), span::format_span(most));
        return Err(config_error(key, format!("{text} is not between {least} and {most}")));
    }
    Ok(span)
}

/// The URL of an HTTP API that `key` sets: scheme, host and path, without credentials, query and fragment.
pub(crate) fn api_url(key: &str, text: &str) -> Result<reqwest::Url, ConfigError> {
    let shown = || format!("{text:?} is not an address such as https://host.example.com");
    let url = reqwest::Url::parse(text).map_err(|_| config_error(key, shown()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(config_error(key, shown()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(config_error(key, "write the address without a user name or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(config_error(key, "write the address without ? and #"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests;
