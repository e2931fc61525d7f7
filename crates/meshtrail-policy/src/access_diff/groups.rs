//! Groups: sources with the same change towards the same targets.
//!
//! Two policies without anything in common have hundreds of thousands of groups, so that a group is small: its sources
//! stand in one list with those of all others.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use super::cells::CellId;
use super::classes::ClassId;
use crate::access::{Access, AccessTable, NumberHashing};

/// Sources of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sources<'g> {
    Classes(&'g [ClassId]),
    /// Cells, without the classes that are exceptions for a target.
    Cells(&'g [CellId]),
}

/// A group.
#[derive(Debug)]
pub(super) struct Group {
    /// What opened, or closed, as a number of the table.
    pub(super) access: u32,
    of_cells: bool,
    /// Where its sources stand among those of all groups of their kind.
    start: u32,
    end: u32,
    first_target: ClassId,
    last_target: u32,
    /// Another group with the same hash.
    other: u32,
}

impl Group {
    /// The first class of targets.
    pub(super) fn first_target(&self) -> ClassId {
        self.first_target
    }
}

/// Stands for no group, and for no further target.
const NONE: u32 = u32::MAX;

/// The groups of one direction; targets are gone through in order.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: Vec<Group>,
    classes: Vec<ClassId>,
    cells: Vec<CellId>,
    /// The targets of each group after its first: a class, and the place of the one before it.
    more_targets: Vec<(ClassId, u32)>,
    /// Of groups of cells: the targets, in order, for which a class is an exception.
    exceptions: HashMap<usize, HashMap<ClassId, Vec<ClassId>>>,
    /// Groups of different changes that were put together.
    together: HashSet<usize>,
    /// The newest group with each hash of what groups open and of their sources.
    numbers: HashMap<u64, u32, NumberHashing>,
    hashing: NumberHashing,
}

/// What changed towards one target in one direction.
#[derive(Debug, Default)]
pub(super) struct TargetChanges {
    /// Numbers of the table with classes.
    pub(super) classes: Vec<(u32, ClassId)>,
    /// Numbers of the table with cells.
    pub(super) cells: Vec<(u32, CellId)>,
    /// Classes that are not as their cell is.
    pub(super) exceptions: Vec<(CellId, ClassId)>,
}

impl TargetChanges {
    /// Makes one change of all changes of classes.
    fn put_together<T: Access>(&mut self, table: &mut AccessTable<T>) {
        let numbers = self.classes.chunk_by(|one, other| one.0 == other.0).map(|run| run[0].0);
        let Some(all) = numbers.reduce(|one, other| table.union(one, other)) else { return };
        for (access, _) in &mut self.classes {
            *access = all;
        }
        self.classes.sort_unstable();
    }
}

impl Groups {
    /// Adds what changed towards a target, and empties it. More than `most` different changes become one that is all of them
    /// together.
    pub(super) fn add<T: Access>(
        &mut self,
        target: ClassId,
        changes: &mut TargetChanges,
        most: usize,
        table: &mut AccessTable<T>,
    ) {
        changes.classes.sort_unstable();
        let is_together = changes.classes.chunk_by(|one, other| one.0 == other.0).count() > most;
        if is_together {
            changes.put_together(table);
        }
        for run in changes.classes.chunk_by(|one, other| one.0 == other.0) {
            let classes: Vec<ClassId> = run.iter().map(|(_, class)| *class).collect();
            let number = self.add_to_group(run[0].0, Sources::Classes(&classes), target);
            if is_together {
                self.together.insert(number);
            }
        }
        changes.cells.sort_unstable();
        for run in changes.cells.chunk_by(|one, other| one.0 == other.0) {
            let cells: Vec<CellId> = run.iter().map(|(_, cell)| *cell).collect();
            let number = self.add_to_group(run[0].0, Sources::Cells(&cells), target);
            for (_, class) in changes.exceptions.iter().filter(|(cell, _)| cells.contains(cell)) {
                let exceptions = self.exceptions.entry(number).or_default();
                exceptions.entry(*class).or_default().push(target);
            }
        }
        changes.classes.clear();
        changes.cells.clear();
        changes.exceptions.clear();
    }

    /// Adds a target to the group of these sources; the group's number.
    fn add_to_group(&mut self, access: u32, sources: Sources<'_>, target: ClassId) -> usize {
        let hash = match sources {
            Sources::Classes(classes) => self.hashing.hash_one((access, false, classes)),
            Sources::Cells(cells) => self.hashing.hash_one((access, true, cells)),
        };
        let newest = self.numbers.get(&hash).copied();
        let other = |number: &u32| Some(self.groups[*number as usize].other).filter(|other| *other != NONE);
        let known = std::iter::successors(newest, other);
        let mut same = known.map(|number| number as usize).filter(|number| {
            let group = &self.groups[*number];
            group.access == access && self.sources(group) == sources
        });
        if let Some(number) = same.next() {
            let place = place(self.more_targets.len());
            let before = std::mem::replace(&mut self.groups[number].last_target, place);
            self.more_targets.push((target, before));
            return number;
        }
        let number = self.groups.len();
        let (of_cells, start) = match sources {
            Sources::Classes(classes) => (false, extend(&mut self.classes, classes)),
            Sources::Cells(cells) => (true, extend(&mut self.cells, cells)),
        };
        let end = if of_cells { place(self.cells.len()) } else { place(self.classes.len()) };
        self.numbers.insert(hash, place(number));
        let other = newest.unwrap_or(NONE);
        self.groups.push(Group {
            access,
            of_cells,
            start,
            end,
            first_target: target,
            last_target: NONE,
            other,
        });
        number
    }

    /// What only adding needs is dropped.
    pub(super) fn finish(mut self) -> Self {
        self.numbers = HashMap::default();
        self
    }

    /// All groups, with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Group)> {
        self.groups.iter().enumerate()
    }

    /// The sources of a group.
    pub(super) fn sources(&self, group: &Group) -> Sources<'_> {
        let range = group.start as usize..group.end as usize;
        if group.of_cells {
            Sources::Cells(&self.cells[range])
        } else {
            Sources::Classes(&self.classes[range])
        }
    }

    /// The classes of targets of a group, the newest first and the first one last.
    pub(super) fn targets(&self, group: &Group) -> impl Iterator<Item = ClassId> {
        let at = |place: u32| self.more_targets.get(place as usize).copied();
        let more = std::iter::successors(at(group.last_target), move |(_, before)| at(*before));
        more.map(|(class, _)| class).chain([group.first_target])
    }

    /// The targets for which a class of a group is an exception, in order.
    pub(super) fn exceptions(&self, number: usize, class: ClassId) -> &[ClassId] {
        self.exceptions.get(&number).and_then(|of_group| of_group.get(&class)).map_or(&[], Vec::as_slice)
    }

    /// Whether not all of the pairs of a group changed by all that it opens.
    pub(super) fn is_partly(&self, number: usize) -> bool {
        self.exceptions.contains_key(&number) || self.together.contains(&number)
    }
}

/// Adds to a list; where the addition begins.
fn extend<T: Copy>(list: &mut Vec<T>, more: &[T]) -> u32 {
    let start = place(list.len());
    list.extend_from_slice(more);
    start
}

fn place(at: usize) -> u32 {
    u32::try_from(at).expect("the classes of all groups are fewer than four billion")
}
