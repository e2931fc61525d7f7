//! Deltas folded: equal sources with equal targets and ports become one entry, named by people and machines.

use std::collections::{BTreeMap, BTreeSet};

use super::DiffLimits;
use super::changes::{ChangeRow, Changes, Direction, Fold, MAX_HOSTS, NetworkSide, Side, Totals};
use super::classes::{ClassId, Classes, RuleSet};
use super::counter::{self, Counter};
use super::deltas::{Delta, Deltas};
use super::entities::{Entities, SourceEntity, TargetEntity, owner_of_source, owner_of_target};
use super::flows::{Flow, Flows, families};
use super::groups::{Group, Groups};
use crate::access::Access;
use crate::address::{AddressSet, Prefix};
use crate::file::RuleSite;
use crate::mesh::{DeviceRef, Mesh, PersonRef};
use crate::reach::{MAX_RULES, ReachSource, ReachTarget};

/// What folding needs.
pub(super) struct Folder<'a, T> {
    pub(super) sides: &'a [RuleSet<'a, T>; 2],
    pub(super) mesh: &'a Mesh,
    pub(super) entities: &'a Entities,
    pub(super) classes: &'a Classes,
    pub(super) flows: &'a Flows<T>,
    pub(super) deltas: &'a Deltas<T>,
    pub(super) limits: DiffLimits,
}

/// Who gained or lost something, in all: by person, device and atom.
pub(super) struct Tally {
    people: Vec<bool>,
    devices: Vec<bool>,
    atoms: Vec<bool>,
    targets: Vec<bool>,
    pub(super) connections: u64,
}

fn in_direction(delta: &Delta, direction: Direction) -> Option<u32> {
    match direction {
        Direction::Opened => delta.opened,
        Direction::Closed => delta.closed,
    }
}

impl<T: Access> Folder<'_, T> {
    pub(super) fn fold(&self) -> Changes<T> {
        let mut counter = Counter::new(self.mesh, self.entities, self.classes, self.deltas);
        let (opened, opened_left_off, opened_totals) = self.direction(Direction::Opened, &mut counter);
        let (closed, closed_left_off, closed_totals) = self.direction(Direction::Closed, &mut counter);
        Changes { opened, closed, opened_left_off, closed_left_off, opened_totals, closed_totals }
    }

    fn direction(&self, direction: Direction, counter: &mut Counter<'_>) -> (Vec<Fold<T>>, usize, Totals) {
        let groups = match direction {
            Direction::Opened => &self.deltas.opened,
            Direction::Closed => &self.deltas.closed,
        };
        let side = counter::Side { deltas: self.deltas, groups };
        let mut tally = Tally::new(self.mesh, self.entities);
        let mut sized: Vec<(u64, usize, &Group)> = Vec::new();
        for (number, group) in groups.iter() {
            let connections = counter.count(number, group, &side, &mut tally);
            sized.extend((connections > 0).then_some((connections, number, group)));
        }
        sized.sort_by_key(|(connections, number, _)| (std::cmp::Reverse(*connections), *number));
        let own = self.own_groups(direction, &mut tally);
        let left_off = (sized.len() + own.len()).saturating_sub(self.limits.folds);
        let own = own.into_iter().take(self.limits.folds);
        let mut folds: Vec<_> = own.map(|(access, pairs)| self.own_fold(direction, access, &pairs)).collect();
        let room = self.limits.folds - folds.len();
        let largest = sized.into_iter().take(room);
        folds.extend(largest.map(|(connections, number, group)| {
            let sources = counter.sources(number, group, &side);
            self.class_fold(direction, connections, (number, group), groups, &sources)
        }));
        folds.sort_by_key(|fold| std::cmp::Reverse(fold.connections));
        (folds, left_off, tally.totals(self.entities))
    }

    fn target_entities(&self, group: &Group, groups: &Groups) -> Vec<(ClassId, TargetEntity)> {
        let of_class = |class: ClassId| {
            let places = self.classes.targets[class.0 as usize].iter();
            places.map(move |place| (class, self.entities.targets[*place]))
        };
        groups.targets(group).flat_map(of_class).collect()
    }

    fn class_fold(
        &self,
        direction: Direction,
        connections: u64,
        (number, group): (usize, &Group),
        groups: &Groups,
        sources: &[(ClassId, SourceEntity)],
    ) -> Fold<T> {
        let targets = self.target_entities(group, groups);
        let pairs = sources
            .iter()
            .flat_map(|(class, source)| targets.iter().map(move |target| (*class, *source, target)));
        let pairs = pairs.filter(|(class, source, (target_class, target))| {
            let is_exception = groups.exceptions(number, *class).binary_search(target_class).is_ok();
            !is_exception && !self.is_excluded(*class, *source, *target)
        });
        let rows = pairs.take(self.limits.rows).map(|(_, source, (_, target))| self.row(source, *target));
        let entities: Vec<TargetEntity> = targets.iter().map(|(_, target)| *target).collect();
        Fold {
            direction,
            rows: rows.collect(),
            sources: self.source_side(sources.iter().map(|(_, source)| *source)),
            targets: self.target_side(&entities),
            own_devices: false,
            access: (**self.deltas.table.value(group.access)).clone(),
            connections,
            partly: groups.is_partly(number),
            rules: self.rules(direction, group, sources[0].0),
        }
    }

    fn is_excluded(&self, class: ClassId, source: SourceEntity, target: TargetEntity) -> bool {
        let owner = owner_of_source(source, self.mesh);
        let is_own = owner.is_some() && owner == owner_of_target(target, self.mesh);
        self.entities.is_local(source, target) || (is_own && self.deltas.with_own.contains(&class))
    }

    fn row(&self, source: SourceEntity, target: TargetEntity) -> ChangeRow {
        let addresses = |atom: usize| AddressSet::from_ranges([self.entities.atoms[atom].range]);
        ChangeRow {
            source: match source {
                SourceEntity::Device(device) => ReachSource::Device(device),
                SourceEntity::Atom(atom) => ReachSource::Network(addresses(atom)),
                SourceEntity::Anyone => ReachSource::Anyone,
            },
            target: match target {
                TargetEntity::Device(device) => ReachTarget::Device(device),
                TargetEntity::Piece { atom, router } => {
                    ReachTarget::Network { addresses: addresses(atom), router: Some(router) }
                }
            },
        }
    }

    /// Pairs of one person's devices, by what changed between them.
    fn own_groups(
        &self,
        direction: Direction,
        tally: &mut Tally,
    ) -> BTreeMap<u32, Vec<(DeviceRef, DeviceRef)>> {
        let mut groups: BTreeMap<u32, Vec<(DeviceRef, DeviceRef)>> = BTreeMap::new();
        for (source, target, delta) in &self.deltas.own {
            let Some(access) = in_direction(delta, direction) else { continue };
            groups.entry(access).or_default().push((*source, *target));
            tally.add_source(SourceEntity::Device(*source), self.mesh);
            tally.add_target(*target);
            tally.connections += 1;
        }
        groups
    }

    fn own_fold(&self, direction: Direction, access: u32, pairs: &[(DeviceRef, DeviceRef)]) -> Fold<T> {
        let sources: BTreeSet<DeviceRef> = pairs.iter().map(|(source, _)| *source).collect();
        let targets: BTreeSet<DeviceRef> = pairs.iter().map(|(_, target)| *target).collect();
        let targets: Vec<TargetEntity> = targets.into_iter().map(TargetEntity::Device).collect();
        let row = |(source, target): &(DeviceRef, DeviceRef)| {
            self.row(SourceEntity::Device(*source), TargetEntity::Device(*target))
        };
        Fold {
            direction,
            rows: pairs.iter().take(self.limits.rows).map(row).collect(),
            sources: self.source_side(sources.into_iter().map(SourceEntity::Device)),
            targets: self.target_side(&targets),
            own_devices: true,
            access: (**self.deltas.table.value(access)).clone(),
            connections: pairs.len() as u64,
            partly: false,
            rules: self.own_rules(direction),
        }
    }

    /// The policy whose rules open what a direction is about, and the flows that it alone has.
    fn side_of(&self, direction: Direction) -> (&RuleSet<'_, T>, &[Flow]) {
        match direction {
            Direction::Opened => (&self.sides[1], &self.flows.new),
            Direction::Closed => (&self.sides[0], &self.flows.old),
        }
    }

    /// The rules that open what a group is about for one of its classes of sources and its first target.
    fn rules(&self, direction: Direction, group: &Group, source: ClassId) -> Vec<RuleSite> {
        let (_, flows) = self.side_of(direction);
        let access = self.deltas.table.value(group.access);
        let opens = |flow: &&Flow| {
            let sources = families(self.flows.sources(**flow), source);
            let targets = families(self.flows.targets(**flow), group.first_target());
            let meet = sources.zip(targets).is_some_and(|(one, other)| one.meet(other));
            meet && access.without(self.flows.table.value(flow.opened)) != **access
        };
        self.sites(direction, flows.iter().filter(opens))
    }

    fn own_rules(&self, direction: Direction) -> Vec<RuleSite> {
        let (_, flows) = self.side_of(direction);
        self.sites(direction, flows.iter().filter(|flow| flow.is_own()))
    }

    fn sites<'f>(&self, direction: Direction, flows: impl Iterator<Item = &'f Flow>) -> Vec<RuleSite> {
        let (side, _) = self.side_of(direction);
        let rules: BTreeSet<usize> =
            flows.flat_map(|flow| self.flows.rules(side.version, *flow)).copied().collect();
        rules.into_iter().take(MAX_RULES).map(|rule| side.rules[rule].site.clone()).collect()
    }

    fn source_side(&self, sources: impl Iterator<Item = SourceEntity>) -> Side {
        let (mut people, mut devices, mut all, mut atoms) =
            (BTreeSet::new(), Vec::new(), Vec::new(), Vec::new());
        let mut side = Side::default();
        for source in sources {
            match source {
                SourceEntity::Device(device) => {
                    all.push(device);
                    match self.mesh.owner(device) {
                        Some(person) => _ = people.insert(person),
                        None => devices.push(device),
                    }
                }
                SourceEntity::Atom(atom) => atoms.push((None, atom)),
                SourceEntity::Anyone => side.anyone = true,
            }
        }
        side.label = self.tag_of(&all);
        side.device_count = all.len();
        side.people_left_off = people.len().saturating_sub(self.limits.names);
        let mut people: Vec<PersonRef> = people.into_iter().collect();
        people.sort_by_key(|person| &self.mesh.person(*person).login);
        side.people = people.into_iter().take(self.limits.names).collect();
        self.name_devices(devices, &mut side);
        self.name_networks(atoms, &mut side);
        side
    }

    fn target_side(&self, targets: &[TargetEntity]) -> Side {
        let (mut devices, mut atoms) = (Vec::new(), Vec::new());
        for target in targets {
            match target {
                TargetEntity::Device(device) => devices.push(*device),
                TargetEntity::Piece { atom, router } => atoms.push((Some(*router), *atom)),
            }
        }
        let people: BTreeSet<PersonRef> =
            devices.iter().filter_map(|device| self.mesh.owner(*device)).collect();
        let mut side = Side { label: self.tag_of(&devices), device_count: devices.len(), ..Side::default() };
        side.people_left_off = people.len().saturating_sub(self.limits.names);
        side.people = people.into_iter().take(self.limits.names).collect();
        self.name_devices(devices, &mut side);
        self.name_networks(atoms, &mut side);
        side
    }

    fn name_devices(&self, mut devices: Vec<DeviceRef>, side: &mut Side) {
        let index = self.mesh.index();
        devices.sort_by_key(|device| index.rank(*device));
        side.devices_left_off = devices.len().saturating_sub(self.limits.names);
        devices.truncate(self.limits.names);
        side.devices = devices;
    }

    /// Names networks: the atoms behind each router, together.
    fn name_networks(&self, atoms: Vec<(Option<DeviceRef>, usize)>, side: &mut Side) {
        let mut by_router: BTreeMap<Option<DeviceRef>, Vec<usize>> = BTreeMap::new();
        for (router, atom) in atoms {
            by_router.entry(router).or_default().push(atom);
        }
        side.networks_left_off = by_router.len().saturating_sub(self.limits.names);
        for (router, atoms) in by_router.into_iter().take(self.limits.names) {
            let ranges = atoms.iter().map(|atom| self.entities.atoms[*atom].range);
            side.networks.push(self.network(AddressSet::from_ranges(ranges), router));
        }
    }

    fn network(&self, addresses: AddressSet, router: Option<DeviceRef>) -> NetworkSide {
        let around = self.network_around(&addresses, router);
        let left_out = around.map(|prefix| AddressSet::from_prefixes([prefix]).without(&addresses));
        let text = match (&around, &left_out) {
            (Some(prefix), Some(left_out)) if !left_out.is_empty() => format!("{prefix} without {left_out}"),
            _ => addresses.to_string(),
        };
        let hosts = |inside: &AddressSet| {
            let hosts = self.sides[1].policy.file.hosts.iter();
            let found =
                hosts.filter(|(_, prefix)| inside.covers(prefix.range())).map(|(name, _)| name.clone());
            found.take(MAX_HOSTS).collect::<Vec<_>>()
        };
        let hosts_outside = left_out.as_ref().map(hosts).unwrap_or_default();
        let hosts = if hosts_outside.is_empty() { hosts(&addresses) } else { Vec::new() };
        NetworkSide { text, hosts, hosts_outside, router, addresses }
    }

    /// The route of the router that these addresses are most of, so that less is said by what is left out.
    fn network_around(&self, addresses: &AddressSet, router: Option<DeviceRef>) -> Option<Prefix> {
        let routes = self.mesh.index().routes.iter().filter(|route| route.is_subnet());
        let routes = routes.filter(|route| router.is_none_or(|router| router == route.router));
        let length = |prefix: Prefix| {
            let whole = AddressSet::from_prefixes([prefix]);
            let holds = addresses.without(&whole).is_empty();
            holds.then(|| (whole.without(addresses).ranges().len(), prefix))
        };
        let shortest = routes.filter_map(|route| length(route.prefix)).min()?;
        (shortest.0 < addresses.ranges().len()).then_some(shortest.1)
    }

    /// A tag whose devices that take part are exactly these.
    fn tag_of(&self, devices: &[DeviceRef]) -> Option<String> {
        let index = self.mesh.index();
        let wanted: BTreeSet<DeviceRef> = devices.iter().copied().collect();
        let tags = &self.mesh.device(*devices.first()?).tags;
        let takes_part = |device: &&DeviceRef| {
            let described = self.mesh.device(**device);
            described.hindrance.is_none() && !described.external
        };
        let is_exactly = |tag: &&String| {
            let with_tag: BTreeSet<DeviceRef> =
                index.with_tag(tag).iter().filter(takes_part).copied().collect();
            with_tag == wanted
        };
        tags.iter().find(is_exactly).cloned()
    }
}

impl Tally {
    fn new(mesh: &Mesh, entities: &Entities) -> Self {
        let index = mesh.index();
        Self {
            people: vec![false; index.people.len()],
            devices: vec![false; index.devices.len()],
            atoms: vec![false; entities.atoms.len()],
            targets: vec![false; index.devices.len()],
            connections: 0,
        }
    }

    pub(super) fn add_source(&mut self, source: SourceEntity, mesh: &Mesh) {
        match source {
            SourceEntity::Device(device) => match mesh.owner(device) {
                Some(person) => self.people[person.0 as usize] = true,
                None => self.devices[device.0 as usize] = true,
            },
            SourceEntity::Atom(atom) => self.atoms[atom] = true,
            SourceEntity::Anyone => {}
        }
    }

    pub(super) fn add_target(&mut self, target: DeviceRef) {
        self.targets[target.0 as usize] = true;
    }

    fn totals(&self, entities: &Entities) -> Totals {
        let count = |noted: &[bool]| noted.iter().filter(|noted| **noted).count();
        let atoms = entities.atoms.iter().zip(&self.atoms).filter(|(_, noted)| **noted);
        Totals {
            people: count(&self.people),
            devices: count(&self.devices),
            networks: AddressSet::from_ranges(atoms.map(|(atom, _)| atom.range)).ranges().len(),
            targets: count(&self.targets),
            connections: self.connections,
        }
    }
}
