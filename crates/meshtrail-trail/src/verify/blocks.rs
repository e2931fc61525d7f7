//! The level-1 hashes of the whole trail, computed from segments with arbitrary boundaries.

use std::collections::{BTreeMap, BTreeSet};

use super::leaves::{BLOCK, Leaves};
use crate::tree::{Frontier, Hash, plan};

/// A subtree of several blocks whose leaves were not read; the stored tiles must match it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) first_block: u64,
    pub(super) blocks: u64,
    pub(super) hash: Hash,
}

/// The blocks so far, added in index order.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// One hash for each block of 256 leaves; none if only the stored tiles have it.
    pub(super) hashes: Vec<Option<Hash>>,
    pub(super) claims: Vec<Claim>,
    /// Leaf hashes of the kept blocks, up to the end of the seal in which the block was the last.
    pub(super) edges: BTreeMap<u64, Vec<Hash>>,
    kept_blocks: BTreeSet<u64>,
    open: Open,
}

/// The block that is not complete yet.
#[derive(Debug, Default)]
struct Open {
    frontier: Frontier,
    /// Its leaf hashes, while all of them are known.
    leaves: Option<Vec<Hash>>,
    /// Whether a part of it is lost, so that its hash is unknown.
    is_lost: bool,
    filled: u64,
}

impl Blocks {
    /// Starts without blocks; the leaf hashes of `kept_blocks` will be kept.
    pub(super) fn new(kept_blocks: BTreeSet<u64>) -> Self {
        Self { kept_blocks, open: Open::new(), ..Self::default() }
    }

    /// Adds a range whose leaves are known.
    pub(super) fn add_leaves(&mut self, leaves: &Leaves) {
        let (head, tail) = leaves.edges();
        head.iter().for_each(|&hash| self.add_leaf(hash));
        if !leaves.blocks.is_empty() {
            debug_assert_eq!(self.open.filled, 0, "whole blocks begin where a block begins");
            self.hashes.extend(leaves.blocks.iter().copied().map(Some));
        }
        tail.iter().for_each(|&hash| self.add_leaf(hash));
    }

    /// Ends a seal: keeps the leaf hashes of the open block, if it is one of the kept blocks.
    pub(super) fn end_seal(&mut self) {
        let block = self.hashes.len() as u64;
        if self.kept_blocks.contains(&block)
            && let Some(leaves) = &self.open.leaves
        {
            self.edges.insert(block, leaves.clone());
        }
    }

    fn add_leaf(&mut self, hash: Hash) {
        self.open.frontier.push_hash(hash);
        if let Some(leaves) = &mut self.open.leaves {
            leaves.push(hash);
        }
        self.advance(1);
    }

    /// Adds a subtree of which only the hash is known.
    pub(super) fn add_node(&mut self, node: plan::Node, hash: Hash) {
        if node.level >= 8 {
            let blocks = 1 << (node.level - 8);
            let known = (blocks == 1).then_some(hash);
            self.claims.push(Claim { first_block: self.hashes.len() as u64, blocks, hash });
            self.hashes.extend((0..blocks).map(|_| known));
            return;
        }
        self.open.leaves = None;
        self.open.is_lost |= !self.open.frontier.push_subtree(node.level, hash);
        self.advance(1 << node.level);
    }

    /// Adds a range of which nothing is known.
    pub(super) fn add_lost(&mut self, first: u64, end: u64) {
        for node in plan::range(first, end).0 {
            if node.level >= 8 {
                self.hashes.extend((0..1u64 << (node.level - 8)).map(|_| None));
            } else {
                self.open.is_lost = true;
                self.open.leaves = None;
                self.advance(1 << node.level);
            }
        }
    }

    fn advance(&mut self, leaves: u64) {
        self.open.filled += leaves;
        if self.open.filled == BLOCK {
            let open = std::mem::replace(&mut self.open, Open::new());
            self.hashes.push((!open.is_lost).then(|| open.frontier.root()));
        }
    }
}

impl Open {
    fn new() -> Self {
        Self { leaves: Some(Vec::new()), ..Self::default() }
    }
}
