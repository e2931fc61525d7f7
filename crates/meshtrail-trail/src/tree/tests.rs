//! Proofs of every kind, tested against the definition and against each other.

use proptest::prelude::*;

use super::plan::{self, Node, Part};
use super::*;

/// Any node, computed from all leaves by the definition.
fn node(leaves: &[Hash], node: Node) -> Hash {
    let start = usize::try_from(node.index << node.level).unwrap();
    subtree_of(&leaves[start..start + (1 << node.level)])
}

fn hashes(leaves: &[Hash], parts: &[Part]) -> Vec<Hash> {
    let of = |part: &Part| Part::hash(&part.0.iter().map(|&at| node(leaves, at)).collect::<Vec<_>>());
    parts.iter().map(of).collect()
}

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

fn root(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::new();
    leaves.iter().for_each(|&leaf| frontier.push_hash(leaf));
    frontier.root()
}

fn inclusion(leaves: &[Hash], index: u64) -> InclusionProof {
    let size = leaves.len() as u64;
    let hashes = hashes(leaves, &plan::inclusion(index, size));
    InclusionProof { index, leaf_hash: leaves[index as usize], size, root: root(leaves), hashes }
}

fn consistency(leaves: &[Hash], from: u64) -> ConsistencyProof {
    let to = leaves.len() as u64;
    let hashes = hashes(leaves, &plan::consistency(from, to));
    ConsistencyProof { from, to, from_root: root(&leaves[..from as usize]), to_root: root(leaves), hashes }
}

#[test]
fn every_leaf_of_every_small_tree_is_proven_and_no_other() {
    for size in 1..70 {
        let leaves = leaves(size);
        for index in 0..size {
            let proof = inclusion(&leaves, index);
            verify_inclusion(&proof).unwrap();
            let other = InclusionProof { leaf_hash: Hash::of(b"other"), ..proof.clone() };
            assert!(verify_inclusion(&other).is_err());
            let longer = [&proof.hashes[..], &[proof.root]].concat();
            assert!(verify_inclusion(&InclusionProof { hashes: longer, ..proof.clone() }).is_err());
            assert!(verify_inclusion(&InclusionProof { index: size, ..proof }).is_err());
        }
    }
}

#[test]
fn every_small_tree_is_consistent_with_every_smaller_one() {
    for size in 0..70 {
        let leaves = leaves(size);
        for from in 0..=size {
            let proof = consistency(&leaves, from);
            verify_consistency(&proof).unwrap();
            let forked = ConsistencyProof { from_root: Hash::of(b"fork"), ..proof.clone() };
            assert!(verify_consistency(&forked).is_err(), "{from} of {size}");
            let forked = ConsistencyProof { to_root: Hash::of(b"fork"), ..proof };
            assert!(from == 0 || verify_consistency(&forked).is_err(), "{from} of {size}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn proofs_hold_in_larger_trees_and_no_changed_hash_does(
        (size, at) in (1u64..3000).prop_flat_map(|size| (Just(size), 0..size)),
        which in any::<prop::sample::Index>(),
    ) {
        let leaves = leaves(size);
        let mut proof = inclusion(&leaves, at);
        prop_assert_eq!(verify_inclusion(&proof), Ok(()));
        if !proof.hashes.is_empty() {
            let changed = which.index(proof.hashes.len());
            proof.hashes[changed] = Hash::of(b"changed");
            prop_assert!(verify_inclusion(&proof).is_err());
        }
        let mut proof = consistency(&leaves, at);
        prop_assert_eq!(verify_consistency(&proof), Ok(()));
        if !proof.hashes.is_empty() {
            let changed = which.index(proof.hashes.len());
            proof.hashes[changed] = Hash::of(b"changed");
            prop_assert!(verify_consistency(&proof).is_err());
        }
    }

    #[test]
    fn foreign_proofs_never_panic(index: u64, size: u64, count in 0usize..70) {
        let root = Hash::empty_root();
        let hashes = vec![root; count];
        let inclusion = InclusionProof { index, leaf_hash: root, size, root, hashes: hashes.clone() };
        let consistency = ConsistencyProof { from: index, to: size, from_root: root, to_root: root, hashes };
        prop_assert!(verify_inclusion(&inclusion).is_err() || count == 0);
        prop_assert!(verify_consistency(&consistency).is_err() || count == 0);
    }
}
