//! Deltas: what opens or closes between classes of sources and of targets, and among a person's own devices.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::cells::{CellId, Cells};
use super::classes::{ClassId, Classes, Version};
use super::entities::{Entities, SourceEntity, TargetEntity};
use super::flows::{Flow, Flows, families};
use super::groups::{Groups, TargetChanges};
use crate::access::{Access, AccessTable, MAX_CACHED, NumberHashing};
use crate::compile::Families;
use crate::mesh::{DeviceRef, Mesh};

/// All that changed.
#[derive(Debug)]
pub(super) struct Deltas<T> {
    /// Values by number.
    pub(super) table: AccessTable<T>,
    pub(super) cells: Cells,
    /// What opened; pairs of one person's devices are not counted where these are in `own`.
    pub(super) opened: Groups,
    pub(super) closed: Groups,
    /// Between devices of one person.
    pub(super) own: Vec<(DeviceRef, DeviceRef, Delta)>,
    /// Classes of sources with rules about their own devices: their pairs are in `own`.
    pub(super) with_own: BTreeSet<ClassId>,
}

/// What opened and what closed, as numbers of the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Delta {
    pub(super) opened: Option<u32>,
    pub(super) closed: Option<u32>,
}

/// What both policies open while it is added up, as numbers of a table.
#[derive(Debug, Clone, Copy, Default)]
struct Both {
    old: Option<u32>,
    new: Option<u32>,
}

impl Both {
    /// Adds what a flow opens in one policy; `None` is both.
    fn add<T: Access>(&mut self, version: Option<Version>, opened: u32, table: &mut AccessTable<T>) {
        let mut join = |known: &mut Option<u32>| {
            *known = Some(known.map_or(opened, |known| table.union(known, opened)));
        };
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

/// The flows that lead to a class of targets, with the families of the targets in the flow.
type TargetFlows = Vec<(Option<Version>, Flow, Families)>;

/// The search for deltas.
struct Search<'a, T> {
    flows: &'a Flows<T>,
    cells: &'a Cells,
    table: AccessTable<T>,
    /// Deltas by what both policies open.
    known: HashMap<u64, Delta, NumberHashing>,
    /// By class of sources, while a target is looked at.
    sums: Vec<Both>,
    touched: Vec<ClassId>,
    is_touched: Vec<bool>,
}

/// Finds all that changed; more than `most` different changes towards one target are put together.
pub(super) fn find<T: Access>(
    classes: &Classes,
    flows: &Flows<T>,
    entities: &Entities,
    mesh: &Mesh,
    most: usize,
) -> Deltas<T> {
    let sources = classes.sources.len();
    let cells = Cells::new(flows.sets(), &flows.source_sets(), sources);
    let mut search = Search {
        flows,
        cells: &cells,
        table: flows.table.clone(),
        known: HashMap::default(),
        sums: vec![Both::default(); sources],
        touched: Vec::new(),
        is_touched: vec![false; sources],
    };
    let by_target = flows_by_target(flows, classes.targets.len());
    let (mut opened, mut closed) = (Groups::default(), Groups::default());
    let mut changes = (TargetChanges::default(), TargetChanges::default());
    for (target, target_flows) in (0..).map(ClassId).zip(&by_target) {
        if target_flows.iter().any(|(version, ..)| version.is_some()) {
            search.look_at(target_flows, &mut changes);
            opened.add(target, &mut changes.0, most, &mut search.table);
            closed.add(target, &mut changes.1, most, &mut search.table);
        }
    }
    let own_access = search.opened_on_own();
    let own = search.find_own(classes, entities, mesh, &own_access, &by_target);
    let table = search.table;
    let with_own = own_access.keys().copied().collect();
    Deltas { table, opened: opened.finish(), closed: closed.finish(), own, with_own, cells }
}

/// The flows of each class of targets.
fn flows_by_target<T: Access>(flows: &Flows<T>, targets: usize) -> Vec<TargetFlows> {
    let mut by_target = vec![TargetFlows::new(); targets];
    for (version, list) in flows.versions() {
        for flow in list {
            for (class, families) in flows.targets(*flow) {
                by_target[class.0 as usize].push((version, *flow, *families));
            }
        }
    }
    by_target
}

impl<T: Access> Search<'_, T> {
    fn delta(&mut self, both: Both) -> Delta {
        if both.old == both.new {
            return Delta::default();
        }
        let number = |number: Option<u32>| number.map_or(0, |number| u64::from(number) + 1);
        let key = (number(both.old) << 32) | number(both.new);
        if let Some(delta) = self.known.get(&key) {
            return *delta;
        }
        let value = |number: Option<u32>| {
            number.map(|number| Arc::clone(self.table.value(number))).unwrap_or_default()
        };
        let (old, new) = (value(both.old), value(both.new));
        let mut rest = |rest: T| (!rest.is_nothing()).then(|| self.table.number(&Arc::new(rest)));
        let delta = Delta { opened: rest(new.without(&old)), closed: rest(old.without(&new)) };
        if self.known.len() >= MAX_CACHED {
            self.known.clear();
        }
        self.known.insert(key, delta);
        delta
    }

    /// Adds up what leads to one class of targets, and finds what changed.
    fn look_at(&mut self, target_flows: &TargetFlows, changes: &mut (TargetChanges, TargetChanges)) {
        let cell_sums = self.cell_sums(target_flows);
        let cell_deltas: Vec<Delta> = cell_sums.iter().map(|both| self.delta(*both)).collect();
        self.add_narrow(target_flows, &cell_deltas);
        for class in std::mem::take(&mut self.touched) {
            let at = class.0 as usize;
            self.is_touched[at] = false;
            let cell = self.cells.of(class);
            let of_cell = cell.map(|cell| cell_sums[cell.0 as usize]).unwrap_or_default();
            let both = std::mem::take(&mut self.sums[at]).union(of_cell, &mut self.table);
            let (delta, usual) =
                (self.delta(both), cell.map(|cell| cell_deltas[cell.0 as usize]).unwrap_or_default());
            note(delta.opened, usual.opened, class, cell, &mut changes.0);
            note(delta.closed, usual.closed, class, cell, &mut changes.1);
        }
        for cell in self.cells.all() {
            let delta = cell_deltas[cell.0 as usize];
            changes.0.cells.extend(delta.opened.map(|opened| (opened, cell)));
            changes.1.cells.extend(delta.closed.map(|closed| (closed, cell)));
        }
    }

    /// What broad sets open, by cell.
    fn cell_sums(&mut self, target_flows: &TargetFlows) -> Vec<Both> {
        let mut sums = vec![Both::default(); self.cells.classes.len()];
        for (version, flow, families) in
            target_flows.iter().filter(|(_, flow, _)| self.cells.is_broad(flow.sources))
        {
            for cell in self.cells.all() {
                if self.cells.families(cell, flow.sources).is_some_and(|own| own.meet(*families)) {
                    sums[cell.0 as usize].add(*version, flow.opened, &mut self.table);
                }
            }
        }
        sums
    }

    /// What other sets open: for classes that a changed one names, and for those whose cell has changed.
    fn add_narrow(&mut self, target_flows: &TargetFlows, cell_deltas: &[Delta]) {
        let narrow = target_flows.iter().filter(|(_, flow, _)| !self.cells.is_broad(flow.sources));
        let (changed, common): (Vec<&_>, Vec<&_>) = narrow.partition(|(version, ..)| version.is_some());
        for (version, flow, families) in changed.into_iter().chain(common) {
            for (source, own) in self.flows.sources(*flow) {
                let at = source.0 as usize;
                let has_changed = || {
                    let cell = self.cells.of(*source);
                    cell.is_some_and(|cell| cell_deltas[cell.0 as usize] != Delta::default())
                };
                let counts = version.is_some() || self.is_touched[at] || has_changed();
                if !counts || !own.meet(*families) {
                    continue;
                }
                if !std::mem::replace(&mut self.is_touched[at], true) {
                    self.touched.push(*source);
                }
                self.sums[at].add(*version, flow.opened, &mut self.table);
            }
        }
    }

    /// What rules about own devices open, by class of sources.
    fn opened_on_own(&mut self) -> BTreeMap<ClassId, Both> {
        let mut own: BTreeMap<ClassId, Both> = BTreeMap::new();
        for (version, list) in self.flows.versions() {
            for flow in list.iter().filter(|flow| flow.is_own()) {
                for (class, _) in self.flows.sources(*flow) {
                    own.entry(*class).or_default().add(version, flow.opened, &mut self.table);
                }
            }
        }
        own
    }

    /// Deltas between devices of one person, of sources with rules about their own devices.
    fn find_own(
        &mut self,
        classes: &Classes,
        entities: &Entities,
        mesh: &Mesh,
        own: &BTreeMap<ClassId, Both>,
        by_target: &[TargetFlows],
    ) -> Vec<(DeviceRef, DeviceRef, Delta)> {
        let targets: HashMap<DeviceRef, ClassId> = entities.target_devices(&classes.target_class).collect();
        let (mut known, mut deltas) = (HashMap::new(), Vec::new());
        for (place, source) in entities.sources.iter().enumerate() {
            let source_class = classes.source_class[place];
            let (SourceEntity::Device(device), Some(own)) = (source, own.get(&source_class)) else {
                continue;
            };
            let siblings = mesh.owner(*device).map(|person| mesh.devices_of(person)).unwrap_or_default();
            for sibling in siblings.iter().filter(|sibling| *sibling != device) {
                let Some(target_class) = targets.get(sibling) else { continue };
                let others = *known.entry((source_class, *target_class)).or_insert_with(|| {
                    self.opened_between(source_class, &by_target[target_class.0 as usize])
                });
                let both = others.union(*own, &mut self.table);
                let delta = self.delta(both);
                if delta != Delta::default() {
                    deltas.push((*device, *sibling, delta));
                }
            }
        }
        deltas
    }

    /// What all flows of both policies open from a class.
    fn opened_between(&mut self, source: ClassId, target_flows: &TargetFlows) -> Both {
        let mut both = Both::default();
        for (version, flow, target_families) in target_flows {
            let own = families(self.flows.sources(*flow), source);
            if own.is_some_and(|own| own.meet(*target_families)) {
                both.add(*version, flow.opened, &mut self.table);
            }
        }
        both
    }
}

/// Notes what a class gained or lost, where that is not what its cell did.
fn note(
    own: Option<u32>,
    usual: Option<u32>,
    class: ClassId,
    cell: Option<CellId>,
    changes: &mut TargetChanges,
) {
    if own == usual {
        return;
    }
    changes.classes.extend(own.map(|access| (access, class)));
    if usual.is_some() {
        changes.exceptions.extend(cell.map(|cell| (cell, class)));
    }
}

impl Entities {
    /// The devices among the targets, with their classes.
    fn target_devices(&self, classes: &[ClassId]) -> impl Iterator<Item = (DeviceRef, ClassId)> {
        self.targets.iter().zip(classes).filter_map(|(target, class)| match target {
            TargetEntity::Device(device) => Some((*device, *class)),
            TargetEntity::Piece { .. } => None,
        })
    }
}
