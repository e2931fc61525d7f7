//! Counts the pairs of groups, without those that need no mesh, those that are told as a person's own, and exceptions.

use std::collections::HashMap;

use super::classes::{ClassId, Classes};
use super::deltas::Deltas;
use super::entities::{Entities, SourceEntity, TargetEntity};
use super::folds::Tally;
use super::groups::{Group, Groups, Sources};
use crate::mesh::{DeviceRef, Mesh};

/// What counting needs, made once for all groups of both directions.
pub(super) struct Counter<'a> {
    mesh: &'a Mesh,
    entities: &'a Entities,
    classes: &'a Classes,
    /// For each source: classes of targets, and how many of each are no targets of it.
    excluded: Vec<Vec<(ClassId, u64)>>,
    /// The group that has marked each class of targets last.
    marks: Vec<u64>,
    mark: u64,
}

impl<'a> Counter<'a> {
    pub(super) fn new<T>(
        mesh: &'a Mesh,
        entities: &'a Entities,
        classes: &'a Classes,
        deltas: &Deltas<T>,
    ) -> Self {
        let mut counter = Self {
            mesh,
            entities,
            classes,
            excluded: Vec::new(),
            marks: vec![0; classes.targets.len()],
            mark: 0,
        };
        counter.excluded = counter.exclusions(deltas);
        counter
    }

    /// The targets that each source does not have: itself, its owner's devices where these are told apart, and what is
    /// behind itself.
    fn exclusions<T>(&self, deltas: &Deltas<T>) -> Vec<Vec<(ClassId, u64)>> {
        let (mut devices, mut behind) = (HashMap::new(), HashMap::<DeviceRef, Vec<ClassId>>::new());
        for (place, target) in self.entities.targets.iter().enumerate() {
            let class = self.classes.target_class[place];
            match target {
                TargetEntity::Device(device) => _ = devices.insert(*device, class),
                TargetEntity::Piece { router, .. } => behind.entry(*router).or_default().push(class),
            }
        }
        let at = |router: DeviceRef| {
            let networks = behind.get(&router).into_iter().flatten().copied();
            devices.get(&router).copied().into_iter().chain(networks)
        };
        let of_source = |(place, source): (usize, &SourceEntity)| match source {
            SourceEntity::Device(device) => {
                let has_own = deltas.with_own.contains(&self.classes.source_class[place]);
                let owner = self.mesh.owner(*device).filter(|_| has_own);
                let siblings = owner.map(|owner| self.mesh.devices_of(owner)).unwrap_or_default();
                let siblings = siblings.iter().filter(|sibling| *sibling != device);
                let siblings = siblings.filter_map(|sibling| devices.get(sibling)).copied();
                tally_classes(at(*device).chain(siblings))
            }
            SourceEntity::Atom(atom) => match self.entities.atoms[*atom].routers[..] {
                [router] => tally_classes(at(router)),
                _ => Vec::new(),
            },
            SourceEntity::Anyone => Vec::new(),
        };
        self.entities.sources.iter().enumerate().map(of_source).collect()
    }

    /// The pairs of a group; who and what has part in them is noted.
    pub(super) fn count<T>(
        &mut self,
        number: usize,
        group: &Group,
        deltas: &Side<'_, T>,
        tally: &mut Tally,
    ) -> u64 {
        let total = self.mark_targets(group, deltas.groups);
        let mut connections = 0;
        deltas.for_each_class(group, |class| {
            let exceptions = deltas.groups.exceptions(number, class);
            let rest = total - exceptions.iter().map(|target| self.size(*target)).sum::<u64>();
            for place in &self.classes.sources[class.0 as usize] {
                let reached = rest - self.excluded_of(*place, exceptions);
                if reached > 0 {
                    connections += reached;
                    tally.add_source(self.entities.sources[*place], self.mesh);
                }
            }
        });
        if connections > 0 {
            self.note_targets(group, deltas.groups, tally);
        }
        tally.connections += connections;
        connections
    }

    /// The sources of a group that have part in it.
    pub(super) fn sources<T>(
        &mut self,
        number: usize,
        group: &Group,
        deltas: &Side<'_, T>,
    ) -> Vec<(ClassId, SourceEntity)> {
        let total = self.mark_targets(group, deltas.groups);
        let mut sources = Vec::new();
        deltas.for_each_class(group, |class| {
            let exceptions = deltas.groups.exceptions(number, class);
            let rest = total - exceptions.iter().map(|target| self.size(*target)).sum::<u64>();
            let places = self.classes.sources[class.0 as usize].iter();
            let places = places.filter(|place| rest > self.excluded_of(**place, exceptions));
            sources.extend(places.map(|place| (class, self.entities.sources[*place])));
        });
        sources
    }

    /// Marks the classes of targets; how many targets they have.
    fn mark_targets(&mut self, group: &Group, groups: &Groups) -> u64 {
        self.mark += 1;
        let mut total = 0;
        for target in groups.targets(group) {
            self.marks[target.0 as usize] = self.mark;
            total += self.size(target);
        }
        total
    }

    fn size(&self, target: ClassId) -> u64 {
        self.classes.targets[target.0 as usize].len() as u64
    }

    /// How many marked targets are no targets of a source, without those in classes that are exceptions anyway.
    fn excluded_of(&self, place: usize, exceptions: &[ClassId]) -> u64 {
        let excluded = self.excluded[place].iter();
        let counts = excluded.filter(|(class, _)| {
            self.marks[class.0 as usize] == self.mark && exceptions.binary_search(class).is_err()
        });
        counts.map(|(_, count)| count).sum()
    }

    fn note_targets(&self, group: &Group, groups: &Groups, tally: &mut Tally) {
        for target in groups.targets(group) {
            for place in &self.classes.targets[target.0 as usize] {
                if let TargetEntity::Device(device) = self.entities.targets[*place] {
                    tally.add_target(device);
                }
            }
        }
    }
}

/// How often each class comes.
fn tally_classes(classes: impl Iterator<Item = ClassId>) -> Vec<(ClassId, u64)> {
    let mut classes: Vec<ClassId> = classes.collect();
    classes.sort_unstable();
    classes.chunk_by(|one, other| one == other).map(|run| (run[0], run.len() as u64)).collect()
}

/// What changed in one direction.
pub(super) struct Side<'a, T> {
    pub(super) deltas: &'a Deltas<T>,
    pub(super) groups: &'a Groups,
}

impl<T> Side<'_, T> {
    /// Visits all classes of sources of a group, those of its cells included.
    fn for_each_class(&self, group: &Group, mut visit: impl FnMut(ClassId)) {
        match self.groups.sources(group) {
            Sources::Classes(classes) => classes.iter().for_each(|class| visit(*class)),
            Sources::Cells(cells) => {
                let classes = cells.iter().flat_map(|cell| &self.deltas.cells.classes[cell.0 as usize]);
                classes.for_each(|class| visit(*class));
            }
        }
    }
}
