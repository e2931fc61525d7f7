//! The people and devices that a policy is evaluated for, as plain values of one moment.
//!
//! Callers fill them from what they know of that moment; what they don't know stays open, and answers name it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::address::Prefix;

/// People and devices of one mesh at one moment.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    /// The domains of the tailnet, for `user:*@domain` and `localpart:*@domain`; empty where they are not known.
    pub domains: BTreeSet<String>,
    /// Its people, those from outside included with whom a device is shared.
    pub people: Vec<Person>,
    /// Its devices, those included that were shared in from other tailnets.
    pub devices: Vec<Device>,
}

/// A person.
#[derive(Debug, Clone, Default)]
pub struct Person {
    /// The name that they sign in with.
    pub login: String,
    /// Other names that a policy may call them by: Headscale's user name, the identity provider's subject.
    pub other_names: Vec<String>,
    /// Whether they belong to the tailnet.
    pub membership: Membership,
    /// Their role; `None` where it is not known.
    pub role: Option<Role>,
    /// The groups, written `group:name`, in which an identity provider has them; `None` where this is not known.
    pub synced_groups: Option<BTreeSet<String>>,
}

/// Whether a person belongs to the tailnet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Membership {
    /// A user of the tailnet, invited ones included.
    #[default]
    Member,
    /// Somebody of another tailnet, with whom a device is shared.
    Shared,
}

/// A person's role in Tailscale. Each is a role of its own: an owner is not in `autogroup:admin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are Tailscale's")]
pub enum Role {
    Member,
    Auditor,
    BillingAdmin,
    ItAdmin,
    NetworkAdmin,
    Admin,
    Owner,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 7] = [
        Self::Member,
        Self::Auditor,
        Self::BillingAdmin,
        Self::ItAdmin,
        Self::NetworkAdmin,
        Self::Admin,
        Self::Owner,
    ];

    /// As Tailscale's API and its autogroups write it: `it-admin`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Auditor => "auditor",
            Self::BillingAdmin => "billing-admin",
            Self::ItAdmin => "it-admin",
            Self::NetworkAdmin => "network-admin",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a role of Tailscale")]
pub struct UnknownRole(pub String);

impl FromStr for Role {
    type Err = UnknownRole;

    /// Reads the API's form (`it-admin`) and that of webhooks (`IT admin`).
    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let slug = text.trim().to_ascii_lowercase().replace([' ', '_'], "-");
        Self::ALL.into_iter().find(|role| role.name() == slug).ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// A device.
#[derive(Debug, Clone, Default)]
pub struct Device {
    /// The id that survives renames.
    pub id: String,
    /// Its name, as answers show it.
    pub name: String,
    /// Its addresses in the mesh.
    pub addresses: Vec<IpAddr>,
    /// The login of its owner; not used for a tagged device, which its tags own.
    pub owner: Option<String>,
    /// Its tags, written `tag:name`.
    pub tags: BTreeSet<String>,
    /// Subnet routes that are in force; `0.0.0.0/0` and `::/0` make it an exit node.
    pub routes: Vec<Prefix>,
    /// Subnet routes that it advertises, in force or not.
    pub advertised_routes: Vec<Prefix>,
    /// Whether it was shared in from another tailnet.
    pub external: bool,
    /// Why it takes no part in the mesh at that moment, if so.
    pub hindrance: Option<Hindrance>,
    /// Whether it refuses all incoming connections ("shields up").
    pub blocks_incoming: bool,
    /// Its posture.
    pub attributes: Attributes,
}

impl Device {
    /// Whether its tags own it in place of a person.
    pub fn is_tagged(&self) -> bool {
        !self.tags.is_empty()
    }

    /// The login of the person whose it is; `None` for a tagged device.
    pub fn person(&self) -> Option<&str> {
        self.owner.as_deref().filter(|_| !self.is_tagged())
    }
}

/// Why a device takes no part in the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hindrance {
    /// The control plane has not authorised it.
    NotAuthorised,
    /// Its node key has expired.
    Expired,
    /// Its owner is suspended.
    OwnerSuspended,
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAuthorised => "is not authorised",
            Self::Expired => "has an expired key",
            Self::OwnerSuspended => "belongs to a suspended person",
        })
    }
}

/// What is known of a device's posture.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attributes {
    /// Attributes by key: `node:os`, `custom:managed`.
    pub values: BTreeMap<String, AttributeValue>,
    /// Whether these are all that the control plane has, so that a key that is missing is not set.
    pub complete: bool,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum AttributeValue {
    /// A text, versions included.
    Text(String),
    /// A number.
    Number(f64),
    /// `true` or `false`.
    Bool(bool),
}

impl fmt::Display for AttributeValue {
    /// As assertions of a posture write it: texts in single quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Bool(on) => write!(f, "{on}"),
        }
    }
}
