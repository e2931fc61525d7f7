//! Headscale 0.28: its policy has no recorders, so the node's own policy file enables recording.

use anyhow::{Context, Result};
use meshtrail_e2e::{Enforcement, Headscale, Node, Server, Setup, Ssh, ssh_policy};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_on_stock_headscale_is_recorded_by_its_own_policy_file() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let headscale = Headscale::start(folder.path()).await?;
    let key = &headscale.user("alice").await?;

    // The recorder's port must be known before the node starts.
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
