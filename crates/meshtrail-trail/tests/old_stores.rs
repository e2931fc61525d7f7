//! Stores written by older versions: opened, read, verified, proven and continued.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::path::{Path, PathBuf};
use std::process::Command;

use futures::StreamExt;
use meshtrail_event::{Draft, Event, EventId, Kind, Timestamp};
use meshtrail_trail::manifest::{Manifest, load, manifest_key, root_key};
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
use meshtrail_trail::tree::{Frontier, leaf_hash, verify_consistency, verify_inclusion};
use meshtrail_trail::verify::{Scope, VerifyRequest, verify};
use meshtrail_trail::{Checkpoint, Scan, Trail, TrailConfig};
use tempfile::TempDir;

/// A copy of a fixture that a test may change: its store, and a stored checkpoint.
fn unpack(name: &str) -> (TempDir, PathBuf, String) {
    let folder = tempfile::tempdir().unwrap();
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name);
    let mut tar = Command::new("tar");
    let status = tar.arg("xzf").arg(archive).arg("-C").arg(folder.path()).status().unwrap();
    assert!(status.success(), "{name} could not be unpacked");
    let note = std::fs::read_to_string(folder.path().join("checkpoint")).unwrap();
    let store = folder.path().join("store");
    (folder, store, note)
}

async fn open(store: &Path) -> Trail {
    let config = TrailConfig { segment_events: 300, ..TrailConfig::new("main") };
    let location = StoreLocation::Folder(store.to_owned());
    let opened = Store::open(&location, &WritePolicy::default()).await.unwrap();
    Trail::open(opened, &store.join("local"), config).await.unwrap()
}

fn event(sequence: u64) -> Event {
    let id = EventId { source: "later".parse().unwrap(), epoch: 1, sequence };
    let time = Timestamp::from_nanos(1_795_200_000_000_000_001 + i64::try_from(sequence).unwrap());
    Draft::new(Kind::FlowClosed, time).into_event(id, time)
}

async fn holds(store: &Path, note: &str) {
    let location = StoreLocation::Folder(store.to_owned());
    let opened = Store::open(&location, &WritePolicy::default()).await.unwrap();
    let against = vec![note.to_owned()];
    let request = VerifyRequest { trail: "main".into(), scope: Scope::All, vkey: None, against };
    let report = verify(&opened, Some(&store.join("local")), &request, &|_| {}).await;
    let words: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    assert!(report.holds(), "{words:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_any_older_version_is_read_proven_and_gone_on_with() {
    for name in ["store-1.tar.gz", "store-2.tar.gz"] {
        let (_folder, store, note) = unpack(name);
        let kept = Checkpoint::parse_unverified(&note).unwrap();
        let trail = open(&store).await;
        assert!(trail.size() >= kept.size, "{name}");

        let mut tree = Frontier::new();
        let mut rows = std::pin::pin!(trail.scan(Scan::oldest(0..kept.size)));
        while let Some(row) = rows.next().await {
            let (index, leaf) = row.unwrap();
            tree.push_hash(leaf_hash(&leaf));
            if index % 97 == 0 {
                let event = Event::from_json(&leaf).unwrap();
                assert_eq!(trail.find(&event.id).await.unwrap(), Some(index), "{name}: {}", event.id);
                verify_inclusion(&trail.inclusion(index, kept.size).await.unwrap()).unwrap();
            }
        }
        assert_eq!((tree.size(), tree.root()), (kept.size, kept.root), "{name}: leaves are what they were");
        verify_consistency(&trail.consistency(kept.size, trail.size()).await.unwrap()).unwrap();

        let before = trail.size();
        for batch in 0..5 {
            trail.append((batch * 200 + 1..=batch * 200 + 200).map(event).collect()).await.unwrap();
        }
        // New segments have the current format, beside the existing ones.
        let (location, root) = (StoreLocation::Folder(store.clone()), root_key("main").unwrap());
        let opened = Store::open(&location, &WritePolicy::default()).await.unwrap();
        while load(&opened, &root, None).await.unwrap().is_none_or(|fold| fold.size() < before) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(trail.read(before..before + 1, usize::MAX).await.unwrap()[0].1, event(1).to_leaf());
        trail.close().await;
        holds(&store, &note).await;

        let fold = load(&opened, &root, None).await.unwrap().unwrap();
        let newest = opened.get(&manifest_key(&root, fold.number())).await.unwrap();
        let newest = Manifest::parse("newest", &newest).unwrap();
        assert!(newest.sealed.iter().flat_map(|one| &one.files).all(|file| file.path.contains("/family=")));
    }
}
