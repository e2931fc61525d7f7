//! Actor, target, outcome and identity of an event.
//!
//! Members are in canonical (alphabetical) order, so that plain serialisation is already RFC 8785.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Timestamp, open_enum::open_enum};

/// A person or a tag as the mesh knows it, with the device it came from; never a bare address or key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Actor {
    /// The device it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Arc<Device>>,
    /// The person, where one is behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<Arc<Person>>,
    /// A program without a person: a token's name, a collector, Meshtrail itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The tags that own the device in place of a person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl Actor {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A short name: login, tags, service or device; none if nothing is known.
    pub fn label(&self) -> Option<String> {
        if let Some(person) = &self.person {
            return Some(person.login.clone());
        }
        if !self.tags.is_empty() {
            return Some(self.tags.join(", "));
        }
        self.service.clone().or_else(|| self.device.as_ref()?.label().map(str::to_owned))
    }
}

/// A person as the control plane knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Person {
    /// Groups at the time, where known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The control plane's id of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Login name, usually an e-mail address.
    pub login: String,
    /// Display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A machine in the mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Device {
    /// Its addresses in the mesh, at the time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// The control plane's stable id: an opaque text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its full name, without a trailing dot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its operating system, as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl Device {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The shortest name: the first label of its full name, else an address, else its id.
    pub fn label(&self) -> Option<&str> {
        let short = self.name.as_deref().map(|name| name.split('.').next().unwrap_or(name));
        short.or_else(|| self.addresses.first().map(String::as_str)).or(self.id.as_deref())
    }
}

/// What was acted on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// The local account, as `root`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// `address:port` or an address, where no device is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Kubernetes cluster, by the name that its proxy has for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Kubernetes container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Arc<Device>>,
    /// The id of the object, where it has one: a key's id, a session's, an event's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The name of the object: a pod, a policy, a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Kubernetes namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The person it belongs to, or is: the owner of a flow's far end, the user whose role changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<Arc<Person>>,
    /// What sort of object: `pod`, `policy`, `key`, `session`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub of_type: Option<String>,
}

impl Target {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The shortest name: device, or namespace and name, or address.
    pub fn label(&self) -> Option<String> {
        let named = match (&self.namespace, &self.name) {
            (Some(namespace), Some(name)) => Some(format!("{namespace}/{name}")),
            (_, name) => name.clone(),
        };
        let device = self.device.as_ref().and_then(|device| device.label()).map(str::to_owned);
        named.or(device).or_else(|| self.address.clone()).or_else(|| self.id.clone())
    }
}

open_enum! {
    /// How it went.
    #[derive(Default)]
    Outcome {
        /// It was done.
        #[default]
        Success = "success",
        /// It was tried and failed.
        Failure = "failure",
        /// It was refused by a rule.
        Denied = "denied",
        /// Nobody told how it went.
        Unknown = "unknown",
    }
}

open_enum! {
    /// How far the actor is known.
    #[derive(Default)]
    IdentityStatus {
        /// A provider knew who it was at that time.
        Resolved = "resolved",
        /// Only the sender says so.
        SelfReported = "self-reported",
        /// The sender says one thing, a provider another; both are kept.
        Conflicting = "conflicting",
        /// Nobody knew.
        #[default]
        Unresolved = "unresolved",
    }
}

/// How the actor was resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// The moment the provider's answer was true of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// What the sender claimed, kept where it is not what the provider says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<Claim>,
    /// Who it may have been, where nobody is known: a guess to show, which filters by field, rules and counts leave out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likely: Option<Likely>,
    /// Who answered: `localapi`, `directory`, `header`, `token`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Why it is not resolved, or what conflicts, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How far it is known.
    #[serde(default)]
    pub status: IdentityStatus,
}

impl Identity {
    /// Whether all members are absent: unresolved, without a provider and a reason.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A guess of who acted, beside an actor who is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Likely {
    /// The person.
    pub person: Person,
    /// What speaks for it, in words.
    pub reason: String,
}

/// Who a sender says acted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Claim {
    /// Login name of the claimed person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// Full name of the claimed device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Stable id of the claimed device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// Claimed tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}
