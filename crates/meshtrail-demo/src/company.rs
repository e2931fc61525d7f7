//! The company: its people and the machines in its mesh, at one moment.
//!
//! The same seed and size give the same company. The story changes [`Machine::state`] and [`Member::state`], which have the
//! common form of all control planes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use meshtrail_event::{Device, DeviceState, Person, Timestamp, UserState};

use crate::names::{DOMAIN, ELSEWHERE, LAPTOPS, MESH, PEOPLE, SECOND_DEVICES, SERVERS, ZONES};
use crate::random::Random;

/// The size of a company.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Number of people.
    pub people: usize,
    /// Approximate number of devices: at least one for each person, and the servers.
    pub devices: usize,
}

impl Size {
    /// The company of the demo.
    pub const DEMO: Self = Self { people: 40, devices: 120 };
}

/// A person and their time zone.
#[derive(Debug, Clone)]
pub struct Member {
    /// As the control plane reports them.
    pub state: UserState,
    /// Offset of their time zone from UTC, in minutes.
    pub zone: i64,
}

/// A device.
#[derive(Debug, Clone)]
pub struct Machine {
    /// As the control plane reports it.
    pub state: DeviceState,
    /// Whether its tailscaled runs in userspace mode, where received traffic is not counted.
    pub userspace: bool,
    /// Whether it is in the mesh.
    pub present: bool,
}

/// People and machines at one moment.
#[derive(Debug, Clone)]
pub struct Company {
    /// The people; the first is the owner, the next three are admins.
    pub people: Vec<Member>,
    /// The devices: first each person's, in the people's order, then the servers.
    pub machines: Vec<Machine>,
    /// Number of machines that belong to people.
    pub personal: usize,
}

/// Groups and their members: every n-th person, beginning with this index.
const GROUPS: [(&str, usize, usize); 6] = [
    ("group:eng", 2, 0),
    ("group:sre", 5, 1),
    ("group:data", 7, 3),
    ("group:support", 6, 5),
    ("group:finance", 11, 8),
    ("group:security", 13, 2),
];

impl Company {
    /// A company of this size; `founded` must be before all events.
    pub fn new(seed: u64, size: Size, founded: Timestamp) -> Self {
        let mut random = Random::part_of(seed, "company");
        let people: Vec<Member> = (0..size.people.max(1)).map(|number| member(number, founded)).collect();
        let mut company = Self { people, machines: Vec::new(), personal: 0 };
        company.buy_devices(&mut random, size, founded);
        company.personal = company.machines.len();
        company.rack_servers(&mut random, size, founded);
        company
    }

    fn buy_devices(&mut self, random: &mut Random, size: Size, founded: Timestamp) {
        let seconds = size.devices.saturating_sub(size.people) * 2 / 7;
        for number in 0..self.people.len() {
            let (what, os) = *random.one(&LAPTOPS);
            self.hand_out(random, number, what, os, founded);
            if number * seconds / self.people.len() != (number + 1) * seconds / self.people.len() {
                let (what, os) = *random.skewed(&SECOND_DEVICES);
                self.hand_out(random, number, what, os, founded);
            }
        }
    }

    fn hand_out(&mut self, random: &mut Random, owner: usize, what: &str, os: &str, founded: Timestamp) {
        let login = self.people[owner].state.login.clone();
        let name = format!("{}-{what}", login.split('@').next().unwrap_or("nobody").replace('.', "-"));
        let mut state = device(random, self.machines.len(), &name, os, founded);
        state.expires = Some(founded.after(key_lifetime(self.machines.len())));
        state.owner = Some(login);
        self.machines.push(Machine { state, userspace: false, present: true });
    }

    fn rack_servers(&mut self, random: &mut Random, size: Size, founded: Timestamp) {
        let wanted = size.devices.saturating_sub(self.machines.len()).max(SERVERS.len());
        let usual: usize = SERVERS.iter().map(|row| row.1).sum();
        for (name, count, tags, userspace) in SERVERS {
            for number in 1..=(count * wanted).div_ceil(usual) {
                let name =
                    if count == 1 && number == 1 { name.to_owned() } else { format!("{name}-{number}") };
                let mut state = device(random, self.machines.len(), &name, "linux", founded);
                state.tags = tags.iter().map(|&tag| tag.to_owned()).collect();
                state.key_expiry_disabled = Some(true);
                state.expires = None;
                let routes: &[&str] = match name.as_str() {
                    "office-router" => &["192.0.2.0/24", "198.51.100.0/25"],
                    "exit-fra-1" => &["0.0.0.0/0", "::/0"],
                    _ => &[],
                };
                state.advertised_routes = routes.iter().map(|&route| route.to_owned()).collect();
                state.enabled_routes = state.advertised_routes.clone();
                self.machines.push(Machine { state, userspace, present: true });
            }
        }
    }

    /// The index of the machine with this short name.
    ///
    /// # Panics
    ///
    /// If there is none: all names are constants of this crate.
    pub(crate) fn machine(&self, name: &str) -> usize {
        let is_it = |machine: &Machine| {
            let full = machine.state.name.as_deref().unwrap_or_default();
            full.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
        };
        self.machines.iter().position(is_it).unwrap_or_else(|| panic!("the company has no machine {name}"))
    }

    /// The indexes of present machines with this tag.
    pub fn tagged(&self, tag: &str) -> Vec<usize> {
        let has = |machine: &Machine| machine.present && machine.state.tags.contains(tag);
        (0..self.machines.len()).filter(|&at| has(&self.machines[at])).collect()
    }

    /// The index of a person's first device.
    pub fn laptop_of(&self, person: usize) -> Option<usize> {
        let login = self.people.get(person)?.state.login.as_str();
        self.machines
            .iter()
            .position(|machine| machine.present && machine.state.owner.as_deref() == Some(login))
    }

    /// The owner of a machine.
    pub fn owner_of(&self, machine: usize) -> Option<&Member> {
        let owner = self.machines[machine].state.owner.as_deref()?;
        self.people.iter().find(|member| member.state.login == owner)
    }
}

fn member(number: usize, founded: Timestamp) -> Member {
    let (first, last) = PEOPLE[number % PEOPLE.len()];
    let again = number / PEOPLE.len();
    let spelled = first.to_lowercase();
    let login = match again {
        0 => format!("{spelled}@{DOMAIN}"),
        _ => format!("{spelled}.{}{again}@{DOMAIN}", last.to_lowercase().replace('ö', "o")),
    };
    let groups = GROUPS.iter().filter(|(_, every, first)| number % every == first % every);
    let role = match number {
        0 => "owner",
        1..=3 => "admin",
        4 => "it-admin",
        5 => "auditor",
        _ => "member",
    };
    Member {
        state: UserState {
            created: Some(founded),
            groups: groups.map(|(group, ..)| (*group).to_owned()).collect(),
            id: format!("u{:09}CNTRL", 700_000_000 + number * 7919),
            login,
            name: Some(format!("{first} {last}")),
            role: Some(role.to_owned()),
            status: Some("active".to_owned()),
            of_type: Some("member".to_owned()),
            ..UserState::default()
        },
        zone: ZONES[number % ZONES.len()],
    }
}

/// An external person with whom one machine is shared.
pub(crate) fn contractor(founded: Timestamp) -> Member {
    Member {
        state: UserState {
            created: Some(founded),
            groups: ["group:contractors".to_owned()].into(),
            id: "u799999990CNTRL".to_owned(),
            login: format!("rowan@{ELSEWHERE}"),
            name: Some("Rowan Ashby".to_owned()),
            role: Some("member".to_owned()),
            status: Some("active".to_owned()),
            of_type: Some("shared".to_owned()),
            ..UserState::default()
        },
        zone: 0,
    }
}

/// The time from the founding to the expiry of a device's key: after the story's end, each on a different day.
fn key_lifetime(number: usize) -> std::time::Duration {
    const DAY: u64 = 86_400;
    std::time::Duration::from_secs((240 + number as u64 * 7 % 120) * DAY)
}

/// A device without an owner; its addresses are derived from `number`.
pub(crate) fn device(
    random: &mut Random,
    number: usize,
    name: &str,
    os: &str,
    created: Timestamp,
) -> DeviceState {
    let version = *random.skewed(&["1.102.5", "1.102.3", "1.98.4", "1.90.9"]);
    DeviceState {
        addresses: addresses(number),
        authorized: Some(true),
        client_version: Some(version.to_owned()),
        created: Some(created),
        expires: Some(created.after(std::time::Duration::from_secs(180 * 86_400))),
        hostname: Some(name.to_owned()),
        id: format!("n{}CNTRL", random.hex(10)),
        key_expiry_disabled: Some(false),
        machine_key: Some(format!("mkey:{}", random.hex(64))),
        name: Some(format!("{name}.{MESH}")),
        node_key: Some(format!("nodekey:{}", random.hex(64))),
        os: Some(os.to_owned()),
        ..DeviceState::default()
    }
}

/// The addresses of device number `number`.
pub(crate) fn addresses(number: usize) -> Vec<IpAddr> {
    let byte = |value: usize| u8::try_from(value % 250).unwrap_or(0);
    let part = |value: usize| u16::try_from(value % 65_536).unwrap_or(0);
    let v4 = Ipv4Addr::new(100, 64 + byte(number / 62_500) % 64, byte(number / 250), byte(number) + 3);
    let v6 = Ipv6Addr::new(0xfd7a, 0x115c, 0xa1e0, 0, 0, 0, part(number / 65_536 + 1), part(number + 0x10));
    vec![v4.into(), v6.into()]
}

/// The `device` member of events.
pub(crate) fn as_device(state: &DeviceState) -> Device {
    Device {
        addresses: state.addresses.iter().map(ToString::to_string).collect(),
        id: Some(state.id.clone()),
        name: state.name.clone(),
        os: state.os.clone(),
        tags: state.tags.iter().cloned().collect(),
    }
}

/// The `person` member of events.
pub(crate) fn as_person(state: &UserState) -> Person {
    Person {
        groups: state.groups.iter().cloned().collect(),
        id: Some(state.id.clone()),
        login: state.login.clone(),
        name: state.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_size_has_its_people_and_devices_and_no_name_or_address_twice() {
        let founded = Timestamp::from_seconds(1_760_000_000).unwrap();
        for size in [Size::DEMO, Size { people: 1, devices: 1 }, Size { people: 1000, devices: 100_000 }] {
            let company = Company::new(7, size, founded);
            assert_eq!(company.people.len(), size.people);
            let names: HashSet<_> =
                company.machines.iter().map(|machine| machine.state.name.clone()).collect();
            let addresses: HashSet<_> =
                company.machines.iter().flat_map(|machine| machine.state.addresses.clone()).collect();
            let logins: HashSet<_> = company.people.iter().map(|member| &member.state.login).collect();
            assert_eq!(names.len(), company.machines.len());
            assert_eq!(addresses.len(), company.machines.len() * 2);
            assert_eq!(logins.len(), company.people.len());
            let devices = company.machines.len();
            assert!(
                devices >= size.devices && devices <= size.devices.max(30) * 6 / 5,
                "{size:?}: {devices}"
            );
        }
    }
}
