//! Selectors resolved: which devices, people and addresses each of them names in a mesh.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::members::{Families, Members};
use crate::address::{AddressSet, internet, mesh_addresses};
use crate::control_plane::ControlPlane;
use crate::directory::Device;
use crate::file::{Autogroup, PolicyFile, Selector};
use crate::mesh::{DeviceRef, Index, PersonRef};

/// Who a selector names as a source.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct SourceSet {
    pub(crate) devices: Members,
    /// Devices of people of whom it is not known whether the selector names them.
    pub(crate) unsure: Members,
    /// Addresses, those behind subnet routers included.
    pub(crate) networks: AddressSet,
    /// People of other tailnets.
    pub(crate) guests: Vec<PersonRef>,
    /// Whether every address counts, those outside the mesh included.
    pub(crate) anyone: bool,
}

/// What a selector names as a destination.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct DestinationSet {
    pub(crate) devices: Members,
    pub(crate) unsure: Members,
    /// Addresses behind subnet routers and exit nodes.
    pub(crate) networks: AddressSet,
    /// `autogroup:self`: the untagged devices of the source's person.
    pub(crate) own_devices: bool,
    /// Whether it is something whose devices are not known here: a service.
    pub(crate) unknown: bool,
}

impl SourceSet {
    /// Whether it is not known of some devices whether they are in it.
    pub(crate) fn has_unsure(&self) -> bool {
        !self.unsure.is_empty()
    }
}

/// What resolving needs.
pub(crate) struct Resolver<'a> {
    pub(crate) file: &'a PolicyFile,
    pub(crate) mesh: &'a Index,
    pub(crate) plane: ControlPlane,
}

/// The families of a device's addresses; both, if none of its addresses is known.
pub(crate) fn families_of(device: &Device) -> Families {
    let families = device.addresses.iter().map(|address| Families::of(*address)).reduce(Families::union);
    families.unwrap_or(Families::BOTH)
}

impl Resolver<'_> {
    pub(crate) fn source(&self, selector: &Selector) -> SourceSet {
        let mut set = SourceSet::default();
        match selector {
            Selector::Any => {
                set.devices = self.own(mesh_addresses());
                set.networks = self.mesh.subnets().union(&mesh_addresses());
                set.guests = self.mesh.guests().collect();
            }
            Selector::Autogroup(Autogroup::DangerAll) => {
                set.devices = self.all_devices(|device| !device.external);
                set.networks = everything();
                set.guests = self.mesh.guests().collect();
                set.anyone = true;
            }
            Selector::Autogroup(Autogroup::Shared) => set.guests = self.mesh.guests().collect(),
            Selector::Addresses(addresses) => {
                set.devices = self.own(addresses.clone());
                set.networks = addresses.clone();
            }
            Selector::IpSet(name) => {
                let addresses = self.ip_set(name);
                set.devices = self.own(addresses.clone());
                set.networks = addresses;
            }
            Selector::Person(login) => {
                (set.devices, set.unsure) = self.identity(selector);
                let guest =
                    self.person(login).filter(|person| self.mesh.guests().any(|guest| guest == *person));
                set.guests = guest.into_iter().collect();
            }
            _ => (set.devices, set.unsure) = self.identity(selector),
        }
        set
    }

    pub(crate) fn destination(&self, selector: &Selector) -> DestinationSet {
        let mut set = DestinationSet::default();
        match selector {
            Selector::Any => {
                set.devices = self.all_devices(|_| true);
                set.networks = everything();
            }
            Selector::Autogroup(Autogroup::OwnDevices) => set.own_devices = true,
            Selector::Autogroup(Autogroup::Internet) => set.networks = internet(),
            Selector::Addresses(addresses) => {
                set.devices = self.at_addresses(addresses);
                set.networks = addresses.clone();
            }
            Selector::IpSet(name) => {
                let addresses = self.ip_set(name);
                set.devices = self.at_addresses(&addresses);
                set.networks = addresses;
            }
            Selector::Service(_) => set.unknown = true,
            _ => (set.devices, set.unsure) = self.identity(selector),
        }
        set
    }

    /// The devices of people, or with tags, that a selector names: those that it names, and those that it may.
    fn identity(&self, selector: &Selector) -> (Members, Members) {
        match selector {
            Selector::Tag(tag) => (self.devices(self.mesh.with_tag(tag).iter().copied()), Members::default()),
            Selector::Autogroup(Autogroup::Tagged) => {
                (self.all_devices(|device| device.is_tagged() && !device.external), Members::default())
            }
            _ => {
                let (people, unsure) = self.people(selector);
                (self.devices_of(&people), self.devices_of(&unsure))
            }
        }
    }

    /// The people that a selector names, and those that it may.
    pub(crate) fn people(&self, selector: &Selector) -> (BTreeSet<PersonRef>, BTreeSet<PersonRef>) {
        let mut unsure = BTreeSet::new();
        let people: BTreeSet<PersonRef> = match selector {
            Selector::Person(login) => self.person(login).into_iter().collect(),
            Selector::Domain(domain) => self.of_domain(domain),
            Selector::Group(group) => self.group(group, &mut unsure),
            Selector::Autogroup(Autogroup::Member) => self.mesh.members().map(|(person, _)| person).collect(),
            Selector::Autogroup(Autogroup::Role(role)) => {
                let unknown = self.mesh.members().filter(|(_, person)| person.role.is_none());
                unsure.extend(unknown.map(|(person, _)| person));
                let with_role = self.mesh.members().filter(|(_, person)| person.role == Some(*role));
                with_role.map(|(person, _)| person).collect()
            }
            _ => BTreeSet::new(),
        };
        unsure.retain(|person| !people.contains(person));
        (people, unsure)
    }

    fn devices_of(&self, people: &BTreeSet<PersonRef>) -> Members {
        self.devices(people.iter().flat_map(|person| self.mesh.devices_of(*person)).copied())
    }

    /// The person of a login. Headscale needs an @ in the policy, and cuts one at the end before it looks.
    fn person(&self, login: &str) -> Option<PersonRef> {
        let is_headscale = self.plane == ControlPlane::Headscale;
        let name = if is_headscale { login.strip_suffix('@').unwrap_or(login) } else { login };
        self.mesh.person_named(name)
    }

    fn of_domain(&self, domain: &str) -> BTreeSet<PersonRef> {
        let is_of = |login: &str| login.rsplit_once('@').is_some_and(|(_, of)| of == domain);
        self.mesh.members().filter(|(_, person)| is_of(&person.login)).map(|(person, _)| person).collect()
    }

    /// The people of a group, of groups in it, and of the identity provider's group of that name.
    fn group(&self, group: &str, unsure: &mut BTreeSet<PersonRef>) -> BTreeSet<PersonRef> {
        let (mut people, mut visited, mut open) = (BTreeSet::new(), BTreeSet::from([group]), vec![group]);
        while let Some(name) = open.pop() {
            if name.contains('@') {
                self.synced_group(name, &mut people, unsure);
            }
            for member in self.file.groups.get(name).into_iter().flatten() {
                match &member.value {
                    Selector::Person(login) => people.extend(self.person(login)),
                    Selector::Group(inner) if visited.insert(inner) => open.push(inner),
                    _ => {}
                }
            }
        }
        people
    }

    fn synced_group(&self, group: &str, people: &mut BTreeSet<PersonRef>, unsure: &mut BTreeSet<PersonRef>) {
        for (person_ref, person) in self.mesh.members() {
            match &person.synced_groups {
                Some(groups) if groups.contains(group) => _ = people.insert(person_ref),
                Some(_) => {}
                None => _ = unsure.insert(person_ref),
            }
        }
    }

    fn ip_set(&self, name: &str) -> AddressSet {
        self.file.ip_sets.get(name).cloned().unwrap_or_default()
    }

    /// Devices, with all their addresses.
    fn devices(&self, devices: impl Iterator<Item = DeviceRef>) -> Members {
        Members::new(devices.map(|device| (device, families_of(&self.mesh.devices[device.0 as usize]))))
    }

    fn all_devices(&self, wanted: impl Fn(&Device) -> bool) -> Members {
        let devices = (0..).map(DeviceRef).zip(&self.mesh.devices);
        self.devices(devices.filter(|(_, device)| wanted(device)).map(|(device, _)| device))
    }

    /// Devices with these addresses, those shared in included.
    fn at_addresses(&self, addresses: &AddressSet) -> Members {
        Members::new(
            self.mesh.in_addresses(addresses).map(|(address, device)| (device, Families::of(address))),
        )
    }

    /// Devices of this mesh with these addresses. One that was shared in begins no connections.
    fn own(&self, addresses: AddressSet) -> Members {
        let devices = self.mesh.in_addresses(&addresses);
        let own = devices.filter(|(_, device)| !self.mesh.devices[device.0 as usize].external);
        Members::new(own.map(|(address, device)| (device, Families::of(address))))
    }
}

/// All addresses of both families.
pub(crate) fn everything() -> AddressSet {
    let all =
        [(IpAddr::from([0; 4]), IpAddr::from([255; 4])), (IpAddr::from([0; 16]), IpAddr::from([255; 16]))];
    AddressSet::from_ranges(all)
}
