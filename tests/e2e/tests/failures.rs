//! Sessions while the recorder is missing, stops, or comes back.

use anyhow::{Context, Result};
use meshtrail_e2e::{ENDED_MESSAGE, Enforcement, Node, REFUSED_MESSAGE, Server, Setup, Ssh, Tailnet};
use serde_json::Value;
use tempfile::TempDir;

struct Place {
    folder: TempDir,
    tailnet: Tailnet,
    node: Node,
    ssh: Ssh,
    _client: Node,
}

async fn place() -> Result<Place> {
    let folder = tempfile::tempdir()?;
    let tailnet = Tailnet::start(folder.path()).await?;
    let node = tailnet.join("web", true).await?;
    let client = tailnet.join("laptop", false).await?;
    let ssh = Ssh::between(&client, &node).await?;
    Ok(Place { folder, tailnet, node, ssh, _client: client })
}

impl Place {
    /// A server whose recorder has the same port after a restart.
    async fn server(&self, enforcement: Enforcement) -> Result<Server> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let setup = Setup {
            socket: Some(self.node.socket.clone()),
            recorder: vec![format!("127.0.0.1:{port}")],
            ..Setup::default()
        };
        let server = Server::start(self.folder.path(), &setup).await?;
        // Directly on loopback: through its own netstack a userspace node detects a dead recorder only after 30 s.
        self.tailnet.record(&self.node, std::slice::from_ref(&server.recorder), enforcement).await?;
        Ok(server)
    }

    async fn nobody_records(&self, enforcement: Enforcement) -> Result<()> {
        // Port 9 of loopback: nothing listens there.
        self.tailnet.record(&self.node, &["127.0.0.1:9".to_owned()], enforcement).await
    }
}

async fn live(server: &Server) -> Result<(String, Value)> {
    let session = server.session("a live session", |one| one["state"] == "live" && one["bytes"] != 0).await?;
    Ok((session["id"].as_str().context("an id")?.to_owned(), session))
}

#[tokio::test(flavor = "multi_thread")]
async fn with_no_recorder_a_session_runs_when_the_policy_fails_open() -> Result<()> {
    let place = place().await?;
    place.nobody_records(Enforcement::Open).await?;
    let output = place.ssh.command("echo unrecorded; exit 5").await?;
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(5), &b"unrecorded\n"[..]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_no_recorder_a_session_is_refused_when_the_policy_fails_closed() -> Result<()> {
    let place = place().await?;
    place.nobody_records(Enforcement::Closed).await?;
    let output = place.ssh.command("echo must not run").await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(said.contains(REFUSED_MESSAGE) && !said.contains("must not run"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_session_outlives_a_killed_server_and_what_was_recorded_is_kept_as_interrupted() -> Result<()>
{
    let place = place().await?;
    let server = place.server(Enforcement::Open).await?;
    let mut shell = place.ssh.shell(&[])?;
    shell.wait_until_ready().await?;
    shell.type_line("echo before the crash")?;
    shell.wait_for("before the crash\r\n").await?;
    let (id, _) = live(&server).await?;
    // Acknowledged bytes are durable; the marker must be among them.
    server
        .session("the marker to be durable", |one| one["bytes"].as_u64().is_some_and(|bytes| bytes > 400))
        .await?;

    let server = server.kill_and_restart().await?;
    shell.type_line("echo after the crash; exit")?;
    let (seen, _) = shell.end().await?;
    assert!(seen.contains("after the crash"), "the session goes on: {seen}");

    let session = server
        .session("the interrupted session", |one| {
            // Its bytes are hashed when it is sealed.
            one["id"] == id.as_str() && one["event"].is_string()
        })
        .await?;
    assert_eq!(session["state"], "interrupted", "{session:#}");
    assert!(session["reason"].is_string(), "and it says why: {session:#}");
    let kept = server.get(&format!("/api/v1/sessions/{id}/recording")).await?;
    assert!(String::from_utf8_lossy(&kept).contains("before the crash"));
    assert_eq!(session["sha256"], meshtrail_e2e::sha256(&kept));
    let verdict = server.verify().await?;
    assert!(verdict.holds, "{}", verdict.text);

    // The same recorder accepts the next session.
    place.ssh.command("echo next").await?;
    server
        .session("the next session", |one| one["command"] == "echo next" && one["state"] == "ended")
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enforced_session_ends_when_the_server_is_killed() -> Result<()> {
    let place = place().await?;
    let server = place.server(Enforcement::Closed).await?;
    let mut shell = place.ssh.shell(&[])?;
    shell.wait_until_ready().await?;
    shell.type_line("echo before")?;
    shell.wait_for("before\r\n").await?;
    let (id, _) = live(&server).await?;
    let server = server.kill_and_restart().await?;
    // tailscaled 1.102 does not check for a closed connection: it waits 30 s for an acknowledgement.
    let (seen, status) = shell.end().await?;
    assert!(seen.contains(ENDED_MESSAGE), "{seen}");
    assert_ne!(status, Some(0));
    let session = server.session("the interrupted session", |one| one["id"] == id.as_str()).await?;
    assert_eq!(session["state"], "interrupted");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_in_order_closes_its_sessions_as_interrupted() -> Result<()> {
    let place = place().await?;
    let server = place.server(Enforcement::Open).await?;
    let mut shell = place.ssh.shell(&[])?;
    shell.wait_until_ready().await?;
    shell.type_line("echo before")?;
    shell.wait_for("before\r\n").await?;
    let (id, _) = live(&server).await?;
    let server = server.restart().await?;
    let session = server.session("the session", |one| one["id"] == id.as_str()).await?;
    assert_eq!(session["state"], "interrupted", "{session:#}");
    assert!(server.verify().await?.holds);
    shell.type_line("exit")?;
    shell.end().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_recorder_takes_over_when_the_first_is_not_there() -> Result<()> {
    let place = place().await?;
    let server = place.server(Enforcement::Closed).await?;
    let port = server.recorder.rsplit(':').next().context("a port")?;
    let recorders = ["127.0.0.1:9".to_owned(), format!("{}:{port}", place.node.address().await?)];
    place.tailnet.record(&place.node, &recorders, Enforcement::Closed).await?;
    let output = place.ssh.command("echo recorded by the second").await?;
    assert_eq!(output.stdout, b"recorded by the second\n");
    server.session("the session", |one| one["state"] == "ended").await?;
    Ok(())
}
