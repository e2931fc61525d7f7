//! Verification of real trails: with their log, during writes, and after changes to their files.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use meshtrail_event::{Draft, Event, EventId, Kind, Timestamp};
use meshtrail_trail::manifest::{load, root_key};
use meshtrail_trail::note::Key;
use meshtrail_trail::retention::sweep;
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
use meshtrail_trail::tree::verify_inclusion;
use meshtrail_trail::verify::{Note, ProblemKind, Report, Scope, VerifyRequest, verify};
use meshtrail_trail::{SignedCheckpoint, Trail, TrailConfig};
use tempfile::TempDir;

fn config() -> TrailConfig {
    TrailConfig { segment_events: 200, ..TrailConfig::new("main") }
}

fn events(range: std::ops::Range<u64>) -> Vec<Event> {
    let event = |sequence| {
        let kind = if sequence % 10 == 0 { Kind::SshLogin } else { Kind::FlowOpened };
        let id = EventId { source: "agent.a".parse().unwrap(), epoch: 1, sequence };
        Draft::new(kind, Timestamp::from_seconds(1_790_000_000).unwrap())
            .into_event(id, Timestamp::from_nanos(0))
    };
    range.map(event).collect()
}

async fn store(folder: &Path) -> Store {
    Store::open(&StoreLocation::Folder(folder.to_owned()), &WritePolicy::default()).await.unwrap()
}

async fn open(folder: &Path) -> Trail {
    Trail::open(store(folder).await, &folder.join("local"), config()).await.unwrap()
}

/// Waits until that many events are sealed.
async fn wait_until_sealed(folder: &Path, size: u64) {
    let (store, root) = (store(folder).await, root_key("main").unwrap());
    while load(&store, &root, None).await.unwrap().is_none_or(|fold| fold.size() < size) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A trail of 1,050 events, most of them sealed, and its newest checkpoint.
async fn make_trail() -> (TempDir, SignedCheckpoint) {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(folder.path()).await;
    for batch in 0..10 {
        trail.append(events(batch * 100 + 1..batch * 100 + 101)).await.unwrap();
    }
    trail.append(events(1001..1051)).await.unwrap();
    wait_until_sealed(folder.path(), 800).await;
    let signed = trail.checkpoint().await.unwrap();
    trail.close().await;
    (folder, signed)
}

async fn run(folder: &Path, against: &[&SignedCheckpoint]) -> Report {
    let against = against.iter().map(|signed| signed.note.clone()).collect();
    let request = VerifyRequest { trail: "main".into(), scope: Scope::All, vkey: None, against };
    verify(&store(folder).await, Some(&folder.join("local")), &request, &|_| {}).await
}

fn words(report: &Report) -> Vec<String> {
    report.problems.iter().map(ToString::to_string).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_trail_and_its_log_hold_together() {
    let (folder, signed) = make_trail().await;
    let report = run(folder.path(), &[&signed]).await;
    assert_eq!(words(&report), Vec::<String>::new());
    assert_eq!((report.checked.events, report.head.map(|head| head.root)), (1050, Some(signed.root)));
    assert!(report.notes.iter().any(|note| matches!(note, Note::NotInStoreYet { .. })), "{:?}", report.notes);
}

#[tokio::test]
async fn a_changed_byte_in_store_or_log_is_found_where_it_is() {
    let (folder, signed) = make_trail().await;
    let mut tried = 0;
    for path in
        [files_below(&folder.path().join("trails")), files_below(&folder.path().join("local/wal"))].concat()
    {
        let whole = std::fs::read(&path).unwrap();
        let used = whole.len() - whole.iter().rev().take_while(|byte| **byte == 0).count();
        // The rest of a log file is zeros: damage there is found as well.
        let behind = (used < whole.len()).then_some((used + whole.len()) / 2);
        for at in (0..4).map(|part| part * (used - 1) / 3).chain(behind) {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            std::fs::write(&path, &changed).unwrap();
            let report = run(folder.path(), &[&signed]).await;
            let name = path.file_name().unwrap().to_str().unwrap();
            let named = words(&report).iter().any(|words| words.contains(name));
            assert!(named, "{} at {at} of {used}: {:?}", path.display(), words(&report));
            tried += 1;
        }
        std::fs::write(&path, whole).unwrap();
    }
    assert!(tried > 40 && run(folder.path(), &[&signed]).await.holds());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verification_beside_a_writing_process_finds_nothing_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(folder.path()).await;
    let done = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (trail, done) = (trail.clone(), done.clone());
        async move {
            let mut next = 1;
            // Bounded: each verification reads everything, and would never catch up with a fast disk.
            while !done.load(Ordering::Relaxed) && next < 20_000 {
                trail.append(events(next..next + 7)).await.unwrap();
                next += 7;
            }
        }
    });
    wait_until_sealed(folder.path(), 200).await;
    for _ in 0..10 {
        let signed = trail.checkpoint().await.unwrap();
        let report = run(folder.path(), &[&signed]).await;
        assert_eq!(words(&report), Vec::<String>::new());
    }
    done.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    trail.close().await;
}

#[tokio::test]
async fn yesterdays_copy_is_told_by_a_later_checkpoint_and_so_is_a_lost_log() {
    let (folder, early) = make_trail().await;
    let copy = tempfile::tempdir().unwrap();
    for path in files_below(folder.path()) {
        let to = copy.path().join(path.strip_prefix(folder.path()).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(&path, to).unwrap();
    }
    let trail = open(folder.path()).await;
    trail.append(events(1051..1060)).await.unwrap();
    let late = trail.checkpoint().await.unwrap();
    trail.close().await;

    assert!(run(folder.path(), &[&early, &late]).await.holds());
    assert!(run(copy.path(), &[&early]).await.holds());
    let ahead = run(copy.path(), &[&early, &late]).await;
    let [problem] = &ahead.problems[..] else { panic!("{:?}", words(&ahead)) };
    assert!(
        matches!(problem.what, ProblemKind::CheckpointAhead { size: 1059, there: 1050, .. }),
        "{problem}"
    );

    // The copy is continued: another history of the same length.
    let trail = open(copy.path()).await;
    trail.append(events(2000..2009)).await.unwrap();
    trail.close().await;
    let other = run(copy.path(), &[&late]).await;
    assert!(
        matches!(other.problems[0].what, ProblemKind::CheckpointRoot { size: 1059, .. }),
        "{:?}",
        words(&other)
    );

    std::fs::remove_dir_all(folder.path().join("local/wal")).unwrap();
    let without = run(folder.path(), &[&late]).await;
    assert!(matches!(without.problems[0].what, ProblemKind::CheckpointAhead { .. }), "{:?}", words(&without));
}

#[tokio::test]
async fn one_event_is_found_in_segments_and_in_the_log() {
    let (folder, _) = make_trail().await;
    for sequence in [1, 500, 1050] {
        let id: EventId = format!("agent.a.1.{sequence}").parse().unwrap();
        let request =
            VerifyRequest { trail: "main".into(), scope: Scope::Event(id), vkey: None, against: Vec::new() };
        let report =
            verify(&store(folder.path()).await, Some(&folder.path().join("local")), &request, &|_| {}).await;
        assert_eq!((words(&report), report.found), (vec![], Some(sequence - 1)));
    }
}

#[tokio::test]
async fn after_retention_the_other_events_keep_their_proofs() {
    let (folder, signed) = make_trail().await;
    let (store, root) = (store(folder.path()).await, root_key("main").unwrap());
    let key = Key::load_or_make(&folder.path().join("local/keys/main.key"), &signed.origin).unwrap();
    let mut fold = load(&store, &root, Some(&signed.vkey.parse().unwrap())).await.unwrap().unwrap();
    let later = Timestamp::now().after(Duration::from_secs(3600));
    let swept = sweep(&store, &root, &key, &mut fold, Duration::from_secs(60), later).await.unwrap();
    let retired = fold.retired_size();
    assert!(swept.events == retired && retired % 256 != 0, "the cut goes through a tile: {retired}");

    let trail = open(folder.path()).await;
    for index in retired..1050 {
        let proof = trail.inclusion(index, 1050).await.unwrap();
        assert_eq!((verify_inclusion(&proof), proof.root), (Ok(()), signed.root), "event {index}");
    }
    assert!(trail.leaf(retired - 1).await.is_err() && trail.inclusion(0, 1050).await.is_err());
    trail.append(events(1051..1300)).await.unwrap();
    let newer = trail.checkpoint().await.unwrap();
    trail.close().await;
    let report = run(folder.path(), &[&signed, &newer]).await;
    assert_eq!((words(&report), report.checked.retired), (vec![], retired));
}
