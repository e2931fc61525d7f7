//! Who can reach what: people and devices, networks behind routers, ports and protocols.
//!
//! - Every rule that matches adds; none takes away.
//! - An answer holds what is certain, and apart from it what would be possible under conditions that nobody can evaluate
//!   here. A condition that is known to fail leads to neither.
//! - A network is reached through a router that serves it. A rule with `via` lets through its routers only, and names no
//!   devices.
//! - Answers are bounded, and count what they leave off.

mod condition;
mod hits;
mod pair;
mod rows;

pub use condition::ReachCondition;
pub(crate) use rows::{Open, Pair, SourceKey, TargetKey};
pub use rows::{ReachRow, Rows};

use crate::address::AddressSet;
use crate::compile::Policy;
use crate::directory::Person;
use crate::mesh::{DeviceRef, Mesh, PersonRef};

/// The most rows of an answer that a caller should ask for without a reason.
pub const DEFAULT_ROWS: usize = 1_000;

/// The most rules that a row names.
pub const MAX_RULES: usize = 8;

/// Where a connection begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReachSource {
    /// A device of the mesh.
    Device(DeviceRef),
    /// Machines behind subnet routers.
    Network(AddressSet),
    /// Somebody of another tailnet.
    Guest(PersonRef),
    /// Any address at all.
    Anyone,
}

/// Where a connection leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReachTarget {
    /// A device.
    Device(DeviceRef),
    /// Addresses behind a subnet router or an exit node.
    Network {
        /// The addresses.
        addresses: AddressSet,
        /// The router; `None` where no router serves them.
        router: Option<DeviceRef>,
    },
}

/// Who can reach a target, or what a source can reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// What is certain.
    pub certain: Rows,
    /// What would be possible under the conditions of each row.
    pub possible: Rows,
}

impl ReachSource {
    /// The person whose device it is, or who it is.
    pub fn person(&self, mesh: &Mesh) -> Option<PersonRef> {
        match self {
            Self::Device(device) => mesh.owner(*device),
            Self::Guest(person) => Some(*person),
            Self::Network(_) | Self::Anyone => None,
        }
    }

    /// In words: `bo-pc of bo@example.com`, `ci-1 (tag:ci)`, `the network 10.40.0.0/16`.
    pub fn describe(&self, mesh: &Mesh) -> String {
        match self {
            Self::Device(device) => describe_device(*device, mesh),
            Self::Network(addresses) => format!("the network {addresses}"),
            Self::Guest(person) => format!("{} from another tailnet", mesh.person(*person).login),
            Self::Anyone => "any address".to_owned(),
        }
    }
}

impl ReachTarget {
    /// In words: `db-1 (tag:db)`, `10.40.7.0/24 through rt-1`.
    pub fn describe(&self, mesh: &Mesh) -> String {
        match self {
            Self::Device(device) => describe_device(*device, mesh),
            Self::Network { addresses, router } => match router {
                Some(router) => format!("{addresses} through {}", mesh.device(*router).name),
                None => addresses.to_string(),
            },
        }
    }
}

fn describe_device(device: DeviceRef, mesh: &Mesh) -> String {
    let described = mesh.device(device);
    let tags: Vec<&str> = described.tags.iter().map(String::as_str).collect();
    match mesh.owner(device).map(|person| mesh.person(person)) {
        Some(Person { login, .. }) => format!("{} of {login}", described.name),
        None if tags.is_empty() => described.name.clone(),
        None => format!("{} ({})", described.name, tags.join(", ")),
    }
}

impl Policy {
    /// Who can reach the target, at most `limit` rows of each kind.
    pub fn who_can_reach(&self, target: &ReachTarget, limit: usize) -> Reach {
        let hits = match target {
            ReachTarget::Device(device) => self.hits_on_device(*device),
            ReachTarget::Network { addresses, router } => self.hits_on_network(addresses, *router),
        };
        self.rows_of_hits(&hits, limit)
    }

    /// What the device can reach, at most `limit` rows of each kind.
    pub fn reachable_from(&self, source: DeviceRef, limit: usize) -> Reach {
        self.rows_from(source, limit)
    }
}
