//! The facts about a device or a person at one moment. Texts are interned. What changes at every poll of a control plane
//! (whether it is online, when it was last seen) is not part of it: see `presence`.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use meshtrail_event::{Actor, Device, DeviceState, Person, Timestamp, UserState};

use super::record::Mergeable;

/// Texts that many devices share, such as tags or routes.
pub type Texts = Arc<[Arc<str>]>;

/// A device as reported by one origin, or merged from several. See [`DeviceState`] for the members.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the members are those of DeviceState")]
pub struct DeviceFacts {
    pub id: Arc<str>,
    pub name: Option<Arc<str>>,
    pub hostname: Option<Arc<str>>,
    pub os: Option<Arc<str>>,
    pub addresses: Arc<[IpAddr]>,
    pub owner: Option<Arc<str>>,
    pub tags: Texts,
    pub advertised_routes: Texts,
    pub enabled_routes: Texts,
    pub authorized: Option<bool>,
    pub blocks_incoming: Option<bool>,
    pub ephemeral: Option<bool>,
    pub external: Option<bool>,
    pub expired: Option<bool>,
    pub key_expiry_disabled: Option<bool>,
    pub created: Option<Timestamp>,
    pub expires: Option<Timestamp>,
    pub client_version: Option<Arc<str>>,
    pub machine_key: Option<Arc<str>>,
    pub node_key: Option<Arc<str>>,
    pub serial_numbers: Texts,
    pub ssh_enabled: Option<bool>,
    pub tailnet_lock_error: Option<Arc<str>>,
    pub withholds_posture: Option<bool>,
}

/// A person as reported by one origin, or merged from several. See [`UserState`] for the members.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the members are those of UserState")]
pub struct PersonFacts {
    pub id: Option<Arc<str>>,
    pub login: Arc<str>,
    pub name: Option<Arc<str>>,
    pub groups: Texts,
    pub role: Option<Arc<str>>,
    pub status: Option<Arc<str>>,
    pub of_type: Option<Arc<str>>,
    pub created: Option<Timestamp>,
}

impl DeviceFacts {
    /// The `device` member of an event.
    pub fn device(&self) -> Device {
        Device {
            addresses: self.addresses.iter().map(IpAddr::to_string).collect(),
            id: Some(self.id.to_string()),
            name: text(&self.name),
            os: text(&self.os),
            tags: owned(&self.tags),
        }
    }

    /// The `actor` member of an event: the person or the tags, with the device.
    pub(super) fn actor(&self, person: Option<Arc<Person>>) -> Actor {
        let by_login = |login: &Arc<str>| Person { login: login.to_string(), ..Person::default() }.into();
        let person = person.or_else(|| self.owner.as_ref().map(by_login));
        Actor { device: Some(self.device().into()), person, tags: owned(&self.tags), service: None }
    }

    /// A state with these facts, without presence.
    pub fn state(&self) -> DeviceState {
        let texts = |texts: &Texts| texts.iter().map(|text| text.to_string()).collect();
        DeviceState {
            addresses: self.addresses.to_vec(),
            advertised_routes: texts(&self.advertised_routes),
            authorized: self.authorized,
            blocks_incoming: self.blocks_incoming,
            client_version: text(&self.client_version),
            created: self.created,
            enabled_routes: texts(&self.enabled_routes),
            ephemeral: self.ephemeral,
            expired: self.expired,
            expires: self.expires,
            external: self.external,
            hostname: text(&self.hostname),
            id: self.id.to_string(),
            key_expiry_disabled: self.key_expiry_disabled,
            machine_key: text(&self.machine_key),
            name: text(&self.name),
            node_key: text(&self.node_key),
            os: text(&self.os),
            owner: text(&self.owner),
            serial_numbers: texts(&self.serial_numbers),
            ssh_enabled: self.ssh_enabled,
            tags: texts(&self.tags),
            tailnet_lock_error: text(&self.tailnet_lock_error),
            withholds_posture: self.withholds_posture,
            last_seen: None,
            online: None,
            others: None,
        }
    }

    /// Whether it names an owner: a person or tags.
    pub fn names_owner(&self) -> bool {
        self.owner.is_some() || !self.tags.is_empty()
    }
}

impl PersonFacts {
    /// A state with these facts, without presence.
    pub fn state(&self) -> UserState {
        UserState {
            created: self.created,
            groups: self.groups.iter().map(|text| text.to_string()).collect(),
            id: text(&self.id).unwrap_or_default(),
            last_seen: None,
            login: self.login.to_string(),
            name: text(&self.name),
            online: None,
            role: text(&self.role),
            status: text(&self.status),
            of_type: text(&self.of_type),
        }
    }

    /// The `person` member of an event.
    pub fn person(&self) -> Person {
        Person {
            groups: owned(&self.groups),
            id: text(&self.id),
            login: self.login.to_string(),
            name: text(&self.name),
        }
    }
}

fn text(text: &Option<Arc<str>>) -> Option<String> {
    text.as_deref().map(str::to_owned)
}

fn owned(texts: &[Arc<str>]) -> Vec<String> {
    texts.iter().map(|text| text.to_string()).collect()
}

/// Fills in a missing value.
fn fill<T: Clone>(own: &mut Option<T>, other: &Option<T>) {
    if own.is_none() {
        own.clone_from(other);
    }
}

fn fill_list<T>(own: &mut Arc<[T]>, other: &Arc<[T]>) {
    if own.is_empty() {
        own.clone_from(other);
    }
}

impl Mergeable for DeviceFacts {
    fn is_decisive(&self) -> bool {
        self.names_owner()
    }

    fn is_complete(&self) -> bool {
        self.names_owner() && !self.addresses.is_empty() && self.name.is_some() && self.os.is_some()
    }

    fn fill_from(&mut self, other: &DeviceFacts) {
        // Owner and tags are never merged from two accounts.
        if !self.names_owner() {
            self.owner.clone_from(&other.owner);
            self.tags.clone_from(&other.tags);
        }
        fill(&mut self.name, &other.name);
        fill(&mut self.hostname, &other.hostname);
        fill(&mut self.os, &other.os);
        fill_list(&mut self.addresses, &other.addresses);
        fill_list(&mut self.advertised_routes, &other.advertised_routes);
        fill_list(&mut self.enabled_routes, &other.enabled_routes);
        fill(&mut self.authorized, &other.authorized);
        fill(&mut self.blocks_incoming, &other.blocks_incoming);
        fill(&mut self.ephemeral, &other.ephemeral);
        fill(&mut self.external, &other.external);
        fill(&mut self.expired, &other.expired);
        fill(&mut self.key_expiry_disabled, &other.key_expiry_disabled);
        fill(&mut self.created, &other.created);
        fill(&mut self.expires, &other.expires);
        fill(&mut self.client_version, &other.client_version);
        fill(&mut self.machine_key, &other.machine_key);
        fill(&mut self.node_key, &other.node_key);
        fill_list(&mut self.serial_numbers, &other.serial_numbers);
        fill(&mut self.ssh_enabled, &other.ssh_enabled);
        fill(&mut self.tailnet_lock_error, &other.tailnet_lock_error);
        fill(&mut self.withholds_posture, &other.withholds_posture);
    }

    fn contradicts(&self, other: &DeviceFacts) -> Option<(String, String)> {
        let same_login = match (&self.owner, &other.owner) {
            (Some(one), Some(two)) => {
                one.eq_ignore_ascii_case(two) || one.to_lowercase() == two.to_lowercase()
            }
            (None, None) => true,
            _ => false,
        };
        let both_name_owner = self.names_owner() && other.names_owner();
        (both_name_owner && !(same_login && self.tags == other.tags))
            .then(|| (self.owner_label(), other.owner_label()))
    }
}

impl DeviceFacts {
    /// The owner as text: a login, tags, or `no person`.
    pub fn owner_label(&self) -> String {
        match &self.owner {
            Some(owner) => owner.to_string(),
            None if self.tags.is_empty() => "no person".to_owned(),
            None => owned(&self.tags).join(", "),
        }
    }
}

impl Mergeable for PersonFacts {
    fn is_decisive(&self) -> bool {
        true
    }

    fn is_complete(&self) -> bool {
        self.id.is_some() && self.name.is_some() && !self.groups.is_empty() && self.role.is_some()
    }

    fn fill_from(&mut self, other: &PersonFacts) {
        fill(&mut self.id, &other.id);
        fill(&mut self.name, &other.name);
        fill_list(&mut self.groups, &other.groups);
        fill(&mut self.role, &other.role);
        fill(&mut self.status, &other.status);
        fill(&mut self.of_type, &other.of_type);
        fill(&mut self.created, &other.created);
    }

    fn contradicts(&self, other: &PersonFacts) -> Option<(String, String)> {
        match (&self.role, &other.role) {
            (Some(one), Some(two)) if one != two => Some((format!("role {one}"), format!("role {two}"))),
            _ => None,
        }
    }
}

/// Interned texts and lists: equal ones are stored once.
#[derive(Default)]
pub(super) struct Interner {
    texts: HashSet<Arc<str>>,
    lists: HashSet<Texts>,
    addresses: HashSet<Arc<[IpAddr]>>,
}

impl Interner {
    pub(super) fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let text: Arc<str> = text.into();
        self.texts.insert(text.clone());
        text
    }

    fn optional_text(&mut self, text: Option<&str>) -> Option<Arc<str>> {
        text.filter(|text| !text.is_empty()).map(|text| self.text(text))
    }

    fn list<'a>(&mut self, texts: impl Iterator<Item = &'a String>) -> Texts {
        let texts: Vec<Arc<str>> = texts.map(|text| self.text(text)).collect();
        if let Some(known) = self.lists.get(texts.as_slice()) {
            return known.clone();
        }
        let list: Texts = texts.into();
        self.lists.insert(list.clone());
        list
    }

    fn addresses(&mut self, addresses: &[IpAddr]) -> Arc<[IpAddr]> {
        let addresses: Vec<IpAddr> = addresses.iter().map(IpAddr::to_canonical).collect();
        if let Some(known) = self.addresses.get(addresses.as_slice()) {
            return known.clone();
        }
        let list: Arc<[IpAddr]> = addresses.into();
        self.addresses.insert(list.clone());
        list
    }

    pub(super) fn device(&mut self, state: &DeviceState) -> DeviceFacts {
        let name = state.name.as_deref().map(|name| name.trim_end_matches('.'));
        DeviceFacts {
            id: self.text(&state.id),
            name: self.optional_text(name),
            hostname: self.optional_text(state.hostname.as_deref()),
            os: self.optional_text(state.os.as_deref()),
            addresses: self.addresses(&state.addresses),
            // A tagged device belongs to its tags, whoever registered it.
            owner: if state.tags.is_empty() { self.optional_text(state.owner.as_deref()) } else { None },
            tags: self.list(state.tags.iter()),
            advertised_routes: self.list(state.advertised_routes.iter()),
            enabled_routes: self.list(state.enabled_routes.iter()),
            authorized: state.authorized,
            blocks_incoming: state.blocks_incoming,
            ephemeral: state.ephemeral,
            external: state.external,
            expired: state.expired,
            key_expiry_disabled: state.key_expiry_disabled,
            created: state.created,
            expires: state.expires,
            client_version: self.optional_text(state.client_version.as_deref()),
            machine_key: self.optional_text(state.machine_key.as_deref()),
            node_key: self.optional_text(state.node_key.as_deref()),
            serial_numbers: self.list(state.serial_numbers.iter()),
            ssh_enabled: state.ssh_enabled,
            tailnet_lock_error: self.optional_text(state.tailnet_lock_error.as_deref()),
            withholds_posture: state.withholds_posture,
        }
    }

    pub(super) fn person(&mut self, state: &UserState) -> PersonFacts {
        PersonFacts {
            id: self.optional_text(Some(&state.id)),
            login: self.text(&state.login),
            name: self.optional_text(state.name.as_deref()),
            groups: self.list(state.groups.iter()),
            role: self.optional_text(state.role.as_deref()),
            status: self.optional_text(state.status.as_deref()),
            of_type: self.optional_text(state.of_type.as_deref()),
            created: state.created,
        }
    }
}
