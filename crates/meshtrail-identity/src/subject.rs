//! One provider's account of a device, in a common form for all providers.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use meshtrail_event::{Actor, Device, Person};
use serde::Serialize;

/// A provider of identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// tailscaled on this machine.
    LocalApi,
    /// The directory file.
    Directory,
    /// The history of the trail's events: the last state that a control plane reported.
    History,
}

impl Provider {
    /// The name in an event's `identity`.
    pub fn as_str(self) -> &'static str {
        match self {
            Provider::LocalApi => "localapi",
            Provider::Directory => "directory",
            Provider::History => "history",
        }
    }
}

impl std::fmt::Display for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A device and its owner, as one provider knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The device's full name, without a trailing dot.
    pub name: Option<String>,
    /// The id that survives renames.
    pub stable_id: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its operating system.
    pub os: Option<String>,
    /// Its owner, unless it is tagged.
    pub owner: Option<Owner>,
    /// Its tags; a tagged device belongs to no person.
    pub tags: BTreeSet<String>,
}

/// The person a device belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The control plane's id of the person.
    pub id: Option<String>,
    /// The name that the person signs in with.
    pub login: String,
    /// Display name.
    pub display_name: Option<String>,
    /// The groups that the provider reports, written `group:name`.
    pub groups: BTreeSet<String>,
}

/// A property in which two accounts of the same device differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contradiction {
    /// The property: `node id`, `node name`, `login`, `tags` or `history`.
    pub what: &'static str,
    /// Its value in the first account: the claim, or that of the provider queried first.
    pub one: String,
    /// Its value in the other account.
    pub other: String,
}

impl std::fmt::Display for Contradiction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} against {}", self.what, self.one, self.other)
    }
}

impl Subject {
    /// The `device` member of an event.
    pub fn device(&self) -> Device {
        Device {
            addresses: self.addresses.iter().map(IpAddr::to_string).collect(),
            id: self.stable_id.clone(),
            name: self.name.clone(),
            os: self.os.clone(),
            tags: self.tags.iter().cloned().collect(),
        }
    }

    /// The `actor` member of an event: the person or the tags, with the device.
    pub fn actor(&self) -> Actor {
        let person = self.owner.as_ref().map(|owner| Person {
            groups: owner.groups.iter().cloned().collect(),
            id: owner.id.clone(),
            login: owner.login.clone(),
            name: owner.display_name.clone(),
        });
        let tags = self.tags.iter().cloned().collect();
        Actor { device: Some(self.device().into()), person: person.map(Arc::new), tags, ..Actor::default() }
    }

    /// The contradictions between two accounts of the same address, in the owner and the device's id.
    ///
    /// A property that only one of them has is no contradiction.
    pub(crate) fn contradictions(&self, other: &Subject) -> Vec<Contradiction> {
        let mut found = Vec::new();
        let mut differ = |what, one: String, other: String| found.push(Contradiction { what, one, other });
        if self.login() != other.login() && self.names_owner() && other.names_owner() {
            differ("login", self.login_text(), other.login_text());
        }
        if self.tags != other.tags && self.names_owner() && other.names_owner() {
            differ("tags", tags_text(&self.tags), tags_text(&other.tags));
        }
        if let (Some(one), Some(two)) = (&self.stable_id, &other.stable_id)
            && one != two
        {
            differ("node id", one.clone(), two.clone());
        }
        found
    }

    /// The owner's login; logins are compared without regard to case.
    pub(crate) fn login(&self) -> Option<String> {
        self.owner.as_ref().map(|owner| owner.login.to_lowercase())
    }

    /// Whether this account names an owner: a person or tags.
    pub(crate) fn names_owner(&self) -> bool {
        self.owner.is_some() || !self.tags.is_empty()
    }

    fn login_text(&self) -> String {
        self.owner.as_ref().map_or_else(|| "no person".to_owned(), |owner| owner.login.clone())
    }
}

pub(crate) fn tags_text(tags: &BTreeSet<String>) -> String {
    if tags.is_empty() {
        "no tags".to_owned()
    } else {
        tags.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// Compares names without the trailing dot, ignoring case.
pub(crate) fn same_name(one: &str, other: &str) -> bool {
    one.trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.'))
}

/// A text without surrounding white space, unless it is empty.
pub(crate) fn non_empty(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A group's name in the form that roles use.
pub(crate) fn group_name(name: &str) -> String {
    if name.starts_with("group:") || name.contains('@') { name.to_owned() } else { format!("group:{name}") }
}
