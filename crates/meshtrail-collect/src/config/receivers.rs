//! The list of receivers: `[sources.logtail]`, `[sources.hec]`, `[sources.bulk]` and `[sources.webhook]`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::{ConfigError, SecretPlace, config_error};

/// The configured receivers.
#[derive(Debug, Clone, Default)]
pub struct ReceiversConfig {
    /// A logtail server.
    pub logtail: Option<LogtailConfig>,
    /// A Splunk HTTP Event Collector.
    pub hec: Option<ReceiverConfig>,
    /// Elasticsearch's `_bulk`.
    pub bulk: Option<ReceiverConfig>,
    /// Tailscale's webhooks.
    pub webhook: Option<ReceiverConfig>,
}

impl ReceiversConfig {
    /// Checks the sections of all receivers; without a file a secret is in the environment variable named here.
    pub(super) fn read(
        logtail: Option<LogtailFile>,
        hec: Option<ReceiverFile>,
        bulk: Option<ReceiverFile>,
        webhook: Option<ReceiverFile>,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            logtail: logtail.map(LogtailConfig::try_from).transpose()?,
            hec: hec.map(|file| file.read("hec", "MESHTRAIL_HEC_TOKEN")).transpose()?,
            bulk: bulk.map(|file| file.read("bulk", "MESHTRAIL_BULK_TOKEN")).transpose()?,
            webhook: webhook.map(|file| file.read("webhook", "MESHTRAIL_WEBHOOK_SECRET")).transpose()?,
        })
    }
}

/// `[sources.logtail]` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogtailFile {
    listen: Option<String>,
    tls_listen: Option<String>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    #[serde(default)]
    known: BTreeMap<String, String>,
    #[serde(default)]
    tailnets: BTreeMap<String, String>,
}

/// A logtail server for clients' own logs and for flow logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogtailConfig {
    /// Address without TLS.
    pub listen: Option<SocketAddr>,
    /// Address with TLS.
    pub tls: Option<TlsListen>,
    /// Accepted public ids (SHA-256 of the private id), each with a name; if empty, all are accepted.
    pub known_ids: BTreeMap<String, String>,
    /// Public ids of tailnets whose flow reports are accepted (`copyId`), each with a name; if empty, all reports are.
    pub tailnets: BTreeMap<String, String>,
}

/// A TLS listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsListen {
    /// Address.
    pub listen: SocketAddr,
    /// The certificate chain, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// `[sources.hec]`, `[sources.bulk]` and `[sources.webhook]` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "struct DoorFile")]
pub struct ReceiverFile {
    listen: String,
    #[serde(alias = "secret_file")]
    token_file: Option<PathBuf>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
}

/// A receiver that requires a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverConfig {
    /// Address.
    pub listen: SocketAddr,
    /// The token that senders present, or the secret that webhooks are signed with.
    pub token: SecretPlace,
    /// The certificate chain and its key, PEM; none for a listener without TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
}

impl TryFrom<LogtailFile> for LogtailConfig {
    type Error = ConfigError;

    fn try_from(file: LogtailFile) -> Result<Self, ConfigError> {
        let at = |key: &str, text: &Option<String>| {
            text.as_deref().map(|text| socket_address(&format!("sources.logtail.{key}"), text)).transpose()
        };
        let (listen, tls_listen) = (at("listen", &file.listen)?, at("tls_listen", &file.tls_listen)?);
        let pair = certificate_pair("sources.logtail", file.tls_cert, file.tls_key)?;
        let tls = match (tls_listen, pair) {
            (None, None) => None,
            (Some(listen), Some((cert, key))) => Some(TlsListen { listen, cert, key }),
            (Some(_), None) => {
                let reason = "needs tls_cert and tls_key; `meshtrail setup flow-logs` makes both";
                return Err(config_error("sources.logtail.tls_listen", reason));
            }
            (None, Some(_)) => {
                return Err(config_error("sources.logtail.tls_cert", "is of no use without tls_listen"));
            }
        };
        if listen.is_none() && tls.is_none() {
            return Err(config_error("sources.logtail", "set listen, tls_listen or both"));
        }
        let known_ids = public_ids("known", file.known)?;
        let tailnets = public_ids("tailnets", file.tailnets)?;
        Ok(Self { listen, tls, known_ids, tailnets })
    }
}

/// Names by public id.
fn public_ids(
    section: &str,
    named: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut ids = BTreeMap::new();
    for (name, id) in named {
        let key = format!("sources.logtail.{section}.{name:?}");
        let hex = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !hex {
            return Err(config_error(key, "write a public log id: 64 hex digits, never the private one"));
        }
        if ids.insert(id.to_ascii_lowercase(), name).is_some() {
            return Err(config_error(key, "this id has another name above"));
        }
    }
    Ok(ids)
}

impl ReceiverFile {
    /// Checks the section of this name; without a file the secret is in the environment variable `variable`.
    fn read(self, section: &str, variable: &'static str) -> Result<ReceiverConfig, ConfigError> {
        Ok(ReceiverConfig {
            listen: socket_address(&format!("sources.{section}.listen"), &self.listen)?,
            token: SecretPlace::file_or(self.token_file, variable),
            tls: certificate_pair(&format!("sources.{section}"), self.tls_cert, self.tls_key)?,
        })
    }
}

fn socket_address(key: &str, text: &str) -> Result<SocketAddr, ConfigError> {
    text.parse()
        .map_err(|_| config_error(key, format!("{text:?} is not an address and port such as 127.0.0.1:8088")))
}

fn certificate_pair(
    section: &str,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<(PathBuf, PathBuf)>, ConfigError> {
    match (cert, key) {
        (None, None) => Ok(None),
        (Some(cert), Some(key)) => Ok(Some((cert, key))),
        (Some(_), None) => Err(config_error(format!("{section}.tls_key"), "is missing; tls_cert is set")),
        (None, Some(_)) => Err(config_error(format!("{section}.tls_cert"), "is missing; tls_key is set")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SourcesConfig, SourcesFile};

    fn read(text: &str) -> Result<SourcesConfig, String> {
        let file: SourcesFile = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        SourcesConfig::try_from(file).map_err(|error| error.to_string())
    }

    #[test]
    fn receivers_are_read_as_the_manual_writes_them() {
        let config = read(
            "[logtail]\nlisten = \"127.0.0.1:8081\"\ntls_listen = \"127.0.0.2:443\"\ntls_cert = \"log.pem\"\n\
             tls_key = \"log.key\"\n[hec]\nlisten = \"127.0.0.1:8088\"\ntoken_file = \"hec.token\"\n\
             [webhook]\nlisten = \"[::1]:8090\"\nsecret_file = \"webhook.secret\"\n",
        )
        .unwrap();
        let logtail = config.receivers.logtail.unwrap();
        assert_eq!(logtail.listen, Some("127.0.0.1:8081".parse().unwrap()));
        assert_eq!(logtail.tls.unwrap().key, PathBuf::from("log.key"));
        assert_eq!(config.receivers.hec.unwrap().token, SecretPlace::File("hec.token".into()));
    }

    #[test]
    fn what_cannot_work_is_refused_by_its_key() {
        for (text, key) in [
            ("[logtail]\n", "sources.logtail:"),
            ("[logtail]\ntls_listen = \"127.0.0.2:443\"\n", "sources.logtail.tls_listen:"),
            ("[logtail]\nlisten = \"8081\"\n", "sources.logtail.listen:"),
            (
                "[logtail]\nlisten = \"[::1]:1\"\n[logtail.known]\nweb = \"abc\"\n",
                "sources.logtail.known.\"web\":",
            ),
            (
                "[logtail]\nlisten = \"[::1]:1\"\n[logtail.tailnets]\nmine = \"g\"\n",
                "sources.logtail.tailnets.\"mine\":",
            ),
            ("[hec]\nlisten = \"127.0.0.1:1\"\ntls_cert = \"a\"\n", "sources.hec.tls_key:"),
            ("[bulk]\nlisten = \"here\"\n", "sources.bulk.listen:"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(key), "{text}: {error}");
        }
    }
}
