//! Who and what a diff is about: devices, parts of networks, any address.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::address::{AddressSet, after, before};
use crate::compile::Policy;
use crate::mesh::{DeviceRef, Index, Mesh, PersonRef};

/// A source of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SourceEntity {
    Device(DeviceRef),
    /// Machines with the addresses of this atom.
    Atom(usize),
    /// Any address at all.
    Anyone,
}

/// A target of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TargetEntity {
    Device(DeviceRef),
    /// The addresses of an atom, through a router.
    Piece {
        atom: usize,
        router: DeviceRef,
    },
}

/// A range of addresses that every route, source and destination of both policies holds as a whole or not at all.
#[derive(Debug, Clone)]
pub(super) struct Atom {
    pub(super) range: (IpAddr, IpAddr),
    /// The routers that serve it, exit nodes included.
    pub(super) routers: Vec<DeviceRef>,
    /// Whether it is behind a subnet router, and not just behind exit nodes.
    pub(super) is_subnet: bool,
}

/// All sources and targets of a mesh that take part in a diff.
#[derive(Debug)]
pub(super) struct Entities {
    pub(super) atoms: Vec<Atom>,
    pub(super) sources: Vec<SourceEntity>,
    pub(super) targets: Vec<TargetEntity>,
    /// How many devices take no part in the mesh.
    pub(super) left_out: usize,
}

impl Entities {
    pub(super) fn new(old: &Policy, new: &Policy) -> Self {
        let mesh = new.mesh();
        let atoms = atoms(old, new, mesh.index());
        let takes_part = |device: &DeviceRef| mesh.device(*device).hindrance.is_none();
        let left_out = mesh.devices().filter(|device| !takes_part(device)).count();
        let begins = |device: &DeviceRef| takes_part(device) && !mesh.device(*device).external;
        let accepts = |device: &DeviceRef| begins(device) && !mesh.device(*device).blocks_incoming;
        let networks = (0..atoms.len()).filter(|at| atoms[*at].is_subnet);
        let sources = mesh.devices().filter(begins).map(SourceEntity::Device);
        let sources = sources.chain(networks.map(SourceEntity::Atom)).chain([SourceEntity::Anyone]).collect();
        let pieces = atoms.iter().enumerate().flat_map(|(atom, described)| {
            let routers = described.routers.iter().filter(|router| takes_part(router));
            routers.map(move |router| TargetEntity::Piece { atom, router: *router })
        });
        let targets = mesh.devices().filter(accepts).map(TargetEntity::Device);
        let targets = targets.chain(pieces).collect();
        Self { atoms, sources, targets, left_out }
    }

    /// The atoms of the set: it holds each of them as a whole.
    pub(super) fn atoms_in(&self, addresses: &AddressSet) -> Vec<usize> {
        let mut found = Vec::new();
        for &(first, last) in addresses.ranges() {
            let start = self.atoms.partition_point(|atom| atom.range.0 < first);
            let inside = self.atoms[start..].iter().take_while(|atom| atom.range.0 <= last).count();
            found.extend(start..start + inside);
        }
        found
    }

    /// Whether a connection needs no mesh: a device to itself, a router to its network, a network to its only router.
    pub(super) fn is_local(&self, source: SourceEntity, target: TargetEntity) -> bool {
        let router = match target {
            TargetEntity::Device(device) => device,
            TargetEntity::Piece { router, .. } => router,
        };
        match (source, target) {
            (SourceEntity::Device(device), _) => device == router,
            (SourceEntity::Atom(atom), _) => self.atoms[atom].routers == [router],
            (SourceEntity::Anyone, _) => false,
        }
    }
}

/// Cuts the addresses behind routers so that no route and no selector ends within an atom.
fn atoms(old: &Policy, new: &Policy, mesh: &Index) -> Vec<Atom> {
    let routes: Vec<_> = mesh.routes.iter().filter(|route| route.in_force).collect();
    let served =
        AddressSet::from_ranges(routes.iter().flat_map(|route| route.addresses.ranges().iter().copied()));
    let mut cuts: BTreeSet<IpAddr> = BTreeSet::new();
    let mut cut = |addresses: &AddressSet| {
        for (first, last) in addresses.ranges() {
            cuts.insert(*first);
            cuts.extend(after(*last));
        }
    };
    routes.iter().for_each(|route| cut(&route.addresses));
    for policy in [old, new] {
        policy.sources().iter().for_each(|set| cut(&set.networks.intersection(&served)));
        policy.destinations().iter().for_each(|set| cut(&set.networks.intersection(&served)));
    }
    let subnets = mesh.subnets();
    let mut atoms = Vec::new();
    for &(first, last) in served.ranges() {
        let starts: Vec<IpAddr> = cuts.range(first..=last).copied().collect();
        for (at, start) in starts.iter().enumerate() {
            let end = starts.get(at + 1).and_then(|next| before(*next)).unwrap_or(last);
            let routers: BTreeSet<DeviceRef> = routes
                .iter()
                .filter(|route| route.addresses.contains(*start))
                .map(|route| route.router)
                .collect();
            let routers = routers.into_iter().collect();
            atoms.push(Atom { range: (*start, end), routers, is_subnet: subnets.contains(*start) });
        }
    }
    atoms
}

/// The person of a target, if it is an untagged device.
pub(super) fn owner_of_target(target: TargetEntity, mesh: &Mesh) -> Option<PersonRef> {
    match target {
        TargetEntity::Device(device) => mesh.owner(device),
        TargetEntity::Piece { .. } => None,
    }
}

/// The person of a source, if it is an untagged device.
pub(super) fn owner_of_source(source: SourceEntity, mesh: &Mesh) -> Option<PersonRef> {
    match source {
        SourceEntity::Device(device) => mesh.owner(device),
        SourceEntity::Atom(_) | SourceEntity::Anyone => None,
    }
}
