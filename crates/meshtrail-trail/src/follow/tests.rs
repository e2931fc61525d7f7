//! Tests of followers on a trail in a real folder.

use std::path::Path;

use meshtrail_event::Event;

use super::*;
use crate::TrailConfig;
use crate::store::{Store, StoreLocation, WritePolicy};

/// Opens the trail in this folder, which seals a segment at every fourth event.
pub(super) async fn open_trail(folder: &Path) -> Trail {
    let store =
        Store::open(&StoreLocation::Folder(folder.to_owned()), &WritePolicy::default()).await.unwrap();
    let mut config = TrailConfig::new("main");
    config.segment_events = 4;
    Trail::open(store, &folder.join("local"), config).await.unwrap()
}

fn event(sequence: u64, target: &str) -> Event {
    let kind = if sequence.is_multiple_of(3) { "ssh.session.started" } else { "flow.opened" };
    let text = format!(
        r#"{{"id":"agent.a.1.{sequence}","kind":"{kind}","outcome":"success","received":"2026-11-20T14:02:11Z","target":{{"name":"{target}"}},"time":"2026-11-20T14:02:11Z"}}"#
    );
    Event::from_json(text.as_bytes()).unwrap()
}

/// Appends events with these sequences: the first event of the first call has sequence 1 and index 0.
pub(super) async fn append(trail: &Trail, sequences: Range<u64>) {
    trail.append(sequences.map(|sequence| event(sequence, "web-1")).collect()).await.unwrap();
}

/// Reads the next batch and is done with it.
async fn next(follower: &mut Follower) -> Batch {
    let batch = follower.read().await.unwrap().unwrap();
    follower.advance(batch.range.end);
    batch
}

fn indexes(batch: &Batch) -> Vec<u64> {
    batch.leaves.iter().map(|(index, _)| *index).collect()
}

async fn wait_until_sealed(trail: &Trail, size: u64) {
    let sealed = async {
        while trail.snapshot().sealed() < size {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), sealed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_comes_once_in_order_in_bounded_batches() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open_trail(folder.path()).await;
    append(&trail, 1..11).await;
    let mut follower = Follower::new(trail.clone(), 1, CancellationToken::new()).with_max_indexes(4);
    let mut batches = Vec::new();
    for _ in 0..3 {
        batches.push(next(&mut follower).await);
    }
    let ranges: Vec<_> = batches.iter().map(|batch| (batch.range.clone(), batch.is_last)).collect();
    assert_eq!(ranges, [(1..5, false), (5..9, false), (9..10, true)]);
    assert_eq!(batches.iter().flat_map(indexes).collect::<Vec<_>>(), (1..10).collect::<Vec<_>>());
    assert_eq!((follower.position(), follower.behind()), (10, 0));

    let waiting = tokio::spawn(async move { (next(&mut follower).await, follower.behind()) });
    append(&trail, 11..13).await;
    let (batch, behind) = waiting.await.unwrap();
    assert_eq!((indexes(&batch), batch.is_last, behind), (vec![10, 11], true, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_the_reader_did_not_finish_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open_trail(folder.path()).await;
    append(&trail, 1..4).await;
    let mut follower = Follower::new(trail, 0, CancellationToken::new());
    let first = follower.read().await.unwrap().unwrap();
    assert_eq!(follower.behind(), 3);
    assert_eq!(follower.read().await.unwrap().unwrap(), first);
    follower.advance(1);
    assert_eq!(indexes(&follower.read().await.unwrap().unwrap()), [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_other_families_count_as_read() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open_trail(folder.path()).await;
    append(&trail, 1..9).await;
    let mut follower = Follower::new(trail, 0, CancellationToken::new())
        .with_families(&[Family::Session])
        .with_max_indexes(4);
    assert_eq!(indexes(&next(&mut follower).await), [2]);
    assert_eq!(indexes(&next(&mut follower).await), [5]);
    assert_eq!(follower.behind(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_leaves_end_a_batch_before_its_indexes_do() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open_trail(folder.path()).await;
    let long = "x".repeat(60_000);
    for start in [1, 41] {
        trail.append((start..start + 40).map(|sequence| event(sequence, &long)).collect()).await.unwrap();
    }
    let mut follower = Follower::new(trail, 0, CancellationToken::new());
    let first = next(&mut follower).await;
    assert!(!first.is_last && (60..80).contains(&first.leaves.len()), "{}", first.leaves.len());
    assert_eq!(first.range, 0..first.leaves.len() as u64);
    let second = next(&mut follower).await;
    assert_eq!((second.range, second.is_last), (first.range.end..80, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_a_wait_and_comes_before_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open_trail(folder.path()).await;
    let stop = CancellationToken::new();
    let mut follower = Follower::new(trail.clone(), 0, stop.clone());
    let waiting = tokio::spawn(async move {
        let read = follower.read().await.unwrap();
        (read, follower)
    });
    tokio::task::yield_now().await;
    stop.cancel();
    let (read, mut follower) = waiting.await.unwrap();
    assert_eq!(read, None);
    append(&trail, 1..3).await;
    assert_eq!(follower.read().await.unwrap(), None);
    assert_eq!(follower.behind(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_could_not_be_read_is_read_again_and_nothing_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open_trail(folder.path()).await;
    append(&trail, 1..5).await;
    append(&trail, 5..6).await;
    wait_until_sealed(&trail, 4).await;
    let segments = folder.path().join("trails/main/segments");
    let aside = folder.path().join("aside");
    std::fs::rename(&segments, &aside).unwrap();
    let mut follower = Follower::new(trail.clone(), 0, CancellationToken::new());
    assert!(follower.read().await.is_err());
    assert_eq!((follower.position(), follower.behind()), (0, 5));
    std::fs::rename(&aside, &segments).unwrap();
    append(&trail, 6..7).await;
    assert_eq!(indexes(&next(&mut follower).await), [0, 1, 2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_skipped_only_as_far_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open_trail(folder.path()).await;
    append(&trail, 1..11).await;
    let mut follower = Follower::new(trail, 0, CancellationToken::new());
    assert_eq!(follower.skip_backlog(20), 0);
    assert_eq!(follower.skip_backlog(3), 7);
    assert_eq!(indexes(&next(&mut follower).await), [7, 8, 9]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_beyond_the_end_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open_trail(folder.path()).await;
    append(&trail, 1..3).await;
    let mut follower = Follower::new(trail.clone(), 4, CancellationToken::new());
    assert_eq!(follower.behind(), 0);
    let waiting = tokio::spawn(async move { next(&mut follower).await });
    append(&trail, 3..5).await;
    append(&trail, 5..7).await;
    assert_eq!(indexes(&waiting.await.unwrap())[0], 4);
}
