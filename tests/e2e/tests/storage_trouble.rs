//! Faults of the store while the server runs: full, missing, or used by another server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use meshtrail_e2e::{Bucket, Process, Recording, Sender, Server, Setup, WAIT_LIMIT, sha256, until};

/// A small file system, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf, megabytes: u32) -> Result<Self> {
        std::fs::create_dir_all(&at)?;
        let size = format!("size={megabytes}m");
        let status = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&at)
            .status()?;
        ensure!(status.success(), "mounting a small file system needs root");
        Ok(Self(at))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        std::process::Command::new("umount").arg("--lazy").arg(&self.0).status().ok();
    }
}

/// Writes zeros until the disk is full.
fn fill_up(folder: &Path) -> Result<PathBuf> {
    let filler = folder.join("filler");
    let mut file = std::fs::File::create(&filler)?;
    let zeros = vec![0; 64 * 1024];
    while std::io::Write::write_all(&mut file, &zeros).is_ok() {}
    Ok(filler)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_what_is_new_keeps_what_was_acked_and_heals() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let disk = SmallDisk::mount(folder.path().join("server-data"), 160)?;
    let mut server = Server::start(folder.path(), &Setup::default()).await?;
    let mut sender = Sender::new(&server, "agent").await?;
    let mut acked = sender.send(&server, 1000).await?;
    let filler = fill_up(&disk.0)?;
    let mut refused = None;
    // The log is preallocated: it accepts some more megabytes before it needs new space.
    for _ in 0..200 {
        let batch = sender.next(1000);
        match sender.submit(&server, &batch).await {
            Ok(accepted) => acked += accepted,
            Err(error) => {
                refused = Some((batch, format!("{error:#}")));
                break;
            }
        }
    }
    let (batch, why) = refused.context("a full disk is noticed")?;
    assert!(why.contains("503"), "{why}");
    assert!(server.process.is_alive(), "a full disk ends nothing; {}", server.process.tail());
    server.json("/api/v1/events/agent.1.1").await.context("what is there can be read")?;

    std::fs::remove_file(filler)?;
    let taken = until("the server to take events again", WAIT_LIMIT, async || {
        sender.submit(&server, &batch).await.ok()
    });
    acked += taken.await?;
    let last = server.json(&format!("/api/v1/events/agent.1.{acked}")).await;
    last.context("every acked event is there")?;
    let verdict = server.verify().await?;
    assert!(verdict.holds, "{}", verdict.text);
    server.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_dies_in_the_middle_of_a_session_loses_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut bucket = Bucket::start(folder.path()).await?;
    let setup = Setup {
        store: Some(bucket.store("acme")),
        environment: bucket.environment(),
        config: Some("[trail]\nship_every = \"1s\"\n".to_owned()),
        ..Setup::default()
    };
    let server = Server::start(folder.path(), &setup).await?;
    let mut sender = Sender::new(&server, "agent").await?;
    let mut recording = Recording::open(&server.recorder, "before and after").await?;
    recording.lines(500).await?;
    sender.send(&server, 100).await?;

    bucket.process.kill().await?;
    recording.lines(500).await?;
    sender.send(&server, 100).await.context("local disk takes events while the bucket is away")?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    bucket.start_again().await?;

    recording.lines(500).await?;
    let sent = recording.end().await?;
    let session = server.session("the session's end", |one| one["state"] == "ended").await?;
    assert_eq!(session["sha256"], sha256(&sent));
    sender.send(&server, 100).await?;
    let mut server = server.restart().await?;
    let id = session["id"].as_str().context("an id")?;
    assert_eq!(server.get(&format!("/api/v1/sessions/{id}/recording")).await?, sent);
    server.json("/api/v1/events/agent.1.300").await?;
    server.stop().await?;
    let verdict = server.verify_store(&[]).await?;
    assert!(verdict.holds, "{}", verdict.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_one_folder_is_refused_and_harms_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let mut sender = Sender::new(&server, "agent").await?;
    sender.send(&server, 10).await?;
    let (ready, data) = (folder.path().join("second.json"), server.data());
    let command = Server::command("second", folder.path(), &Setup::default(), server.store(), data, &ready)?;
    let mut second = Process::start("second", folder.path(), command)?;
    let status = second.wait(WAIT_LIMIT).await?;
    assert!(!status.success());
    let said = second.log() + &second.stdout();
    assert!(said.contains("another") || said.contains("lock"), "{said}");
    sender.send(&server, 10).await?;
    assert!(server.verify().await?.holds);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_bucket_never_both_write_one_trail() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let bucket = Bucket::start(folder.path()).await?;
    let setup = Setup {
        store: Some(bucket.store("acme")),
        environment: bucket.environment(),
        config: Some("[trail]\nship_every = \"1s\"\n".to_owned()),
        ..Setup::default()
    };
    let mut first = Server::start_named("first", folder.path(), &setup).await?;
    let mut sender = Sender::new(&first, "agent").await?;
    sender.send(&first, 100).await?;
    // The second has another machine's local state, so no lock on local disk can stop it.
    let second = Server::start_named("second", folder.path(), &setup).await;
    if let Ok(mut second) = second {
        let mut other = Sender::new(&second, "other").await?;
        // Either can detect it first; events that it then refuses are not acked.
        let found_out = until("one of them to find out", WAIT_LIMIT, async || {
            let both = sender.send(&first, 10).await.is_ok() && other.send(&second, 10).await.is_ok();
            (!both).then_some(())
        });
        let found_out = found_out.await;
        found_out.with_context(|| format!("{}\n{}", first.process.tail(), second.process.tail()))?;
        second.process.kill().await?;
    }
    first.process.kill().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_that_cannot_store_refuses_before_it_accepts() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let disk = SmallDisk::mount(folder.path().join("server-data"), 160)?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let mut sender = Sender::new(&server, "agent").await?;
    let _filler = fill_up(&disk.0)?;
    for _ in 0..200 {
        if sender.send(&server, 1000).await.is_err() {
            break;
        }
    }
    let mut refused = None;
    // The journal still has some preallocated space.
    for number in 0..200 {
        match Recording::open(&server.recorder, &format!("session {number}")).await {
            Ok(mut recording) => drop(recording.lines(500).await),
            Err(error) => {
                refused = Some(format!("{error:#}"));
                break;
            }
        }
    }
    let why = refused.context("a full disk is noticed")?;
    assert!(why.contains("503"), "{why}");
    Ok(())
}
