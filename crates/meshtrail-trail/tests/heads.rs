//! Issued heads: whatever happens to log, local folder or store afterwards, a trail with fewer events than they sign, or
//! other ones, neither opens nor verifies.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use meshtrail_event::{Draft, Event, EventId, Kind, Timestamp};
use meshtrail_trail::fault::{Faults, Moment, Step};
use meshtrail_trail::manifest::{load, root_key};
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
use meshtrail_trail::tree::verify_consistency;
use meshtrail_trail::verify::{Note, Problem, ProblemKind, Report, Scope, VerifyRequest, verify};
use meshtrail_trail::{OpenError, SignedCheckpoint, Trail, TrailConfig, verify_note};
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

async fn try_open(folder: &Path, config: TrailConfig) -> Result<Trail, OpenError> {
    Trail::open(store(folder).await, &folder.join("local"), config).await
}

async fn open(folder: &Path) -> Trail {
    try_open(folder, config()).await.unwrap()
}

/// The error text of a refused start.
async fn refusal_of(folder: &Path) -> String {
    let error = try_open(folder, config()).await.err().expect("it opened");
    error.to_string()
}

async fn run(folder: &Path, local: Option<&Path>) -> Report {
    let request = VerifyRequest { trail: "main".into(), scope: Scope::All, vkey: None, against: Vec::new() };
    verify(&store(folder).await, local, &request, &|_| {}).await
}

async fn run_here(folder: &Path) -> Report {
    run(folder, Some(&folder.join("local"))).await
}

fn words(report: &Report) -> Vec<String> {
    report.problems.iter().map(ToString::to_string).collect()
}

fn local_head(folder: &Path) -> PathBuf {
    folder.join("local/head")
}

fn stored_head(folder: &Path) -> PathBuf {
    folder.join("trails/main/head")
}

/// A stopped trail of 250 events, 200 of them sealed, with a head over all of them.
async fn trail_with_head() -> (TempDir, SignedCheckpoint) {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(folder.path()).await;
    for start in (1..251).step_by(50) {
        trail.append(events(start..start + 50)).await.unwrap();
    }
    let head = trail.checkpoint().await.unwrap();
    let (store, root) = (store(folder.path()).await, root_key("main").unwrap());
    while load(&store, &root, None).await.unwrap().is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    trail.close().await;
    (folder, head)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)
        } else {
            drop(std::fs::copy(entry.path(), target))
        }
    }
}

fn log_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder.join("local/wal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Changes text in the log and repairs the checksums, as an attacker who knows the format would.
fn edit_log(folder: &Path, from: &str, to: &str) {
    let mut edited = 0;
    for path in log_files(folder) {
        let mut bytes = std::fs::read(&path).unwrap();
        let generation: [u8; 8] = bytes[12..20].try_into().unwrap();
        let mut at = 4096;
        while bytes[at..].starts_with(b"MTFR") {
            let length = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
            let frame = &mut bytes[at..at + 24 + length];
            let found = frame.windows(from.len()).position(|window| window == from.as_bytes());
            if let Some(found) = found {
                frame[found..found + from.len()].copy_from_slice(to.as_bytes());
                edited += 1;
            }
            let crc = crc32c::crc32c_append(crc32c::crc32c(&generation), &frame[..8]);
            let crc = crc32c::crc32c_append(crc, &frame[12..]);
            frame[8..12].copy_from_slice(&crc.to_le_bytes());
            at += (24 + length).next_multiple_of(8);
        }
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(edited > 0, "{from} is not in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_on_disk_and_in_the_store_when_it_is_given_out_and_the_checkpoint_stays_that_of_what_is_sealed()
 {
    let (folder, head) = trail_with_head().await;
    assert_eq!(std::fs::read_to_string(local_head(folder.path())).unwrap(), head.note);
    assert_eq!(std::fs::read_to_string(stored_head(folder.path())).unwrap(), head.note);
    let sealed = std::fs::read(folder.path().join("trails/main/checkpoint")).unwrap();
    assert_eq!((head.size, verify_note(sealed, &head.vkey).unwrap().size), (250, 200));
    assert_eq!(words(&run_here(folder.path()).await), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_step_of_giving_out_a_head_leaves_a_trail_that_opens_and_goes_on() {
    for step in [Step::PutHead, Step::SyncHead] {
        for moment in [Moment::Before, Moment::After] {
            let what = format!("{step:?} {moment:?}");
            let (folder, before) = trail_with_head().await;
            let armed = Arc::new(AtomicBool::new(false));
            let watched = armed.clone();
            let faults = Faults::with_plan(move |at, at_moment| {
                watched.load(Ordering::SeqCst) && (at, at_moment) == (step, moment)
            });
            let trail = try_open(folder.path(), TrailConfig { faults, ..config() }).await.unwrap();
            armed.store(true, Ordering::SeqCst);
            trail.append(events(251..261)).await.unwrap();
            assert!(trail.checkpoint().await.is_err(), "{what}: it was given out without being kept");
            trail.close().await;
            assert_eq!(words(&run_here(folder.path()).await), Vec::<String>::new(), "{what}");

            let trail = open(folder.path()).await;
            trail.append(events(261..271)).await.unwrap();
            let after = trail.checkpoint().await.unwrap();
            assert_eq!(after.size, 270, "{what}");
            let proof = trail.consistency(before.size, after.size).await.unwrap();
            verify_consistency(&proof).unwrap();
            assert_eq!((proof.from_root, proof.to_root), (before.root, after.root), "{what}");
            trail.close().await;
            assert_eq!(words(&run_here(folder.path()).await), Vec::<String>::new(), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_edited_in_the_log_with_mended_checksums_is_found_at_the_start_and_by_verify() {
    let (folder, head) = trail_with_head().await;
    edit_log(folder.path(), "\"id\":\"agent.a.1.230\"", "\"id\":\"agent.b.1.230\"");
    let said = refusal_of(folder.path()).await;
    assert!(said.contains("local/wal were changed") && said.contains("signs root"), "{said}");
    let report = run_here(folder.path()).await;
    let here = local_head(folder.path()).display().to_string();
    for name in [here.as_str(), "trails/main/head"] {
        let found = |problem: &Problem| {
            problem.object == name
                && matches!(problem.what, ProblemKind::CheckpointRoot { size: 250, signed, .. } if signed == head.root)
        };
        assert!(report.problems.iter().any(found), "{name}: {:?}", words(&report));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_start_leaves_the_log_as_it_found_it() {
    let (folder, _) = trail_with_head().await;
    let path = log_files(folder.path()).pop().unwrap();
    let whole = std::fs::read(&path).unwrap();
    let mut cut = whole.clone();
    let end = cut.iter().rposition(|&byte| byte != 0).unwrap();
    // Without the mark and with a broken last frame, the log itself can't show that the frame was acknowledged.
    cut[end - 200..].fill(0);
    std::fs::write(&path, &cut).unwrap();
    assert!(refusal_of(folder.path()).await.contains("a head over 250 events was given out"));
    assert!(std::fs::read(&path).unwrap() == cut, "the start changed it");
    std::fs::write(&path, whole).unwrap();
    assert_eq!(open(folder.path()).await.size(), 250);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_gone_from_the_log_are_missed_at_the_start_and_by_verify() {
    let (folder, _) = trail_with_head().await;
    for path in log_files(folder.path()) {
        std::fs::remove_file(path).unwrap();
    }
    let said = refusal_of(folder.path()).await;
    for part in
        ["a head over 250 events was given out, but only 200 are here", "trail.name", "nothing smaller"]
    {
        assert!(said.contains(part), "{said}");
    }
    let report = run_here(folder.path()).await;
    assert!(
        words(&report)[0]
            .contains("and there is no log in this machine's local folder: events 200 to 249 are missing"),
        "{:?}",
        words(&report)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_local_folder_does_not_open_over_a_store_that_knows_a_later_head() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(folder.path()).await;
    trail.append(events(1..21)).await.unwrap();
    trail.checkpoint().await.unwrap();
    trail.close().await;
    let yesterday = tempfile::tempdir().unwrap();
    copy(&folder.path().join("local"), yesterday.path());
    let trail = open(folder.path()).await;
    trail.append(events(21..31)).await.unwrap();
    trail.checkpoint().await.unwrap();
    trail.close().await;

    std::fs::remove_dir_all(folder.path().join("local")).unwrap();
    copy(yesterday.path(), &folder.path().join("local"));
    let said = refusal_of(folder.path()).await;
    assert!(said.starts_with("trails/main/head says that a head over 30 events was given out"), "{said}");
    assert!(said.contains("only 20 are here"), "{said}");
    let report = run_here(folder.path()).await;
    assert_eq!(report.problems.len(), 1, "{:?}", words(&report));
    assert!(matches!(report.problems[0].what, ProblemKind::CheckpointAhead { size: 30, there: 20, .. }));
    // An older store under the current local folder is detected as well.
    std::fs::remove_file(stored_head(folder.path())).unwrap();
    let report = run_here(folder.path()).await;
    assert!(
        matches!(&report.problems[..], [Problem { object, what: ProblemKind::HeadMissing { .. } }] if object == "trails/main/head"),
        "{:?}",
        words(&report)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_kept_no_heads_opens_as_before_and_keeps_one_from_then_on() {
    let (folder, before) = trail_with_head().await;
    std::fs::remove_file(local_head(folder.path())).unwrap();
    std::fs::remove_file(stored_head(folder.path())).unwrap();
    assert_eq!(words(&run_here(folder.path()).await), Vec::<String>::new());
    open(folder.path()).await.close().await;
    for path in [local_head(folder.path()), stored_head(folder.path())] {
        let head = verify_note(std::fs::read(path).unwrap(), &before.vkey).unwrap();
        assert_eq!((head.size, head.root), (before.size, before.root));
    }
    assert_eq!(words(&run_here(folder.path()).await), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_copy_of_the_head_is_enough_to_open_and_none_that_can_be_read_is_not() {
    let (folder, head) = trail_with_head().await;
    let (here, there) = (local_head(folder.path()), stored_head(folder.path()));
    for damaged in [&here, &there] {
        let other_origin = format!("x{}", &head.note[1..]);
        for change in [Some(head.note.replace("\n250\n", "\n240\n")), Some(other_origin), None] {
            match change {
                Some(note) => std::fs::write(damaged, note).unwrap(),
                None => std::fs::remove_file(damaged).unwrap(),
            }
            let trail = open(folder.path()).await;
            assert_eq!(trail.checkpoint().await.unwrap().size, 250);
            // Nothing was appended, so no head was issued; the next one replaces both copies.
            trail.close().await;
            std::fs::write(damaged, &head.note).unwrap();
        }
        let log = folder.path().join("local/wal");
        let aside = folder.path().join("aside");
        std::fs::remove_file(damaged).unwrap();
        std::fs::rename(&log, &aside).unwrap();
        assert!(refusal_of(folder.path()).await.contains("only 200 are here"));
        std::fs::remove_dir_all(&log).unwrap();
        std::fs::rename(&aside, &log).unwrap();
        std::fs::write(damaged, &head.note).unwrap();
    }
    for path in [&here, &there] {
        std::fs::write(path, "not a head").unwrap();
    }
    let said = refusal_of(folder.path()).await;
    assert!(said.starts_with(&format!("{} should hold the newest head", here.display())), "{said}");
    let report = run_here(folder.path()).await;
    assert_eq!(report.problems.len(), 2, "{:?}", words(&report));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_head_is_given_again_and_a_rush_shares_few_while_appends_make_none() {
    let folder = tempfile::tempdir().unwrap();
    let made = Arc::new(AtomicU64::new(0));
    let counted = made.clone();
    let faults = Faults::with_plan(move |step, moment| {
        let head = step == Step::PutHead && moment == Moment::Before;
        counted.fetch_add(u64::from(head), Ordering::SeqCst);
        false
    });
    let trail = try_open(folder.path(), TrailConfig { faults, ..config() }).await.unwrap();
    for sequence in 1..101 {
        trail.append(events(sequence..sequence + 1)).await.unwrap();
    }
    assert_eq!(made.load(Ordering::SeqCst), 0, "an append syncs the log alone");
    let first = trail.checkpoint().await.unwrap();
    for _ in 0..100 {
        assert_eq!(trail.checkpoint().await.unwrap(), first);
        assert_eq!(trail.checkpoint_over(7).await.unwrap(), first);
    }
    assert_eq!(made.load(Ordering::SeqCst), 1);

    let begun = std::time::Instant::now();
    let asking = (0..200).map(|at| {
        let trail = trail.clone();
        tokio::spawn(async move {
            trail.append(events(101 + at..102 + at)).await.unwrap();
            let size = trail.size();
            assert!(
                trail.checkpoint().await.unwrap().size >= size,
                "a head covers what was there when it was asked for"
            );
        })
    });
    for asked in asking.collect::<Vec<_>>() {
        asked.await.unwrap();
    }
    // One head in a tenth of a second, and one at each end, however slow this machine is.
    let most = 3 + u64::try_from(begun.elapsed().as_millis()).unwrap() / 100;
    assert!(made.load(Ordering::SeqCst) <= most, "{} heads, at most {most}", made.load(Ordering::SeqCst));
    assert_eq!(trail.checkpoint().await.unwrap().size, 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_a_head_and_goes_away_leaves_the_newest_one_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let trail = open(folder.path()).await;
    let mut newest = 0;
    for sequence in 1..20 {
        trail.append(events(sequence..sequence + 1)).await.unwrap();
        // Dropped at its first wait.
        drop(futures::FutureExt::now_or_never(trail.checkpoint()));
        if sequence % 5 == 0 {
            newest = trail.checkpoint().await.unwrap().size;
        }
    }
    trail.close().await;
    let vkey = std::fs::read_to_string(folder.path().join("trails/main/vkey")).unwrap();
    for path in [local_head(folder.path()), stored_head(folder.path())] {
        assert!(verify_note(std::fs::read(path).unwrap(), &vkey).unwrap().size >= newest);
    }
    open(folder.path()).await.close().await;
    assert_eq!(words(&run_here(folder.path()).await), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_local_folder_goes_on_where_nothing_given_out_is_lost_and_otherwise_only_a_new_trail_does() {
    let (folder, head) = trail_with_head().await;
    let key = std::fs::read(folder.path().join("local/keys/main.key")).unwrap();
    let lose_local = || {
        std::fs::remove_dir_all(folder.path().join("local")).unwrap();
        std::fs::create_dir_all(folder.path().join("local/keys")).unwrap();
        std::fs::write(folder.path().join("local/keys/main.key"), &key).unwrap();
    };
    let kept = tempfile::tempdir().unwrap();
    copy(folder.path(), kept.path());
    lose_local();
    let said = refusal_of(folder.path()).await;
    assert!(said.contains("only 200 are here") && said.contains("another `trail.name`"), "{said}");
    // Without the server's machine nothing more can be verified.
    let report = run(folder.path(), None).await;
    assert_eq!(words(&report), Vec::<String>::new());
    assert!(report.notes.contains(&Note::GivenOut { size: 250, there: 200 }), "{:?}", report.notes);

    // A new trail in the same store sees the old head, as the message says.
    std::fs::remove_dir_all(folder.path().join("local/wal")).unwrap();
    let next = TrailConfig { segment_events: 200, ..TrailConfig::new("next") };
    let trail = try_open(folder.path(), next).await.unwrap();
    assert_eq!(trail.heads_of_other_trails().await.unwrap(), std::slice::from_ref(&head));
    trail.append(events(1..11)).await.unwrap();
    trail.checkpoint().await.unwrap();
    trail.close().await;
    // The folder no longer belongs to the old trail.
    let said = refusal_of(folder.path()).await;
    assert!(said.contains("is the newest head of another trail"), "{said}");

    // If all of it had been sealed, no event under a head would be lost.
    let folder = kept;
    let all = TrailConfig { segment_age: std::time::Duration::from_millis(1), ..config() };
    let trail = try_open(folder.path(), all).await.unwrap();
    let (store, root) = (store(folder.path()).await, root_key("main").unwrap());
    while load(&store, &root, None).await.unwrap().is_none_or(|fold| fold.size() < 250) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    trail.close().await;
    std::fs::remove_dir_all(folder.path().join("local")).unwrap();
    std::fs::create_dir_all(folder.path().join("local/keys")).unwrap();
    std::fs::write(folder.path().join("local/keys/main.key"), &key).unwrap();
    let trail = open(folder.path()).await;
    trail.append(events(251..261)).await.unwrap();
    assert_eq!(trail.checkpoint().await.unwrap().size, 260);
    trail.close().await;
    assert_eq!(words(&run_here(folder.path()).await), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_in_the_store_that_signs_more_than_there_is_does_not_let_a_trail_begin_again() {
    let (folder, head) = trail_with_head().await;
    std::fs::write(folder.path().join("trails/main/checkpoint"), &head.note).unwrap();
    for path in [local_head(folder.path()), stored_head(folder.path())] {
        std::fs::remove_file(path).unwrap();
    }
    std::fs::remove_dir_all(folder.path().join("local/wal")).unwrap();
    let said = refusal_of(folder.path()).await;
    assert!(
        said.starts_with("trails/main/checkpoint says that a head over 250 events was given out"),
        "{said}"
    );
}
