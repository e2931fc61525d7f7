//! Proofs and their verification: pure functions after RFC 9162, 2.1.3 and 2.1.4.

use serde::Deserialize;

use super::{Hash, node_hash};

/// A proof that the leaf at `index` is in the tree of `size` leaves with this root.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InclusionProof {
    /// The index of the leaf.
    pub index: u64,
    /// The hash of the leaf.
    pub leaf_hash: Hash,
    /// Leaves in the tree.
    pub size: u64,
    /// The root of the tree.
    pub root: Hash,
    /// The siblings on the way up, lowest first.
    pub hashes: Vec<Hash>,
}

/// A proof that the tree of `from` leaves is a prefix of the tree of `to` leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// Leaves in the older tree.
    pub from: u64,
    /// Leaves in the newer tree.
    pub to: u64,
    /// The root of the older tree.
    pub from_root: Hash,
    /// The root of the newer tree.
    pub to_root: Hash,
    /// The nodes that lead to both roots.
    pub hashes: Vec<Hash>,
}

/// Why a proof is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ProofMismatch {
    #[error("the proof's index or sizes contradict each other")]
    Bounds,
    #[error("the proof has {found} hashes, which does not fit its sizes")]
    Length { found: usize },
    #[error("the proof leads to root {found}, not to {expected}")]
    Root { expected: Hash, found: Hash },
}

/// Checks that `proof` leads from its leaf to its root.
pub fn verify_inclusion(proof: &InclusionProof) -> Result<(), ProofMismatch> {
    if proof.index >= proof.size {
        return Err(ProofMismatch::Bounds);
    }
    let length = ProofMismatch::Length { found: proof.hashes.len() };
    let (mut at, mut last, mut hash) = (proof.index, proof.size - 1, proof.leaf_hash);
    for sibling in &proof.hashes {
        if last == 0 {
            return Err(length);
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(length);
    }
    same(proof.root, hash)
}

/// Checks that `proof` leads to both of its roots.
pub fn verify_consistency(proof: &ConsistencyProof) -> Result<(), ProofMismatch> {
    let length = ProofMismatch::Length { found: proof.hashes.len() };
    if proof.from > proof.to {
        return Err(ProofMismatch::Bounds);
    }
    if proof.from == proof.to || proof.from == 0 {
        if !proof.hashes.is_empty() {
            return Err(length);
        }
        let expected = if proof.from == 0 { Hash::empty_root() } else { proof.to_root };
        return same(expected, proof.from_root);
    }
    let mut hashes = proof.hashes.iter();
    let first = if proof.from.is_power_of_two() { Some(&proof.from_root) } else { hashes.next() };
    let Some(&first) = first else { return Err(length) };
    let (mut at, mut last) = (proof.from - 1, proof.to - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut old, mut new) = (first, first);
    for node in hashes {
        if last == 0 {
            return Err(length);
        }
        if at & 1 == 1 || at == last {
            old = node_hash(node, &old);
            new = node_hash(node, &new);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, node);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(length);
    }
    same(proof.from_root, old)?;
    same(proof.to_root, new)
}

fn same(expected: Hash, found: Hash) -> Result<(), ProofMismatch> {
    if expected == found { Ok(()) } else { Err(ProofMismatch::Root { expected, found }) }
}
