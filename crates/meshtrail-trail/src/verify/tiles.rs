//! Compares stored tiles with the recomputed tree.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::{StreamExt, stream};

use super::blocks::Blocks;
use super::chain::unreadable;
use super::report::{ProblemKind, Report};
use crate::store::{GetError, Key, Store};
use crate::tree::{Hash, TILE_WIDTH, TileId, subtree_of};

/// Tiles that are read at the same time.
const AHEAD: usize = 8;

/// The tiles of a listing, with their sizes.
#[derive(Debug, Default)]
pub(super) struct StoredTiles(pub(super) BTreeMap<TileId, u64>);

impl StoredTiles {
    /// The blocks with a stored partial tile of leaf hashes.
    pub(super) fn edges(&self) -> BTreeSet<u64> {
        self.0.keys().filter(|tile| tile.level == 0 && !tile.is_full()).map(|tile| tile.index).collect()
    }
}

/// Compares every tile that must exist, and every other one that does, for a trail sealed up to `sealed`.
pub(super) async fn check(
    store: &Store,
    root: &Key,
    listed: &StoredTiles,
    mut blocks: Blocks,
    sealed: u64,
    report: &mut Report,
) {
    check_leaf_tiles(store, root, listed, &blocks, sealed, report).await;
    let mut hashes = std::mem::take(&mut blocks.hashes);
    for level in 1..8u8 {
        let tiles = Level { store, root, listed, level };
        tiles.check(&mut hashes, sealed, report).await;
        if level == 1 {
            check_claims(root, &blocks, &hashes, report);
        }
        let above = |tile: &[Option<Hash>]| {
            tile.iter().copied().collect::<Option<Vec<_>>>().map(|tile| subtree_of(&tile))
        };
        hashes = hashes.chunks_exact(TILE_WIDTH).map(above).collect();
        if hashes.is_empty() {
            break;
        }
    }
}

struct Level<'a> {
    store: &'a Store,
    root: &'a Key,
    listed: &'a StoredTiles,
    level: u8,
}

impl Level<'_> {
    /// Compares the tiles of this level with `hashes`, and fills in unknown hashes from them.
    async fn check(&self, hashes: &mut [Option<Hash>], sealed: u64, report: &mut Report) {
        let count = hashes.len();
        let full = (0..count / TILE_WIDTH).map(|index| TileId::full(self.level, index as u64));
        let newest = TileId::partial(sealed).filter(|tile| tile.level == self.level);
        let older = self.listed.0.keys().filter(|tile| {
            let end = tile.index as usize * TILE_WIDTH + usize::from(tile.width);
            tile.level == self.level && !tile.is_full() && end <= count
        });
        let wanted: BTreeSet<TileId> = full.chain(newest).chain(older.copied()).collect();
        let fetched = stream::iter(wanted)
            .map(|tile| async move { (tile, self.store.get(&key_of(self.root, tile)).await) });
        let mut fetched = fetched.buffered(AHEAD);
        while let Some((tile, bytes)) = fetched.next().await {
            let Some(stored) = check_length(self.root, tile, bytes, report) else { continue };
            let start = tile.index as usize * TILE_WIDTH;
            compare(self.root, tile, &stored, &mut hashes[start..start + stored.len()], report);
        }
    }
}

/// Compares the partial tiles of leaf hashes at the ends of seals.
async fn check_leaf_tiles(
    store: &Store,
    root: &Key,
    listed: &StoredTiles,
    blocks: &Blocks,
    sealed: u64,
    report: &mut Report,
) {
    let newest = TileId::partial(sealed).find(|tile| tile.level == 0);
    let older = listed.0.keys().filter(|tile| tile.level == 0 && !tile.is_full()).copied();
    let wanted: BTreeSet<TileId> = newest.into_iter().chain(older).collect();
    for tile in wanted {
        let known = blocks.edges.get(&tile.index).filter(|leaves| leaves.len() >= usize::from(tile.width));
        // For retired or damaged events there is nothing to compare with, and no proof needs the tile.
        let (Some(leaves), true) = (known, listed.0.contains_key(&tile) || Some(tile) == newest) else {
            continue;
        };
        let bytes = store.get(&key_of(root, tile)).await;
        let Some(stored) = check_length(root, tile, bytes, report) else { continue };
        let mut leaves: Vec<Option<Hash>> = leaves[..stored.len()].iter().copied().map(Some).collect();
        compare(root, tile, &stored, &mut leaves, report);
    }
}

fn check_length(
    root: &Key,
    tile: TileId,
    bytes: Result<Bytes, GetError>,
    report: &mut Report,
) -> Option<Vec<Hash>> {
    let name = format!("{root}/{tile}");
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(GetError::Missing { .. }) => {
            report.add_problem(name, ProblemKind::TileMissing);
            return None;
        }
        Err(error) => {
            report.add_problem(name, unreadable(&error));
            return None;
        }
    };
    report.checked.tiles += 1;
    report.checked.bytes += bytes.len() as u64;
    let expected = u64::from(tile.width) * Hash::SIZE as u64;
    if bytes.len() as u64 != expected {
        report.add_problem(name, ProblemKind::TileLength { expected, found: bytes.len() as u64 });
        return None;
    }
    Some(bytes.chunks_exact(Hash::SIZE).map(|hash| Hash::from_slice(hash).expect("32 bytes")).collect())
}

fn compare(root: &Key, tile: TileId, stored: &[Hash], known: &mut [Option<Hash>], report: &mut Report) {
    let differs = stored
        .iter()
        .zip(known.iter())
        .position(|(stored, known)| known.is_some_and(|known| known != *stored));
    if let Some(at) = differs {
        let width = 1u64 << (8 * u32::from(tile.level));
        let first = (tile.index * TILE_WIDTH as u64 + at as u64) * width;
        report.add_problem(
            format!("{root}/{tile}"),
            ProblemKind::TileChanged { at, events: first..first + width },
        );
        return;
    }
    for (known, &stored) in known.iter_mut().zip(stored) {
        known.get_or_insert(stored);
    }
}

/// Where leaves were not read, tiles must fit the subtrees that manifests have.
fn check_claims(root: &Key, blocks: &Blocks, hashes: &[Option<Hash>], report: &mut Report) {
    for claim in &blocks.claims {
        let start = claim.first_block as usize;
        let Some(part) = hashes.get(start..start + claim.blocks as usize) else { continue };
        let Some(part) = part.iter().copied().collect::<Option<Vec<Hash>>>() else { continue };
        if subtree_of(&part) != claim.hash {
            let tile = TileId::full(1, claim.first_block / TILE_WIDTH as u64);
            let events = claim.first_block * 256..(claim.first_block + claim.blocks) * 256;
            report.add_problem(
                format!("{root}/{tile}"),
                ProblemKind::TileChanged { at: start % TILE_WIDTH, events },
            );
        }
    }
}

pub(super) fn key_of(root: &Key, tile: TileId) -> Key {
    root.join(&tile.to_string()).expect("a trail's root leaves room for a tile's name")
}
