//! Snapshots of a control plane's state, and the changes between two of them.
//!
//! ```text
//! poller ─→ Snapshot ─→ Observer::compare ─→ drafts ─→ trail ─→ Observer::accept
//!                          ↑ rebuilt from the trail at start
//! ```
//!
//! - The first snapshot of a part is a baseline: one `config.snapshot` per object, no "added".
//! - After it only changes make events, and a full snapshot is written once a day at most.
//! - An [`Observer`] persists nothing of its own: [`Observer::rebuild`] reads its state back from the trail, so that a
//!   restart repeats no event.
//! - What flaps (last seen, online, endpoints) makes no events.
//! - What time alone brings about (an expired key, a device unseen for weeks) is raised once: `time_levels`.
//!
//! How snapshots are fetched is not known here.

pub(crate) mod change_writer;
mod changes;
mod observer;
mod policy;
mod rebuild;
mod snapshot_diff;
#[cfg(test)]
mod tests;
mod time_levels;

use std::collections::BTreeMap;
use std::fmt;

use meshtrail_event::{DeviceState, Timestamp, UserState};
use meshtrail_identity::History;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use observer::{Observer, PendingChanges};
pub(crate) use time_levels::{UNSEEN_FINDING_DAYS, unseen_property};

/// The source that a change is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Tailscale's configuration audit log, as its API gives it.
    AuditLog,
    /// Tailscale's configuration audit log, as its log streaming sends it.
    Hec,
    /// A webhook.
    Webhook,
    /// Snapshots of Tailscale's API.
    Tailscale,
    /// Snapshots of Headscale's API.
    Headscale,
    /// Snapshots of the local API of this machine's own node.
    LocalApi,
    /// Snapshots of the policy file and the directory file of a mesh without a control plane.
    PolicyFile,
}

impl Origin {
    /// Every origin.
    pub const ALL: [Self; 7] = [
        Self::AuditLog,
        Self::Hec,
        Self::Webhook,
        Self::Tailscale,
        Self::Headscale,
        Self::LocalApi,
        Self::PolicyFile,
    ];

    /// The word in `detail.origin`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuditLog => "audit-log",
            Self::Hec => "hec",
            Self::Webhook => "webhook",
            Self::Tailscale => "snapshot",
            Self::Headscale => "headscale",
            Self::LocalApi => "localapi",
            Self::PolicyFile => "policy-file",
        }
    }

    /// The origin of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.as_str() == word)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The state of a control plane at one moment. A part that is `None` was not requested, or could not be fetched this
/// time: it makes no change, in particular no "removed".
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The source of this snapshot.
    pub origin: Origin,
    /// When it was taken.
    pub taken: Timestamp,
    /// Every device.
    pub devices: Option<Vec<DeviceState>>,
    /// Every person.
    pub users: Option<Vec<UserState>>,
    /// The policy file.
    pub policy: Option<PolicyText>,
    /// The DNS settings.
    pub dns: Option<DnsState>,
    /// Every auth key, API key and OAuth client.
    pub keys: Option<Vec<KeyState>>,
    /// The settings, in the control plane's own JSON.
    pub settings: Option<Value>,
    /// Other parts by name, in the control plane's own JSON: `webhooks`, `contacts`, `invites`.
    pub others: BTreeMap<String, Value>,
}

impl Snapshot {
    /// A snapshot without any part.
    pub fn new(origin: Origin, taken: Timestamp) -> Self {
        Self {
            origin,
            taken,
            devices: None,
            users: None,
            policy: None,
            dns: None,
            keys: None,
            settings: None,
            others: BTreeMap::new(),
        }
    }

    /// Records in the directory who was seen when; no event is written for that.
    pub fn record_presence(&self, history: &History) {
        let devices = self.devices.as_deref().unwrap_or_default();
        history.update_presence(self.taken, devices, self.users.as_deref().unwrap_or_default());
    }
}

/// A policy file as the control plane gave it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyText {
    /// The text, byte for byte: HuJSON, comments and all.
    pub text: String,
    /// The control plane's name of this version.
    pub etag: Option<String>,
    /// When it came into force, where the control plane says so.
    pub updated: Option<Timestamp>,
}

/// DNS settings. A setting that the control plane did not give is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsState {
    /// Whether device names are resolved (MagicDNS).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub magic_dns: Option<bool>,
    /// Global nameservers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nameservers: Option<Vec<String>>,
    /// Whether they replace those of the device itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub override_local: Option<bool>,
    /// Search paths, in their order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search_paths: Option<Vec<String>>,
    /// Nameservers by domain (split DNS).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<BTreeMap<String, Vec<String>>>,
}

impl DnsState {
    /// Fills settings that are `None` from an older state.
    fn fill_from(&mut self, old: &Self) {
        let Self { magic_dns, nameservers, override_local, search_paths, split } = old;
        self.magic_dns = self.magic_dns.or(*magic_dns);
        self.override_local = self.override_local.or(*override_local);
        self.nameservers = self.nameservers.take().or_else(|| nameservers.clone());
        self.search_paths = self.search_paths.take().or_else(|| search_paths.clone());
        self.split = self.split.take().or_else(|| split.clone());
    }
}

/// A key of the control plane (auth key, API key, OAuth client), without its secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyState {
    /// When it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Its description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether devices that join with it are removed when they disconnect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<bool>,
    /// When it expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The control plane's id.
    pub id: String,
    /// Its owner: a login, or an id where the login is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Whether devices that join with it need no approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preauthorized: Option<bool>,
    /// Whether it admits more than one device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reusable: Option<bool>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// The API scopes it grants.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The tags of devices that join with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// `auth`, `api`, `client`, `federated`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub of_type: Option<String>,
    /// Whether it was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<bool>,
}
