//! The tree reduced to its right edge, to compute roots.

use super::{Hash, leaf_hash, node_hash};

/// The complete subtrees of a growing tree, largest first. Holds at most 64 hashes.
#[derive(Debug, Clone, Default)]
pub struct Frontier {
    size: u64,
    /// One per bit set in `size`, from the highest bit down.
    nodes: Vec<Hash>,
}

impl Frontier {
    /// The empty tree.
    pub const fn new() -> Self {
        Self { size: 0, nodes: Vec::new() }
    }

    /// Leaves so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of the complete subtrees, largest first.
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// Appends a leaf by its bytes.
    pub fn push(&mut self, leaf: &[u8]) {
        self.push_hash(leaf_hash(leaf));
    }

    /// Appends a leaf by its hash.
    pub fn push_hash(&mut self, hash: Hash) {
        let joined = self.push_subtree(0, hash);
        debug_assert!(joined, "a single leaf fits everywhere");
    }

    /// Appends the complete subtree of `2^level` leaves whose root is `hash`; false if the tree's size is not a
    /// multiple of that, so that it would not be a subtree there.
    #[must_use]
    pub fn push_subtree(&mut self, level: u32, hash: Hash) -> bool {
        if level >= 63 || !self.size.is_multiple_of(1 << level) {
            return false;
        }
        let (mut hash, mut rest) = (hash, self.size >> level);
        while rest & 1 == 1 {
            let left = self.nodes.pop().expect("one node for each bit set in the size");
            hash = node_hash(&left, &hash);
            rest >>= 1;
        }
        self.nodes.push(hash);
        self.size += 1 << level;
        true
    }

    /// The root over all leaves so far.
    pub fn root(&self) -> Hash {
        let mut from_right = self.nodes.iter().rev();
        let Some(&last) = from_right.next() else { return Hash::empty_root() };
        from_right.fold(last, |right, left| node_hash(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The recursive definition of RFC 6962, 2.1.
    fn defined_root(leaves: &[Vec<u8>]) -> Hash {
        match leaves {
            [] => Hash::of(b""),
            [leaf] => leaf_hash(leaf),
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                node_hash(&defined_root(&leaves[..split]), &defined_root(&leaves[split..]))
            }
        }
    }

    #[test]
    fn the_root_is_the_one_the_standard_defines() {
        let leaves: Vec<Vec<u8>> = (0..200u32).map(|n| n.to_string().into_bytes()).collect();
        let mut frontier = Frontier::new();
        for (size, leaf) in leaves.iter().enumerate() {
            assert_eq!(frontier.root(), defined_root(&leaves[..size]), "size {size}");
            frontier.push(leaf);
        }
    }

    #[test]
    fn a_subtree_goes_only_where_it_is_aligned() {
        let mut frontier = Frontier::new();
        frontier.push(b"a");
        assert!(!frontier.push_subtree(1, Hash::empty_root()));
        assert!(!frontier.push_subtree(70, Hash::empty_root()));
        assert_eq!(frontier.size(), 1);
    }
}
