//! The life cycle of a trail: append, restart, seal, read, prove.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use futures::StreamExt;
use meshtrail_event::{Draft, Event, EventId, Kind, Timestamp};
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
use meshtrail_trail::tree::{leaf_hash, verify_consistency, verify_inclusion};
use meshtrail_trail::{AppendError, AppendOutcome, OpenError, Scan, Trail, TrailConfig, verify_note};

fn event(sequence: u64) -> Event {
    let id = EventId { source: "agent.a".parse().unwrap(), epoch: 1, sequence };
    let kind = if sequence.is_multiple_of(7) { Kind::SshSessionStarted } else { Kind::FlowCounted };
    let time =
        Timestamp::from_nanos(1_790_000_000_000_000_000 + i64::try_from(sequence).unwrap() * 1_000_003);
    Draft::new(kind, time).into_event(id, time)
}

async fn open(folder: &std::path::Path) -> Trail {
    let store =
        Store::open(&StoreLocation::Folder(folder.to_owned()), &WritePolicy::default()).await.unwrap();
    let config = TrailConfig { segment_events: 1000, ..TrailConfig::new("main") };
    Trail::open(store, &folder.join("local"), config).await.unwrap()
}

async fn append(trail: &Trail, sequences: std::ops::RangeInclusive<u64>) -> Vec<AppendOutcome> {
    trail.append(sequences.map(event).collect()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_appended_is_there_once_before_and_after_sealing_and_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(folder.path()).await;
    for batch in 0..50 {
        let appended = append(&trail, batch * 100 + 1..=batch * 100 + 100).await;
        assert!(matches!(&appended[0], AppendOutcome::New { index, .. } if *index == batch * 100));
    }
    assert!(append(&trail, 1..=100).await.iter().all(|one| matches!(one, AppendOutcome::Duplicate { .. })));
    trail.close().await;

    let trail = open(folder.path()).await;
    assert_eq!(trail.size(), 5000);
    assert!(matches!(append(&trail, 4990..=5001).await[11], AppendOutcome::New { index: 5000, .. }));
    let rows = trail.read(0..u64::MAX, usize::MAX).await.unwrap();
    assert_eq!(rows.len(), 5001);
    for (index, leaf) in &rows {
        assert_eq!(String::from_utf8_lossy(leaf), String::from_utf8_lossy(&event(index + 1).to_leaf()));
    }
    let newest: Vec<_> = trail.scan(Scan::newest(0..u64::MAX)).map(|row| row.unwrap().0).collect().await;
    assert!(newest.iter().copied().eq((0..5001).rev()));
    for sequence in [1, 999, 1000, 1001, 4999, 5001] {
        assert_eq!(trail.find(&event(sequence).id).await.unwrap(), Some(sequence - 1));
    }
    assert_eq!(trail.find(&event(6000).id).await.unwrap(), None);
    trail.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_proven_to_be_under_the_signed_root() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(folder.path()).await;
    append(&trail, 1..=700).await;
    let older = trail.checkpoint().await.unwrap();
    append(&trail, 701..=3000).await;
    let newer = trail.checkpoint().await.unwrap();
    let read = verify_note(&newer.note, &newer.vkey).unwrap();
    assert_eq!((read.size, read.root), (3000, newer.root));
    for index in [0, 1, 255, 256, 699, 700, 2047, 2999] {
        let proof = trail.inclusion(index, 3000).await.unwrap();
        verify_inclusion(&proof).unwrap();
        assert_eq!(proof.root, newer.root);
        assert_eq!(proof.leaf_hash, leaf_hash(&trail.leaf(index).await.unwrap()));
    }
    let proof = trail.consistency(older.size, newer.size).await.unwrap();
    verify_consistency(&proof).unwrap();
    assert_eq!((proof.from_root, proof.to_root), (older.root, newer.root));
    trail.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_folder_is_told_who_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(folder.path()).await;
    let store = trail_store(folder.path()).await;
    let second = Trail::open(store.clone(), &folder.path().join("local"), TrailConfig::new("main")).await;
    let Err(OpenError::Locked { holder, .. }) = second else { panic!("it was let in") };
    assert_eq!(holder, std::process::id().to_string());
    // Reading is possible meanwhile.
    append(&trail, 1..=10).await;
    let config = TrailConfig::new("main");
    let reader = Trail::open_read_only(store, Some(&folder.path().join("local")), config).await.unwrap();
    assert_eq!(reader.size(), 10);
    let refused = reader.append(vec![event(11)]).await;
    assert!(matches!(refused, Err(AppendError::Closed { .. })));
    trail.close().await;
}

async fn trail_store(folder: &std::path::Path) -> Store {
    Store::open(&StoreLocation::Folder(folder.to_owned()), &WritePolicy::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_process_sources_count_on_under_a_new_epoch_after_each_start() {
    let folder = tempfile::tempdir().unwrap();
    for start in 1..=3 {
        let trail = open(folder.path()).await;
        let emitter = trail.emitter("recorder");
        assert_eq!(emitter.epoch(), start);
        for number in 1..=3 {
            let draft = Draft::new(Kind::MeshtrailStarted, Timestamp::now());
            let AppendOutcome::New { id, .. } = emitter.emit(draft).await.unwrap() else {
                panic!("seen before")
            };
            assert_eq!(id.to_string(), format!("main.recorder.{start}.{number}"));
        }
        drop(emitter);
        trail.close().await;
    }
}
