//! `[query]` and `[postgres]`: the limits of SQL queries, and the Postgres wire protocol.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, invalid_value, parse_address, parse_span_within};

/// The limits of SQL queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuerySettings {
    /// The worker program; by default `meshtrail-sql` beside this program or on `PATH`.
    pub program: Option<PathBuf>,
    /// Bytes of memory for all queries together.
    pub memory: usize,
    /// The time limit of one query.
    pub time: Duration,
    /// The most rows of one result.
    pub rows: u64,
    /// How many queries run at once.
    pub at_once: usize,
}

impl Default for QuerySettings {
    fn default() -> Self {
        QuerySettings {
            program: None,
            memory: 512 << 20,
            time: Duration::from_secs(60),
            rows: 1_000_000,
            at_once: 8,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct QueryFile {
    program: Option<PathBuf>,
    memory_mb: Option<usize>,
    timeout: Option<String>,
    rows: Option<u64>,
    at_once: Option<usize>,
}

impl TryFrom<QueryFile> for QuerySettings {
    type Error = ConfigError;

    fn try_from(file: QueryFile) -> Result<QuerySettings, ConfigError> {
        let default = QuerySettings::default();
        let memory = match file.memory_mb {
            None => default.memory,
            Some(megabytes @ 64..=1_048_576) => megabytes << 20,
            Some(_) => return Err(invalid_value("query.memory_mb", "write megabytes, from 64 to 1048576")),
        };
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
        let at_once = file.at_once.unwrap_or(default.at_once);
        if !(1..=256).contains(&at_once) {
            return Err(invalid_value("query.at_once", "write how many may run at once, from 1 to 256"));
        }
        if file.rows == Some(0) {
            return Err(invalid_value("query.rows", "an answer has at least one row"));
        }
        Ok(QuerySettings {
            program: file.program,
            memory,
            time: parse_span_within("query.timeout", file.timeout, second, day)?.unwrap_or(default.time),
            rows: file.rows.unwrap_or(default.rows),
            at_once,
        })
    }
}

/// The Postgres wire protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresSettings {
    pub listen: SocketAddr,
    /// The PEM files of the certificate chain and the private key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The most connections at once.
    pub connections: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PostgresFile {
    listen: String,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    connections: Option<usize>,
}

impl TryFrom<PostgresFile> for PostgresSettings {
    type Error = ConfigError;

    fn try_from(file: PostgresFile) -> Result<PostgresSettings, ConfigError> {
        let listen = parse_address("postgres.listen", &file.listen)?;
        let tls = match (file.tls_cert, file.tls_key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err(invalid_value("postgres.tls_key", "a certificate needs its key")),
            (None, Some(_)) => return Err(invalid_value("postgres.tls_cert", "a key needs its certificate")),
        };
        if tls.is_none() && !is_private(listen.ip()) {
            let reason = format!(
                "{listen} can be reached from outside this machine and the mesh, and tokens would travel in the clear: \
                 set tls_cert and tls_key, or listen on loopback or on a Tailscale address"
            );
            return Err(invalid_value("postgres.listen", reason));
        }
        let connections = file.connections.unwrap_or(32);
        if !(1..=1000).contains(&connections) {
            return Err(invalid_value(
                "postgres.connections",
                "write how many are served at once, from 1 to 1000",
            ));
        }
        Ok(PostgresSettings { listen, tls, connections })
    }
}

/// Whether connections to this address stay on the machine, or are encrypted by the mesh.
fn is_private(address: IpAddr) -> bool {
    address.is_loopback() || meshtrail_identity::is_tailnet_address(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postgres(text: &str) -> Result<PostgresSettings, String> {
        let file: PostgresFile = toml::from_str(text).map_err(|error| error.to_string())?;
        PostgresSettings::try_from(file).map_err(|error| error.to_string())
    }

    #[test]
    fn tokens_never_travel_in_the_clear() {
        assert!(postgres("listen = '127.0.0.1:5433'").is_ok());
        assert!(postgres("listen = '100.64.0.9:5433'").is_ok());
        let refused = postgres("listen = '0.0.0.0:5433'").unwrap_err();
        assert!(refused.starts_with("postgres.listen: ") && refused.contains("tls_cert"), "{refused}");
        let with_tls = "listen = '0.0.0.0:5433'\ntls_cert = 'a.pem'\ntls_key = 'a.key'";
        assert!(postgres(with_tls).unwrap().tls.is_some());
        assert!(postgres("listen = '0.0.0.0:5433'\ntls_cert = 'a.pem'").unwrap_err().contains("tls_key"));
    }

    #[test]
    fn limits_that_make_no_sense_name_their_key() {
        for (text, key) in [
            ("memory_mb = 1", "query.memory_mb"),
            ("timeout = '0s'", "query.timeout"),
            ("at_once = 0", "query.at_once"),
            ("rows = 0", "query.rows"),
        ] {
            let file: QueryFile = toml::from_str(text).unwrap();
            let error = QuerySettings::try_from(file).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{key}: ")), "{error}");
        }
    }
}
