//! Headscale 0.28: its policy knows no recorders, so the node's own policy file turns recording on.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use meshtrail_e2e::{Enforcement, Node, Process, Server, Setup, Ssh, mortal, peer, run, ssh_policy, until};
use serde_json::Value;

/// A Headscale on loopback with one user and relays of its own.
struct Headscale {
    url: String,
    config: std::path::PathBuf,
    _process: Process,
}

impl Headscale {
    async fn start(folder: &Path) -> Result<Self> {
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
            "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}],
            "ssh": [{"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self"], "users": ["root", "autogroup:nonroot"]}],
        });
        std::fs::write(folder.join("acl.json"), policy.to_string())?;
        let config = folder.join("headscale.yaml");
        std::fs::write(&config, text)?;
        let mut command = headscale(&config)?;
        command.arg("serve");
        let process = Process::start("headscale", folder, command)?;
        let headscale = Self { url: format!("http://127.0.0.1:{http}"), config, _process: process };
        let socket = folder.join("headscale.sock");
        until("Headscale's socket", Duration::from_secs(20), async || socket.exists().then_some(()))
            .await
            .with_context(|| headscale._process.tail())?;
        Ok(headscale)
    }

    async fn run(&self, arguments: &[&str]) -> Result<Value> {
        let mut command = headscale(&self.config)?;
        command.args(arguments).args(["--output", "json"]);
        let output =
            run(&format!("headscale {}", arguments.join(" ")), command, Duration::from_secs(20)).await?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "headscale {}: {complaint}", arguments.join(" "));
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

fn headscale(config: &Path) -> Result<Command> {
    let mut command = mortal(peer("headscale")?);
    command.arg("--config").arg(config);
    Ok(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_on_stock_headscale_is_recorded_by_its_own_policy_file() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let headscale = Headscale::start(folder.path()).await?;
    let user = headscale.run(&["users", "create", "alice", "--email", "alice@example.com"]).await?;
    let id = user["id"].to_string().trim_matches('"').to_owned();
    let key = headscale.run(&["preauthkeys", "create", "--user", &id, "--reusable"]).await?;
    let key = key["key"].as_str().context("a key")?;

    // The recorder's port must be known before the node starts: it reads its policy file when asked, not before.
    let policy = folder.path().join("ssh-policy.json");
    let environment = [
        ("TS_DEBUG_SSH_POLICY_FILE", policy.to_str().context("a temporary path is text")?),
        ("TS_DEBUG_SSH_IGNORE_TAILNET_POLICY", "1"),
    ];
    std::fs::write(&policy, ssh_policy(&["127.0.0.1:9".to_owned()], Enforcement::Closed).to_string())?;
    let flags = ["--tun=userspace-networking"];
    let node = Node::start(folder.path(), "web", &flags, &environment, None)?;
    node.up(&headscale.url, key, &["--ssh"]).await?;
    let client = Node::start(folder.path(), "laptop", &flags, &[], None)?;
    client.up(&headscale.url, key, &[]).await?;

    let server =
        Server::start(folder.path(), &Setup { socket: Some(node.socket.clone()), ..Setup::default() })
            .await?;
    let port = server.recorder.rsplit(':').next().context("a port")?;
    let recorder = format!("{}:{port}", node.address().await?);
    std::fs::write(&policy, ssh_policy(&[recorder], Enforcement::Closed).to_string())?;

    let ssh = Ssh::between(&client, &node).await?;
    let output = ssh.command("echo on headscale").await?;
    assert_eq!(output.stdout, b"on headscale\n", "{}", String::from_utf8_lossy(&output.stderr));
    let session = server.session("the session to end", |one| one["state"] == "ended").await?;
    assert_eq!(session["command"], "echo on headscale");
    assert_eq!(session["identity"]["status"], "resolved", "{session:#}");
    let login = session["actor"]["person"]["login"].as_str().context("a person")?;
    assert!(login.starts_with("alice"), "{session:#}");
    let verdict = server.verify().await?;
    assert!(verdict.holds, "{}", verdict.text);
    Ok(())
}
