use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::retention::sweep;
use crate::sealed_fixture::{SealedTrail, hour, signing};
use crate::tree::leaf_hash;

fn all() -> VerifyRequest {
    VerifyRequest { trail: "main".into(), scope: Scope::All, vkey: None, against: Vec::new() }
}

fn note_of(sealed: &SealedTrail, size: u64) -> String {
    let mut frontier = Frontier::new();
    sealed.leaves[..size as usize].iter().for_each(|leaf| frontier.push_hash(leaf_hash(leaf)));
    sealed.sign(size, frontier.root())
}

/// A trail with a segment of each of these sizes and a checkpoint over all of them.
async fn signed_trail(sizes: &[u64]) -> SealedTrail {
    let sealed = SealedTrail::of(sizes).await;
    sealed.publish().await;
    sealed
}

async fn run(sealed: &SealedTrail, request: &VerifyRequest) -> Report {
    verify(&sealed.store, None, request, &|_| {}).await
}

fn words(report: &Report) -> Vec<String> {
    report.problems.iter().map(ToString::to_string).collect()
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path, found) } else { found.push(path) }
    }
}

/// Every object of the trail with its key.
fn objects(sealed: &SealedTrail) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    files_below(&sealed.folder.path().join("trails"), &mut found);
    found.sort();
    let key = |path: &PathBuf| path.strip_prefix(sealed.folder.path()).unwrap().to_str().unwrap().to_owned();
    found.iter().map(|path| (key(path), path.clone())).collect()
}

#[tokio::test]
async fn an_untouched_trail_holds_and_all_of_it_was_looked_at() {
    let sealed = signed_trail(&[300, 700, 5, 66_000, 256]).await;
    let report = run(&sealed, &all()).await;
    assert_eq!((words(&report), report.notes.as_slice()), (vec![], &[][..]));
    assert_eq!(report.head, Some(sealed.fold.tree()));
    let VerifyCounts { manifests, segments, events, checkpoints, tiles, .. } = report.checked;
    assert_eq!((manifests, segments, events, checkpoints), (5, 5, 67_261, 1));
    let stored_tiles = objects(&sealed).iter().filter(|(key, _)| key.contains("/tile/")).count() as u64;
    assert_eq!(tiles, stored_tiles);
}

#[tokio::test]
async fn one_changed_byte_anywhere_is_found_in_its_file() {
    let sealed = signed_trail(&[300, 700, 5]).await;
    for (key, path) in objects(&sealed) {
        let whole = std::fs::read(&path).unwrap();
        for at in [0, whole.len() / 3, whole.len() / 2, whole.len() - 2] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            let report = run(&sealed, &all()).await;
            assert!(
                words(&report).iter().any(|words| words.contains(&key)),
                "{key} at {at}: {:?}",
                words(&report)
            );
        }
        std::fs::write(&path, whole).unwrap();
    }
    assert!(run(&sealed, &all()).await.holds());
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let sealed = signed_trail(&[300, 700, 66_000, 5]).await;
    for (key, path) in objects(&sealed) {
        let older_edge =
            key.contains(".p/") && !TileId::partial(67_005).any(|tile| key.ends_with(&tile.to_string()));
        let hidden = path.with_extension("hidden");
        std::fs::rename(&path, &hidden).unwrap();
        let moved = sealed.folder.path().join("aside");
        std::fs::rename(&hidden, &moved).unwrap();
        let report = run(&sealed, &all()).await;
        std::fs::rename(&moved, &path).unwrap();
        if older_edge {
            assert!(report.holds(), "{key} is only of an older seal: {:?}", words(&report));
            continue;
        }
        let newest_manifest = key.ends_with("0000000004.json");
        let expected = if newest_manifest { "checkpoint does not hold: signs 67005 events" } else { &key };
        assert!(words(&report).iter().any(|words| words.contains(expected)), "{key}: {:?}", words(&report));
    }
}

#[tokio::test]
async fn a_removed_end_contradicts_the_checkpoint() {
    let sealed = signed_trail(&[300, 5]).await;
    for (key, path) in objects(&sealed) {
        if key.contains("300-304") || key.ends_with("0000000002.json") || key.ends_with("tile/1/000.p/1") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let report = run(&sealed, &all()).await;
    let expected = "only 300 are here (the server's log was not looked at): events 300 to 304 are missing";
    assert!(words(&report).iter().any(|words| words.contains(expected)), "{:?}", words(&report));
}

#[tokio::test]
async fn an_older_copy_holds_in_itself_but_not_against_a_newer_checkpoint() {
    let (today, yesterday) = (signed_trail(&[300, 5]).await, signed_trail(&[300]).await);
    assert!(run(&yesterday, &all()).await.holds());
    let against = VerifyRequest { against: vec![note_of(&today, 305)], ..all() };
    let report = run(&yesterday, &against).await;
    assert_eq!(report.problems.len(), 1, "{:?}", words(&report));
    assert!(
        words(&report)[0].starts_with("given checkpoint 1 does not hold: signs 305 events, but only 300")
    );
}

#[tokio::test]
async fn checkpoints_of_any_earlier_size_are_compared() {
    let sealed = signed_trail(&[300, 700, 5]).await;
    for size in [0, 1, 255, 256, 299, 300, 301, 512, 999, 1000, 1004, 1005] {
        let note = note_of(&sealed, size);
        let against = VerifyRequest { against: vec![note], ..all() };
        let report = run(&sealed, &against).await;
        assert!(report.holds() && report.notes.is_empty(), "{size}: {:?} {:?}", words(&report), report.notes);
        assert_eq!(report.checked.checkpoints, 2);

        let other = sealed.sign(size, leaf_hash(b"another history"));
        let report = run(&sealed, &VerifyRequest { against: vec![other], ..all() }).await;
        assert!(
            matches!(report.problems[..], [Problem { what: ProblemKind::CheckpointRoot { .. }, .. }]),
            "{size}"
        );
    }
}

#[tokio::test]
async fn one_event_is_verified_by_reading_its_segment_alone() {
    let sealed = signed_trail(&[300, 700, 5]).await;
    let event = VerifyRequest { scope: Scope::Event("agent.a.1.400".parse().unwrap()), ..all() };
    let report = run(&sealed, &event).await;
    assert_eq!((words(&report), report.found, report.checked.segments), (vec![], Some(399), 1));

    let none = VerifyRequest { scope: Scope::Event("agent.a.1.4000".parse().unwrap()), ..all() };
    assert_eq!(
        words(&run(&sealed, &none).await),
        ["event agent.a.1.4000 does not hold: no such event in this trail"]
    );

    let range = VerifyRequest { scope: Scope::Indices(299..1000), ..all() };
    let report = run(&sealed, &range).await;
    assert_eq!((words(&report), report.checked.segments), (vec![], 2));
    let beyond = VerifyRequest { scope: Scope::Indices(0..1006), ..all() };
    assert!(matches!(
        run(&sealed, &beyond).await.problems[..],
        [Problem { what: ProblemKind::Beyond { there: 1005 }, .. }]
    ));
}

#[tokio::test]
async fn after_retention_the_rest_verifies_and_still_meets_old_checkpoints() {
    let mut sealed = signed_trail(&[300, 70_000, 200, 5]).await;
    let (store, root) = (sealed.store.clone(), sealed.root.clone());
    sweep(&store, &root, &signing(), &mut sealed.fold, Duration::from_secs(3600), hour(3)).await.unwrap();
    assert_eq!(sealed.fold.retired_size(), 70_500);
    let against = [299, 300, 70_300, 70_500, 70_505].map(|size| note_of(&sealed, size)).to_vec();
    let report = run(&sealed, &VerifyRequest { against, ..all() }).await;
    assert_eq!(words(&report), Vec::<String>::new());
    assert_eq!((report.checked.retired, report.checked.events), (70_500, 5));
    let compared = |size: u64| {
        let missed =
            |note: &Note| matches!(note, Note::NotComparable { size: missed, .. } if *missed == size);
        !report.notes.iter().any(missed)
    };
    assert_eq!([299, 300, 70_300, 70_500, 70_505].map(compared), [false, false, false, true, true]);
    let gone = VerifyRequest { scope: Scope::Indices(0..10), ..all() };
    assert!(matches!(
        run(&sealed, &gone).await.problems[..],
        [Problem { what: ProblemKind::Retired { .. }, .. }]
    ));
}

#[tokio::test]
async fn a_tile_over_retired_events_can_not_be_changed() {
    let mut sealed = signed_trail(&[70_000, 70_000, 5]).await;
    let (store, root) = (sealed.store.clone(), sealed.root.clone());
    sweep(&store, &root, &signing(), &mut sealed.fold, Duration::from_secs(3600), hour(2)).await.unwrap();
    assert!(run(&sealed, &all()).await.holds());
    let path = sealed.path("tile/1/000");
    let mut tile = std::fs::read(&path).unwrap();
    tile[40] ^= 1;
    std::fs::write(&path, tile).unwrap();
    let report = run(&sealed, &all()).await;
    assert!(words(&report).iter().any(|words| words.contains("trails/main/tile/1/000 does not hold")));
}

#[tokio::test]
async fn what_nobody_speaks_of_is_told_apart() {
    let sealed = signed_trail(&[300]).await;
    let put = |name: &str| {
        let path = sealed.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"x").unwrap();
    };
    put("segments/family=flow/date=2026-11-20/300-400.parquet");
    put("tile/1/005");
    let report = run(&sealed, &all()).await;
    assert!(report.holds() && report.notes.len() == 2, "a seal may be under way: {:?}", words(&report));
    put("segments/family=flow/date=2026-11-20/0-7.parquet");
    put("tile/0/000");
    put("notes.txt");
    let report = run(&sealed, &all()).await;
    assert_eq!(report.problems.len(), 3, "{:?}", words(&report));
    assert!(report.problems.iter().all(|problem| problem.what == ProblemKind::Extra));
}

#[tokio::test]
async fn what_can_not_be_read_is_not_called_wrong() {
    let sealed = signed_trail(&[300]).await;
    let path = sealed.path("segments/family=flow/date=2026-11-20/0-299.parquet");
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&path, &path).unwrap();
    let report = run(&sealed, &all()).await;
    assert!(
        report.problems.iter().any(|problem| problem.verdict() == Verdict::CannotRead),
        "{:?}",
        words(&report)
    );
    assert!(
        report.problems.iter().all(|problem| problem.verdict() != Verdict::DoesNotHold),
        "{:?}",
        words(&report)
    );
}
