//! What a diff says: folds of people and machines, totals, and sentences.

use std::fmt;

use super::kinds::{CapabilityGrants, Logins};
use super::{AuthorityChange, PossibleChange};
use crate::access::Access;
use crate::address::AddressSet;
use crate::file::RuleSite;
use crate::mesh::{DeviceRef, Mesh, PersonRef};
use crate::ports::PortSet;
use crate::reach::{ReachSource, ReachTarget};

/// Whether access opens or closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The new policy opens what the old one did not.
    Opened,
    /// The old policy opened what the new one does not.
    Closed,
}

impl fmt::Display for Direction {
    /// As sentences use it: `gained`, `lost`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opened => "gained",
            Self::Closed => "lost",
        })
    }
}

/// What a policy opens and closes against an older one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessChanges {
    /// Connections: protocols and ports.
    pub connections: Changes<PortSet>,
    /// Logins by `ssh` rules: local users, and on which terms.
    pub logins: Changes<Logins>,
    /// App capabilities.
    pub capabilities: Changes<CapabilityGrants>,
    /// Rules that open nothing for certain, and would if their conditions were met; of the new policy or of the old one alone.
    pub possible: Vec<PossibleChange>,
    /// How many of these were left off.
    pub possible_left_off: usize,
    /// Who may give tags to devices, and whose routes need no approval.
    pub authority: Vec<AuthorityChange>,
    /// How many devices take no part in the mesh, and are in none of the above.
    pub devices_left_out: usize,
}

/// What opened and closed, of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes<T> {
    /// What opened, the largest first.
    pub opened: Vec<Fold<T>>,
    /// What closed, the largest first.
    pub closed: Vec<Fold<T>>,
    /// How many folds of what opened were left off.
    pub opened_left_off: usize,
    /// How many folds of what closed were left off.
    pub closed_left_off: usize,
    /// All that opened.
    pub opened_totals: Totals,
    /// All that closed.
    pub closed_totals: Totals,
}

impl<T> Default for Changes<T> {
    fn default() -> Self {
        Self {
            opened: Vec::new(),
            closed: Vec::new(),
            opened_left_off: 0,
            closed_left_off: 0,
            opened_totals: Totals::default(),
            closed_totals: Totals::default(),
        }
    }
}

/// How much opened, or closed, in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// People for whom it did.
    pub people: usize,
    /// Source devices that have no person.
    pub devices: usize,
    /// Source networks.
    pub networks: usize,
    /// Target devices.
    pub targets: usize,
    /// Pairs of a source and a target: a device, a part of a network, or any address.
    pub connections: u64,
}

/// Sources and targets between which the same opened, or closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold<T> {
    /// Which of the two.
    pub direction: Direction,
    /// Where connections begin.
    pub sources: Side,
    /// Where they lead.
    pub targets: Side,
    /// Whether each person's devices reach that person's own only.
    pub own_devices: bool,
    /// What opened, or closed.
    pub access: T,
    /// The pairs of sources and targets. A device is no target of itself, a router none of its own network.
    pub connections: u64,
    /// Whether not every source has all of `access` on every target: some had a part of it before, or all (these are not
    /// among the pairs).
    pub partly: bool,
    /// Rules of the policy that opens this, at most [`crate::MAX_RULES`].
    pub rules: Vec<RuleSite>,
    /// Some of the pairs.
    pub rows: Vec<ChangeRow>,
}

/// One pair of a fold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    /// Where connections begin.
    pub source: ReachSource,
    /// Where they lead.
    pub target: ReachTarget,
}

/// The sources, or the targets, of a fold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Side {
    /// A tag whose devices these are, all of them and no others.
    pub label: Option<String>,
    /// The people whose devices these are.
    pub people: Vec<PersonRef>,
    /// How many people are not named.
    pub people_left_off: usize,
    /// Of targets, all devices; of sources, those that have no person.
    pub devices: Vec<DeviceRef>,
    /// How many devices are not named.
    pub devices_left_off: usize,
    /// How many devices there are, people's included.
    pub device_count: usize,
    /// Networks.
    pub networks: Vec<NetworkSide>,
    /// How many networks are not named.
    pub networks_left_off: usize,
    /// Whether any address at all is among them.
    pub anyone: bool,
}

/// A network of a side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSide {
    /// Its addresses.
    pub addresses: AddressSet,
    /// The router that leads there; `None` of a source.
    pub router: Option<DeviceRef>,
    /// The addresses as people write them: `10.40.0.0/16 without 10.40.7.20`.
    pub text: String,
    /// Names from `hosts` that lie in it, at most [`MAX_HOSTS`].
    pub hosts: Vec<String>,
    /// Names from `hosts` that lie in the network around it, and not in it: what a rule leaves out.
    pub hosts_outside: Vec<String>,
}

/// The most names from `hosts` that a network is given.
pub const MAX_HOSTS: usize = 8;

impl AccessChanges {
    /// Whether nothing changed: no access, nothing that could be, nobody's authority.
    pub fn is_empty(&self) -> bool {
        let is_same = self.connections.is_empty() && self.logins.is_empty() && self.capabilities.is_empty();
        is_same && self.possible.is_empty() && self.authority.is_empty()
    }

    /// One line for all of it.
    pub fn summary(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.connections.describe("access"));
        parts.extend(self.logins.describe("logins"));
        parts.extend(self.capabilities.describe("capabilities"));
        parts.extend(
            (!self.authority.is_empty()).then(|| "who may give tags or serve routes changed".to_owned()),
        );
        parts.extend((!self.possible.is_empty()).then(|| "some rules open nothing for certain".to_owned()));
        if parts.is_empty() { "nobody gained or lost access".to_owned() } else { parts.join("; ") }
    }
}

impl<T> Changes<T> {
    /// Whether nothing of this kind changed.
    pub fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.closed.is_empty()
    }

    fn describe(&self, noun: &str) -> impl Iterator<Item = String> {
        let gained = self.opened_totals.describe("gained", noun);
        gained.into_iter().chain(self.closed_totals.describe("lost", noun))
    }
}

impl Totals {
    /// `2 people, 4 devices without a person and 1 network gained access to 2 machines`; `None` of nothing.
    fn describe(self, verb: &str, noun: &str) -> Option<String> {
        let counted = |count: usize, one: &str, many: &str| {
            (count > 0).then(|| format!("{count} {}", if count == 1 { one } else { many }))
        };
        let parts = [
            counted(self.people, "person", "people"),
            counted(self.devices, "device without a person", "devices without a person"),
            counted(self.networks, "network", "networks"),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let to = counted(self.targets, "machine", "machines").map(|machines| format!(" to {machines}"));
        let who = if parts.is_empty() { "any address".to_owned() } else { parts.join(", ") };
        (self.connections > 0).then(|| format!("{who} {verb} {noun}{}", to.unwrap_or_default()))
    }
}

impl<T: Access> Fold<T> {
    /// In words: `cem@example.com gained tag:db (2 machines): 5432`.
    pub fn describe(&self, mesh: &Mesh) -> String {
        let targets = if self.own_devices {
            "their own devices".to_owned()
        } else {
            self.targets.describe(mesh, false)
        };
        let sources = self.sources.describe(mesh, true);
        let partly = if self.partly { " (not each of them all of it)" } else { "" };
        format!("{sources} {} {targets}: {}{partly}", self.direction, self.access.brief())
    }
}

impl Side {
    /// Names, with commas between them; of sources, people stand for their devices.
    fn describe(&self, mesh: &Mesh, as_sources: bool) -> String {
        let mut parts: Vec<String> = Vec::new();
        if let Some(label) = &self.label {
            let noun = if self.device_count == 1 { "machine" } else { "machines" };
            parts.push(format!("{label} ({} {noun})", self.device_count));
        } else {
            let people =
                self.people.iter().filter(|_| as_sources).map(|person| mesh.person(*person).login.clone());
            parts.extend(people);
            parts.extend(more(if as_sources { self.people_left_off } else { 0 }, "people"));
            parts.extend(self.devices.iter().map(|device| mesh.device(*device).name.clone()));
            parts.extend(more(self.devices_left_off, "devices"));
        }
        parts.extend(self.networks.iter().map(|network| network.describe(mesh)));
        parts.extend(more(self.networks_left_off, "networks"));
        parts.extend(self.anyone.then(|| "any address".to_owned()));
        parts.join(", ")
    }
}

fn more(count: usize, noun: &str) -> Option<String> {
    (count > 0).then(|| format!("{count} more {noun}"))
}

impl NetworkSide {
    /// `10.40.7.0/24 through rt-1, with metrics`.
    fn describe(&self, mesh: &Mesh) -> String {
        let router =
            self.router.map(|router| format!(" through {}", mesh.device(router).name)).unwrap_or_default();
        let names = |word: &str, names: &[String]| match names {
            [] => String::new(),
            names => format!(" ({word} {})", names.join(", ")),
        };
        let inside = names("with", &self.hosts);
        let outside = names("but for", &self.hosts_outside);
        format!("{}{router}{inside}{outside}", self.text)
    }
}
