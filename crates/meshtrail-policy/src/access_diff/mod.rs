//! What one policy opens and closes against another, in people and machines.
//!
//! - Rules are compared by what they open for whom, never by their text: a rule that moves, or is written otherwise, opens
//!   and closes nothing.
//! - Sources and targets that all rules of both policies treat alike are one class: the work grows with the classes, not
//!   with pairs of devices.
//! - What is certain and what is possible under conditions stand apart, as in [`Policy::who_can_reach`]; devices that take
//!   no part in the mesh are left out, and counted.
//! - Answers are folded and bounded; totals are exact.

mod authority;
mod changes;
mod classes;
mod deltas;
mod entities;
mod flows;
mod folds;
mod possible;

use std::fmt;

pub use authority::{Authority, AuthorityChange};
pub use changes::{AccessChanges, ChangeRow, Direction, Fold, MAX_HOSTS, NetworkSide, Side, Totals};
pub use possible::PossibleChange;

use crate::compile::Policy;

/// Bounds of an answer.
#[derive(Debug, Clone, Copy)]
pub struct DiffLimits {
    /// The most folds in each direction.
    pub folds: usize,
    /// The most people, devices or networks that a side of a fold names.
    pub names: usize,
    /// The most pairs of a source and a target that a fold lists.
    pub rows: usize,
}

impl Default for DiffLimits {
    fn default() -> Self {
        Self { folds: 100, names: 50, rows: 20 }
    }
}

/// Two policies that were compiled for different meshes can't be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the policies were compiled for different directories")]
pub struct DifferentMeshes;

impl Policy {
    /// What `self` opens and closes against an older policy, compiled for the same mesh.
    pub fn changes_since(&self, old: &Self, limits: DiffLimits) -> Result<AccessChanges, DifferentMeshes> {
        if !self.mesh.is_same(&old.mesh) {
            return Err(DifferentMeshes);
        }
        let entities = entities::Entities::new(old, self);
        let classes = classes::Classes::new(old, self, &entities);
        let flows = flows::Flows::new(old, self, &classes);
        let deltas = deltas::find(&classes, &flows, &entities, self.mesh());
        let mut changes = folds::fold(old, self, &entities, &classes, &flows, &deltas, limits);
        changes.authority = authority::changes(old, self);
        (changes.possible, changes.possible_left_off) = possible::changes(old, self);
        Ok(changes)
    }
}

impl fmt::Display for Direction {
    /// As sentences use it: `gained`, `lost`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opened => "gained",
            Self::Closed => "lost",
        })
    }
}
