//! `verify` detects and locates every change by somebody with write access to the store.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use meshtrail_e2e::{Bucket, Recording, Sender, Server, Setup, copy_tree, files_below};
use tempfile::TempDir;

/// Small segments, so that a short test writes many files of each kind.
fn config() -> Option<String> {
    Some("[trail]\nsegment_events = 500\nsegment_age = \"1s\"\nship_every = \"1s\"\n".to_owned())
}

/// A server with a recording and some thousand events.
async fn start_filled(folder: &Path, setup: &Setup) -> Result<Server> {
    let server = Server::start(folder, setup).await?;
    fill(&server, "agent").await?;
    Ok(server)
}

async fn fill(server: &Server, source: &str) -> Result<()> {
    let mut recording = Recording::open(&server.recorder, &format!("vi {source}")).await?;
    recording.lines(2000).await?;
    recording.end().await?;
    let command = format!("vi {source}");
    server.session("the session's end", |one| one["command"] == *command && one["state"] == "ended").await?;
    let mut sender = Sender::new(server, source).await?;
    for _ in 0..4 {
        sender.send(server, 400).await?;
    }
    Ok(())
}

async fn filled_and_stopped(folder: &TempDir) -> Result<Server> {
    let mut server = start_filled(folder.path(), &Setup { config: config(), ..Setup::default() }).await?;
    server.stop().await?;
    let verdict = server.verify_store(&[]).await?;
    ensure!(verdict.holds, "untouched, it must hold: {}", verdict.text);
    Ok(server)
}

/// The kind of a file of the store: its path without the parts that differ between files of one kind.
fn kind(file: &Path) -> String {
    let text = file.display().to_string();
    let kept = text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    kept.rsplit_once("-.parquet").map_or(kept.clone(), |(folder, _)| folder.to_owned())
}

/// Files of evidence: all but those that only the running server on this machine needs.
fn evidence(store: &Path) -> Result<Vec<PathBuf>> {
    let files = files_below(store)?;
    Ok(files.into_iter().filter(|file| !file.starts_with("local")).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_any_kind_of_file_is_found_and_the_file_is_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = filled_and_stopped(&folder).await?;
    let store = Path::new(server.store());
    let mut seen = std::collections::BTreeSet::new();
    let mut missed = Vec::new();
    for file in evidence(store)? {
        if !seen.insert(kind(&file)) {
            continue;
        }
        let path = store.join(&file);
        let whole = std::fs::read(&path)?;
        for at in [0, whole.len() / 3, whole.len() / 2, whole.len().saturating_sub(1)] {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            std::fs::write(&path, &changed)?;
            let verdict = server.verify_store(&[]).await?;
            let name = file.file_name().context("a file has a name")?.to_string_lossy();
            if verdict.holds || !verdict.text.contains(&*name) {
                missed.push(format!("{} at {at} of {}: {}", file.display(), whole.len(), verdict.text));
            }
        }
        std::fs::write(&path, &whole)?;
    }
    assert!(seen.len() >= 5, "checkpoint, tiles, manifests, segments and recordings, but there are {seen:?}");
    assert!(missed.is_empty(), "not found, or not named:\n{}", missed.join("\n"));
    assert!(server.verify_store(&[]).await?.holds, "all was put back");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file_of_any_kind_is_found() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = filled_and_stopped(&folder).await?;
    let store = Path::new(server.store());
    let mut files = evidence(store)?;
    // From the end: the last segment and the last manifest are those whose loss is hardest to detect.
    files.reverse();
    let mut seen = std::collections::BTreeSet::new();
    let mut missed = Vec::new();
    for file in files {
        // The index of a recording is derived from it and written again when it is missing.
        if file.to_string_lossy().ends_with(".index.zst") || !seen.insert(kind(&file)) {
            continue;
        }
        let path = store.join(&file);
        let aside = folder.path().join("aside");
        std::fs::rename(&path, &aside)?;
        let verdict = server.verify_store(&[]).await?;
        if verdict.holds {
            missed.push(file.display().to_string());
        }
        std::fs::rename(&aside, &path)?;
    }
    assert!(missed.is_empty(), "not missed: {missed:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_the_log_of_a_crashed_server_is_found() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // Nothing is sealed: everything is in the log on local disk.
    let mut server = Server::start(folder.path(), &Setup::default()).await?;
    Sender::new(&server, "agent").await?.send(&server, 500).await?;
    server.process.kill().await?;
    let verdict = server.verify_store(&[]).await?;
    ensure!(verdict.holds, "{}", verdict.text);
    let wal = Path::new(server.store()).join("local/wal");
    let file = files_below(&wal)?.into_iter().next().context("a log")?;
    let whole = std::fs::read(wal.join(&file))?;
    let used = whole.iter().rposition(|byte| *byte != 0).context("a log holds something")?;
    for at in [used / 4, used / 2] {
        let mut changed = whole.clone();
        changed[at] ^= 0x01;
        std::fs::write(wal.join(&file), &changed)?;
        let verdict = server.verify_store(&[]).await?;
        assert!(!verdict.holds, "byte {at} of {used}: {}", verdict.text);
        assert!(verdict.text.contains(&file.display().to_string()), "it names the file: {}", verdict.text);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_rolled_back_to_an_older_copy_does_not_contain_a_newer_checkpoint() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = filled_and_stopped(&folder).await?;
    let yesterday = folder.path().join("yesterday");
    copy_tree(Path::new(server.store()), &yesterday)?;

    let mut server = Server::start(folder.path(), &Setup { config: config(), ..Setup::default() }).await?;
    fill(&server, "later").await?;
    let note = folder.path().join("today.note");
    std::fs::write(&note, server.ok(&["checkpoint"]).await?)?;
    let note = note.display().to_string();
    server.stop().await?;
    let verdict = server.verify_store(&["--checkpoint", &note]).await?;
    ensure!(verdict.holds, "today's store contains today's checkpoint: {}", verdict.text);

    std::fs::remove_dir_all(server.store())?;
    copy_tree(&yesterday, Path::new(server.store()))?;
    let verdict = server.verify_store(&[]).await?;
    ensure!(verdict.holds, "an older copy is whole in itself: {}", verdict.text);
    let verdict = server.verify_store(&["--checkpoint", &note]).await?;
    assert!(!verdict.holds, "{}", verdict.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadowed_object_on_a_locked_bucket_is_named_and_read_past() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let bucket = Bucket::start(folder.path()).await?;
    let setup = Setup {
        store: Some(bucket.store("acme")),
        environment: bucket.environment(),
        config: config(),
        ..Setup::default()
    };
    let mut server = start_filled(folder.path(), &setup).await?;
    server.stop().await?;
    let verdict = server.verify_store(&[]).await?;
    ensure!(verdict.holds, "{}", verdict.text);

    let versions = bucket.versions().await?;
    let of = |part: &str| {
        let found = versions.iter().find(|version| version.key.contains(part)).context(part.to_owned());
        found.map(|version| version.key.clone())
    };
    for (key, shadow) in [(of(".parquet")?, true), (of("/manifest/")?, false), (of(".cast.zst")?, true)] {
        if shadow {
            let mut bytes = bucket.get(&key).await?;
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            bucket.put(&key, &bytes).await?;
        } else {
            bucket.delete(&key).await?;
        }
        let verdict = server.verify_store(&[]).await?;
        let name = key.rsplit('/').next().context("a key has a last part")?;
        assert!(!verdict.holds && verdict.text.contains(name), "{key}: {}", verdict.text);
    }
    // The locked version is still the one that is read.
    let server = Server::start(folder.path(), &setup).await?;
    let session = server.session("the session", |one| one["state"] == "ended").await?;
    let id = session["id"].as_str().context("an id")?;
    let recording = server.get(&format!("/api/v1/sessions/{id}/recording")).await?;
    assert_eq!(session["sha256"], meshtrail_e2e::sha256(&recording));
    Ok(())
}

/// A recording is verified against the trail even while it grows.
#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_the_journal_of_a_live_session_is_found_after_a_crash() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = Server::start(folder.path(), &Setup::default()).await?;
    let mut recording = Recording::open(&server.recorder, "vi").await?;
    // After 256 KiB a mark binds the bytes so far into the trail.
    recording.lines(9000).await?;
    let marked = server.session("a mark", |one| one["marks"].as_u64().is_some_and(|marks| marks > 0)).await;
    marked?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.process.kill().await?;
    let journal = Path::new(server.store()).join("local/journal");
    let file = files_below(&journal)?.into_iter().next().context("a journal")?;
    let whole = std::fs::read(journal.join(&file))?;
    let mut changed = whole.clone();
    changed[whole.len().min(200_000) / 2] ^= 1;
    std::fs::write(journal.join(&file), &changed)?;

    let started = Server::start(folder.path(), &Setup::default()).await;
    let Ok(server) = started else { return Ok(()) }; // refusing to start on it is an answer as well
    let verdict = server.verify().await?;
    assert!(!verdict.holds, "{}", verdict.text);
    Ok(())
}
