//! The right edge of the tree in memory: for each tile level the tiles that are not in the store yet.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Hash, TILE_WIDTH, TileId, node_hash, root_of_full};

/// The tiles that the store does not have yet, beginning with the one that contains the first unsealed leaf.
///
/// Takes 32 bytes for each unsealed leaf, and up to a full tile for each level.
#[derive(Debug, Clone)]
pub struct Tail {
    size: u64,
    levels: Vec<Level>,
}

#[derive(Debug, Clone, Default)]
struct Level {
    /// Index of the first tile held.
    first: u64,
    full: VecDeque<Arc<[Hash; TILE_WIDTH]>>,
    partial: Vec<Hash>,
}

impl Tail {
    /// The tail of the empty tree.
    pub fn new() -> Self {
        Self { size: 0, levels: vec![Level::default()] }
    }

    /// The tail of a tree of `size` leaves from its partial tiles, lowest level first as [`TileId::partial`] gives
    /// them; none if one is missing or has another width.
    pub fn from_partial_tiles(size: u64, tiles: &[(TileId, Vec<Hash>)]) -> Option<Self> {
        let mut levels = vec![Level::default()];
        for (level, bits) in (0u32..).map(|level| (level, 8 * level)).take_while(|&(_, bits)| bits < 64) {
            if size >> bits == 0 {
                break;
            }
            if levels.len() <= level as usize {
                levels.push(Level::default());
            }
            levels[level as usize].first = (size >> bits) / TILE_WIDTH as u64;
        }
        for expected in TileId::partial(size) {
            let (_, hashes) = tiles.iter().find(|(tile, _)| *tile == expected)?;
            if hashes.len() != usize::from(expected.width) {
                return None;
            }
            levels[usize::from(expected.level)].partial = hashes.clone();
        }
        Some(Self { size, levels })
    }

    /// Leaves in the tree.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Level::default());
            }
            let held = &mut self.levels[level];
            held.partial.push(hash);
            if held.partial.len() < TILE_WIDTH {
                return;
            }
            let full: Box<[Hash; TILE_WIDTH]> =
                std::mem::replace(&mut held.partial, Vec::with_capacity(TILE_WIDTH))
                    .into_boxed_slice()
                    .try_into()
                    .expect("exactly a full tile");
            hash = root_of_full(&full);
            held.full.push_back(full.into());
        }
    }

    /// The first `width` hashes of the tile, if it is held and has that many.
    pub fn tile(&self, tile: TileId) -> Option<Vec<Hash>> {
        let level = self.levels.get(usize::from(tile.level))?;
        let at = usize::try_from(tile.index.checked_sub(level.first)?).ok()?;
        let hashes = match level.full.get(at) {
            Some(full) => full.as_slice(),
            None if at == level.full.len() => level.partial.as_slice(),
            None => return None,
        };
        hashes.get(..usize::from(tile.width)).map(<[Hash]>::to_vec)
    }

    /// Index of the first tile of `level` that is held here.
    pub fn first_tile(&self, level: u8) -> u64 {
        self.levels.get(usize::from(level)).map_or(0, |held| held.first)
    }

    /// The number of tile levels.
    pub fn levels(&self) -> u8 {
        u8::try_from(self.levels.len()).expect("at most eight levels")
    }

    /// The root over the first `size` leaves; none if their tiles are no longer held.
    pub fn root_at(&self, size: u64) -> Option<Hash> {
        if size > self.size {
            return None;
        }
        let mut right: Option<Hash> = None;
        for edge in TileId::partial(size) {
            let hashes = self.tile(edge)?;
            let mut end = hashes.len();
            while end > 0 {
                let start = end - (1 << end.trailing_zeros());
                let left = super::subtree_of(&hashes[start..end]);
                right = Some(right.map_or(left, |right| node_hash(&left, &right)));
                end = start;
            }
        }
        Some(right.unwrap_or_else(Hash::empty_root))
    }

    /// Drops the tiles before the one that contains leaf `sealed`.
    pub fn forget_before(&mut self, sealed: u64) {
        for (level, held) in self.levels.iter_mut().enumerate() {
            let first = (sealed >> (8 * level)) / TILE_WIDTH as u64;
            while held.first < first && held.full.pop_front().is_some() {
                held.first += 1;
            }
        }
    }
}

impl Default for Tail {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Frontier, leaf_hash};
    use super::*;

    #[test]
    fn roots_agree_with_the_frontier_and_survive_a_restart_from_partial_tiles() {
        let (mut tail, mut frontier) = (Tail::new(), Frontier::new());
        for n in 0..70_000u32 {
            let hash = leaf_hash(&n.to_le_bytes());
            tail.push(hash);
            frontier.push_hash(hash);
            if n % 997 == 0 || (65_530..65_540).contains(&n) {
                assert_eq!(tail.root_at(tail.size()), Some(frontier.root()), "size {}", n + 1);
                let tiles: Vec<_> =
                    TileId::partial(tail.size()).map(|tile| (tile, tail.tile(tile).unwrap())).collect();
                tail = Tail::from_partial_tiles(tail.size(), &tiles).unwrap();
            }
        }
    }

    #[test]
    fn what_is_forgotten_is_not_needed_for_later_roots() {
        let mut tail = Tail::new();
        (0..3000u32).for_each(|n| tail.push(leaf_hash(&n.to_le_bytes())));
        let root = tail.root_at(2999);
        tail.forget_before(2600);
        assert_eq!(tail.first_tile(0), 10);
        assert_eq!((tail.root_at(2999), tail.root_at(2500)), (root, None));
    }
}
