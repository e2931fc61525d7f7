//! The configuration file, read into something that cannot be wrong.
//!
//! The file is TOML; what it may hold is `ConfigFile`, private to this module. [`Config`] is what it means,
//! with defaults filled in and every relation checked; errors name the key. Flags are laid over the file as an
//! [`Overlay`] before it is checked.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use meshtrail_collect::config::{SourcesConfig, SourcesFile, span};
use meshtrail_listen::Shares;
use meshtrail_trail::store::{ObjectRetention, RetentionMode};
use serde::Deserialize;

use crate::auth::Role;
use crate::auth::names::HostNames;
use crate::auth::roles::{Grants, Subject};

mod limits;
mod store;
mod tables;

pub use meshtrail_collect::config::span::parse_span;
pub use tables::{PostgresSettings, QuerySettings};

/// Where the console and the API listen when nothing else is said.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:7411";

/// Where everything lies when nothing else is said.
pub const DEFAULT_DATA: &str = "./meshtrail-data";

/// Everything `meshtrail serve` is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the console and the API listen.
    pub listen: SocketAddr,
    /// Where events and recordings are kept: a folder or `s3://bucket/prefix`.
    pub store: String,
    /// The group that may read what is kept in a folder, besides its owner: its number.
    pub store_group: Option<u32>,
    /// The machine-local folder: the store itself when that is a folder.
    pub data: PathBuf,
    /// tailscaled's socket; `None` means the usual places.
    pub tailscale_socket: Option<PathBuf>,
    /// A static directory of addresses for meshes without a LocalAPI.
    pub directory: Option<PathBuf>,
    /// The names under which browsers are answered.
    pub names: HostNames,
    /// Where the recorder protocol is served.
    pub recorder_listen: Vec<RecorderListen>,
    /// Who has which role after a tailnet sign-in.
    pub grants: Grants,
    /// How the trail is cut and kept.
    pub trail: TrailSettings,
    /// How long a bucket with Object Lock refuses to delete what is written; `None` leaves it to the bucket's default.
    pub object_lock: Option<ObjectRetention>,
    /// What is collected, and from where.
    pub sources: SourcesConfig,
    /// What questions in SQL may cost.
    pub query: QuerySettings,
    /// The Postgres wire, where it is served.
    pub postgres: Option<PostgresSettings>,
    /// Which part of what all peers share one of them may have.
    pub shares: Shares,
    /// What every page and answer says on top. No file and no flag sets it: only a demo does.
    pub banner: Option<String>,
}

/// How the trail is named, cut into segments, shipped and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailSettings {
    /// The trail's name, a folder in the store.
    pub name: String,
    /// The origin line of its checkpoints; `None` means one made from the name at first start.
    pub origin: Option<String>,
    /// Seal after this many events.
    pub segment_events: Option<u64>,
    /// Seal after this long.
    pub segment_age: Option<Duration>,
    /// With a bucket: ship what is new at least this often.
    pub ship_every: Option<Duration>,
    /// Drop segments older than this; `None` keeps all.
    pub retention: Option<Duration>,
}

/// One place where recordings are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecorderListen {
    /// A fixed address.
    Address(SocketAddr),
    /// This port on each of the node's own Tailscale addresses, as they come and go.
    Tailscale {
        /// The port.
        port: u16,
    },
}

/// What flags may put in place of the file's values.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    /// `--listen`
    pub listen: Option<String>,
    /// `--store`
    pub store: Option<String>,
    /// `--data`
    pub data: Option<PathBuf>,
    /// `--tailscale-socket`
    pub tailscale_socket: Option<PathBuf>,
    /// `--directory`
    pub directory: Option<PathBuf>,
    /// `--recorder-listen`, each
    pub recorder_listen: Vec<String>,
}

/// Why a configuration is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("failed to read the configuration {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or holds a key that does not exist or is of another type.
    #[error("the configuration {} can't be understood: {message}", path.display())]
    Shape {
        /// Which file.
        path: PathBuf,
        /// What and where, with the line.
        message: String,
    },
    /// A value makes no sense.
    #[error("{key}: {reason}")]
    Value {
        /// The key or flag.
        key: String,
        /// What is wrong with its value, and what would be right.
        reason: String,
    },
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
    recorder: RecorderFile,
    roles: RolesFile,
    trail: TrailFile,
    object_lock: Option<LockFile>,
    sources: SourcesFile,
    query: tables::QueryFile,
    postgres: Option<tables::PostgresFile>,
    limits: limits::LimitsFile,
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
    /// Reads the file, if there is one, lays the flags over it and checks the whole.
    pub fn load(path: Option<&Path>, overlay: Overlay) -> Result<Config, ConfigError> {
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
        Config::overlay(file, overlay)
    }

    fn overlay(mut file: ConfigFile, flags: Overlay) -> Result<Config, ConfigError> {
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
        let listen = address("listen", file.listen.as_deref().unwrap_or(DEFAULT_LISTEN))?;
        let store_group = file.store.group()?;
        let (store, data) = places(file.store.location, file.data)?;
        if store_group.is_some() && store.contains("://") {
            return Err(wrong("store.group", "a bucket knows no groups; its policy says who may read"));
        }
        let mut recorder_listen = Vec::new();
        for (at, text) in file.recorder.listen.iter().enumerate() {
            let listen = recorder_address(&format!("recorder.listen[{at}]"), text)?;
            if recorder_listen.contains(&listen) && !has_port_zero(listen) {
                return Err(wrong(format!("recorder.listen[{at}]"), format!("{text} is named twice")));
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
            names: names(file.names)?,
            recorder_listen,
            grants: grants(&file.roles)?,
            trail: TrailSettings::try_from(file.trail)?,
            object_lock: file.object_lock.map(ObjectRetention::try_from).transpose()?,
            sources: SourcesConfig::try_from(file.sources)?,
            query: QuerySettings::try_from(file.query)?,
            postgres: file.postgres.map(PostgresSettings::try_from).transpose()?,
            shares: Shares::try_from(file.limits)?,
            banner: None,
        })
    }
}

impl From<meshtrail_collect::config::ConfigError> for ConfigError {
    fn from(error: meshtrail_collect::config::ConfigError) -> ConfigError {
        wrong(error.key, error.reason)
    }
}

impl TryFrom<LockFile> for ObjectRetention {
    type Error = ConfigError;

    fn try_from(file: LockFile) -> Result<ObjectRetention, ConfigError> {
        let day = Duration::from_secs(86_400);
        let keep = span_within("object_lock.keep", Some(file.keep), day, day * 36_600)?;
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
        let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 40 || !name.chars().all(fine) {
            return Err(wrong("trail.name", "a trail's name is 1 to 40 of a-z, 0-9 and -"));
        }
        if let Some(origin) = &file.origin
            && (origin.is_empty()
                || origin.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+'))
        {
            return Err(wrong(
                "trail.origin",
                "an origin is one line without spaces or +, such as audit.example.com/main",
            ));
        }
        if file.segment_events == Some(0) {
            return Err(wrong("trail.segment_events", "a segment holds at least one event"));
        }
        let second = Duration::from_secs(1);
        let minute = Duration::from_secs(60);
        let year = Duration::from_secs(366 * 86_400);
        Ok(TrailSettings {
            name,
            origin: file.origin,
            segment_events: file.segment_events,
            segment_age: span_within("trail.segment_age", file.segment_age, second, year)?,
            ship_every: span_within("trail.ship_every", file.ship_every, second, minute)?,
            retention: span_within("trail.retention", file.retention, minute * 60, year * 100)?,
        })
    }
}

fn wrong(key: impl Into<String>, reason: impl Into<String>) -> ConfigError {
    ConfigError::Value { key: key.into(), reason: reason.into() }
}

fn address(key: &str, text: &str) -> Result<SocketAddr, ConfigError> {
    let spelled = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    spelled.parse().map_err(|_| {
        wrong(key, format!("{text:?} is not ADDRESS:PORT, such as {DEFAULT_LISTEN} or [::1]:7411"))
    })
}

fn recorder_address(key: &str, text: &str) -> Result<RecorderListen, ConfigError> {
    match text.strip_prefix("tailscale:") {
        None => Ok(RecorderListen::Address(address(key, text)?)),
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => {
                Err(wrong(key, format!("{text:?} needs a port from 1 to 65535, such as tailscale:80")))
            }
            Ok(port) => Ok(RecorderListen::Tailscale { port }),
        },
    }
}

fn has_port_zero(listen: RecorderListen) -> bool {
    matches!(listen, RecorderListen::Address(address) if address.port() == 0)
}

/// A folder store holds the machine-local state itself, unless another folder is named: a store on a network mount
/// wants its log on a local disk. A bucket has it beside it.
fn places(store: Option<String>, data: Option<PathBuf>) -> Result<(String, PathBuf), ConfigError> {
    match (store, data) {
        (Some(store), _) if store.is_empty() => Err(wrong("store", "name a folder or s3://bucket/prefix")),
        (Some(store), data) if store.contains("://") => {
            let data = data.unwrap_or_else(|| PathBuf::from(DEFAULT_DATA));
            Ok((store, data))
        }
        (Some(store), None) => Ok((store.clone(), PathBuf::from(store))),
        (Some(store), Some(data)) => Ok((store, data)),
        (None, data) => {
            let data = data.unwrap_or_else(|| PathBuf::from(DEFAULT_DATA));
            let store = data.to_str().ok_or_else(|| wrong("data", "the path is not valid UTF-8"))?;
            Ok((store.to_owned(), data))
        }
    }
}

fn names(names: Vec<String>) -> Result<HostNames, ConfigError> {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
    match names.iter().position(|name| name.is_empty() || !name.chars().all(fine)) {
        Some(at) => Err(wrong(format!("names[{at}]"), "write a host name alone: no scheme, port or path")),
        None => Ok(HostNames::new(names)),
    }
}

fn grants(roles: &RolesFile) -> Result<Grants, ConfigError> {
    let mut grants = Grants::default();
    let lists = [(Role::Viewer, &roles.viewer), (Role::Auditor, &roles.auditor), (Role::Admin, &roles.admin)];
    for (role, subjects) in lists {
        for (at, text) in subjects.iter().enumerate() {
            let subject: Subject = text.parse().map_err(|error: crate::auth::roles::BadSubject| {
                wrong(format!("roles.{role}[{at}]"), error.to_string())
            })?;
            grants.give(subject, role);
        }
    }
    Ok(grants)
}

fn span_within(
    key: &str,
    text: Option<String>,
    least: Duration,
    most: Duration,
) -> Result<Option<Duration>, ConfigError> {
    let Some(text) = text else { return Ok(None) };
    let span = parse_span(&text).map_err(|error| wrong(key, error.to_string()))?;
    if span < least || span > most {
        let (least, most) = (span::written(least), span::written(most));
        return Err(wrong(key, format!("{text} is not between {least} and {most}")));
    }
    Ok(Some(span))
}

#[cfg(test)]
mod tests;
