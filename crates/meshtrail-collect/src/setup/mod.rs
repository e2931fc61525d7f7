//! Generates the files that make the nodes of a self-hosted tailnet send their flow logs here.
//!
//! A client sends flow logs only to `https://log.tailscale.com`. So its node must resolve this name to Meshtrail's address,
//! and trust a certificate for it.
//!
//! - [`FlowLogs::plan`] generates all files as texts: nothing outside their folder is changed. A node is configured by a
//!   script that an administrator reads and runs; a second script undoes it.
//! - The certificate is issued by a new CA that is constrained to this name; the CA's key is not stored.

mod certificate;
mod texts;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use certificate::CertificateError;

/// The host that clients send their logs to (`logtail.DefaultHost` of Tailscale's client).
pub const LOG_HOST: &str = "log.tailscale.com";

/// Validity of the certificate in days: the most that clients' platforms accept.
pub const DAYS: i64 = 397;

/// What to set up.
#[derive(Debug, Clone)]
pub struct FlowLogs {
    /// Meshtrail's address for nodes. The port is 443, since clients can't be configured to use another.
    pub listen: SocketAddr,
    /// The folder of the certificate in the server's configuration.
    pub folder: PathBuf,
    /// The current time, in seconds since the Unix epoch.
    pub now: i64,
}

/// One file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupFile {
    /// Path within the folder.
    pub path: &'static str,
    /// Permissions.
    pub mode: u32,
    /// Content.
    pub content: String,
    /// Purpose, in one line.
    pub purpose: &'static str,
}

impl FlowLogs {
    /// The files: the server's in `server/`, a node's in `node/`.
    pub fn plan(&self) -> Result<Vec<SetupFile>, CertificateError> {
        let certificates = certificate::issue(LOG_HOST, self.now)?;
        let file = |path, mode, content, purpose| SetupFile { path, mode, content, purpose };
        Ok(vec![
            file(
                "server/log.pem",
                0o644,
                certificates.chain,
                "the certificate for log.tailscale.com, for tls_cert",
            ),
            file(
                "server/log.key",
                0o600,
                certificates.key,
                "its private key, for tls_key: stays on the server",
            ),
            file("server/meshtrail.toml", 0o644, texts::server(self), "lines for the server's configuration"),
            file("node/ca.pem", 0o644, certificates.ca, "the CA that vouches for log.tailscale.com alone"),
            file("node/meshtrail.conf", 0o644, texts::DROP_IN.into(), "the drop-in for tailscaled's unit"),
            file(
                "node/install.sh",
                0o755,
                texts::install(self.listen.ip()),
                "run as root on each node: does it",
            ),
            file("node/undo.sh", 0o755, texts::undo(), "run as root on each node: undoes it"),
            file("README.txt", 0o644, texts::readme(self), "what all this does, and what is left to do"),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_serves_its_name_alone_and_keeps_no_key_of_the_ca() {
        let setup = FlowLogs {
            listen: "192.0.2.1:443".parse().unwrap(),
            folder: "/etc/meshtrail".into(),
            now: 1_795_167_106,
        };
        let files = setup.plan().unwrap();
        let keys: Vec<_> = files.iter().filter(|file| file.content.contains("PRIVATE KEY")).collect();
        assert_eq!(
            keys.iter().map(|file| (file.path, file.mode)).collect::<Vec<_>>(),
            [("server/log.key", 0o600)]
        );
        let find = |path: &str| files.iter().find(|file| file.path == path).unwrap();
        assert!(find("node/install.sh").content.contains("192.0.2.1 log.tailscale.com"));
        let section = find("server/meshtrail.toml").content.clone();
        let section: toml::Table = toml::from_str(&section).unwrap();
        assert_eq!(section["sources"]["logtail"]["tls_listen"].as_str(), Some("192.0.2.1:443"));
        let folder = tempfile::tempdir().unwrap();
        for (name, path) in [("log.pem", "server/log.pem"), ("log.key", "server/log.key")] {
            std::fs::write(folder.path().join(name), &find(path).content).unwrap();
        }
        let (cert, key) = (folder.path().join("log.pem"), folder.path().join("log.key"));
        meshtrail_listen::tls::acceptor(&cert, &key, &[]).unwrap();
    }
}
