//! Deltas: what opens or closes between a class of sources and a class of targets, and among a person's own devices.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::classes::{ClassId, Classes, Version};
use super::entities::{Entities, SourceEntity, TargetEntity};
use super::flows::{Flow, Flows};
use super::kinds::Access;
use super::table::AccessTable;
use crate::mesh::{DeviceRef, Mesh};

/// What opened and what closed.
#[derive(Debug, Clone)]
pub(super) struct Delta<T> {
    pub(super) opened: Option<Arc<T>>,
    pub(super) closed: Option<Arc<T>>,
}

/// All that changed.
#[derive(Debug)]
pub(super) struct Deltas<T> {
    /// By class of sources and of targets, without pairs of one person's devices where these are in `own`.
    pub(super) classes: Vec<(ClassId, ClassId, Delta<T>)>,
    /// Between devices of one person.
    pub(super) own: Vec<(DeviceRef, DeviceRef, Delta<T>)>,
    /// Classes of sources with rules about their own devices: their pairs are in `own`.
    pub(super) with_own: BTreeSet<ClassId>,
}

/// What both policies open while it is added up, as numbers of a table.
#[derive(Debug, Clone, Copy, Default)]
struct Both {
    old: Option<u32>,
    new: Option<u32>,
}

impl Both {
    fn add<T: Access>(&mut self, version: Option<Version>, opened: u32, table: &mut AccessTable<T>) {
        let mut join =
            |known: &mut Option<u32>| *known = Some(known.map_or(opened, |known| table.union(known, opened)));
        if version != Some(Version::New) {
            join(&mut self.old);
        }
        if version != Some(Version::Old) {
            join(&mut self.new);
        }
    }

    fn union<T: Access>(mut self, other: Self, table: &mut AccessTable<T>) -> Self {
        if let Some(opened) = other.old {
            self.add(Some(Version::Old), opened, table);
        }
        if let Some(opened) = other.new {
            self.add(Some(Version::New), opened, table);
        }
        self
    }
}

/// Turns numbers into deltas, each pair once.
struct Subtraction<T> {
    table: AccessTable<T>,
    known: HashMap<(Option<u32>, Option<u32>), Delta<T>>,
}

impl<T: Access> Subtraction<T> {
    /// The delta, if there is one.
    fn delta(&mut self, both: Both) -> Option<Delta<T>> {
        let table = &self.table;
        let delta = self.known.entry((both.old, both.new)).or_insert_with(|| {
            let set = |number: Option<u32>| {
                number.map(|number| Arc::clone(table.value(number))).unwrap_or_default()
            };
            let (old, new) = (set(both.old), set(both.new));
            let rest = |rest: T| (!rest.is_nothing()).then(|| Arc::new(rest));
            Delta { opened: rest(new.without(&old)), closed: rest(old.without(&new)) }
        });
        (delta.opened.is_some() || delta.closed.is_some()).then(|| delta.clone())
    }
}

/// The flows of a target class, by policy; `None` is both.
type TargetFlows = BTreeMap<ClassId, Vec<(Option<Version>, Flow)>>;

pub(super) fn find<T: Access>(
    classes: &Classes,
    flows: &Flows<T>,
    entities: &Entities,
    mesh: &Mesh,
) -> Deltas<T> {
    let mut work = Subtraction { table: flows.table.clone(), known: HashMap::new() };
    let own = opened_on_own(flows, &mut work.table);
    let mut deltas = Deltas { classes: Vec::new(), own: Vec::new(), with_own: own.keys().copied().collect() };
    let by_target = flows_by_target(flows);
    let mut sums = vec![Both::default(); classes.sources.len()];
    for (target, target_flows) in &by_target {
        let touched = add_changed(*target, target_flows, flows, &mut sums, &mut work.table);
        if touched.is_empty() {
            continue;
        }
        add_common(*target, target_flows, flows, &mut sums, &mut work.table);
        for source in touched {
            let both = std::mem::take(&mut sums[source.0 as usize]);
            deltas.classes.extend(work.delta(both).map(|delta| (source, *target, delta)));
        }
    }
    find_own(classes, flows, entities, mesh, &own, &by_target, &mut work, &mut deltas);
    deltas
}

/// What rules about own devices open, by class of sources.
fn opened_on_own<T: Access>(flows: &Flows<T>, table: &mut AccessTable<T>) -> BTreeMap<ClassId, Both> {
    let mut own: BTreeMap<ClassId, Both> = BTreeMap::new();
    for (version, list) in versions(flows) {
        for flow in list.iter().filter(|flow| Flow::is_own(flow)) {
            for (class, _) in flows.sources(*flow) {
                own.entry(*class).or_default().add(version, flow.opened, table);
            }
        }
    }
    own
}

fn versions<T: Access>(flows: &Flows<T>) -> [(Option<Version>, &Vec<Flow>); 3] {
    [(Some(Version::Old), &flows.old), (Some(Version::New), &flows.new), (None, &flows.common)]
}

/// The flows of each target class that a flow of one policy alone leads to.
fn flows_by_target<T: Access>(flows: &Flows<T>) -> TargetFlows {
    let mut by_target = TargetFlows::new();
    for (version, list) in versions(flows) {
        for flow in list {
            for (class, _) in flows.targets(*flow) {
                by_target.entry(*class).or_default().push((version, *flow));
            }
        }
    }
    by_target
}

/// Adds up the flows that one policy alone has; the classes of sources that they concern.
fn add_changed<T: Access>(
    target: ClassId,
    target_flows: &[(Option<Version>, Flow)],
    flows: &Flows<T>,
    sums: &mut [Both],
    table: &mut AccessTable<T>,
) -> BTreeSet<ClassId> {
    let mut touched = BTreeSet::new();
    for (version, flow) in target_flows.iter().filter(|(version, _)| version.is_some()) {
        let Some(families) = super::flows::families(flows.targets(*flow), target) else { continue };
        for (source, source_families) in flows.sources(*flow) {
            if source_families.meet(families) {
                touched.insert(*source);
                sums[source.0 as usize].add(*version, flow.opened, table);
            }
        }
    }
    touched
}

/// Adds the flows that both policies have, for the sources that have changed flows.
fn add_common<T: Access>(
    target: ClassId,
    target_flows: &[(Option<Version>, Flow)],
    flows: &Flows<T>,
    sums: &mut [Both],
    table: &mut AccessTable<T>,
) {
    for (version, flow) in target_flows.iter().filter(|(version, _)| version.is_none()) {
        let Some(families) = super::flows::families(flows.targets(*flow), target) else { continue };
        for (source, source_families) in flows.sources(*flow) {
            let sum = &mut sums[source.0 as usize];
            let is_touched = sum.old.is_some() || sum.new.is_some();
            if is_touched && source_families.meet(families) {
                sum.add(*version, flow.opened, table);
            }
        }
    }
}

/// Deltas between devices of one person, of sources with rules about their own devices.
#[expect(clippy::too_many_arguments, reason = "the parts of one search, each borrowed")]
fn find_own<T: Access>(
    classes: &Classes,
    flows: &Flows<T>,
    entities: &Entities,
    mesh: &Mesh,
    own: &BTreeMap<ClassId, Both>,
    by_target: &TargetFlows,
    work: &mut Subtraction<T>,
    deltas: &mut Deltas<T>,
) {
    let mut known: HashMap<(ClassId, ClassId), Both> = HashMap::new();
    let mut targets: HashMap<DeviceRef, ClassId> = HashMap::new();
    for (place, target) in entities.targets.iter().enumerate() {
        if let TargetEntity::Device(device) = target {
            targets.insert(*device, classes.target_class[place]);
        }
    }
    for (place, source) in entities.sources.iter().enumerate() {
        let source_class = classes.source_class[place];
        let (SourceEntity::Device(device), Some(own)) = (source, own.get(&source_class)) else { continue };
        let siblings = mesh.owner(*device).map(|person| mesh.devices_of(person)).unwrap_or_default();
        for sibling in siblings.iter().filter(|sibling| *sibling != device) {
            let Some(target_class) = targets.get(sibling) else { continue };
            let others = *known.entry((source_class, *target_class)).or_insert_with(|| {
                opened_between(source_class, *target_class, flows, by_target, &mut work.table)
            });
            let both = others.union(*own, &mut work.table);
            deltas.own.extend(work.delta(both).map(|delta| (*device, *sibling, delta)));
        }
    }
}

/// What all flows of both policies open between two classes.
fn opened_between<T: Access>(
    source: ClassId,
    target: ClassId,
    flows: &Flows<T>,
    by_target: &TargetFlows,
    table: &mut AccessTable<T>,
) -> Both {
    let mut both = Both::default();
    for (version, flow) in by_target.get(&target).into_iter().flatten() {
        let target_families = super::flows::families(flows.targets(*flow), target);
        let source_families = super::flows::families(flows.sources(*flow), source);
        if let (Some(one), Some(other)) = (source_families, target_families)
            && one.meet(other)
        {
            both.add(*version, flow.opened, table);
        }
    }
    both
}
