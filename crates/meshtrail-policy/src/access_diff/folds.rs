//! Deltas folded: equal sources with equal targets and ports become one entry, named by people and machines.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::DiffLimits;
use super::changes::{ChangeRow, Changes, Direction, Fold, MAX_HOSTS, NetworkSide, Side, Totals};
use super::classes::{ClassId, Classes, RuleSet};
use super::deltas::{Delta, Deltas};
use super::entities::{Entities, SourceEntity, TargetEntity, owner_of_source, owner_of_target};
use super::flows::{Flow, Flows, families};
use super::kinds::Access;
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

/// Classes between which the same changed.
struct Group<T> {
    sources: Vec<ClassId>,
    targets: Vec<ClassId>,
    access: Arc<T>,
}

/// How often targets of a group are a certain device, a certain person's, or behind a certain router.
#[derive(Default)]
struct TargetCounts {
    count: u64,
    devices: BTreeSet<DeviceRef>,
    by_owner: HashMap<PersonRef, u64>,
    by_router: HashMap<DeviceRef, u64>,
}

/// Who gained or lost something, in all.
#[derive(Default)]
struct Tally {
    people: BTreeSet<PersonRef>,
    devices: BTreeSet<DeviceRef>,
    atoms: BTreeSet<usize>,
    targets: BTreeSet<DeviceRef>,
    connections: u64,
}

fn in_direction<T>(delta: &Delta<T>, direction: Direction) -> Option<&Arc<T>> {
    match direction {
        Direction::Opened => delta.opened.as_ref(),
        Direction::Closed => delta.closed.as_ref(),
    }
}

impl<T: Access> Folder<'_, T> {
    pub(super) fn fold(&self) -> Changes<T> {
        let (opened, opened_left_off, opened_totals) = self.direction(Direction::Opened);
        let (closed, closed_left_off, closed_totals) = self.direction(Direction::Closed);
        Changes { opened, closed, opened_left_off, closed_left_off, opened_totals, closed_totals }
    }

    fn direction(&self, direction: Direction) -> (Vec<Fold<T>>, usize, Totals) {
        let mut tally = Tally::default();
        let mut sized: Vec<(u64, Group<T>)> = Vec::new();
        for group in self.groups(direction) {
            let connections = self.count(&group, &mut tally);
            if connections > 0 {
                sized.push((connections, group));
            }
        }
        sized.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.sources.cmp(&other.1.sources)));
        let own = self.own_groups(direction, &mut tally);
        let left_off = (sized.len() + own.len()).saturating_sub(self.limits.folds);
        let own = own
            .into_iter()
            .take(self.limits.folds)
            .map(|(access, pairs)| self.own_fold(direction, access, &pairs));
        let mut folds: Vec<Fold<T>> = own.collect();
        let room = self.limits.folds - folds.len();
        folds.extend(
            sized
                .iter()
                .take(room)
                .map(|(connections, group)| self.class_fold(direction, *connections, group)),
        );
        folds.sort_by_key(|fold| std::cmp::Reverse(fold.connections));
        (folds, left_off, self.totals(&tally))
    }

    /// Classes of sources with the same ports on a class of targets, then classes of targets with the same of those.
    fn groups(&self, direction: Direction) -> Vec<Group<T>> {
        let mut by_target: BTreeMap<(ClassId, Arc<T>), Vec<ClassId>> = BTreeMap::new();
        for (source, target, delta) in &self.deltas.classes {
            if let Some(access) = in_direction(delta, direction) {
                by_target.entry((*target, Arc::clone(access))).or_default().push(*source);
            }
        }
        let mut by_sources: BTreeMap<(Vec<ClassId>, Arc<T>), Vec<ClassId>> = BTreeMap::new();
        for ((target, access), mut sources) in by_target {
            sources.sort_unstable();
            by_sources.entry((sources, access)).or_default().push(target);
        }
        by_sources
            .into_iter()
            .map(|((sources, access), targets)| Group { sources, targets, access })
            .collect()
    }

    fn source_entities(&self, group: &Group<T>) -> impl Iterator<Item = (ClassId, SourceEntity)> {
        group.sources.iter().flat_map(move |class| {
            let places = &self.classes.sources[class.0 as usize];
            places.iter().map(move |place| (*class, self.entities.sources[*place]))
        })
    }

    fn target_entities(&self, group: &Group<T>) -> impl Iterator<Item = TargetEntity> {
        let places = group.targets.iter().flat_map(|class| &self.classes.targets[class.0 as usize]);
        places.map(|place| self.entities.targets[*place])
    }

    /// The pairs of a group, without those that need no mesh and those that are told as a person's own.
    fn count(&self, group: &Group<T>, tally: &mut Tally) -> u64 {
        let mut counts = TargetCounts::default();
        for target in self.target_entities(group) {
            counts.add(target, self.mesh);
        }
        let mut connections = 0;
        for (class, source) in self.source_entities(group) {
            let reached =
                counts.count - counts.excluded(source, self.is_told_as_own(class), self.mesh, self.entities);
            if reached > 0 {
                connections += reached;
                tally.add_source(source, self.mesh);
            }
        }
        if connections > 0 {
            tally.targets.extend(&counts.devices);
        }
        tally.connections += connections;
        connections
    }

    fn is_told_as_own(&self, class: ClassId) -> bool {
        self.deltas.with_own.contains(&class)
    }

    fn is_excluded(&self, class: ClassId, source: SourceEntity, target: TargetEntity) -> bool {
        let owner = owner_of_source(source, self.mesh);
        let is_own = owner.is_some() && owner == owner_of_target(target, self.mesh);
        self.entities.is_local(source, target) || (is_own && self.is_told_as_own(class))
    }

    fn class_fold(&self, direction: Direction, connections: u64, group: &Group<T>) -> Fold<T> {
        let sources: Vec<(ClassId, SourceEntity)> = self.source_entities(group).collect();
        let targets: Vec<TargetEntity> = self.target_entities(group).collect();
        let pairs = sources
            .iter()
            .flat_map(|(class, source)| targets.iter().map(move |target| (class, source, target)));
        let pairs = pairs.filter(|(class, source, target)| !self.is_excluded(**class, **source, **target));
        let rows = pairs.take(self.limits.rows).map(|(_, source, target)| self.row(*source, *target));
        Fold {
            direction,
            rows: rows.collect(),
            sources: self.source_side(sources.iter().map(|(_, source)| *source)),
            targets: self.target_side(&targets),
            own_devices: false,
            access: (*group.access).clone(),
            connections,
            rules: self.rules(direction, group),
        }
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

    /// Pairs of one person's devices, by ports.
    #[expect(clippy::type_complexity, reason = "pairs by ports, named where they are used")]
    fn own_groups(
        &self,
        direction: Direction,
        tally: &mut Tally,
    ) -> Vec<(Arc<T>, Vec<(DeviceRef, DeviceRef)>)> {
        let mut groups: BTreeMap<Arc<T>, Vec<(DeviceRef, DeviceRef)>> = BTreeMap::new();
        for (source, target, delta) in &self.deltas.own {
            let Some(access) = in_direction(delta, direction) else { continue };
            groups.entry(Arc::clone(access)).or_default().push((*source, *target));
            tally.add_source(SourceEntity::Device(*source), self.mesh);
            tally.targets.insert(*target);
            tally.connections += 1;
        }
        groups.into_iter().collect()
    }

    fn own_fold(&self, direction: Direction, access: Arc<T>, pairs: &[(DeviceRef, DeviceRef)]) -> Fold<T> {
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
            access: (*access).clone(),
            connections: pairs.len() as u64,
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

    /// The rules that open the first pair of classes of a group.
    fn rules(&self, direction: Direction, group: &Group<T>) -> Vec<RuleSite> {
        let (source, target) = (group.sources[0], group.targets[0]);
        let (_, flows) = self.side_of(direction);
        let opens = |flow: &&Flow| {
            let sources = families(self.flows.sources(**flow), source);
            let targets = families(self.flows.targets(**flow), target);
            let meet = sources.zip(targets).is_some_and(|(one, other)| one.meet(other));
            let opened = self.flows.table.value(flow.opened);
            meet && group.access.without(opened) != *group.access
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
        let routes = self
            .mesh
            .index()
            .routes
            .iter()
            .filter(|route| route.in_force && !route.prefix.is_default_route());
        let routes = routes.filter(|route| router.is_none_or(|router| router == route.router));
        let said = |prefix: Prefix| {
            let whole = AddressSet::from_prefixes([prefix]);
            let holds = addresses.without(&whole).is_empty();
            holds.then(|| (whole.without(addresses).ranges().len(), prefix))
        };
        let shortest = routes.filter_map(|route| said(route.prefix)).min()?;
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

    fn totals(&self, tally: &Tally) -> Totals {
        let ranges = tally.atoms.iter().map(|atom| self.entities.atoms[*atom].range);
        Totals {
            people: tally.people.len(),
            devices: tally.devices.len(),
            networks: AddressSet::from_ranges(ranges).ranges().len(),
            targets: tally.targets.len(),
            connections: tally.connections,
        }
    }
}

impl Tally {
    fn add_source(&mut self, source: SourceEntity, mesh: &Mesh) {
        match source {
            SourceEntity::Device(device) => match mesh.owner(device) {
                Some(person) => _ = self.people.insert(person),
                None => _ = self.devices.insert(device),
            },
            SourceEntity::Atom(atom) => _ = self.atoms.insert(atom),
            SourceEntity::Anyone => {}
        }
    }
}

impl TargetCounts {
    fn add(&mut self, target: TargetEntity, mesh: &Mesh) {
        self.count += 1;
        match target {
            TargetEntity::Device(device) => {
                self.devices.insert(device);
                if let Some(owner) = mesh.owner(device) {
                    *self.by_owner.entry(owner).or_default() += 1;
                }
            }
            TargetEntity::Piece { router, .. } => *self.by_router.entry(router).or_default() += 1,
        }
    }

    /// How many targets are no targets of the source.
    fn excluded(&self, source: SourceEntity, is_told_as_own: bool, mesh: &Mesh, entities: &Entities) -> u64 {
        let at = |device: DeviceRef| {
            u64::from(self.devices.contains(&device))
                + self.by_router.get(&device).copied().unwrap_or_default()
        };
        match source {
            SourceEntity::Device(device) => {
                let owner = mesh.owner(device).filter(|_| is_told_as_own);
                let own = owner.and_then(|owner| self.by_owner.get(&owner)).copied().unwrap_or_default();
                let itself = u64::from(self.devices.contains(&device));
                let behind = self.by_router.get(&device).copied().unwrap_or_default();
                behind + own.max(itself)
            }
            SourceEntity::Atom(atom) => match entities.atoms[atom].routers[..] {
                [router] => at(router),
                _ => 0,
            },
            SourceEntity::Anyone => 0,
        }
    }
}
