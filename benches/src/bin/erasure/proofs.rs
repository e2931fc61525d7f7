//! Roots and inclusion proofs over leaves, with the functions of the trail.

use anyhow::{Context, Result, ensure};
use meshtrail_trail::segment::{EncodedSegment, SegmentReader, Selection};
use meshtrail_trail::tree::{Hash, InclusionProof, leaf_hash, node_hash, plan, verify_inclusion};

/// A tree over all leaves, in memory.
pub(crate) struct Tree {
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    pub(crate) fn of(leaves: impl Iterator<Item = Hash>) -> Self {
        let mut levels = vec![leaves.collect::<Vec<_>>()];
        while let Some(last) = levels.last().filter(|last| last.len() > 1) {
            let above = last.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
            levels.push(above);
        }
        Self { levels }
    }

    pub(crate) fn root(&self) -> Hash {
        self.hash(&plan::root(self.levels[0].len() as u64))
    }

    pub(crate) fn proof(&self, index: u64) -> InclusionProof {
        let size = self.levels[0].len() as u64;
        InclusionProof {
            index,
            leaf_hash: self.levels[0][index as usize],
            size,
            root: self.root(),
            hashes: plan::inclusion(index, size).iter().map(|part| self.hash(part)).collect(),
        }
    }

    fn hash(&self, part: &plan::Part) -> Hash {
        let of = |node: &plan::Node| self.levels[node.level as usize][node.index as usize];
        plan::Part::hash(&part.0.iter().map(of).collect::<Vec<_>>())
    }
}

/// Reads every leaf back from segments, in the order of their indexes.
pub(crate) async fn leaves_of(segments: &[EncodedSegment]) -> Result<Vec<Vec<u8>>> {
    let mut rows = Vec::new();
    for segment in segments {
        let reader = SegmentReader::from_bytes("segment", segment.bytes.clone().into())?;
        let all = Selection::of(0..u64::MAX);
        for page in reader.pages(&all) {
            rows.extend(reader.read_page(page, &all).await?);
        }
    }
    rows.sort_unstable_by_key(|row| row.0);
    Ok(rows.into_iter().map(|(_, leaf)| leaf.to_vec()).collect())
}

/// Checks that proofs made earlier lead from these leaves to the root of then.
pub(crate) fn check(proofs: &[InclusionProof], leaves: &[Vec<u8>]) -> Result<()> {
    for proof in proofs {
        let leaf = leaves.get(proof.index as usize).context("the leaf is there")?;
        ensure!(leaf_hash(leaf) == proof.leaf_hash, "leaf {} has another hash", proof.index);
        verify_inclusion(proof)?;
    }
    Ok(())
}
