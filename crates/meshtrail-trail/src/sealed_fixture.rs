//! A store with sealed segments for tests, written after the documented layout without the writer's code.

use std::collections::BTreeMap;

use bytes::Bytes;
use meshtrail_event::{Event, Family, Timestamp};
use tempfile::TempDir;

use crate::manifest::{EpochState, Fold, ManifestChange, Put, Segment, SegmentFile, SequenceSpan, Sources};
use crate::manifest::{TimeSpan, put_next, root_key, subtrees_of};
use crate::note;
use crate::segment::encode;
use crate::store::{Key, PutError, Store, StoreLocation, WritePolicy};
use crate::tree::{Hash, TILE_WIDTH, Tail, TileId, leaf_hash};

/// A trail in a folder, and what is in it.
pub(crate) struct SealedTrail {
    pub(crate) folder: TempDir,
    pub(crate) store: Store,
    pub(crate) root: Key,
    pub(crate) fold: Fold,
    pub(crate) leaves: Vec<Vec<u8>>,
    tail: Tail,
}

/// The time of a seal: one hour apart.
pub(crate) fn hour(hours: u64) -> Timestamp {
    Timestamp::from_seconds(1_790_000_000 + 3600 * i64::try_from(hours).unwrap()).unwrap()
}

/// The key of all trails in tests.
pub(crate) fn signing() -> note::Key {
    note::Key::of_seed("example.com/main", [7; 32])
}

/// Its public half.
pub(crate) fn verifier() -> note::Verifier {
    signing().vkey().parse().unwrap()
}

/// The leaf with this index: mostly flows, some sessions.
pub(crate) fn leaf(index: u64) -> Vec<u8> {
    let kind = if index.is_multiple_of(10) { "ssh.session.started" } else { "flow.opened" };
    let text = format!(
        r#"{{"id":"agent.a.1.{}","kind":"{kind}","outcome":"success","received":"2026-11-20T14:02:11Z","time":"2026-11-20T14:02:11Z"}}"#,
        index + 1
    );
    Event::from_json(text.as_bytes()).unwrap().to_leaf()
}

impl SealedTrail {
    /// A trail with a segment of each of these sizes.
    pub(crate) async fn of(sizes: &[u64]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = StoreLocation::Folder(folder.path().to_owned());
        let store = Store::open(&location, &WritePolicy::default()).await.unwrap();
        let (root, fold) = (root_key("main").unwrap(), Fold::new("main", "example.com/main"));
        let mut sealed = Self { folder, store, root, fold, leaves: Vec::new(), tail: Tail::new() };
        for &size in sizes {
            sealed.seal(size).await;
        }
        sealed
    }

    async fn seal(&mut self, size: u64) {
        let first = self.fold.size();
        let end = first + size;
        for index in first..end {
            let leaf = leaf(index);
            self.tail.push(leaf_hash(&leaf));
            self.leaves.push(leaf);
        }
        let mut files = Vec::new();
        for family in [Family::Flow, Family::Session] {
            files.extend(self.file(family, first, end).await);
        }
        self.put_tiles(first, end).await;
        let sealed = hour(self.fold.number());
        let subtrees = subtrees_of(&self.tail, first, end).unwrap();
        let seen = EpochState { epoch: 1, high: end, missing: Vec::new() };
        let change = ManifestChange {
            sealed: vec![Segment { files, first, last: end - 1, sealed, subtrees }],
            dedupe: Sources::from([("agent.a".parse().unwrap(), vec![seen])]),
            retired: None,
        };
        assert_eq!(
            put_next(&self.store, &self.root, &signing(), &mut self.fold, change, sealed).await.unwrap(),
            Put::Done
        );
    }

    async fn file(&self, family: Family, first: u64, end: u64) -> Option<SegmentFile> {
        let of_family = |index: &u64| index.is_multiple_of(10) == (family == Family::Session);
        let rows: Vec<(u64, &[u8])> = (first..end)
            .filter(of_family)
            .map(|index| (index, self.leaves[index as usize].as_slice()))
            .collect();
        let (&(low, _), &(high, _)) = (rows.first()?, rows.last()?);
        let encoded = encode(family, "main", &rows).unwrap();
        let path = format!("segments/family={family}/date=2026-11-20/{first}-{}.parquet", end - 1);
        let (min, max) = encoded.times.unwrap();
        let span = SequenceSpan { epoch: 1, first: low + 1, last: high + 1 };
        let file = SegmentFile {
            bytes: encoded.bytes.len() as u64,
            family,
            first: low,
            last: high,
            rows: rows.len() as u64,
            sha256: Hash::of(&encoded.bytes),
            sources: Some(BTreeMap::from([("agent.a".parse().unwrap(), vec![span])]).into()),
            times: TimeSpan { max, min },
            path,
        };
        self.store.put_new(&self.key(&file.path), encoded.bytes.into()).await.unwrap();
        Some(file)
    }

    async fn put_tiles(&self, first: u64, end: u64) {
        for level in 1..8u8 {
            let hashes = |size: u64| size >> (8 * level) >> 8;
            for index in hashes(first)..hashes(end) {
                self.put_tile(TileId::full(level, index)).await;
            }
        }
        for tile in TileId::partial(end) {
            self.put_tile(tile).await;
        }
    }

    async fn put_tile(&self, tile: TileId) {
        let hashes = self.tail.tile(tile).unwrap();
        debug_assert!(hashes.len() <= TILE_WIDTH);
        let bytes: Bytes = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect::<Vec<u8>>().into();
        // A partial tile of a level above may be that of the seal before.
        match self.store.put_new(&self.key(&tile.to_string()), bytes).await {
            Ok(()) | Err(PutError::Exists { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// The key of an object of the trail.
    pub(crate) fn key(&self, name: &str) -> Key {
        self.root.join(name).unwrap()
    }

    /// The file of an object of the trail.
    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(self.key(name).as_str())
    }

    /// A checkpoint signed with the trail's key.
    pub(crate) fn sign(&self, size: u64, root: Hash) -> String {
        signing().sign(size, root).note
    }

    /// Puts the checkpoint over all that is sealed, and the key.
    pub(crate) async fn publish(&self) {
        let tree = self.fold.tree();
        self.store.replace(&self.key("checkpoint"), self.sign(tree.size, tree.root).into()).await.unwrap();
        self.store.put_new(&self.key("vkey"), signing().vkey().into()).await.unwrap();
    }
}
