use std::collections::BTreeMap;

use meshtrail_event::{Family, Timestamp};

use super::*;
use crate::sealed_fixture::{signing, verifier};
use crate::store::{Store, StoreLocation, WritePolicy};
use crate::tree::plan::Part;
use crate::tree::{Frontier, Hash, InclusionProof, Tail, leaf_hash, node_hash, plan, verify_inclusion};

fn leaf(index: u64) -> Hash {
    leaf_hash(&index.to_le_bytes())
}

fn segment(first: u64, end: u64) -> Segment {
    let mut tail = Tail::new();
    (0..end).for_each(|index| tail.push(leaf(index)));
    let name = format!("segments/family=flow/date=2026-11-20/{first}-{}.parquet", end - 1);
    let time = Timestamp::from_seconds(1_790_000_000).unwrap();
    let file = SegmentFile {
        bytes: 100,
        family: Family::Flow,
        first,
        last: end - 1,
        rows: end - first,
        sha256: Hash::of(name.as_bytes()),
        path: name,
        sources: Some(
            BTreeMap::from([("agent.a".parse().unwrap(), vec![SequenceSpan { epoch: 1, first, last: end }])])
                .into(),
        ),
        times: TimeSpan { max: time, min: time },
    };
    Segment {
        files: vec![file],
        first,
        last: end - 1,
        sealed: time,
        subtrees: subtrees_of(&tail, first, end).unwrap(),
    }
}

fn epochs(high: u64, missing: &[(u64, u64)]) -> Sources {
    [("agent.a".parse().unwrap(), vec![EpochState { epoch: 1, high, missing: missing.to_vec() }])].into()
}

/// The bytes of `count` manifests that each seal 3 events, and the state after them.
fn chain(count: u64) -> (Vec<Vec<u8>>, Fold) {
    let mut fold = Fold::new("main", "example.com/main");
    let (mut files, key) = (Vec::new(), signing());
    for number in 1..=count {
        let retired = (number % 100 == 0).then(|| fold.retirement(3 * (number - 50)).unwrap());
        let sealed = vec![segment(3 * (number - 1), 3 * number)];
        let change = ManifestChange { sealed, dedupe: epochs(3 * number, &[(1, 2)]), retired };
        let mut next = fold.next(change, Timestamp::from_nanos(0)).unwrap();
        next.sign(&key);
        let (bytes, hash) = next.to_bytes();
        let name = format!("manifest/{number:010}.json");
        fold.apply(&Manifest::parse(&name, &bytes).unwrap(), hash).unwrap();
        files.push(bytes);
    }
    (files, fold)
}

fn same_state(left: &Fold, right: &Fold) {
    assert_eq!((left.number(), left.hash(), left.tree()), (right.number(), right.hash(), right.tree()));
    assert_eq!(
        (left.segments(), left.retired(), left.dedupe()),
        (right.segments(), right.retired(), right.dedupe())
    );
}

#[test]
fn a_manifest_is_canonical_json_that_begins_with_its_version() {
    let (files, _) = chain(257);
    for bytes in [&files[0], &files[99], &files[255], &files[256]] {
        let value: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        assert_eq!(meshtrail_event::canonical_json(&value), String::from_utf8_lossy(bytes));
        assert!(bytes.starts_with(b"{\"$manifest\":2,"));
    }
}

#[test]
fn the_fold_has_the_root_that_the_leaves_have() {
    let (_, fold) = chain(120);
    let mut frontier = Frontier::new();
    (0..360).for_each(|index| frontier.push_hash(leaf(index)));
    assert_eq!((fold.size(), fold.tree().root), (360, frontier.root()));
    assert_eq!((fold.retired_size(), fold.segments().len()), (150, 70));
    assert_eq!(fold.segment_of(151).map(|segment| segment.first), Some(150));
    assert_eq!((fold.segment_of(149), fold.segment_of(360)), (None, None));
}

/// A subtree's hash from what is kept of retired events and from the leaves behind them.
fn hash_of(node: plan::Node, retired: &Retired) -> Hash {
    let (first, end) = (node.index << node.level, (node.index + 1) << node.level);
    if end <= retired.size {
        return retired.node(node).unwrap();
    }
    if node.level == 0 {
        return leaf(first);
    }
    let child = |index| hash_of(plan::Node { level: node.level - 1, index }, retired);
    node_hash(&child(node.index * 2), &child(node.index * 2 + 1))
}

#[test]
fn what_is_kept_of_retired_events_is_all_that_proofs_of_the_others_need() {
    let (_, fold) = chain(120);
    let (retired, size, root) = (fold.retired().unwrap(), fold.size(), fold.tree().root);
    for index in retired.size..size {
        let part = |part: plan::Part| {
            Part::hash(&part.0.into_iter().map(|node| hash_of(node, retired)).collect::<Vec<_>>())
        };
        let hashes = plan::inclusion(index, size).into_iter().map(part).collect();
        let proof = InclusionProof { index, leaf_hash: leaf(index), size, root, hashes };
        assert_eq!(verify_inclusion(&proof), Ok(()), "leaf {index}");
    }
}

#[tokio::test]
async fn loading_reads_the_same_state_from_complete_manifests_and_from_all() {
    let (files, _) = chain(600);
    for count in [1, 2, 255, 256, 257, 511, 512, 600] {
        let folder = tempfile::tempdir().unwrap();
        let location = StoreLocation::Folder(folder.path().to_owned());
        let store = Store::open(&location, &WritePolicy::default()).await.unwrap();
        let root = root_key("main").unwrap();
        std::fs::create_dir_all(folder.path().join("trails/main/manifest")).unwrap();
        let mut whole = Fold::new("main", "example.com/main");
        for (at, bytes) in files[..count].iter().enumerate() {
            let key = manifest_key(&root, at as u64 + 1);
            std::fs::write(folder.path().join(key.as_str()), bytes).unwrap();
            whole.apply(&Manifest::parse(key.name(), bytes).unwrap(), Hash::of(bytes)).unwrap();
        }
        let loaded = load(&store, &root, Some(&verifier())).await.unwrap().unwrap();
        same_state(&loaded, &whole);
        let next = |fold: &Fold| fold.next(ManifestChange::default(), Timestamp::from_nanos(0)).unwrap();
        assert_eq!(next(&loaded), next(&whole), "the next manifest is the same however the state was read");
    }
}

#[test]
fn no_byte_of_a_chain_can_be_changed() {
    let (files, _) = chain(3);
    let verifier = verifier();
    let refused = |files: &[Vec<u8>]| {
        let mut fold = Fold::new("main", "example.com/main");
        files.iter().any(|bytes| match Manifest::parse("m", bytes) {
            Ok(manifest) => {
                !manifest.is_signed_by(&verifier) || fold.apply(&manifest, Hash::of(bytes)).is_err()
            }
            Err(_) => true,
        })
    };
    assert!(!refused(&files));
    for (file, at) in (1..3).flat_map(|file| (0..files[file].len()).map(move |at| (file, at))) {
        let mut changed = files.clone();
        changed[file][at] ^= 1;
        assert!(refused(&changed), "byte {at} of {file}, the newest included");
    }
    assert!(refused(&[files[0].clone(), files[2].clone()]), "one is missing");
    assert!(refused(&[files[1].clone()]), "the first is missing");
}

#[test]
fn an_error_names_the_file_and_the_field() {
    let (files, _) = chain(2);
    let text = String::from_utf8(files[1].clone()).unwrap();
    let hash = Hash::of(b"segments/family=flow/date=2026-11-20/3-5.parquet").to_string();
    let cases = [
        (text.replace("{\"$manifest\":2", "{\"$manifest\":3"), "version 3"),
        (text.replace("{\"$manifest\":2", "{\"$manifest\":1"), "sealed[0].files[0]"),
        (text.replace("{\"$manifest\":2", "{\"$manifest\":0"), "not a manifest"),
        (text.replace("{\"$manifest\":2", "{\"x\":2"), "not a manifest"),
        (text.replace(&hash, "00"), "sealed[0].files[0].sha256"),
        (text.replace("\"rows\":3", "\"rows\":4"), "sealed[0].files[0]"),
        (text.replace("\"rows\":3", "\"rows\":-1"), "sealed[0].files[0].rows"),
        (text.replace("\"number\":2", "\"number\":2,\"novel\":1"), "novel"),
        (text.replace("\"missing\":[[1,2]]", "\"missing\":[[2,1]]"), "dedupe.agent.a"),
        (text.replace("segments/family=flow", "../../etc"), "sealed[0].files[0]"),
        (text.replace("\"number\":2", "\"number\": 2"), "canonical"),
        (text.clone() + " ", "canonical"),
        (text[..text.len() - 2].to_owned(), "field"),
        (String::new(), "not a manifest"),
    ];
    for (text, expected) in cases {
        let error = Manifest::parse("manifest/0000000002.json", text.as_bytes()).unwrap_err().to_string();
        assert!(
            error.contains("manifest/0000000002.json") && error.contains(expected),
            "{expected}: {error}"
        );
    }
}

#[test]
fn only_whole_segments_before_the_last_are_retired() {
    let (_, fold) = chain(4);
    for refused in [0, 1, 4, 12, 13, 15] {
        assert!(fold.retirement(refused).is_none(), "{refused}");
    }
    assert_eq!(fold.retirement(9).map(|retired| retired.size), Some(9));
}

#[tokio::test]
async fn a_put_that_failed_but_was_carried_out_is_recognised_as_ours() {
    let folder = tempfile::tempdir().unwrap();
    let location = StoreLocation::Folder(folder.path().to_owned());
    let store = Store::open(&location, &WritePolicy::default()).await.unwrap();
    let root = root_key("main").unwrap();
    let (mut ours, at) = (Fold::new("main", "example.com/main"), Timestamp::from_nanos(0));
    let change = || ManifestChange { sealed: vec![segment(0, 3)], ..ManifestChange::default() };

    // A file where the folder should be: the put fails, and we don't know how far it came.
    std::fs::create_dir_all(folder.path().join("trails/main")).unwrap();
    std::fs::write(folder.path().join("trails/main/manifest"), b"").unwrap();
    let failed = put_next(&store, &root, &signing(), &mut ours, change(), at).await;
    assert!(matches!(failed, Err(PutNextError::Store { .. })), "{failed:?}");
    std::fs::remove_file(folder.path().join("trails/main/manifest")).unwrap();
    let mut it_was = Fold::new("main", "example.com/main");
    assert_eq!(put_next(&store, &root, &signing(), &mut it_was, change(), at).await.unwrap(), Put::Done);

    assert_eq!(put_next(&store, &root, &signing(), &mut ours, change(), at).await.unwrap(), Put::Earlier);
    same_state(&ours, &it_was);
    let mut other = Fold::new("main", "example.com/main");
    let later = put_next(&store, &root, &signing(), &mut other, change(), Timestamp::from_nanos(7)).await;
    assert!(matches!(later, Err(PutNextError::SecondWriter { .. })), "{later:?}");
}
