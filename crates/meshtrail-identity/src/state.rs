//! A device's and a person's whole state at one moment, in the one form every control plane's answer is brought into.
//!
//! This is what stands in `detail.new` and `detail.old` of events about devices and users, so that a directory can be
//! built again from the trail alone. Members stand in canonical order; what a control plane does not tell is absent,
//! never guessed.

use std::collections::BTreeSet;
use std::net::IpAddr;

use meshtrail_event::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A device as a control plane told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceState {
    /// Its addresses in the mesh.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// Subnet routes it offers, as CIDR; `0.0.0.0/0` and `::/0` are an exit node's.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub advertised_routes: BTreeSet<String>,
    /// Whether the control plane lets it in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorized: Option<bool>,
    /// Whether it takes no connections from others ("shields up").
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks_incoming: Option<bool>,
    /// The client's version, as it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_version: Option<String>,
    /// When it joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Subnet routes that are in force.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub enabled_routes: BTreeSet<String>,
    /// Whether it goes when it disconnects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<bool>,
    /// Whether its node key was said to be expired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expired: Option<bool>,
    /// When its node key expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Whether it was shared in from another tailnet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<bool>,
    /// The name its operating system has.
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
    /// What else the control plane tells of it, as it writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub others: Option<Value>,
    /// The login of the person it belongs to; absent where tags own it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The serial numbers of its hardware, as it says.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub serial_numbers: BTreeSet<String>,
    /// Whether it takes Tailscale SSH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_enabled: Option<bool>,
    /// The tags that own it in a person's place.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// Why its node key is not signed as the tailnet's lock asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tailnet_lock_error: Option<String>,
    /// Whether it does not tell its serial numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withholds_posture: Option<bool>,
}

/// A person as a control plane told of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserState {
    /// When they were added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Groups, written `group:name`, where the control plane or the policy tells.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// The control plane's id of them.
    pub id: String,
    /// When they were last seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// What they sign in with.
    pub login: String,
    /// The name to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether they are connected with a device now.
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
