//! The configuration file, parsed and validated.
//!
//! The file is TOML; its shape is `ConfigFile`, private to this module. [`Config`] is the validated form, with
//! defaults filled in and every relation between keys checked; errors name the key. Command-line flags replace
//! values of the file as [`Overrides`] before it is validated.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use meshtrail_collect::config::{SourcesConfig, SourcesFile, span};
use meshtrail_event::TrailName;
use meshtrail_listen::Shares;
use meshtrail_trail::store::{ObjectRetention, RetentionMode};
use serde::Deserialize;

use crate::auth::Role;
use crate::auth::host_names::HostNames;
use crate::auth::roles::{Grantee, Grants};

mod limits;
mod store;
mod tables;

pub use meshtrail_collect::config::span::parse_span;
pub use tables::{PostgresSettings, QuerySettings};

/// The default address of the console and the API.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:7411";

/// The default data folder.
pub const DEFAULT_DATA: &str = "./meshtrail-data";

/// The configuration of `meshtrail serve`.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the console and the API listen.
    pub listen: SocketAddr,
    /// The store for events and recordings: a folder or `s3://bucket/prefix`.
    pub store: String,
    /// The id of the group that may read a folder store, besides its owner.
    pub store_group: Option<u32>,
    /// The machine-local folder: the store itself when that is a folder.
    pub data: PathBuf,
    /// tailscaled's socket; `None` means the default paths.
    pub tailscale_socket: Option<PathBuf>,
    /// A static directory of addresses for meshes without a LocalAPI.
    pub directory: Option<PathBuf>,
    /// The policy of a mesh without a control plane.
    pub policy_file: Option<PathBuf>,
    /// The host names that browsers may use.
    pub names: HostNames,
    /// Where the recorder protocol is served.
    pub recorder_listen: Vec<RecorderListen>,
    /// Roles for tailnet identities.
    pub grants: Grants,
    pub trail: TrailSettings,
    /// How long a bucket with Object Lock refuses to delete objects; `None` leaves it to the bucket's default.
    pub object_lock: Option<ObjectRetention>,
    pub sources: SourcesConfig,
    /// The limits of SQL queries.
    pub query: QuerySettings,
    /// The Postgres wire protocol; `None` means that it is not served.
    pub postgres: Option<PostgresSettings>,
    /// The part of each shared limit that one peer may use.
    pub shares: Shares,
    /// A line at the top of every page and in every response. No file and no flag sets it: only a demo does.
    pub banner: Option<String>,
}

/// The trail's name, segments, shipping and retention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailSettings {
    /// The trail's name, which is a folder in the store.
    pub name: String,
    /// The origin line of its checkpoints; `None` means one derived from the name at the first start.
    pub origin: Option<String>,
    /// Seal a segment after this many events.
    pub segment_events: Option<u64>,
    /// Seal a segment after this long.
    pub segment_age: Option<Duration>,
    /// With a bucket: ship new events at least this often.
    pub ship_every: Option<Duration>,
    /// Drop segments older than this; `None` keeps all of them.
    pub retention: Option<Duration>,
}

/// An address on which recordings are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecorderListen {
    /// A fixed address.
    Address(SocketAddr),
    /// This port on each of the node's own Tailscale addresses, as they appear and disappear.
    Tailscale { port: u16 },
}

/// Values from command-line flags, which replace those of the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub listen: Option<String>,
    pub store: Option<String>,
    pub data: Option<PathBuf>,
    pub tailscale_socket: Option<PathBuf>,
    pub directory: Option<PathBuf>,
    pub recorder_listen: Vec<String>,
}

/// Why a configuration is rejected.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("failed to read the configuration {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// Not TOML, an unknown key, or a value of the wrong type; `message` has the line.
    #[error("the configuration {} can't be understood: {message}", path.display())]
    Shape { path: PathBuf, message: String },
    /// An invalid value; `key` is a key or a flag, `reason` says what would be valid.
    #[error("{key}: {reason}")]
    Value { key: String, reason: String },
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConfigFile {
    listen: Option<String>,
    store: store::StoreFile,
    data: Option<PathBuf>,
    tailscale_socket: Option<PathBuf>,
    directory: Option<PathBuf>,
    names: Vec<String>,
    policy: PolicyFile,
    recorder: RecorderFile,
    roles: RolesFile,
    trail: TrailFile,
    object_lock: Option<LockFile>,
    sources: SourcesFile,
    query: tables::QueryFile,
    postgres: Option<tables::PostgresFile>,
    limits: limits::LimitsFile,
}

/// `[policy]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PolicyFile {
    file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LockFile {
    mode: LockMode,
    keep: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LockMode {
    Governance,
    Compliance,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RecorderFile {
    listen: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RolesFile {
    viewer: Vec<String>,
    auditor: Vec<String>,
    admin: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TrailFile {
    name: Option<String>,
    origin: Option<String>,
    segment_events: Option<u64>,
    segment_age: Option<String>,
    ship_every: Option<String>,
    retention: Option<String>,
}

impl Config {
    /// Reads the file, if there is one, applies the overrides and validates the result.
    pub fn load(path: Option<&Path>, overrides: Overrides) -> Result<Config, ConfigError> {
        let file = match path {
            None => ConfigFile::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
                toml::from_str(&text).map_err(|error| ConfigError::Shape {
                    path: path.to_owned(),
                    message: error.to_string(),
                })?
            }
        };
        Config::with_overrides(file, overrides)
    }

    fn with_overrides(mut file: ConfigFile, flags: Overrides) -> Result<Config, ConfigError> {
        file.listen = flags.listen.or(file.listen);
        file.store.location = flags.store.or(file.store.location);
        file.data = flags.data.or(file.data);
        file.tailscale_socket = flags.tailscale_socket.or(file.tailscale_socket);
        file.directory = flags.directory.or(file.directory);
        if !flags.recorder_listen.is_empty() {
            file.recorder.listen = flags.recorder_listen;
        }
        Config::try_from(file)
    }
}

impl TryFrom<ConfigFile> for Config {
    type Error = ConfigError;

    fn try_from(file: ConfigFile) -> Result<Config, ConfigError> {
        let listen = parse_address("listen", file.listen.as_deref().unwrap_or(DEFAULT_LISTEN))?;
        let store_group = file.store.group()?;
        let (store, data) = store_and_data(file.store.location, file.data)?;
        if store_group.is_some() && store.contains("://") {
            return Err(invalid_value(
                "store.group",
                "a bucket knows no groups; its policy says who may read",
            ));
        }
        let mut recorder_listen = Vec::new();
        for (at, text) in file.recorder.listen.iter().enumerate() {
            let listen = parse_recorder_address(&format!("recorder.listen[{at}]"), text)?;
            if recorder_listen.contains(&listen) && !has_port_zero(listen) {
                return Err(invalid_value(
                    format!("recorder.listen[{at}]"),
                    format!("{text} is named twice"),
                ));
            }
            recorder_listen.push(listen);
        }
        Ok(Config {
            listen,
            store,
            store_group,
            data,
            tailscale_socket: file.tailscale_socket,
            directory: file.directory,
            names: parse_host_names(file.names)?,
            recorder_listen,
            grants: parse_grants(&file.roles)?,
            trail: TrailSettings::try_from(file.trail)?,
            object_lock: file.object_lock.map(ObjectRetention::try_from).transpose()?,
            policy_file: parse_policy_file(file.policy, &file.sources)?,
            sources: SourcesConfig::try_from(file.sources)?,
            query: QuerySettings::try_from(file.query)?,
            postgres: file.postgres.map(PostgresSettings::try_from).transpose()?,
            shares: Shares::try_from(file.limits)?,
            banner: None,
        })
    }
}

/// The policy file: of a mesh without a control plane, which would have a policy of its own.
fn parse_policy_file(policy: PolicyFile, sources: &SourcesFile) -> Result<Option<PathBuf>, ConfigError> {
    if policy.file.is_some() && sources.has_control_plane() {
        let reason = "the control plane in [sources] has the policy: leave one of them out";
        return Err(invalid_value("policy.file", reason));
    }
    Ok(policy.file)
}

impl From<meshtrail_collect::config::ConfigError> for ConfigError {
    fn from(error: meshtrail_collect::config::ConfigError) -> ConfigError {
        invalid_value(error.key, error.reason)
    }
}

impl TryFrom<LockFile> for ObjectRetention {
    type Error = ConfigError;

    fn try_from(file: LockFile) -> Result<ObjectRetention, ConfigError> {
        let day = Duration::from_secs(86_400);
        let keep = parse_span_within("object_lock.keep", Some(file.keep), day, day * 36_600)?;
        let mode = match file.mode {
            LockMode::Governance => RetentionMode::Governance,
            LockMode::Compliance => RetentionMode::Compliance,
        };
        Ok(ObjectRetention { mode, keep: keep.unwrap_or(day) })
    }
}

impl TryFrom<TrailFile> for TrailSettings {
    type Error = ConfigError;

    fn try_from(file: TrailFile) -> Result<TrailSettings, ConfigError> {
        let name = file.name.unwrap_or_else(|| "main".to_owned());
        name.parse::<TrailName>().map_err(|error| invalid_value("trail.name", error.to_string()))?;
        if let Some(origin) = &file.origin
            && (origin.is_empty()
                || origin.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+'))
        {
            return Err(invalid_value(
                "trail.origin",
                "an origin is one line without spaces or +, such as audit.example.com/main",
            ));
        }
        if file.segment_events == Some(0) {
            return Err(invalid_value("trail.segment_events", "a segment holds at least one event"));
        }
        let second = Duration::from_secs(1);
        let minute = Duration::from_secs(60);
        let year = Duration::from_secs(366 * 86_400);
        Ok(TrailSettings {
            name,
            origin: file.origin,
            segment_events: file.segment_events,
            segment_age: parse_span_within("trail.segment_age", file.segment_age, second, year)?,
            ship_every: parse_span_within("trail.ship_every", file.ship_every, second, minute)?,
            retention: parse_span_within("trail.retention", file.retention, minute * 60, year * 100)?,
        })
    }
}

fn invalid_value(key: impl Into<String>, reason: impl Into<String>) -> ConfigError {
    ConfigError::Value { key: key.into(), reason: reason.into() }
}

fn parse_address(key: &str, text: &str) -> Result<SocketAddr, ConfigError> {
    let address = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    address.parse().map_err(|_| {
        invalid_value(key, format!("{text:?} is not ADDRESS:PORT, such as {DEFAULT_LISTEN} or [::1]:7411"))
    })
}

fn parse_recorder_address(key: &str, text: &str) -> Result<RecorderListen, ConfigError> {
    match text.strip_prefix("tailscale:") {
        None => Ok(RecorderListen::Address(parse_address(key, text)?)),
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => Err(invalid_value(
                key,
                format!("{text:?} needs a port from 1 to 65535, such as tailscale:80"),
            )),
            Ok(port) => Ok(RecorderListen::Tailscale { port }),
        },
    }
}

fn has_port_zero(listen: RecorderListen) -> bool {
    matches!(listen, RecorderListen::Address(address) if address.port() == 0)
}

/// The store's location and the machine-local folder. A folder store holds the machine-local state itself, unless
/// another folder is named: with a store on a network mount, the log belongs on a local disk. For a bucket it is a
/// separate folder.
fn store_and_data(store: Option<String>, data: Option<PathBuf>) -> Result<(String, PathBuf), ConfigError> {
    match (store, data) {
        (Some(store), _) if store.is_empty() => {
            Err(invalid_value("store", "name a folder or s3://bucket/prefix"))
        }
        (Some(store), data) if store.contains("://") => {
            let data = data.unwrap_or_else(|| PathBuf::from(DEFAULT_DATA));
            Ok((store, data))
        }
        (Some(store), None) => Ok((store.clone(), PathBuf::from(store))),
        (Some(store), Some(data)) => Ok((store, data)),
        (None, data) => {
            let data = data.unwrap_or_else(|| PathBuf::from(DEFAULT_DATA));
            let store = data.to_str().ok_or_else(|| invalid_value("data", "the path is not valid UTF-8"))?;
            Ok((store.to_owned(), data))
        }
    }
}

fn parse_host_names(names: Vec<String>) -> Result<HostNames, ConfigError> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
    match names.iter().position(|name| name.is_empty() || !name.chars().all(is_allowed)) {
        Some(at) => {
            Err(invalid_value(format!("names[{at}]"), "write a host name alone: no scheme, port or path"))
        }
        None => Ok(HostNames::new(names)),
    }
}

fn parse_grants(roles: &RolesFile) -> Result<Grants, ConfigError> {
    let mut grants = Grants::default();
    let lists = [(Role::Viewer, &roles.viewer), (Role::Auditor, &roles.auditor), (Role::Admin, &roles.admin)];
    for (role, grantees) in lists {
        for (at, text) in grantees.iter().enumerate() {
            let grantee: Grantee = text.parse().map_err(|error: crate::auth::roles::InvalidGrantee| {
                invalid_value(format!("roles.{role}[{at}]"), error.to_string())
            })?;
            grants.grant(grantee, role);
        }
    }
    Ok(grants)
}

fn parse_span_within(
    key: &str,
    text: Option<String>,
    min: Duration,
    max: Duration,
) -> Result<Option<Duration>, ConfigError> {
    let Some(text) = text else { return Ok(None) };
    let span = parse_span(&text).map_err(|error| invalid_value(key, error.to_string()))?;
    if span < min || span > max {
        let (min, max) = (span::format_span(min), span::format_span(max));
        return Err(invalid_value(key, format!("{text} is not between {min} and {max}")));
    }
    Ok(Some(span))
}

#[cfg(test)]
mod tests;
