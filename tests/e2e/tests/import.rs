//! Recordings from before Meshtrail: a node's own session logs, and tsrecorder's bucket.

use std::path::PathBuf;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use meshtrail_e2e::{Bucket, Enforcement, Node, Server, Setup, Ssh, Tailnet, WAIT_LIMIT, sha256, until};
use serde_json::Value;

const HEADER: &str = r#"{"version":2,"width":80,"height":24,"timestamp":1767225600,"srcNode":"laptop.tail.example","srcNodeID":"n7","srcNodeUser":"alice@example.com","sshUser":"root","localUser":"root"}"#;

fn lines(output: &Output) -> Result<Vec<Value>> {
    let text = String::from_utf8(output.stdout.clone())?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

#[tokio::test]
async fn a_nodes_own_session_logs_come_in_with_their_bytes_once_and_marked_for_good() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let tailnet = Tailnet::start(folder.path()).await?;
    let flags = ["--tun=userspace-networking"];
    let node = Node::start(folder.path(), "web", &flags, &[("TS_DEBUG_LOG_SSH", "1")], None)?;
    node.up(&tailnet.control, "unused", &["--ssh"]).await?;
    let client = tailnet.join("laptop", false).await?;
    tailnet.rename(&client, "alice@example.com", "Alice").await?;
    tailnet.record(&node, &[], Enforcement::Open).await?;
    Ssh::between(&client, &node).await?.command("seq 3 5").await?;
    let logs = folder.path().join("web/ssh-sessions");
    let log = until("the node to keep its log", WAIT_LIMIT, async || {
        let entry = std::fs::read_dir(&logs).ok()?.next()?.ok()?;
        let whole = std::fs::read_to_string(entry.path()).ok()?.contains("3\\n4\\n5\\n");
        whole.then_some(entry.path())
    })
    .await?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let from = logs.display().to_string();
    let imported = lines(&server.cli(&["sessions", "import", &from, "--node", "web", "--json"]).await?)?;
    assert_eq!(imported[0]["outcome"], "imported", "{imported:?}");
    let again = lines(&server.cli(&["sessions", "import", &from, "--json"]).await?)?;
    assert_eq!(again[0]["outcome"], "known", "{again:?}");
    let session = server.session("the import", |one| one["command"] == "seq 3 5").await?;
    assert_eq!(session["actor"]["person"]["login"], "alice@example.com");
    assert_eq!(session["imported_from"], log.display().to_string());
    assert_eq!(session["target"]["device"]["name"], "web");
    assert_eq!(session["sha256"], sha256(&std::fs::read(&log)?), "the bytes are the node's");
    let id = session["id"].as_str().context("a session has an id")?;
    let pack: PathBuf = folder.path().join("pack.html");
    server.ok(&["sessions", "export", id, "--pack", "--output", &pack.display().to_string()]).await?;
    let head = server.json("/api/v1/checkpoint").await?;
    let vkey = head["vkey"].as_str().context("a checkpoint names its key")?;
    let said = server.ok(&["verify", "--offline", &pack.display().to_string(), "--vkey", vkey]).await?;
    ensure!(said.contains("imported from"), "the pack's check says so: {said}");
    Ok(())
}

#[tokio::test]
async fn tsrecorders_bucket_comes_in_whatever_its_objects_are_called() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let bucket = Bucket::start(folder.path()).await?;
    let cast = |second: u32| {
        format!("{HEADER}\n[0.5,\"o\",\"hello {second}\\r\\n\"]\n[{second}.25,\"o\",\"bye\"]\n")
    };
    for second in 1..=3u32 {
        let key = format!("tsrecorder/nQx7Lm2CNTRL/2026-01-01T00:00:0{second}.5Z.cast");
        bucket.put(&key, cast(second).as_bytes()).await?;
    }
    bucket.put("tsrecorder/nQx7Lm2CNTRL/half a recording.cast", &HEADER.as_bytes()[..40]).await?;
    bucket.put("tsrecorder/state.json", b"{}").await?;
    let setup = Setup { environment: bucket.environment(), ..Setup::default() };
    let server = Server::start(folder.path(), &setup).await?;
    let from = bucket.store("tsrecorder");
    let mut command = meshtrail_e2e::child_command(meshtrail_e2e::meshtrail()?);
    command.args(["sessions", "import", &from, "--json"]).envs(bucket.environment());
    command.env("MESHTRAIL_SERVER", &server.url).env("MESHTRAIL_TOKEN", &server.token);
    let output = meshtrail_e2e::run("meshtrail sessions import", command, WAIT_LIMIT).await?;
    assert_eq!(output.status.code(), Some(1), "a damaged object is told: {output:?}");
    let told = lines(&output)?;
    let count = |outcome: &str| told.iter().filter(|line| line["outcome"] == outcome).count();
    assert_eq!((count("imported"), count("skipped")), (3, 1), "{told:?}");
    let sessions = server.sessions().await?;
    assert_eq!(sessions.len(), 3);
    for session in &sessions {
        let place = session["imported_from"].as_str().context("where from")?;
        ensure!(place.starts_with(&from), "{place}");
        assert_eq!(session["target"]["device"]["name"], "nQx7Lm2CNTRL");
    }
    let verdict = server.verify().await?;
    ensure!(verdict.holds, "the store proves what came in");
    Ok(())
}
