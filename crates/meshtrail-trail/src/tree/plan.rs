//! The nodes that a root or a proof consists of.
//!
//! Every hash in question is that of a range of leaves, which is divided into complete subtrees, each of which is in one
//! tile. Nothing is read here: the caller loads the nodes and combines them with [`Part::hash`].

use super::{Hash, node_hash};

/// A complete subtree: `2^level` leaves from `index * 2^level` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, std::hash::Hash)]
pub struct Node {
    /// 0 for a leaf.
    pub level: u32,
    /// Its index in the level.
    pub index: u64,
}

/// One hash of a proof: the complete subtrees of a range of leaves, left to right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part(pub Vec<Node>);

impl Part {
    /// Computes the range's hash from the hashes of its nodes, in order.
    pub fn hash(nodes: &[Hash]) -> Hash {
        let mut from_right = nodes.iter().rev();
        let Some(&last) = from_right.next() else { return Hash::empty_root() };
        from_right.fold(last, |right, left| node_hash(left, &right))
    }
}

/// The complete subtrees of leaves `start..end`, the same in every tree that has all of them and in which `start` begins a
/// subtree at least as large as the range.
pub fn range(start: u64, end: u64) -> Part {
    let mut nodes = Vec::new();
    let mut at = start;
    while at < end {
        let level = (end - at).ilog2().min(if at == 0 { 63 } else { at.trailing_zeros() });
        nodes.push(Node { level, index: at >> level });
        at += 1 << level;
    }
    Part(nodes)
}

/// The root of the tree of `size` leaves.
pub fn root(size: u64) -> Part {
    range(0, size)
}

/// The inclusion proof of leaf `index` in the tree of `size` leaves, lowest hash first. `index` is below `size`.
pub fn inclusion(index: u64, size: u64) -> Vec<Part> {
    let (mut start, mut end) = (0, size);
    let mut parts = Vec::new();
    while end - start > 1 {
        let split = start + split_of(end - start);
        if index < split {
            parts.push(range(split, end));
            end = split;
        } else {
            parts.push(range(start, split));
            start = split;
        }
    }
    parts.reverse();
    parts
}

/// The consistency proof from the tree of `old` leaves to that of `new`, lowest hash first. `old` is at most `new`.
pub fn consistency(old: u64, new: u64) -> Vec<Part> {
    if old == 0 || old == new {
        return Vec::new();
    }
    let (mut start, mut end, mut whole) = (0, new, true);
    let mut parts = Vec::new();
    while end != old {
        let split = start + split_of(end - start);
        if old <= split {
            parts.push(range(split, end));
            end = split;
        } else {
            parts.push(range(start, split));
            start = split;
            whole = false;
        }
    }
    // The verifier knows the old tree's root, which is not repeated if that tree is a subtree of the new one.
    if !whole {
        parts.push(range(start, end));
    }
    parts.reverse();
    parts
}

/// The largest power of two below `width`, which is at least 2.
fn split_of(width: u64) -> u64 {
    1 << (width - 1).ilog2()
}
