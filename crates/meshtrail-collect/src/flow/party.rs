//! Who is at the ends of a report's connections.
//!
//! What the directory knew of an address at that time comes first. What it does not know is taken from the report
//! itself, which names the nodes as the reporter's control plane does, and is marked as told by the reporter. What
//! neither tells stays unknown.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use meshtrail_event::{Actor, Claim, Device, Identity, IdentityStatus, Person, Timestamp};
use meshtrail_identity::{History, Known};
use serde::Serialize;
use serde_json::value::RawValue;

use super::wire::{Message, Node};

/// Whoever is at an end: the device, and whose it is. In a flow's event the device stands with id, name and tags, the
/// person with the login; the rest is in the events about them.
pub(crate) struct Party {
    pub(crate) device: Device,
    /// Its addresses, as far as they are known.
    addresses: Vec<IpAddr>,
    identity: Identity,
    /// As the one who acts, as it stands in a leaf; none where nothing is known.
    pub(crate) actor: Option<Box<RawValue>>,
    pub(crate) device_text: Option<Box<RawValue>>,
    pub(crate) person_text: Option<Box<RawValue>>,
    pub(crate) identity_text: Box<RawValue>,
}

/// Everybody in one report.
pub(crate) struct Parties<'m> {
    history: &'m History,
    at: Timestamp,
    told: HashMap<IpAddr, &'m Node<'m>>,
    found: HashMap<IpAddr, Option<Arc<Party>>>,
    pub(crate) reporter: Arc<Party>,
}

impl<'m> Parties<'m> {
    pub(crate) fn of(message: &'m Message<'_>, history: &'m History) -> Self {
        let nodes = message.others.iter().chain(&message.reporter);
        let told = nodes.flat_map(|node| node.addresses.iter().map(move |ip| (*ip, node))).collect();
        let known = history.device(&message.node_id, message.start);
        let reporter = reporter(message, known.as_ref());
        Self { history, at: message.start, told, found: HashMap::new(), reporter: Arc::new(reporter) }
    }

    /// Whoever has this address; none where nobody tells.
    pub(crate) fn at(&mut self, ip: IpAddr) -> Option<Arc<Party>> {
        if let Some(found) = self.found.get(&ip) {
            return found.clone();
        }
        let party = if let Some(known) = self.history.at(ip, self.at) {
            let own = known.device().id == self.reporter.device.id;
            Some(if own { self.reporter.clone() } else { Arc::new(Facts::known(&known).written()) })
        } else if self.reporter.addresses.contains(&ip) {
            Some(self.reporter.clone())
        } else {
            self.told.get(&ip).map(|node| Arc::new(Facts::told(node).written()))
        };
        self.found.insert(ip, party.clone());
        party
    }

    /// The device whose enabled route leads to this address, where exactly one does.
    pub(crate) fn router_to(&self, ip: IpAddr) -> Option<Arc<Party>> {
        match self.history.route_to(ip, self.at)?.routers.as_slice() {
            [known] => Some(Arc::new(Facts::known(known).written())),
            _ => None,
        }
    }
}

fn reporter(message: &Message<'_>, known: Option<&Known>) -> Party {
    let told = message.reporter.as_ref();
    let mut facts = match (known, told) {
        (Some(known), _) => Facts::known(known),
        (None, Some(node)) => Facts::told(node),
        (None, None) => Facts::default(),
    };
    facts.device.id = Some(message.node_id.clone().into_owned());
    match (known, told) {
        (Some(_), Some(node)) => {
            let more = node.addresses.iter().filter(|ip| !facts.addresses.contains(ip));
            let more: Vec<IpAddr> = more.copied().collect();
            facts.addresses.extend(more);
            facts.hold_against(node);
        }
        (None, None) => {
            facts.identity.reason =
                Some("neither the directory nor the report tells whose node it is".into());
        }
        _ => {}
    }
    facts.written()
}

/// What is known of a party before it is written out.
#[derive(Default)]
struct Facts {
    device: Device,
    person: Option<Person>,
    identity: Identity,
    addresses: Vec<IpAddr>,
}

impl Facts {
    fn known(known: &Known) -> Self {
        let addresses = known.device().addresses.iter().filter_map(|text| text.parse().ok()).collect();
        let Device { id, name, tags, .. } = Device::clone(known.device());
        let person = known.person();
        Self {
            device: Device { id, name, tags, ..Device::default() },
            person: person.map(|person| Person { login: person.login.clone(), ..Person::default() }),
            identity: known.identity(),
            addresses,
        }
    }

    fn told(node: &Node<'_>) -> Self {
        let person = node.user.as_deref().filter(|login| !login.is_empty());
        Self {
            device: Device {
                id: Some(node.id.clone().into_owned()),
                name: node.name.as_deref().map(str::to_owned),
                tags: node.tags.clone(),
                ..Device::default()
            },
            person: person.map(|login| Person { login: login.to_owned(), ..Person::default() }),
            identity: Identity {
                provider: Some("flow-report".into()),
                status: IdentityStatus::SelfReported,
                ..Identity::default()
            },
            addresses: node.addresses.clone(),
        }
    }

    /// Marks what the node says of itself where the directory says otherwise.
    fn hold_against(&mut self, node: &Node<'_>) {
        let login = self.person.as_ref().map(|person| person.login.as_str());
        let said = node.user.as_deref().filter(|login| !login.is_empty());
        let same = |said: &str| login.is_some_and(|login| login.eq_ignore_ascii_case(said));
        let other_person = said.is_some_and(|said| !same(said));
        let other_tags = !node.tags.is_empty() && node.tags != self.device.tags;
        if other_person || other_tags {
            self.identity.status = IdentityStatus::Conflicting;
            self.identity.reason = Some("the node says of itself what the directory does not".into());
            self.identity.claimed = Some(Claim {
                login: said.map(str::to_owned),
                node: node.name.as_deref().map(str::to_owned),
                node_id: Some(node.id.clone().into_owned()),
                tags: node.tags.clone(),
            });
        }
    }

    fn written(self) -> Party {
        let Self { device, person, identity, addresses } = self;
        let device_text = (!device.is_empty()).then(|| raw(&device));
        let actor = Actor {
            device: device_text.is_some().then(|| device.clone().into()),
            person: person.clone().map(Arc::new),
            service: None,
            tags: device.tags.clone(),
        };
        Party {
            actor: (!actor.is_empty()).then(|| raw(&actor)),
            device_text,
            person_text: person.as_ref().map(raw),
            identity_text: raw(&identity),
            device,
            addresses,
            identity,
        }
    }
}

impl Party {
    /// The identity of an event whose near end is another device's, as the directory knows it.
    pub(crate) fn contradicted(&self) -> Box<RawValue> {
        let mut identity = self.identity.clone();
        identity.status = IdentityStatus::Conflicting;
        identity.reason =
            Some("the near end is the address of another device than the one that reports".into());
        raw(&identity)
    }

    /// The identity of an event whose near end lies behind this device.
    pub(crate) fn behind(&self) -> Box<RawValue> {
        let mut identity = self.identity.clone();
        identity.reason.get_or_insert_with(|| "the near end lies behind the reporting device".into());
        raw(&identity)
    }
}

fn raw<T: Serialize>(value: &T) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("parties have string keys and no floats")
}
