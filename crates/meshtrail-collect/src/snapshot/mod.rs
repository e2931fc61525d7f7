//! What a control plane is like at one moment, and what changed since the moment before.
//!
//! ```text
//! poller ─→ Snapshot ─→ Observer::see ─→ drafts ─→ trail ─→ Observer::accept
//!                          ↑ rebuilt from the trail at start
//! ```
//!
//! - The first sight of a part is a baseline: `config.snapshot` per object, no "added".
//! - From then on only what changed makes events, and a whole snapshot at most once a day.
//! - An [`Observer`] keeps nothing of its own: [`Observer::rebuild`] makes it again from the trail, so that a restart
//!   repeats nothing.
//! - What flaps (last seen, online, endpoints) makes no events.
//!
//! How snapshots are fetched is not known here.

mod changes;
mod levels;
mod observations;
mod observer;
mod parts;
mod policy;
mod rebuild;
pub(crate) mod tell;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use meshtrail_event::Timestamp;
use meshtrail_identity::{DeviceState, History, UserState};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use observations::Observations;
pub use observer::{Observer, Seen};

/// Who told of a change.
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
    /// Snapshots of what this machine's own node knows.
    LocalApi,
}

impl Origin {
    /// Every origin.
    pub const ALL: [Self; 6] =
        [Self::AuditLog, Self::Hec, Self::Webhook, Self::Tailscale, Self::Headscale, Self::LocalApi];

    /// The word in `detail.origin`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuditLog => "audit-log",
            Self::Hec => "hec",
            Self::Webhook => "webhook",
            Self::Tailscale => "snapshot",
            Self::Headscale => "headscale",
            Self::LocalApi => "localapi",
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

/// What a control plane is like at one moment. A part that is `None` was not asked for, or could not be had this
/// time: it says nothing, least of all "removed".
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Who tells.
    pub origin: Origin,
    /// When it was so.
    pub taken: Timestamp,
    /// Every device.
    pub devices: Option<Vec<DeviceState>>,
    /// Every person.
    pub users: Option<Vec<UserState>>,
    /// The policy file.
    pub policy: Option<PolicyText>,
    /// The DNS settings.
    pub dns: Option<DnsState>,
    /// Every key that lets something in.
    pub keys: Option<Vec<KeyState>>,
    /// The settings, as the control plane writes them.
    pub settings: Option<Value>,
    /// Other parts by name, as the control plane writes them: `webhooks`, `contacts`, `invites`.
    pub others: BTreeMap<String, Value>,
}

impl Snapshot {
    /// One that says nothing yet.
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

    /// Tells the directory who is there, which no event is written for.
    pub(crate) fn tell_presence(&self, history: &History) {
        let devices = self.devices.as_deref().unwrap_or_default();
        history.saw(self.taken, devices, self.users.as_deref().unwrap_or_default());
    }
}

/// A policy file as it was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyText {
    /// The text, byte for byte: HuJSON, comments and all.
    pub text: String,
    /// What the control plane calls this version.
    pub etag: Option<String>,
    /// When it was put in force, where told.
    pub updated: Option<Timestamp>,
}

/// DNS settings. What the control plane does not tell is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsState {
    /// Whether names of devices are answered.
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
    /// Nameservers of single domains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<BTreeMap<String, Vec<String>>>,
}

impl DnsState {
    /// Takes what is not told from an older state.
    fn fill_from(&mut self, old: &Self) {
        let Self { magic_dns, nameservers, override_local, search_paths, split } = old;
        self.magic_dns = self.magic_dns.or(*magic_dns);
        self.override_local = self.override_local.or(*override_local);
        self.nameservers = self.nameservers.take().or_else(|| nameservers.clone());
        self.search_paths = self.search_paths.take().or_else(|| search_paths.clone());
        self.split = self.split.take().or_else(|| split.clone());
    }
}

/// A key that lets something in, never its secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyState {
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// What somebody called it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether devices that join with it go when they disconnect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<bool>,
    /// When it stops to work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The control plane's id of it.
    pub id: String,
    /// Whose it is: a login, or an id where no login is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Whether devices that join with it need no approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preauthorized: Option<bool>,
    /// Whether it lets in more than one device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reusable: Option<bool>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// What its holder may do with the API.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The tags that devices get by it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// `auth`, `api`, `client`, `federated`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub of_type: Option<String>,
    /// Whether it was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<bool>,
}
