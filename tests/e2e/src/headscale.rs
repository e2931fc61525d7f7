//! A real Headscale server.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process::{Process, child_command, peer, run};
use crate::{WAIT_LIMIT, until};

/// A Headscale server on loopback with its own relay.
#[derive(Debug)]
pub struct Headscale {
    /// The server URL for its clients.
    pub url: String,
    /// Its policy file, which it reads at each use.
    pub policy: PathBuf,
    config: PathBuf,
    _process: Process,
}

impl Headscale {
    /// Starts one with a policy that allows everything.
    pub async fn start(folder: &Path) -> Result<Self> {
        let port = || -> Result<u16> { Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port()) };
        let (http, metrics, grpc, stun) = (port()?, port()?, port()?, port()?);
        let at = |name: &str| folder.join(name).display().to_string();
        let text = format!(
            "server_url: http://127.0.0.1:{http}\n\
             listen_addr: 127.0.0.1:{http}\n\
             metrics_listen_addr: 127.0.0.1:{metrics}\n\
             grpc_listen_addr: 127.0.0.1:{grpc}\n\
             noise: {{ private_key_path: {} }}\n\
             prefixes: {{ v4: 100.64.0.0/10, v6: \"fd7a:115c:a1e0::/48\", allocation: sequential }}\n\
             derp:\n  server:\n    enabled: true\n    region_id: 999\n    region_code: test\n    region_name: test\n    \
             stun_listen_addr: 127.0.0.1:{stun}\n    private_key_path: {}\n    \
             automatically_add_embedded_derp_region: true\n    ipv4: 127.0.0.1\n  urls: []\n  paths: []\n  \
             auto_update_enabled: false\n  update_frequency: 24h\n\
             disable_check_updates: true\n\
             database: {{ type: sqlite, sqlite: {{ path: {} }} }}\n\
             log: {{ level: info, format: text }}\n\
             policy: {{ mode: file, path: {} }}\n\
             dns: {{ magic_dns: true, base_domain: tail.example, override_local_dns: false, nameservers: {{ global: [] }} }}\n\
             unix_socket: {}\n\
             logtail: {{ enabled: false }}\n",
            at("noise.key"),
            at("derp.key"),
            at("headscale.db"),
            at("acl.json"),
            at("headscale.sock"),
        );
        let policy = serde_json::json!({
            "tagOwners": {"tag:ci": []},
            "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}],
            "ssh": [{"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self"], "users": ["root", "autogroup:nonroot"]}],
        });
        std::fs::write(folder.join("acl.json"), policy.to_string())?;
        let config = folder.join("headscale.yaml");
        std::fs::write(&config, text)?;
        let mut command = headscale(&config)?;
        command.arg("serve");
        let process = Process::start("headscale", folder, command)?;
        let headscale = Self {
            url: format!("http://127.0.0.1:{http}"),
            policy: folder.join("acl.json"),
            config,
            _process: process,
        };
        let socket = folder.join("headscale.sock");
        until("Headscale's socket", WAIT_LIMIT, async || socket.exists().then_some(()))
            .await
            .with_context(|| headscale._process.tail())?;
        Ok(headscale)
    }

    /// Creates a user with an address at example.com; returns the key for their nodes.
    pub async fn user(&self, name: &str) -> Result<String> {
        let email = format!("{name}@example.com");
        let user = self.run(&["users", "create", name, "--email", &email]).await?;
        let id = user["id"].to_string().trim_matches('"').to_owned();
        let key = self.run(&["preauthkeys", "create", "--user", &id, "--reusable"]).await?;
        Ok(key["key"].as_str().context("a key")?.to_owned())
    }

    /// Runs its command line; returns the JSON that it prints.
    pub async fn run(&self, arguments: &[&str]) -> Result<Value> {
        let mut command = headscale(&self.config)?;
        command.args(arguments).args(["--output", "json"]);
        let output = run(&format!("headscale {}", arguments.join(" ")), command, WAIT_LIMIT).await?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "headscale {}: {complaint}", arguments.join(" "));
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

fn headscale(config: &Path) -> Result<Command> {
    let mut command = child_command(peer("headscale")?);
    command.arg("--config").arg(config);
    Ok(command)
}
