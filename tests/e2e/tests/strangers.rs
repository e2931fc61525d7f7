//! A trail verified by programs that share no code with Meshtrail: Tessera's client and Merkle library.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use meshtrail_e2e::{Sender, Server, Setup, WAIT_LIMIT, child_command, peer, run};
use serde_json::Value;

async fn tlogverify(server: &Server, arguments: &[&str]) -> Result<(bool, String)> {
    let checkpoint = server.json("/api/v1/checkpoint").await?;
    let vkey = checkpoint["vkey"].as_str().context("a vkey")?;
    let mut command = child_command(peer("tlogverify")?);
    command.args(["-server", &server.url, "-token", &server.token, "-vkey", vkey]).args(arguments);
    let output = run("tlogverify", command, WAIT_LIMIT).await?;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok((output.status.success(), text))
}

fn setup() -> Setup {
    Setup {
        config: Some("[trail]\nsegment_events = 1000\nsegment_age = \"1s\"\n".to_owned()),
        ..Setup::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_c2sp_client_verifies_a_running_servers_checkpoint_tiles_entries_and_proofs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &setup()).await?;
    let mut sender = Sender::new(&server, "agent").await?;
    // Past one full tile of level 1 (65,536 leaves), so that a tile of level 2 begins.
    for _ in 0..14 {
        sender.send(&server, 5000).await?;
    }
    let leaf = folder.path().join("leaf");
    std::fs::write(&leaf, server.get("/api/v1/events/agent.1.4321").await?)?;
    let proof = server.json("/api/v1/proof?event=agent.1.4321").await?;
    let place = format!("{}:{}", proof["index"], leaf.display());
    let store = Path::new(server.store()).join("trails/main");
    let (holds, text) =
        tlogverify(&server, &["-leaf", &place, "-folder", &store.display().to_string()]).await?;
    ensure!(holds, "{text}");
    let checked: Value = serde_json::from_str(text.lines().next().context("a line")?)?;
    assert!(checked["size"].as_u64().is_some_and(|size| size > 70_000), "{text}");
    assert!(checked["stored_tiles"].as_u64().is_some_and(|tiles| tiles > 0), "{text}");

    // The same after a crash: sealed and unsealed entries.
    let server = server.kill_and_restart().await?;
    let (holds, text) = tlogverify(&server, &["-leaf", &place]).await?;
    ensure!(holds, "after a crash: {text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_refuses_another_key_and_another_leaf() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &setup()).await?;
    Sender::new(&server, "agent").await?.send(&server, 300).await?;
    let other = Server::start_named("other", folder.path(), &setup()).await?;
    let checkpoint = other.json("/api/v1/checkpoint").await?;
    let vkey = checkpoint["vkey"].as_str().context("a vkey")?;
    let (holds, _) = tlogverify(&server, &["-vkey", vkey]).await?;
    assert!(!holds, "a checkpoint is good only for its own key");
    let leaf = folder.path().join("leaf");
    std::fs::write(&leaf, "{}")?;
    let (holds, text) = tlogverify(&server, &["-leaf", &format!("100:{}", leaf.display())]).await?;
    assert!(!holds && text.contains("is not the one at 100"), "{text}");
    Ok(())
}
