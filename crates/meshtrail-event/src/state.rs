//! The complete state of a device or a person at one moment, in a common form for all control planes.
//!
//! It is stored in `detail.new` and `detail.old` of events about devices and users, so that the directory can be rebuilt
//! from the trail alone. Members are in canonical order; what a control plane does not report is absent, never guessed.

use std::collections::BTreeSet;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Timestamp;

/// A device as a control plane reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DeviceState {
    /// Its addresses in the mesh.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// Subnet routes that it advertises, as CIDR; `0.0.0.0/0` and `::/0` are those of an exit node.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub advertised_routes: BTreeSet<String>,
    /// Whether the control plane has authorised it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorized: Option<bool>,
    /// Whether it refuses incoming connections ("shields up").
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks_incoming: Option<bool>,
    /// The client's version, self-reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_version: Option<String>,
    /// When it joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Subnet routes that are in force.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub enabled_routes: BTreeSet<String>,
    /// Whether it is removed when it disconnects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<bool>,
    /// Whether its node key is reported as expired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expired: Option<bool>,
    /// When its node key expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Whether it was shared in from another tailnet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<bool>,
    /// The host name of its operating system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The id that survives renames.
    pub id: String,
    /// Whether its node key never expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_expiry_disabled: Option<bool>,
    /// When the control plane last saw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// The machine key, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_key: Option<String>,
    /// Its full name in the mesh, without a trailing dot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The node key, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_key: Option<String>,
    /// Whether it is connected now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub online: Option<bool>,
    /// Its operating system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Other members that the control plane reports, unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub others: Option<Value>,
    /// The login of its owner; absent for a tagged device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The serial numbers of its hardware, self-reported.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub serial_numbers: BTreeSet<String>,
    /// Whether it accepts Tailscale SSH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_enabled: Option<bool>,
    /// Its tags; they own it in place of a person.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// The error of tailnet lock about its node key's signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tailnet_lock_error: Option<String>,
    /// Whether it does not report its serial numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withholds_posture: Option<bool>,
}

/// A person as a control plane reports them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct UserState {
    /// When they were added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Groups, written `group:name`, where the control plane or the policy lists them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// The control plane's id of the person.
    pub id: String,
    /// When they were last seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// The name that they sign in with.
    pub login: String,
    /// Display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether one of their devices is connected now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub online: Option<bool>,
    /// `owner`, `admin`, `member`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// `active`, `idle`, `suspended`, `needs-approval`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// `member` or `shared`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub of_type: Option<String>,
}

impl UserState {
    /// Whether the status is one of people who may use the mesh: active, idle, or none reported.
    pub fn is_active(&self) -> bool {
        self.status.as_deref().is_none_or(|status| matches!(status, "active" | "idle"))
    }
}
