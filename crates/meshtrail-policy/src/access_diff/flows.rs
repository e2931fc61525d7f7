//! Flows: what a rule opens, from classes of sources to classes of targets; those that both policies have, and those
//! that only one has.

use std::collections::{BTreeMap, HashMap};

use super::classes::{ClassId, ClassMembers, Classes, RuleSet, Version, source_key, target_key};
use super::rules::Target;
use crate::access::{Access, AccessTable};
use crate::compile::Families;

/// What a rule opens. Equal flows of both policies cancel out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Flow {
    /// The number of a set of classes.
    pub(super) sources: u32,
    /// The targets; `None` stands for the source's own devices.
    targets: Option<u32>,
    /// What it opens, as a number of the table.
    pub(super) opened: u32,
}

/// The flows of both policies.
#[derive(Debug)]
pub(super) struct Flows<T> {
    sets: Vec<ClassMembers>,
    pub(super) table: AccessTable<T>,
    pub(super) common: Vec<Flow>,
    pub(super) old: Vec<Flow>,
    pub(super) new: Vec<Flow>,
    /// The rules of each flow, by policy.
    rules: HashMap<(Version, Flow), Vec<usize>>,
}

/// Gives equal sets of classes one number.
#[derive(Default)]
struct SetTable {
    sets: Vec<ClassMembers>,
    numbers: HashMap<Vec<(u32, u32)>, u32>,
}

impl SetTable {
    /// The number of a set of classes; families of the same class are added up.
    fn number(&mut self, members: impl Iterator<Item = (ClassId, Families)>) -> u32 {
        let mut merged: BTreeMap<ClassId, Families> = BTreeMap::new();
        for (class, families) in members {
            let known = merged.entry(class).or_insert(families);
            *known = known.union(families);
        }
        let key: Vec<(u32, u32)> =
            merged.iter().map(|(class, families)| (class.0, families.bits())).collect();
        let next = u32::try_from(self.sets.len()).expect("fewer sets than rules");
        *self.numbers.entry(key).or_insert_with(|| {
            self.sets.push(merged.into_iter().collect());
            next
        })
    }
}

impl<T: Access> Flows<T> {
    pub(super) fn new(sides: &[RuleSet<'_, T>; 2], classes: &Classes) -> Self {
        let (mut sets, mut table, mut rules) = (SetTable::default(), AccessTable::default(), HashMap::new());
        for RuleSet { version, rules: of_policy, .. } in sides {
            for (at, rule) in of_policy.iter().enumerate() {
                let members =
                    rule.sources.iter().flat_map(|id| classes.sources_of(&source_key(*version, *id, rule)));
                let sources = sets.number(members.copied());
                for (target, opened) in &rule.targets {
                    let targets = match target {
                        Target::Own => None,
                        Target::Set(id) => {
                            let members = classes.targets_of(&target_key(*version, *id, rule));
                            Some(sets.number(members.iter().copied()))
                        }
                    };
                    let flow = Flow { sources, targets, opened: table.number(opened) };
                    rules.entry((*version, flow)).or_insert_with(Vec::new).push(at);
                }
            }
        }
        let of = |wanted: Version| {
            rules.keys().filter(move |(version, _)| *version == wanted).map(|(_, flow)| *flow)
        };
        let has = |version: Version, flow: &Flow| rules.contains_key(&(version, *flow));
        let mut common: Vec<Flow> = of(Version::Old).filter(|flow| has(Version::New, flow)).collect();
        let mut only_old: Vec<Flow> = of(Version::Old).filter(|flow| !has(Version::New, flow)).collect();
        let mut only_new: Vec<Flow> = of(Version::New).filter(|flow| !has(Version::Old, flow)).collect();
        for flows in [&mut common, &mut only_old, &mut only_new] {
            flows.sort_unstable();
        }
        Self { sets: sets.sets, table, common, old: only_old, new: only_new, rules }
    }

    pub(super) fn sources(&self, flow: Flow) -> &ClassMembers {
        &self.sets[flow.sources as usize]
    }

    /// The targets of a flow; none of one to the source's own devices.
    pub(super) fn targets(&self, flow: Flow) -> &[(ClassId, Families)] {
        flow.targets.map_or(&[], |set| &self.sets[set as usize])
    }

    /// All sets of classes by number.
    pub(super) fn sets(&self) -> &[ClassMembers] {
        &self.sets
    }

    /// The sets that are sources of a flow.
    pub(super) fn source_sets(&self) -> Vec<u32> {
        self.versions().iter().flat_map(|(_, flows)| flows.iter().map(|flow| flow.sources)).collect()
    }

    /// The flows that one policy alone has, and those of both.
    pub(super) fn versions(&self) -> [(Option<Version>, &Vec<Flow>); 3] {
        [(Some(Version::Old), &self.old), (Some(Version::New), &self.new), (None, &self.common)]
    }

    /// The rules of a flow, by their place among those of the diff.
    pub(super) fn rules(&self, version: Version, flow: Flow) -> &[usize] {
        self.rules.get(&(version, flow)).map_or(&[], Vec::as_slice)
    }
}

impl Flow {
    /// Whether it leads to the source's own devices.
    pub(super) fn is_own(&self) -> bool {
        self.targets.is_none()
    }
}

/// The families of a class in a set of a flow.
pub(super) fn families(members: &[(ClassId, Families)], class: ClassId) -> Option<Families> {
    let found = members.binary_search_by_key(&class, |(class, _)| *class);
    found.ok().map(|at| members[at].1)
}
