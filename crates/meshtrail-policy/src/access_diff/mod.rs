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
mod cells;
mod changes;
mod classes;
mod counter;
mod deltas;
mod entities;
mod flows;
mod folds;
mod groups;
mod kinds;
mod possible;
mod rules;

pub use authority::{Authority, AuthorityChange};
pub use changes::{AccessChanges, ChangeRow, Changes, Direction, Fold, MAX_HOSTS, NetworkSide, Side, Totals};
pub use kinds::{CapabilityGrants, LoginTerms, Logins};
pub use possible::PossibleChange;

use crate::access::Access;
use crate::compile::Policy;
use classes::{Classes, RuleSet, Version};
use entities::Entities;
use flows::Flows;
use folds::Folder;
use rules::Rule;

/// Bounds of an answer.
#[derive(Debug, Clone, Copy)]
pub struct DiffLimits {
    /// The most folds in each direction.
    pub folds: usize,
    /// The most people, devices or networks that a side of a fold names.
    pub names: usize,
    /// The most pairs of a source and a target that a fold lists.
    pub rows: usize,
    /// The most different accesses to one target that are told apart. More are put together, and the fold says so.
    pub per_target: usize,
}

impl Default for DiffLimits {
    fn default() -> Self {
        Self { folds: 100, names: 50, rows: 20, per_target: 16 }
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
        let entities = Entities::new(old, self);
        let (possible, possible_left_off) = possible::changes(old, self);
        Ok(AccessChanges {
            connections: compare(old, self, rules::connections, &entities, limits),
            logins: compare(old, self, rules::logins, &entities, limits),
            capabilities: compare(old, self, rules::capabilities, &entities, limits),
            possible,
            possible_left_off,
            authority: authority::changes(old, self),
            devices_left_out: entities.left_out,
        })
    }
}

/// Compares what the rules of one kind open.
fn compare<'p, T: Access>(
    old: &'p Policy,
    new: &'p Policy,
    rules: impl Fn(&'p Policy) -> Vec<Rule<'p, T>>,
    entities: &Entities,
    limits: DiffLimits,
) -> Changes<T> {
    let sides = [
        RuleSet { version: Version::Old, policy: old, rules: rules(old) },
        RuleSet { version: Version::New, policy: new, rules: rules(new) },
    ];
    let classes = Classes::new(&sides, entities);
    let flows = Flows::new(&sides, &classes);
    if flows.old.is_empty() && flows.new.is_empty() {
        return Changes::default();
    }
    let deltas = deltas::find(&classes, &flows, entities, new.mesh(), limits.per_target);
    let folder = Folder {
        sides: &sides,
        mesh: new.mesh(),
        entities,
        classes: &classes,
        flows: &flows,
        deltas: &deltas,
        limits,
    };
    folder.fold()
}
