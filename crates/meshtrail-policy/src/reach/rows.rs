//! Rows of an answer: what was found is added up for each source and target, then ordered and cut.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::{MAX_RULES, ReachCondition, ReachSource, ReachTarget};
use crate::access::AccessTable;
use crate::address::AddressSet;
use crate::compile::{DestinationId, Holds, Policy, SourceId};
use crate::file::RuleSite;
use crate::mesh::DeviceRef;
use crate::ports::PortSet;

/// Rows, and what was left off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// In order of people, then of devices, then of networks.
    pub rows: Vec<ReachRow>,
    /// How many rows were left off.
    pub left_off: usize,
}

/// One source that reaches one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachRow {
    /// Where connections begin.
    pub source: ReachSource,
    /// Where they lead.
    pub target: ReachTarget,
    /// Protocols and ports.
    pub ports: PortSet,
    /// The rules that open them, in order; at most [`MAX_RULES`].
    pub rules: Vec<RuleSite>,
    /// How many more rules do.
    pub rules_left_off: usize,
    /// What would have to be so; empty of a row that is certain.
    pub conditions: Vec<ReachCondition>,
}

/// A row in words, with its ports and rules.
impl fmt::Display for ReachRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: Vec<String> = self.rules.iter().map(RuleSite::to_string).collect();
        write!(f, "{} by {}", self.ports, rules.join(", "))?;
        if self.rules_left_off > 0 {
            write!(f, " and {} more rules", self.rules_left_off)?;
        }
        let conditions: Vec<String> = self.conditions.iter().map(ReachCondition::to_string).collect();
        if conditions.is_empty() { Ok(()) } else { write!(f, ", if {}", conditions.join(" and ")) }
    }
}

/// A source while rows are added up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum SourceKey {
    Device(DeviceRef),
    Other(Arc<ReachSource>),
}

/// A target while rows are added up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum TargetKey {
    Device(DeviceRef),
    Network(Arc<(AddressSet, Option<DeviceRef>)>),
}

/// A condition, before it is put into words. What it is about follows from the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Open {
    SourceMembership(SourceId),
    TargetMembership(DestinationId),
    /// The posture that the rule at this place asks of the source.
    Posture(usize),
    UnknownMembers(usize),
    SourceDevice,
    TargetDevice,
    Guest,
    /// The route at this place of the mesh is not in force.
    Route(usize),
    /// No router serves what this destination of the rule at this place names.
    Router(usize, DestinationId),
    Service(DestinationId),
}

/// Rules of a row: the first few, and the number of all.
#[derive(Debug, Clone, Copy, Default)]
struct RuleList {
    first: [u32; MAX_RULES],
    count: usize,
}

impl RuleList {
    fn add(&mut self, rule: usize) {
        let rule = u32::try_from(rule).unwrap_or(u32::MAX);
        let known = self.count.min(MAX_RULES);
        if self.first[..known].last() == Some(&rule) {
            return;
        }
        if let Some(place) = self.first.get_mut(self.count) {
            *place = rule;
        }
        self.count += 1;
    }
}

/// What is certain of a source and a target.
#[derive(Debug)]
struct Certain {
    ports: u32,
    rules: RuleList,
}

/// What is possible between a source and a target, by one rule.
#[derive(Debug)]
struct Possible {
    ports: Arc<PortSet>,
    rule: usize,
    open: Vec<Open>,
}

pub(crate) type Pair = (SourceKey, TargetKey);

/// Rows that are being added up.
#[derive(Debug, Default)]
pub(super) struct Sum {
    certain: HashMap<Pair, Certain>,
    possible: HashMap<Pair, Vec<Possible>>,
    ports: AccessTable<PortSet>,
}

impl Sum {
    /// Adds what one rule opens; certain if no condition is open.
    pub(super) fn add(&mut self, pair: Pair, ports: &Arc<PortSet>, rule: usize, open: Vec<Open>) {
        if !open.is_empty() {
            self.possible.entry(pair).or_default().push(Possible { ports: Arc::clone(ports), rule, open });
            return;
        }
        let number = self.ports.number(ports);
        let certain =
            self.certain.entry(pair).or_insert(Certain { ports: number, rules: RuleList::default() });
        certain.ports = self.ports.union(certain.ports, number);
        certain.rules.add(rule);
    }
}

impl Policy {
    /// Orders the rows and cuts them; of what is possible, only what is not certain anyway.
    pub(super) fn rows(&self, sum: &Sum, limit: usize) -> super::Reach {
        let mut pairs: Vec<(&Pair, &Certain)> = sum.certain.iter().collect();
        pairs.sort_by_cached_key(|(pair, _)| self.rank(pair));
        let rows =
            pairs.iter().take(limit).map(|(pair, certain)| self.certain_row(pair, certain, &sum.ports));
        let certain = Rows { rows: rows.collect(), left_off: pairs.len().saturating_sub(limit) };
        super::Reach { certain, possible: self.possible_rows(sum, limit) }
    }

    fn possible_rows(&self, sum: &Sum, limit: usize) -> Rows {
        let mut pairs: Vec<(&Pair, &Vec<Possible>)> = sum.possible.iter().collect();
        pairs.sort_by_cached_key(|(pair, _)| self.rank(pair));
        let mut found = Rows::default();
        for (pair, possible) in pairs {
            let known = sum.certain.get(pair).map(|certain| sum.ports.value(certain.ports));
            let more =
                |possible: &&Possible| known.is_none_or(|known| !possible.ports.without(known).is_empty());
            if found.rows.len() < limit {
                self.add_possible(pair, possible.iter().filter(more), &mut found.rows);
            } else if possible.iter().any(|possible| more(&possible)) {
                found.left_off += 1;
            }
        }
        found
    }

    /// Rows of one source and target: one for each set of conditions.
    fn add_possible<'p>(
        &self,
        pair: &Pair,
        possible: impl Iterator<Item = &'p Possible>,
        rows: &mut Vec<ReachRow>,
    ) {
        let start = rows.len();
        for Possible { ports, rule, open } in possible {
            let mut conditions: Vec<_> = open.iter().flat_map(|open| self.conditions(pair, *open)).collect();
            conditions.sort();
            conditions.dedup();
            let site = self.access[*rule].site.clone();
            match rows[start..].iter_mut().find(|row| row.conditions == conditions) {
                Some(row) => {
                    row.ports = row.ports.union(ports);
                    if row.rules.len() < MAX_RULES { row.rules.push(site) } else { row.rules_left_off += 1 }
                }
                None => rows.push(ReachRow {
                    source: pair.0.source(),
                    target: pair.1.target(),
                    ports: (**ports).clone(),
                    rules: vec![site],
                    rules_left_off: 0,
                    conditions,
                }),
            }
        }
    }

    fn certain_row(
        &self,
        (source, target): &Pair,
        certain: &Certain,
        ports: &AccessTable<PortSet>,
    ) -> ReachRow {
        let rules = &certain.rules.first[..certain.rules.count.min(MAX_RULES)];
        ReachRow {
            source: source.source(),
            target: target.target(),
            ports: (**ports.value(certain.ports)).clone(),
            rules: rules.iter().map(|rule| self.access[*rule as usize].site.clone()).collect(),
            rules_left_off: certain.rules.count - rules.len(),
            conditions: Vec::new(),
        }
    }

    /// People's devices by login and name, then tagged ones, then what is no device.
    fn rank(&self, (source, target): &Pair) -> (u32, u32, Option<(String, String)>) {
        let index = self.mesh.index();
        match (source, target) {
            (SourceKey::Device(source), TargetKey::Device(target)) => {
                (index.rank(*source), index.rank(*target), None)
            }
            (SourceKey::Other(source), TargetKey::Device(target)) => {
                (u32::MAX, index.rank(*target), Some((source.describe(&self.mesh), String::new())))
            }
            (SourceKey::Device(source), TargetKey::Network(network)) => {
                (index.rank(*source), u32::MAX, Some((String::new(), network.0.to_string())))
            }
            (SourceKey::Other(source), TargetKey::Network(network)) => {
                (u32::MAX, u32::MAX, Some((source.describe(&self.mesh), network.0.to_string())))
            }
        }
    }

    /// An open condition in words.
    pub(crate) fn conditions(&self, pair: &Pair, open: Open) -> Vec<ReachCondition> {
        let one = |condition| vec![condition];
        match (open, pair) {
            (Open::SourceMembership(id), _) => {
                one(ReachCondition::Membership { source: self.source_text(id).to_owned() })
            }
            (Open::TargetMembership(id), _) => {
                one(ReachCondition::Membership { source: self.destination_text(id).to_owned() })
            }
            (Open::UnknownMembers(rule), _) => {
                one(ReachCondition::UnknownMembers { members: self.access[rule].unknown.clone() })
            }
            (Open::Posture(rule), (SourceKey::Device(device), _)) => {
                match self.posture(&self.access[rule].postures, *device) {
                    Holds::Unknown(reason) | Holds::No(reason) => one(ReachCondition::Posture { reason }),
                    Holds::Yes => Vec::new(),
                }
            }
            (Open::SourceDevice, (SourceKey::Device(device), _)) => self.device_conditions(*device, false),
            (Open::TargetDevice, (_, TargetKey::Device(device))) => self.device_conditions(*device, true),
            (Open::Guest, (SourceKey::Other(source), _)) => {
                let login = source.person(&self.mesh).map(|person| self.mesh.person(person).login.clone());
                one(ReachCondition::SharedWith { login: login.unwrap_or_default() })
            }
            (Open::Route(at), _) => {
                let route = &self.mesh.index().routes[at];
                let router = self.mesh.device(route.router).name.clone();
                one(ReachCondition::RouteInForce { route: route.prefix, router })
            }
            (Open::Router(rule, id), _) => one(ReachCondition::Router {
                tags: self.access[rule].via.clone(),
                network: self.destination_text(id).to_owned(),
            }),
            (Open::Service(id), _) => {
                one(ReachCondition::Service { service: self.destination_text(id).to_owned() })
            }
            _ => Vec::new(),
        }
    }

    fn device_conditions(&self, device: DeviceRef, as_target: bool) -> Vec<ReachCondition> {
        let device = self.mesh.device(device);
        let name = || device.name.clone();
        let mut conditions = Vec::new();
        if let Some(hindrance) = device.hindrance {
            conditions.push(ReachCondition::Device { device: name(), hindrance });
        }
        if as_target && device.blocks_incoming {
            conditions.push(ReachCondition::BlocksIncoming { device: name() });
        }
        if as_target && device.external {
            conditions.push(ReachCondition::OtherTailnet { device: name() });
        }
        conditions
    }
}

impl SourceKey {
    fn source(&self) -> ReachSource {
        match self {
            Self::Device(device) => ReachSource::Device(*device),
            Self::Other(source) => (**source).clone(),
        }
    }
}

impl TargetKey {
    fn target(&self) -> ReachTarget {
        match self {
            Self::Device(device) => ReachTarget::Device(*device),
            Self::Network(network) => {
                ReachTarget::Network { addresses: network.0.clone(), router: network.1 }
            }
        }
    }
}
