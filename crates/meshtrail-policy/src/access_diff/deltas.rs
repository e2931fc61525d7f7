//! Deltas: ports that open or close between a class of sources and a class of targets, and among a person's own devices.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::classes::{ClassId, Classes, Version};
use super::entities::{Entities, SourceEntity, TargetEntity};
use super::flows::{Flow, Flows};
use crate::mesh::{DeviceRef, Mesh};
use crate::ports::PortSet;
use crate::reach::PortTable;

/// Ports that opened and closed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Delta {
    pub(super) opened: Option<Arc<PortSet>>,
    pub(super) closed: Option<Arc<PortSet>>,
}

/// All that changed.
#[derive(Debug, Default)]
pub(super) struct Deltas {
    /// By class of sources and of targets, without pairs of one person's devices where these are in `own`.
    pub(super) classes: Vec<(ClassId, ClassId, Delta)>,
    /// Between devices of one person.
    pub(super) own: Vec<(DeviceRef, DeviceRef, Delta)>,
    /// Classes of sources with rules about their own devices: their pairs are in `own`.
    pub(super) with_own: BTreeSet<ClassId>,
}

/// Ports of both policies while they are added up, as numbers of a table.
#[derive(Debug, Clone, Copy, Default)]
struct Both {
    old: Option<u32>,
    new: Option<u32>,
}

impl Both {
    fn add(&mut self, version: Option<Version>, ports: u32, table: &mut PortTable) {
        let mut join = |known: &mut Option<u32>| *known = Some(known.map_or(ports, |known| table.union(known, ports)));
        if version != Some(Version::New) {
            join(&mut self.old);
        }
        if version != Some(Version::Old) {
            join(&mut self.new);
        }
    }

    fn union(mut self, other: Self, table: &mut PortTable) -> Self {
        if let Some(ports) = other.old {
            self.add(Some(Version::Old), ports, table);
        }
        if let Some(ports) = other.new {
            self.add(Some(Version::New), ports, table);
        }
        self
    }
}

/// Turns numbers into deltas, each pair once.
struct Subtraction {
    table: PortTable,
    known: HashMap<(Option<u32>, Option<u32>), Delta>,
}

impl Subtraction {
    /// The delta, if there is one.
    fn delta(&mut self, both: Both) -> Option<Delta> {
        let table = &self.table;
        let delta = self.known.entry((both.old, both.new)).or_insert_with(|| {
            let set = |number: Option<u32>| number.map(|number| Arc::clone(table.set(number))).unwrap_or_default();
            let (old, new) = (set(both.old), set(both.new));
            let rest = |rest: PortSet| (!rest.is_empty()).then(|| Arc::new(rest));
            Delta { opened: rest(new.without(&old)), closed: rest(old.without(&new)) }
        });
        (delta.opened.is_some() || delta.closed.is_some()).then(|| delta.clone())
    }
}

/// The flows of a target class, by policy; `None` is both.
type TargetFlows = BTreeMap<ClassId, Vec<(Option<Version>, Flow)>>;

pub(super) fn find(classes: &Classes, flows: &Flows, entities: &Entities, mesh: &Mesh) -> Deltas {
    let mut work = Subtraction { table: flows.ports.clone(), known: HashMap::new() };
    let own = own_ports(flows, &mut work.table);
    let mut deltas = Deltas { with_own: own.keys().copied().collect(), ..Deltas::default() };
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
fn own_ports(flows: &Flows, table: &mut PortTable) -> BTreeMap<ClassId, Both> {
    let mut own: BTreeMap<ClassId, Both> = BTreeMap::new();
    for (version, list) in versions(flows) {
        for flow in list.iter().filter(|flow| Flows::is_own(flow)) {
            for (class, _) in flows.sources(*flow) {
                own.entry(*class).or_default().add(version, flow.ports, table);
            }
        }
    }
    own
}

fn versions(flows: &Flows) -> [(Option<Version>, &Vec<Flow>); 3] {
    [(Some(Version::Old), &flows.old), (Some(Version::New), &flows.new), (None, &flows.common)]
}

/// The flows of each target class that a flow of one policy alone leads to.
fn flows_by_target(flows: &Flows) -> TargetFlows {
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
fn add_changed(
    target: ClassId,
    target_flows: &[(Option<Version>, Flow)],
    flows: &Flows,
    sums: &mut [Both],
    table: &mut PortTable,
) -> BTreeSet<ClassId> {
    let mut touched = BTreeSet::new();
    for (version, flow) in target_flows.iter().filter(|(version, _)| version.is_some()) {
        let Some(families) = Flows::families(flows.targets(*flow), target) else { continue };
        for (source, source_families) in flows.sources(*flow) {
            if source_families.meet(families) {
                touched.insert(*source);
                sums[source.0 as usize].add(*version, flow.ports, table);
            }
        }
    }
    touched
}

/// Adds the flows that both policies have, for the sources that have changed flows.
fn add_common(
    target: ClassId,
    target_flows: &[(Option<Version>, Flow)],
    flows: &Flows,
    sums: &mut [Both],
    table: &mut PortTable,
) {
    for (version, flow) in target_flows.iter().filter(|(version, _)| version.is_none()) {
        let Some(families) = Flows::families(flows.targets(*flow), target) else { continue };
        for (source, source_families) in flows.sources(*flow) {
            let sum = &mut sums[source.0 as usize];
            let is_touched = sum.old.is_some() || sum.new.is_some();
            if is_touched && source_families.meet(families) {
                sum.add(*version, flow.ports, table);
            }
        }
    }
}

/// Deltas between devices of one person, of sources with rules about their own devices.
#[expect(clippy::too_many_arguments, reason = "the parts of one search, each borrowed")]
fn find_own(
    classes: &Classes,
    flows: &Flows,
    entities: &Entities,
    mesh: &Mesh,
    own: &BTreeMap<ClassId, Both>,
    by_target: &TargetFlows,
    work: &mut Subtraction,
    deltas: &mut Deltas,
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
            let others = *known
                .entry((source_class, *target_class))
                .or_insert_with(|| ports_between(source_class, *target_class, flows, by_target, &mut work.table));
            let both = others.union(*own, &mut work.table);
            deltas.own.extend(work.delta(both).map(|delta| (*device, *sibling, delta)));
        }
    }
}

/// What all flows of both policies open between two classes.
fn ports_between(
    source: ClassId,
    target: ClassId,
    flows: &Flows,
    by_target: &TargetFlows,
    table: &mut PortTable,
) -> Both {
    let mut both = Both::default();
    for (version, flow) in by_target.get(&target).into_iter().flatten() {
        let target_families = Flows::families(flows.targets(*flow), target);
        let source_families = Flows::families(flows.sources(*flow), source);
        if let (Some(one), Some(other)) = (source_families, target_families)
            && one.meet(other)
        {
            both.add(*version, flow.ports, table);
        }
    }
    both
}
