//! What one provider says about one device: the shape every provider's answer is brought into.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use meshtrail_event::{Actor, Device, Person};
use serde::Serialize;

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// tailscaled on this machine.
    LocalApi,
    /// The directory file.
    Directory,
    /// The directory made from the trail's own events: what a control plane told last.
    History,
}

impl Provider {
    /// The name as it stands in an event's identity.
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

/// A device and whose it is, as one provider knows it.
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
    /// What the person signs in with.
    pub login: String,
    /// The name to show.
    pub display_name: Option<String>,
    /// The groups the provider tells of, written `group:name`.
    pub groups: BTreeSet<String>,
}

/// One point in which two accounts of the same device differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contradiction {
    /// What they differ in: `node id`, `node name`, `login`, `tags` or `history`.
    pub what: &'static str,
    /// What the first says: the claim, or the provider asked first.
    pub one: String,
    /// What the other says.
    pub other: String,
}

impl std::fmt::Display for Contradiction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} against {}", self.what, self.one, self.other)
    }
}

impl Subject {
    /// The device as it stands in an event.
    pub fn device(&self) -> Device {
        Device {
            addresses: self.addresses.iter().map(IpAddr::to_string).collect(),
            id: self.stable_id.clone(),
            name: self.name.clone(),
            os: self.os.clone(),
            tags: self.tags.iter().cloned().collect(),
        }
    }

    /// The actor as it stands in an event: the person or the tags, with the device.
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

    /// Where two accounts of the same address differ in what decides: whose it is, and which device.
    ///
    /// What only one of them tells is no difference.
    pub(crate) fn contradictions(&self, other: &Subject) -> Vec<Contradiction> {
        let mut found = Vec::new();
        let mut differ = |what, one: String, other: String| found.push(Contradiction { what, one, other });
        if self.login() != other.login() && self.says_whose() && other.says_whose() {
            differ("login", self.login_text(), other.login_text());
        }
        if self.tags != other.tags && self.says_whose() && other.says_whose() {
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

    /// Whether this account says anything of whose the device is.
    pub(crate) fn says_whose(&self) -> bool {
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

/// A name without the dot that ends a full name, and without regard to case.
pub(crate) fn same_name(one: &str, other: &str) -> bool {
    one.trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.'))
}

/// A text, unless there is nothing in it.
pub(crate) fn said(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A group's name as roles write it.
pub(crate) fn group_name(name: &str) -> String {
    if name.starts_with("group:") || name.contains('@') { name.to_owned() } else { format!("group:{name}") }
}
