//! Tests of the whole trail on a real folder: acknowledged events survive faults, once and in order, and verify.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures::TryStreamExt;
use meshtrail_event::{Draft, Event, Kind, Timestamp};
use tempfile::TempDir;

use super::*;
use crate::fault::{Faults, LogStep, Moment, Step};
use crate::note::verify_note;
use crate::store::{Store, StoreLocation, WritePolicy};
use crate::tree::{Bundle, TileId, leaf_hash, verify_consistency, verify_inclusion};
use crate::verify::{Scope, VerifyRequest, verify};

fn event(sequence: u64) -> Event {
    let kind = if sequence.is_multiple_of(3) { "ssh.session.started" } else { "flow.opened" };
    let text = format!(
        r#"{{"id":"agent.a.1.{sequence}","kind":"{kind}","outcome":"success","received":"2026-11-20T14:02:11Z","time":"2026-11-20T14:02:11Z"}}"#
    );
    Event::from_json(text.as_bytes()).unwrap()
}

fn events(sequences: std::ops::Range<u64>) -> Vec<Event> {
    sequences.map(event).collect()
}

fn config(segment_events: u64) -> TrailConfig {
    let mut config = TrailConfig::new("main");
    config.origin = "example.com/meshtrail/main".into();
    config.segment_events = segment_events;
    config
}

async fn store(folder: &Path) -> Store {
    Store::open(&StoreLocation::Folder(folder.to_owned()), &WritePolicy::default()).await.unwrap()
}

async fn open(folder: &TempDir, config: TrailConfig) -> Trail {
    Trail::open(store(folder.path()).await, &folder.path().join("local"), config).await.unwrap()
}

async fn assert_verifies(folder: &TempDir, what: &str) {
    let request = VerifyRequest { trail: "main".into(), scope: Scope::All, vkey: None, against: Vec::new() };
    let local = folder.path().join("local");
    let report = verify(&store(folder.path()).await, Some(&local), &request, &|_| {}).await;
    let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "{what}: {problems:#?}");
}

/// The limit of waits.
const WAIT_LIMIT: Duration = Duration::from_secs(120);

/// Waits for background work; no test depends on how long it takes.
async fn until(done: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !done() {
        assert!(began.elapsed() < WAIT_LIMIT, "what was waited for did not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn wait_until_sealed(trail: &Trail, size: u64) {
    until(|| trail.shared.sealed().size >= size).await;
}

async fn all(trail: &Trail) -> Vec<Vec<u8>> {
    let rows = trail.read(0..u64::MAX, usize::MAX).await.unwrap();
    assert!(rows.iter().zip(0..).all(|((index, _), expected)| *index == expected), "indexes have gaps");
    rows.into_iter().map(|(_, leaf)| leaf.to_vec()).collect()
}

fn leaves(sequences: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    events(sequences).iter().map(Event::to_leaf).collect()
}

/// From the first time that `step` is reached, every step fails, as if the process had died.
fn dying_at(step: Step, moment: Moment) -> (Faults, Arc<AtomicBool>, mpsc::Receiver<()>) {
    let (armed, dead) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
    let (died, seen) = mpsc::channel();
    let watched = armed.clone();
    let faults = Faults::with_plan(move |at, at_moment| {
        if !watched.load(Ordering::SeqCst) {
            return false;
        }
        if dead.load(Ordering::SeqCst) {
            return at_moment == Moment::Before;
        }
        let hit = at == step && at_moment == moment;
        if hit {
            dead.store(true, Ordering::SeqCst);
            // The receiver is gone when the test is over.
            died.send(()).ok();
        }
        hit
    });
    (faults, armed, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_every_broken_step_and_a_failed_batch_is_whole_or_absent() {
    for step in Step::ALL {
        for moment in [Moment::Before, Moment::After] {
            let folder = tempfile::tempdir().unwrap();
            let (faults, armed, died) = dying_at(step, moment);
            // A file grows only with enough data.
            let (batch, per_segment) =
                if step == Step::Log(LogStep::Extend) { (2000, 1 << 20) } else { (3, 8) };
            let trail = open(&folder, TrailConfig { faults, ..config(per_segment) }).await;
            armed.store(true, Ordering::SeqCst);
            let mut acknowledged = 1;
            while died.try_recv().is_err() {
                assert!(acknowledged < 40_000, "{step:?} never came by");
                let end = acknowledged + batch;
                match trail.append(events(acknowledged..end)).await {
                    Ok(_) => acknowledged = end,
                    Err(_) => break,
                }
                if matches!(step, Step::PutHead | Step::SyncHead) {
                    assert!(trail.checkpoint().await.is_err(), "{step:?}: it was given out");
                }
                tokio::task::yield_now().await;
            }
            trail.close().await;

            let what = format!("{step:?} {moment:?}");
            let trail = open(&folder, config(8)).await;
            let there = all(&trail).await;
            assert!(there.len() as u64 >= acknowledged - 1, "{what}: acknowledged events are missing");
            assert_eq!(there.len() as u64 % batch, 0, "{what}: half a batch");
            assert!(there == leaves(1..there.len() as u64 + 1), "{what}: other events than were sent");
            // A sender without an answer sends again: nothing counts twice.
            for start in (1..=acknowledged).step_by(batch as usize) {
                trail.append(events(start..start + batch)).await.unwrap();
            }
            assert_eq!(trail.size(), acknowledged - 1 + batch, "{what}");
            assert!(all(&trail).await == leaves(1..acknowledged + batch), "{what}");
            trail.close().await;
            assert_verifies(&folder, &what).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_counts_once_however_often_it_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(&folder, config(4)).await;
    for _ in 0..2 {
        trail.append(events(1..7)).await.unwrap();
    }
    assert_eq!(trail.size(), 6);
    let again = trail.append(events(5..9)).await.unwrap();
    assert!(matches!(again[1], AppendOutcome::Duplicate { .. }));
    assert!(matches!(&again[2], AppendOutcome::New { index: 6, id } if id.sequence == 7));
    trail.close().await;
    let trail = open(&folder, config(4)).await;
    trail.append(events(1..9)).await.unwrap();
    assert!(all(&trail).await == leaves(1..9));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_one_event_that_can_not_be_taken_is_not_taken_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(&folder, config(100)).await;
    let mut batch = events(1..3);
    batch.push(event(0));
    assert!(trail.append(batch).await.is_err());
    assert_eq!(trail.size(), 0);
    trail.append(events(1..3)).await.unwrap();
    assert_eq!(trail.size(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_and_log_read_as_one_in_both_directions() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(&folder, config(100)).await;
    for start in (1..351).step_by(50) {
        trail.append(events(start..start + 50)).await.unwrap();
    }
    wait_until_sealed(&trail, 300).await;
    let expected = leaves(1..351);
    assert!(all(&trail).await == expected);
    for index in [0, 99, 100, 299, 300, 349] {
        assert!(trail.leaf(index).await.unwrap() == expected[index as usize]);
        let id = event(index + 1).id;
        assert_eq!(trail.find(&id).await.unwrap(), Some(index));
    }
    assert_eq!(trail.find(&event(9999).id).await.unwrap(), None);
    let oldest: Vec<(u64, _)> = trail.scan(Scan::oldest(7..u64::MAX)).try_collect().await.unwrap();
    let mut newest: Vec<(u64, _)> = trail.scan(Scan::newest(7..u64::MAX)).try_collect().await.unwrap();
    newest.reverse();
    assert_eq!(oldest.len(), 343);
    assert!(oldest == newest && oldest.iter().all(|(index, leaf)| *leaf == expected[*index as usize]));
    let sessions = Scan { families: vec![meshtrail_event::Family::Session], ..Scan::newest(0..u64::MAX) };
    let sessions: Vec<(u64, _)> = trail.scan(sessions).try_collect().await.unwrap();
    assert!(sessions.iter().all(|(index, _)| (index + 1) % 3 == 0) && sessions.len() == 116);
    assert!(matches!(trail.leaf(350).await, Err(ReadError::Beyond { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_checkpoints_and_tiles_hold_across_segments_and_log() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(&folder, config(300)).await;
    let mut heads = vec![trail.checkpoint().await.unwrap()];
    for start in (1..1001).step_by(100) {
        trail.append(events(start..start + 100)).await.unwrap();
        heads.push(trail.checkpoint().await.unwrap());
    }
    wait_until_sealed(&trail, 900).await;
    for head in &heads {
        let read = verify_note(&head.note, &head.vkey).unwrap();
        assert_eq!((read.size, read.root), (head.size, head.root));
        let proof = trail.consistency(head.size, 1000).await.unwrap();
        verify_consistency(&proof).unwrap();
        assert_eq!((proof.from_root, proof.to_root), (head.root, heads[10].root));
    }
    for (index, size) in [(0, 1), (0, 1000), (255, 256), (256, 999), (511, 1000), (899, 900), (950, 1000)] {
        let proof = trail.inclusion(index, size).await.unwrap();
        verify_inclusion(&proof).unwrap();
        assert_eq!(proof.leaf_hash, leaf_hash(&leaves(index + 1..index + 2)[0]));
    }
    assert!(matches!(trail.inclusion(1000, 1000).await, Err(ProofError::Bounds { .. })));
    let tile = trail.tile(TileId { level: 0, index: 2, width: 100 }).await.unwrap();
    assert!(tile[..32] == *leaf_hash(&leaves(513..514)[0]).as_bytes() && tile.len() == 3200);
    assert_eq!(trail.tile(TileId { level: 1, index: 0, width: 3 }).await.unwrap().len(), 96);
    let bundle = trail.bundle(Bundle { index: 0, width: 256 }).await.unwrap();
    let first = &leaves(1..2)[0];
    assert!(bundle[2..2 + first.len()] == first[..] && bundle[..2] == (first.len() as u16).to_be_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_folder_is_told_who_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(&folder, config(8)).await;
    let second = Trail::open(store(folder.path()).await, &folder.path().join("local"), config(8)).await;
    let error = second.err().unwrap().to_string();
    assert!(error.contains(&std::process::id().to_string()), "{error}");
    trail.close().await;
    open(&folder, config(8)).await.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_store_is_fenced_off_at_its_first_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(&folder, config(4)).await;
    let other = folder.path().join("other");
    std::fs::create_dir_all(other.join("keys")).unwrap();
    std::fs::copy(folder.path().join("local/keys/main.key"), other.join("keys/main.key")).unwrap();
    let second = Trail::open(store(folder.path()).await, &other, config(4)).await.unwrap();
    first.append(events(1..9)).await.unwrap();
    first.append(events(9..10)).await.unwrap();
    wait_until_sealed(&first, 8).await;
    second.append(events(101..109)).await.unwrap();
    second.append(events(109..110)).await.unwrap();
    until(|| matches!(second.state(), State::Stopped { .. })).await;
    let refused = second.append(events(110..111)).await.unwrap_err().to_string();
    assert!(refused.contains("another server"), "{refused}");
    first.append(events(10..12)).await.unwrap();
    assert!(all(&first).await == leaves(1..12));
    second.close().await;
    first.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trail_signed_by_another_key_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    open(&folder, config(4)).await.close().await;
    let other = Trail::open(store(folder.path()).await, &folder.path().join("other"), config(4)).await;
    assert!(matches!(other.err().unwrap(), OpenError::ForeignKey { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_the_log_stops_the_start_and_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(&folder, config(100)).await;
    for start in [1, 4, 7] {
        trail.append(events(start..start + 3)).await.unwrap();
    }
    trail.close().await;
    let local = folder.path().join("local");
    let file = std::fs::read_dir(local.join("wal")).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&file).unwrap();
    for at in [0, 4096 + 30, 4096 + 700] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let error = Trail::open(store(folder.path()).await, &local, config(100)).await.err().unwrap();
        let told = format!("{error}: {}", std::error::Error::source(&error).unwrap());
        assert!(told.contains(&file.display().to_string()), "{told}");
    }
    std::fs::write(&file, whole).unwrap();
    assert!(all(&open(&folder, config(100)).await).await == leaves(1..10));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emitter_counts_in_order_and_begins_a_new_epoch_with_each_start() {
    let folder = tempfile::tempdir().unwrap();
    for epoch in 1..4 {
        let trail = open(&folder, config(5)).await;
        let emitter = trail.emitter("server");
        assert_eq!(emitter.epoch(), epoch);
        for sequence in 1..5 {
            let draft = Draft::new(Kind::SshSessionStarted, Timestamp::now());
            let AppendOutcome::New { index, id } = emitter.emit(draft).await.unwrap() else {
                panic!("a duplicate")
            };
            assert_eq!(id.to_string(), format!("main.server.{epoch}.{sequence}"));
            assert_eq!(index, (epoch - 1) * 4 + sequence - 1);
        }
        trail.close().await;
    }
    assert_verifies(&folder, "three starts").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_only_sees_segments_and_log_beside_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(&folder, config(10)).await;
    for start in (1..31).step_by(5) {
        trail.append(events(start..start + 5)).await.unwrap();
    }
    wait_until_sealed(&trail, 20).await;
    let local = folder.path().join("local");
    let reading = Trail::open_read_only(store(folder.path()).await, Some(&local), config(10)).await.unwrap();
    assert!(all(&reading).await == leaves(1..31));
    assert!(reading.append(events(31..32)).await.is_err());
    let head = reading.checkpoint().await.unwrap();
    assert_eq!(verify_note(&head.note, &trail.vkey().unwrap()).unwrap().size, head.size);
    verify_inclusion(&reading.inclusion(3, 30).await.unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_last_handle_lets_the_folder_go() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(&folder, config(10)).await;
    trail.append(events(1..3)).await.unwrap();
    drop(trail);
    let (store, local) = (store(folder.path()).await, folder.path().join("local"));
    let began = std::time::Instant::now();
    while began.elapsed() < WAIT_LIMIT {
        match Trail::open(store.clone(), &local, config(10)).await {
            Ok(trail) => {
                assert_eq!(trail.size(), 2);
                return;
            }
            Err(OpenError::Locked { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the folder stayed locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_hold_with_kept_hashes_with_wrong_ones_and_with_none() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(&folder, config(600)).await;
    for start in (1..1201).step_by(300) {
        trail.append(events(start..start + 300)).await.unwrap();
    }
    trail.append(events(1201..1202)).await.unwrap();
    wait_until_sealed(&trail, 1200).await;
    trail.close().await;
    let kept = folder.path().join("local/cache/main.hashes");
    assert_eq!(std::fs::metadata(&kept).unwrap().len(), 4 * 8192);
    for change in [None, Some(vec![7; 4 * 8192]), Some(Vec::new())] {
        if let Some(bytes) = change {
            std::fs::write(&kept, bytes).unwrap();
        }
        let trail = open(&folder, config(600)).await;
        for index in [0, 255, 256, 700, 1100] {
            verify_inclusion(&trail.inclusion(index, 1201).await.unwrap()).unwrap();
        }
        trail.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_end_is_dropped_although_the_next_file_was_made_already() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(&folder, config(8)).await;
    trail.append(events(1..4)).await.unwrap();
    // Half full: the next file is being created.
    trail.append(events(4..7)).await.unwrap();
    trail.close().await;
    let local = folder.path().join("local");
    let wal = |generation: u64| local.join(format!("wal/{generation:016}.log"));
    assert!(wal(2).exists());
    let mut bytes = std::fs::read(wal(1)).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    // The mark and the last batch's end did not reach the disk.
    bytes[end - 60..].fill(0);
    std::fs::write(wal(1), &bytes).unwrap();
    let trail = open(&folder, config(8)).await;
    assert!(all(&trail).await == leaves(1..4));
    trail.append(events(1..20)).await.unwrap();
    assert!(all(&trail).await == leaves(1..20));
    trail.close().await;
    assert_verifies(&folder, "after a torn end").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_filled_while_the_store_was_away_goes_on_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let (away, tries) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
    let mut config = config(10);
    // Everything is overdue at once, so the sealer asks the writer for its file while the writer waits for the sealer.
    (config.segment_age, config.log_limit) = (Duration::from_millis(1), 1);
    config.faults = Faults::with_plan({
        let (away, tries) = (away.clone(), tries.clone());
        move |step, moment| {
            let asked = step == Step::PutManifest && moment == Moment::Before;
            tries.fetch_add(u64::from(asked), Ordering::SeqCst);
            asked && away.load(Ordering::SeqCst)
        }
    });
    let trail = open(&folder, config).await;
    let sender = tokio::spawn({
        let trail = trail.clone();
        async move {
            for sequence in 1..=200 {
                trail.append(vec![event(sequence)]).await.unwrap();
            }
        }
    });
    until(|| trail.state() == State::Full).await;
    let then = tries.load(Ordering::SeqCst);
    until(|| tries.load(Ordering::SeqCst) > then + 2).await;
    away.store(false, Ordering::SeqCst);
    until(|| trail.size() == 200).await;
    sender.await.unwrap();
    trail.close().await;
    assert_verifies(&folder, "after the store was away").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seal_that_was_interrupted_goes_on_with_its_range_although_more_is_due_by_then() {
    for restarts in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (away, tries) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let overdue_at_once = || TrailConfig { segment_age: Duration::from_millis(1), ..config(1 << 20) };
        let faults = Faults::with_plan({
            let (away, tries) = (away.clone(), tries.clone());
            move |step, moment| {
                let asked = step == Step::PutManifest && moment == Moment::Before;
                tries.fetch_add(u64::from(asked), Ordering::SeqCst);
                asked && away.load(Ordering::SeqCst)
            }
        });
        let mut trail = open(&folder, TrailConfig { faults, ..overdue_at_once() }).await;
        trail.append(events(1..10)).await.unwrap();
        // By then the segment's files are in the store, and no manifest speaks of them.
        until(|| tries.load(Ordering::SeqCst) > 0).await;
        trail.append(events(10..20)).await.unwrap();
        if restarts {
            trail.close().await;
            trail = open(&folder, overdue_at_once()).await;
        } else {
            away.store(false, Ordering::SeqCst);
        }
        wait_until_sealed(&trail, 19).await;
        trail.close().await;
        assert_verifies(&folder, if restarts { "after a restart" } else { "without one" }).await;
    }
}
