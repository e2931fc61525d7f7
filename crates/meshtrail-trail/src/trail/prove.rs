//! Proofs and tiles, which together with a head let anybody verify the trail.
//!
//! Tiles at the tree's right edge come from memory, tiles above level 0 from the store, and tiles of level 0 are
//! recomputed from their events. Of dropped events, the hashes remain that proofs of the other events need.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::shared::Shared;
use super::{ProofError, Trail};
use crate::note::{self, Checkpoint, SignedCheckpoint};
use crate::tree::plan::{self, Node, Part};
use crate::tree::{
    Bundle, ConsistencyProof, Hash, InclusionProof, TILE_WIDTH, TileId, leaf_hash, node_hash, subtree_of,
    verify_consistency,
};

/// Full tiles in the cache, 8 KiB each.
const MAX_CACHED: usize = 1024;

/// A cache of the tiles used last.
#[derive(Default)]
pub(super) struct TileCache {
    entries: Mutex<VecDeque<(TileId, Arc<[Hash]>)>>,
    /// The last size whose root was computed, with that root.
    root: Mutex<Option<(u64, Hash)>>,
}

impl TileCache {
    fn get(&self, tile: TileId) -> Option<Arc<[Hash]>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let at = entries.iter().position(|(name, _)| *name == tile)?;
        let found = entries.remove(at)?;
        let hashes = found.1.clone();
        entries.push_front(found);
        Some(hashes)
    }

    fn insert(&self, tile: TileId, hashes: &Arc<[Hash]>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.truncate(MAX_CACHED - 1);
        entries.push_front((tile, hashes.clone()));
    }
}

/// The stored checkpoint over the sealed events.
pub(super) async fn stored_checkpoint(
    shared: &Shared,
    vkey: Option<&str>,
) -> Result<SignedCheckpoint, ProofError> {
    let bytes = shared.store.get(&shared.key("checkpoint")).await?;
    let Checkpoint { origin, size, root } = match vkey {
        Some(vkey) => note::verify_note(&bytes, vkey)?,
        None => Checkpoint::parse_unverified(&bytes)?,
    };
    let note = String::from_utf8_lossy(&bytes).into_owned();
    Ok(SignedCheckpoint { origin, size, root, note, vkey: vkey.unwrap_or_default().to_owned() })
}

impl Trail {
    /// A proof that the event at `index` is in the tree over the first `size` events.
    pub async fn inclusion(&self, index: u64, size: u64) -> Result<InclusionProof, ProofError> {
        if index >= size || size > self.size() {
            return Err(ProofError::Bounds { size: self.size() });
        }
        let shared = &self.shared;
        let hashes = shared.parts(plan::inclusion(index, size)).await?;
        let leaf_hash = shared.node(Node { level: 0, index }).await?;
        Ok(InclusionProof { index, leaf_hash, size, root: shared.root_at(size).await?, hashes })
    }

    /// A proof that the tree over the first `old` events is a prefix of that over the first `new`.
    pub async fn consistency(&self, old: u64, new: u64) -> Result<ConsistencyProof, ProofError> {
        if old > new || new > self.size() {
            return Err(ProofError::Bounds { size: self.size() });
        }
        let shared = &self.shared;
        let hashes = shared.parts(plan::consistency(old, new)).await?;
        let (from_root, to_root) = (shared.root_at(old).await?, shared.root_at(new).await?);
        Ok(ConsistencyProof { from: old, to: new, from_root, to_root, hashes })
    }

    /// A tile's hashes, concatenated.
    pub async fn tile(&self, tile: TileId) -> Result<Bytes, ProofError> {
        let size = self.size();
        let there = size.checked_shr(8 * u32::from(tile.level)).unwrap_or(0);
        let end = tile.index.checked_mul(TILE_WIDTH as u64).map(|start| start + u64::from(tile.width));
        if tile.width == 0 || end.is_none_or(|end| end > there) {
            return Err(ProofError::Bounds { size });
        }
        let hashes = self.shared.tile(tile).await?;
        Ok(hashes.iter().flat_map(|hash| *hash.as_bytes()).collect::<Vec<u8>>().into())
    }

    /// A bundle's events, each after its length in two bytes.
    pub async fn bundle(&self, bundle: Bundle) -> Result<Bytes, ProofError> {
        let size = self.size();
        let start = bundle.index.checked_mul(TILE_WIDTH as u64);
        let Some((start, end)) = start
            .map(|start| (start, start + u64::from(bundle.width)))
            .filter(|&(start, end)| start < end && end <= size)
        else {
            return Err(ProofError::Bounds { size });
        };
        let (mut bytes, mut at) = (Vec::new(), start);
        while at < end {
            for (index, leaf) in self.shared.rows(at..end).await? {
                let length = u16::try_from(leaf.len()).expect("leaves are at most 65,535 bytes");
                bytes.extend_from_slice(&length.to_be_bytes());
                bytes.extend_from_slice(&leaf);
                at = index + 1;
            }
        }
        Ok(bytes.into())
    }
}

impl Shared {
    /// Checks that the head about to be signed extends the one signed before, so that a fork is never signed.
    pub(super) async fn check_growth(
        &self,
        last: &SignedCheckpoint,
        size: u64,
        root: Hash,
    ) -> Result<(), ProofError> {
        let hashes = match self.parts(plan::consistency(last.size, size)).await {
            // Retention dropped the events around its end; the signed manifests protect their hashes.
            Err(ProofError::Retired { retired }) if last.size < retired => return Ok(()),
            hashes => hashes?,
        };
        let (from, to, from_root, to_root) = (last.size, size, last.root, root);
        verify_consistency(&ConsistencyProof { from, to, from_root, to_root, hashes })
            .map_err(|source| ProofError::Forked { signed: last.size, size, source })
    }

    /// The root over the first `size` events.
    async fn root_at(&self, size: u64) -> Result<Hash, ProofError> {
        if let Some(root) = self.edge().tail.root_at(size) {
            return Ok(root);
        }
        let known = *self.tiles.root.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, root)) = known.filter(|(known, _)| *known == size) {
            return Ok(root);
        }
        let root = self.part(plan::root(size)).await?;
        *self.tiles.root.lock().unwrap_or_else(PoisonError::into_inner) = Some((size, root));
        Ok(root)
    }

    async fn parts(&self, parts: Vec<Part>) -> Result<Vec<Hash>, ProofError> {
        let mut hashes = Vec::with_capacity(parts.len());
        for part in parts {
            hashes.push(self.part(part).await?);
        }
        Ok(hashes)
    }

    async fn part(&self, part: Part) -> Result<Hash, ProofError> {
        let mut hashes = Vec::with_capacity(part.0.len());
        for node in part.0 {
            hashes.push(self.node(node).await?);
        }
        Ok(Part::hash(&hashes))
    }

    async fn node(&self, node: Node) -> Result<Hash, ProofError> {
        let sealed = self.sealed();
        if let Some(retired) = &sealed.retired {
            // Level 8 and above are in tiles of level 1 and above, which are kept. Below, only in the block that retention
            // cut through do hashes not come from its events.
            let block = (node.index << node.level) / TILE_WIDTH as u64;
            if node.level < 8 && block * (TILE_WIDTH as u64) < retired.size {
                return self.node_at_retired(node, retired).await;
            }
        }
        let (tile_level, inside) = (node.level / 8, node.level % 8);
        let start = node.index << inside;
        let at = usize::try_from(start % TILE_WIDTH as u64).expect("below 256");
        let end = at + (1usize << inside);
        let level = u8::try_from(tile_level).expect("a tree has at most 64 levels");
        let width = u16::try_from(end).expect("at most 256");
        let hashes = self.tile(TileId { level, index: start / TILE_WIDTH as u64, width }).await?;
        Ok(subtree_of(&hashes[at..end]))
    }

    async fn node_at_retired(
        &self,
        node: Node,
        retired: &crate::manifest::Retired,
    ) -> Result<Hash, ProofError> {
        if let Some(hash) = retired.node(node) {
            return Ok(hash);
        }
        let end = (node.index + 1) << node.level;
        if end <= retired.size {
            return Err(ProofError::Retired { retired: retired.size });
        }
        if node.level == 0 {
            let rows = self.rows(node.index..node.index + 1).await?;
            return Ok(leaf_hash(&rows[0].1));
        }
        let child = |index| Node { level: node.level - 1, index };
        let left = Box::pin(self.node_at_retired(child(2 * node.index), retired)).await?;
        let right = Box::pin(self.node_at_retired(child(2 * node.index + 1), retired)).await?;
        Ok(node_hash(&left, &right))
    }

    /// Returns the first `width` hashes of a tile.
    async fn tile(&self, tile: TileId) -> Result<Arc<[Hash]>, ProofError> {
        if let Some(hashes) = self.edge().tail.tile(tile) {
            return Ok(hashes.into());
        }
        let full = TileId::full(tile.level, tile.index);
        let hashes = match self.tiles.get(full) {
            Some(hashes) => hashes,
            None => {
                let hashes = self.full_tile(full).await?;
                self.tiles.insert(full, &hashes);
                hashes
            }
        };
        Ok(if tile.is_full() { hashes } else { hashes[..usize::from(tile.width)].into() })
    }

    /// Reads a tile of leaf hashes from local disk, if its root matches the level above.
    async fn cached_tile(&self, index: u64) -> Result<Option<Arc<[Hash]>>, ProofError> {
        let Some(hashes) = self.level0.get(index) else { return Ok(None) };
        let root = Box::pin(self.node(Node { level: 8, index })).await?;
        Ok((subtree_of(&hashes) == root).then(|| hashes.into()))
    }

    /// Loads a full tile that is no longer at the right edge.
    async fn full_tile(&self, tile: TileId) -> Result<Arc<[Hash]>, ProofError> {
        if tile.level == 0 {
            if let Some(hashes) = self.cached_tile(tile.index).await? {
                return Ok(hashes);
            }
            let (mut at, end) = (tile.index * TILE_WIDTH as u64, (tile.index + 1) * TILE_WIDTH as u64);
            let retired = self.sealed().retired_size();
            if at < retired {
                return Err(ProofError::Retired { retired });
            }
            let mut hashes = Vec::with_capacity(TILE_WIDTH);
            while at < end {
                let rows = self.rows(at..end).await?;
                at += rows.len() as u64;
                hashes.extend(rows.iter().map(|(_, leaf)| leaf_hash(leaf)));
            }
            self.level0.put(tile.index, &hashes);
            return Ok(hashes.into());
        }
        let key = self.key(&tile.to_string());
        let bytes = match self.store.get(&key).await {
            Ok(bytes) => bytes,
            Err(source) => return Err(ProofError::Tile { key, source }),
        };
        if bytes.len() != TILE_WIDTH * Hash::SIZE {
            return Err(ProofError::Damaged { key });
        }
        Ok(bytes.chunks_exact(Hash::SIZE).filter_map(Hash::from_slice).collect())
    }
}
