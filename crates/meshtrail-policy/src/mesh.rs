//! The directory, indexed for questions: whose a device is, which devices have a tag, which routers serve a network.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use crate::address::{AddressSet, Prefix, internet};
use crate::directory::{Device, Directory, Membership, Person};

/// A device of a [`Mesh`]: its place in the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceRef(pub(crate) u32);

/// A person of a [`Mesh`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonRef(pub(crate) u32);

/// People and devices of one moment, for any number of policies. A clone is the same mesh.
#[derive(Debug, Clone)]
pub struct Mesh(Arc<Index>);

/// What a mesh consists of.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) domains: BTreeSet<String>,
    pub(crate) people: Vec<Person>,
    pub(crate) devices: Vec<Device>,
    /// The person whose each device is; none of tagged ones and of those shared in.
    owners: Vec<Option<PersonRef>>,
    /// The devices of each person.
    owned: Vec<Vec<DeviceRef>>,
    /// People by login and by their other names; `None` where several have the name.
    by_name: HashMap<String, Option<PersonRef>>,
    by_tag: BTreeMap<String, Vec<DeviceRef>>,
    /// Addresses in order.
    addresses: Vec<(IpAddr, DeviceRef)>,
    pub(crate) routes: Vec<Route>,
    /// The place of each device in the order of answers.
    ranks: Vec<u32>,
}

/// A network behind a router.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) router: DeviceRef,
    /// The route as it is written.
    pub(crate) prefix: Prefix,
    /// The addresses that it leads to; of an exit node, those of the internet.
    pub(crate) addresses: AddressSet,
    /// Whether it is in force, and not only advertised.
    pub(crate) in_force: bool,
}

impl Route {
    /// Whether it is in force, and not an exit node's.
    pub(crate) fn is_subnet(&self) -> bool {
        self.in_force && !self.prefix.is_default_route()
    }
}

impl Mesh {
    /// Indexes a directory. An owner of a device who is not among the people is added, with nothing known of them.
    pub fn new(directory: Directory) -> Self {
        let Directory { domains, mut people, devices } = directory;
        let known: BTreeSet<&str> = people.iter().map(|person| person.login.as_str()).collect();
        let own = devices.iter().filter(|device| !device.external).filter_map(Device::person);
        let unknown: BTreeSet<&str> = own.filter(|login| !known.contains(*login)).collect();
        people
            .extend(unknown.into_iter().map(|login| Person { login: login.to_owned(), ..Person::default() }));
        Self(Arc::new(Index::new(domains, people, devices)))
    }

    /// The device.
    pub fn device(&self, device: DeviceRef) -> &Device {
        &self.0.devices[device.0 as usize]
    }

    /// The person.
    pub fn person(&self, person: PersonRef) -> &Person {
        &self.0.people[person.0 as usize]
    }

    /// The person whose device it is; `None` of a tagged device and of one shared in.
    pub fn owner(&self, device: DeviceRef) -> Option<PersonRef> {
        self.0.owner(device)
    }

    /// The devices of a person, without tagged ones.
    pub fn devices_of(&self, person: PersonRef) -> &[DeviceRef] {
        self.0.devices_of(person)
    }

    /// All devices.
    pub fn devices(&self) -> impl Iterator<Item = DeviceRef> + use<> {
        (0..u32::try_from(self.0.devices.len()).unwrap_or(u32::MAX)).map(DeviceRef)
    }

    /// The devices that somebody means who writes an id, a name (whole, or up to its first dot), an address, a login or
    /// a tag; in the order of the directory.
    pub fn find(&self, text: &str) -> Vec<DeviceRef> {
        let text = text.trim();
        if text.starts_with("tag:") {
            return self.0.with_tag(text).to_vec();
        }
        if let Ok(address) = text.parse() {
            let address = AddressSet::from_ranges([(address, address)]);
            return self.0.in_addresses(&address).map(|(_, device)| device).take(1).collect();
        }
        if let Some(person) = self.find_person(text) {
            return self.devices_of(person).to_vec();
        }
        let is_named = |device: &Device| {
            let short = device.name.split('.').next().unwrap_or_default();
            device.id == text || device.name.eq_ignore_ascii_case(text) || short.eq_ignore_ascii_case(text)
        };
        self.devices().filter(|device| is_named(self.device(*device))).collect()
    }

    /// The person with this login or other name, if there is exactly one.
    pub fn find_person(&self, login: &str) -> Option<PersonRef> {
        self.0.person_named(login)
    }

    pub(crate) fn index(&self) -> &Index {
        &self.0
    }

    /// Whether both are the same mesh, so that references of one are those of the other.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A reference to the thing at this place of a list.
fn place(at: usize) -> u32 {
    u32::try_from(at).expect("a directory has fewer than four billion entries")
}

impl Index {
    fn new(domains: BTreeSet<String>, people: Vec<Person>, devices: Vec<Device>) -> Self {
        let by_name = names(&people);
        let mut index = Self {
            domains,
            owners: Vec::with_capacity(devices.len()),
            owned: vec![Vec::new(); people.len()],
            people,
            by_name,
            by_tag: BTreeMap::new(),
            addresses: Vec::new(),
            routes: Vec::new(),
            devices: Vec::new(),
            ranks: Vec::new(),
        };
        for (at, device) in devices.iter().enumerate() {
            index.add_device(DeviceRef(place(at)), device);
        }
        index.addresses.sort_unstable();
        index.devices = devices;
        index.ranks = index.ranks();
        index
    }

    /// People's devices by login and name, then those without a person by tags and name.
    fn ranks(&self) -> Vec<u32> {
        let key = |device: &u32| {
            let described = &self.devices[*device as usize];
            let login =
                self.owner(DeviceRef(*device)).map(|person| self.people[person.0 as usize].login.as_str());
            (login.is_none(), login, &described.tags, &described.name)
        };
        let mut order: Vec<u32> = (0..place(self.devices.len())).collect();
        order.sort_by(|one, other| key(one).cmp(&key(other)));
        let mut ranks = vec![0; order.len()];
        for (rank, device) in (0..).zip(order) {
            ranks[device as usize] = rank;
        }
        ranks
    }

    pub(crate) fn rank(&self, device: DeviceRef) -> u32 {
        self.ranks[device.0 as usize]
    }

    fn add_device(&mut self, at: DeviceRef, device: &Device) {
        let login = device.person().filter(|_| !device.external);
        let owner = login.and_then(|login| self.by_name.get(login).copied().flatten());
        self.owners.push(owner);
        if let Some(person) = owner {
            self.owned[person.0 as usize].push(at);
        }
        for tag in &device.tags {
            self.by_tag.entry(tag.clone()).or_default().push(at);
        }
        for address in &device.addresses {
            self.addresses.push((*address, at));
        }
        let offered = device.advertised_routes.iter().filter(|route| !device.routes.contains(route));
        let routes =
            device.routes.iter().map(|route| (route, true)).chain(offered.map(|route| (route, false)));
        for (prefix, in_force) in routes {
            let addresses = route_addresses(*prefix);
            self.routes.push(Route { router: at, prefix: *prefix, addresses, in_force });
        }
    }

    pub(crate) fn devices_of(&self, person: PersonRef) -> &[DeviceRef] {
        &self.owned[person.0 as usize]
    }

    pub(crate) fn owner(&self, device: DeviceRef) -> Option<PersonRef> {
        self.owners[device.0 as usize]
    }

    pub(crate) fn person_named(&self, name: &str) -> Option<PersonRef> {
        self.by_name.get(name).copied().flatten()
    }

    pub(crate) fn with_tag(&self, tag: &str) -> &[DeviceRef] {
        self.by_tag.get(tag).map_or(&[], Vec::as_slice)
    }

    /// Devices with an address of the set, once for each address.
    pub(crate) fn in_addresses(&self, set: &AddressSet) -> impl Iterator<Item = (IpAddr, DeviceRef)> {
        set.ranges().iter().flat_map(|(first, last)| {
            let start = self.addresses.partition_point(|(address, _)| address < first);
            let end = self.addresses.partition_point(|(address, _)| address <= last);
            self.addresses[start..end].iter().copied()
        })
    }

    /// The people of the tailnet.
    pub(crate) fn members(&self) -> impl Iterator<Item = (PersonRef, &Person)> {
        let people = self.people.iter().enumerate().map(|(at, person)| (PersonRef(place(at)), person));
        people.filter(|(_, person)| person.membership == Membership::Member)
    }

    /// The people of other tailnets, with whom a device is shared.
    pub(crate) fn guests(&self) -> impl Iterator<Item = PersonRef> {
        let people = self.people.iter().enumerate();
        people
            .filter(|(_, person)| person.membership == Membership::Shared)
            .map(|(at, _)| PersonRef(place(at)))
    }

    /// The subnet routes in force, without those of exit nodes.
    pub(crate) fn subnets(&self) -> AddressSet {
        self.subnets_but(None)
    }

    /// The same, without those of this router.
    pub(crate) fn subnets_but(&self, router: Option<DeviceRef>) -> AddressSet {
        let routes = self.routes.iter().filter(|route| route.is_subnet() && Some(route.router) != router);
        AddressSet::from_prefixes(routes.map(|route| route.prefix))
    }
}

/// Where a route leads: an exit node's to the internet, not to the networks that it stands in.
fn route_addresses(prefix: Prefix) -> AddressSet {
    let addresses = AddressSet::from_prefixes([prefix]);
    if prefix.is_default_route() { addresses.intersection(&internet()) } else { addresses }
}

/// People by all their names. A name that two people have finds neither, as Headscale has it.
fn names(people: &[Person]) -> HashMap<String, Option<PersonRef>> {
    let mut names: HashMap<String, Option<PersonRef>> = HashMap::new();
    for (at, person) in people.iter().enumerate() {
        let person_ref = PersonRef(place(at));
        for name in std::iter::once(&person.login).chain(&person.other_names) {
            let found = names.entry(name.clone()).or_insert(Some(person_ref));
            *found = found.filter(|known| *known == person_ref);
        }
    }
    names
}
