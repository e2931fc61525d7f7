//! Classes: sources that all rules of both policies name alike, and targets.

use std::collections::HashMap;
use std::hash::Hash;

use super::entities::{Entities, SourceEntity, TargetEntity};
use super::rules::Rule;
use crate::access::Access;
use crate::compile::{DestinationId, DestinationSet, Families, Policy, PostureId, SourceId, SourceSet};
use crate::mesh::DeviceRef;

/// A class of sources, or of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ClassId(pub(super) u32);

/// A class in a set, with the families of its members' addresses that are in the set.
pub(super) type ClassMembers = Vec<(ClassId, Families)>;

/// One of the two policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Version {
    Old,
    New,
}

/// One policy, with those of its rules that a diff is about.
pub(super) struct RuleSet<'p, T> {
    pub(super) version: Version,
    pub(super) policy: &'p Policy,
    pub(super) rules: Vec<Rule<'p, T>>,
}

/// Sources of rules: a selector, and the postures of which one must hold.
pub(super) type SourceKey = (Version, SourceId, Vec<PostureId>);

/// Destinations of rules: a selector, and the tags of the only routers.
pub(super) type TargetKey = (Version, DestinationId, Vec<String>);

/// The classes of both sides.
#[derive(Debug)]
pub(super) struct Classes {
    /// Places of [`Entities::sources`] by class.
    pub(super) sources: Vec<Vec<usize>>,
    /// Places of [`Entities::targets`] by class.
    pub(super) targets: Vec<Vec<usize>>,
    pub(super) source_class: Vec<ClassId>,
    pub(super) target_class: Vec<ClassId>,
    source_sets: HashMap<SourceKey, ClassMembers>,
    target_sets: HashMap<TargetKey, ClassMembers>,
}

/// Which entities each key names, and with which families; to be turned into classes.
struct Memberships<K> {
    keys: HashMap<K, u32>,
    /// By entity: keys with families, packed.
    by_entity: Vec<Vec<u32>>,
}

impl<K: Hash + Eq> Memberships<K> {
    fn new(entities: usize) -> Self {
        Self { keys: HashMap::new(), by_entity: vec![Vec::new(); entities] }
    }

    /// The number of a key, and whether it is new.
    fn number(&mut self, key: K) -> (u32, bool) {
        let next = u32::try_from(self.keys.len()).expect("a policy has fewer than four billion selectors");
        match self.keys.entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => (*entry.get(), false),
            std::collections::hash_map::Entry::Vacant(entry) => (*entry.insert(next), true),
        }
    }

    fn add(&mut self, key: u32, entity: usize, families: Families) {
        self.by_entity[entity].push((key << 2) | families.bits());
    }

    /// Entities by class, the class of each, and the classes of each key.
    fn into_classes(self) -> (Vec<Vec<usize>>, Vec<ClassId>, HashMap<K, ClassMembers>) {
        let (mut classes, mut class_of, mut by_signature) = (Vec::new(), Vec::new(), HashMap::new());
        let mut sets: Vec<ClassMembers> = vec![Vec::new(); self.keys.len()];
        for (entity, mut signature) in self.by_entity.into_iter().enumerate() {
            signature.sort_unstable();
            let next = ClassId(u32::try_from(classes.len()).expect("fewer classes than entities"));
            let class = *by_signature.entry(signature).or_insert_with_key(|signature| {
                for packed in signature {
                    sets[(packed >> 2) as usize].push((next, Families::from_bits(packed & 3)));
                }
                classes.push(Vec::new());
                next
            });
            classes[class.0 as usize].push(entity);
            class_of.push(class);
        }
        let sets =
            self.keys.into_iter().map(|(key, number)| (key, std::mem::take(&mut sets[number as usize])));
        (classes, class_of, sets.collect())
    }
}

impl Classes {
    pub(super) fn new<T: Access>(sides: &[RuleSet<'_, T>; 2], entities: &Entities) -> Self {
        let mut sources = Memberships::new(entities.sources.len());
        let mut targets = Memberships::new(entities.targets.len());
        let places = Places::new(entities);
        for RuleSet { version, policy, rules } in sides {
            for rule in rules {
                for source in rule.sources {
                    let (number, is_new) = sources.number(source_key(*version, *source, rule));
                    if is_new {
                        let set = policy.source(*source);
                        places.add_sources(number, policy, set, rule.postures, entities, &mut sources);
                    }
                }
                for target in rule.sets() {
                    let (number, is_new) = targets.number(target_key(*version, target, rule));
                    if is_new {
                        let set = policy.destination(target);
                        places.add_targets(number, policy, set, rule.via, entities, &mut targets);
                    }
                }
            }
        }
        let (sources, source_class, source_sets) = sources.into_classes();
        let (targets, target_class, target_sets) = targets.into_classes();
        Self { sources, targets, source_class, target_class, source_sets, target_sets }
    }

    pub(super) fn sources_of(&self, key: &SourceKey) -> &ClassMembers {
        &self.source_sets[key]
    }

    pub(super) fn targets_of(&self, key: &TargetKey) -> &ClassMembers {
        &self.target_sets[key]
    }
}

pub(super) fn source_key<T>(version: Version, source: SourceId, rule: &Rule<'_, T>) -> SourceKey {
    (version, source, rule.postures.to_vec())
}

pub(super) fn target_key<T>(version: Version, target: DestinationId, rule: &Rule<'_, T>) -> TargetKey {
    (version, target, rule.via.to_vec())
}

/// Where devices, atoms and pieces stand among the entities.
struct Places {
    source_devices: HashMap<DeviceRef, usize>,
    target_devices: HashMap<DeviceRef, usize>,
    source_atoms: HashMap<usize, usize>,
    /// Pieces by atom.
    pieces: HashMap<usize, Vec<(usize, DeviceRef)>>,
    anyone: usize,
}

impl Places {
    fn new(entities: &Entities) -> Self {
        let (mut source_devices, mut source_atoms, mut anyone) = (HashMap::new(), HashMap::new(), 0);
        for (place, entity) in entities.sources.iter().enumerate() {
            match entity {
                SourceEntity::Device(device) => _ = source_devices.insert(*device, place),
                SourceEntity::Atom(atom) => _ = source_atoms.insert(*atom, place),
                SourceEntity::Anyone => anyone = place,
            }
        }
        let (mut target_devices, mut pieces) = (HashMap::new(), HashMap::<_, Vec<_>>::new());
        for (place, entity) in entities.targets.iter().enumerate() {
            match entity {
                TargetEntity::Device(device) => _ = target_devices.insert(*device, place),
                TargetEntity::Piece { atom, router } => {
                    pieces.entry(*atom).or_default().push((place, *router))
                }
            }
        }
        Self { source_devices, target_devices, source_atoms, pieces, anyone }
    }

    fn add_sources(
        &self,
        number: u32,
        policy: &Policy,
        set: &SourceSet,
        postures: &[PostureId],
        entities: &Entities,
        memberships: &mut Memberships<SourceKey>,
    ) {
        for (device, families) in set.devices.iter() {
            let has_posture = policy.posture_state(postures, device) == Some(true);
            if let Some(place) = self.source_devices.get(&device).filter(|_| has_posture) {
                memberships.add(number, *place, families);
            }
        }
        for atom in entities.atoms_in(&set.networks) {
            if let Some(place) = self.source_atoms.get(&atom) {
                memberships.add(number, *place, Families::of(entities.atoms[atom].range.0));
            }
        }
        if set.anyone {
            memberships.add(number, self.anyone, Families::BOTH);
        }
    }

    fn add_targets(
        &self,
        number: u32,
        policy: &Policy,
        set: &DestinationSet,
        via: &[String],
        entities: &Entities,
        memberships: &mut Memberships<TargetKey>,
    ) {
        for (device, families) in set.devices.iter().filter(|_| via.is_empty()) {
            if let Some(place) = self.target_devices.get(&device) {
                memberships.add(number, *place, families);
            }
        }
        for atom in entities.atoms_in(&set.networks) {
            for (place, router) in self.pieces.get(&atom).into_iter().flatten() {
                if policy.lets_through(via, *router) {
                    memberships.add(number, *place, Families::of(entities.atoms[atom].range.0));
                }
            }
        }
    }
}
