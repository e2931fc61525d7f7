//! The level-1 hashes of the whole trail, put together from segments that begin and end anywhere.

use std::collections::{BTreeMap, BTreeSet};

use super::leaves::{BLOCK, Leaves};
use crate::tree::{Frontier, Hash, plan};

/// A subtree of more than one block whose leaves were not read: the stored tiles must agree with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) first_block: u64,
    pub(super) blocks: u64,
    pub(super) hash: Hash,
}

/// Blocks so far, fed in index order.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// One for each block of 256 leaves; none where only the stored tiles know it.
    pub(super) hashes: Vec<Option<Hash>>,
    pub(super) claims: Vec<Claim>,
    /// Leaf hashes of blocks that were asked for, as far as the trail went when it was a seal's last.
    pub(super) edges: BTreeMap<u64, Vec<Hash>>,
    keep: BTreeSet<u64>,
    open: Open,
}

/// The block that is not whole yet.
#[derive(Debug, Default)]
struct Open {
    frontier: Frontier,
    /// Its leaf hashes, as long as all are known.
    leaves: Option<Vec<Hash>>,
    /// Something in it is lost: its hash can't be known.
    lost: bool,
    filled: u64,
}

impl Blocks {
    /// Nothing yet; the leaf hashes of the blocks in `keep` will be kept.
    pub(super) fn keeping(keep: BTreeSet<u64>) -> Self {
        Self { keep, open: Open::new(), ..Self::default() }
    }

    /// A range whose leaves are known.
    pub(super) fn leaves(&mut self, leaves: &Leaves) {
        let (head, tail) = leaves.edges();
        head.iter().for_each(|&hash| self.leaf(hash));
        if !leaves.blocks.is_empty() {
            debug_assert_eq!(self.open.filled, 0, "whole blocks begin where a block begins");
            self.hashes.extend(leaves.blocks.iter().copied().map(Some));
        }
        tail.iter().for_each(|&hash| self.leaf(hash));
    }

    /// Keeps the leaf hashes of the open block, because a seal ended here.
    pub(super) fn seal(&mut self) {
        let block = self.hashes.len() as u64;
        if self.keep.contains(&block)
            && let Some(leaves) = &self.open.leaves
        {
            self.edges.insert(block, leaves.clone());
        }
    }

    fn leaf(&mut self, hash: Hash) {
        self.open.frontier.push_hash(hash);
        if let Some(leaves) = &mut self.open.leaves {
            leaves.push(hash);
        }
        self.filled(1);
    }

    /// A subtree of which only the hash is known.
    pub(super) fn node(&mut self, node: plan::Node, hash: Hash) {
        if node.level >= 8 {
            let blocks = 1 << (node.level - 8);
            let known = (blocks == 1).then_some(hash);
            self.claims.push(Claim { first_block: self.hashes.len() as u64, blocks, hash });
            self.hashes.extend((0..blocks).map(|_| known));
            return;
        }
        self.open.leaves = None;
        self.open.lost |= !self.open.frontier.push_subtree(node.level, hash);
        self.filled(1 << node.level);
    }

    /// A range of which nothing is known.
    pub(super) fn lost(&mut self, first: u64, end: u64) {
        for node in plan::range(first, end).0 {
            if node.level >= 8 {
                self.hashes.extend((0..1u64 << (node.level - 8)).map(|_| None));
            } else {
                self.open.lost = true;
                self.open.leaves = None;
                self.filled(1 << node.level);
            }
        }
    }

    fn filled(&mut self, leaves: u64) {
        self.open.filled += leaves;
        if self.open.filled == BLOCK {
            let open = std::mem::replace(&mut self.open, Open::new());
            self.hashes.push((!open.lost).then(|| open.frontier.root()));
        }
    }
}

impl Open {
    fn new() -> Self {
        Self { leaves: Some(Vec::new()), ..Self::default() }
    }
}
