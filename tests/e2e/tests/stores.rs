//! One suite for every kind of store: folder and bucket.

use anyhow::{Context, Result};
use meshtrail_e2e::{
    Bucket, Enforcement, Node, Sender, Server, Setup, Ssh, Tailnet, WAIT_LIMIT, sha256, until,
};
use tempfile::TempDir;

/// A store under test, and the resources that it needs.
struct Ground {
    folder: TempDir,
    bucket: Option<Bucket>,
}

impl Ground {
    fn folder() -> Result<Self> {
        Ok(Self { folder: tempfile::tempdir()?, bucket: None })
    }

    async fn bucket() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let bucket = Some(Bucket::start(folder.path()).await?);
        Ok(Self { folder, bucket })
    }

    fn setup(&self, node: &Node) -> Setup {
        // Small and frequent segments, so that a short test seals and ships.
        let config =
            Some("[trail]\nsegment_events = 300\nship_every = \"1s\"\nsegment_age = \"2s\"\n".to_owned());
        let socket = Some(node.socket.clone());
        match &self.bucket {
            None => Setup { socket, config, ..Setup::default() },
            Some(bucket) => Setup {
                store: Some(bucket.store("acme")),
                environment: bucket.environment(),
                socket,
                config,
                ..Setup::default()
            },
        }
    }
}

/// Sessions and events, a restart in order, a kill; everything is still present and provable.
async fn keeps_everything(ground: Ground) -> Result<()> {
    let tailnet = Tailnet::start(ground.folder.path()).await?;
    let node = tailnet.join("web", true).await?;
    let client = tailnet.join("laptop", false).await?;
    let mut server = Server::start(ground.folder.path(), &ground.setup(&node)).await?;
    let ssh = Ssh::between(&client, &node).await?;
    let mut sender = Sender::new(&server, "agent").await?;
    let mut hashes = Vec::new();

    for round in 0..3 {
        let port = server.recorder.rsplit(':').next().context("a port")?;
        tailnet.record(&node, &[format!("{}:{port}", node.address().await?)], Enforcement::Closed).await?;
        let command = format!("seq {round} 2000");
        ssh.command(&command).await?;
        let session = server
            .session("the session to end", |one| one["command"] == *command && one["state"] == "ended")
            .await?;
        let id = session["id"].as_str().context("an id")?.to_owned();
        let recording = server.get(&format!("/api/v1/sessions/{id}/recording")).await?;
        assert_eq!(session["sha256"], sha256(&recording));
        hashes.push((id, sha256(&recording)));
        assert_eq!(sender.send(&server, 400).await?, 400);

        if round == 0 {
            // A bucket has no checkpoint before the first shipment, a second after the first event.
            let shipped = async || server.verify().await.ok().filter(|verdict| verdict.holds);
            until("the first shipment", WAIT_LIMIT, shipped).await?;
        }
        let verdict = server.verify().await?;
        assert!(verdict.holds, "round {round}: {}", verdict.text);
        server = if round == 1 { server.kill_and_restart().await? } else { server.restart().await? };
    }

    for (id, hash) in &hashes {
        let recording = server.get(&format!("/api/v1/sessions/{id}/recording")).await?;
        assert_eq!(&sha256(&recording), hash, "{id} after restarts");
    }
    assert_eq!(server.sessions().await?.len(), 3);
    for sequence in [1, 400, 401, 1200] {
        let event = server.json(&format!("/api/v1/events/agent.1.{sequence}")).await?;
        assert_eq!(event["kind"], "flow.closed");
    }
    // Events that were accepted once are not accepted again after restarts and seals.
    let mut again = sender.clone();
    again.sequence = 0;
    let batch = again.next(1200);
    assert_eq!(again.submit(&server, &batch).await?, 0);
    let verdict = server.verify().await?;
    assert!(verdict.holds, "{}", verdict.text);
    server.stop().await?;
    let verdict = server.verify_store(&[]).await?;
    assert!(verdict.holds, "without the server: {}", verdict.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_keeps_everything() -> Result<()> {
    keeps_everything(Ground::folder()?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_keeps_everything() -> Result<()> {
    keeps_everything(Ground::bucket().await?).await
}
