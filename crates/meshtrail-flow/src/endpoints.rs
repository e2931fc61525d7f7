//! Identities at the ends of a report's connections.
//!
//! The directory's answer as of the report's time comes first. An address that it does not know is taken from the report
//! itself, which names nodes as the reporter's control plane does, and is marked as self-reported. What neither knows
//! stays unresolved.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use meshtrail_event::{Actor, Claim, Device, Identity, IdentityStatus, Person, Timestamp};
use meshtrail_identity::{DeviceAsOf, History};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::wire::{Message, Node};

/// The device at one end and its owner, serialised for leaves. Flow events name the device by id, name and tags and the
/// person by login; the rest is in the events about them.
pub(crate) struct EndpointIdentity {
    pub(crate) device: Device,
    /// Its known addresses.
    addresses: Vec<IpAddr>,
    identity: Identity,
    /// The leaf's `actor`; none where nothing is known.
    pub(crate) actor: Option<Box<RawValue>>,
    pub(crate) device_text: Option<Box<RawValue>>,
    pub(crate) person_text: Option<Box<RawValue>>,
    pub(crate) identity_text: Box<RawValue>,
}

/// The endpoints of one report, resolved on demand.
pub(crate) struct Endpoints<'m> {
    history: &'m History,
    at: Timestamp,
    nodes: HashMap<IpAddr, &'m Node<'m>>,
    resolved: HashMap<IpAddr, Option<Arc<EndpointIdentity>>>,
    pub(crate) reporter: Arc<EndpointIdentity>,
}

impl<'m> Endpoints<'m> {
    pub(crate) fn of(message: &'m Message<'_>, history: &'m History) -> Self {
        let nodes = message.others.iter().chain(&message.reporter);
        let nodes = nodes.flat_map(|node| node.addresses.iter().map(move |ip| (*ip, node))).collect();
        let known = history.device(&message.node_id, message.start);
        let reporter = reporter(message, known.as_ref());
        Self { history, at: message.start, nodes, resolved: HashMap::new(), reporter: Arc::new(reporter) }
    }

    /// The endpoint with this address, if it is known.
    pub(crate) fn by_address(&mut self, ip: IpAddr) -> Option<Arc<EndpointIdentity>> {
        if let Some(found) = self.resolved.get(&ip) {
            return found.clone();
        }
        let endpoint = if let Some(known) = self.history.at(ip, self.at) {
            let own = known.device().id == self.reporter.device.id;
            Some(if own {
                self.reporter.clone()
            } else {
                Arc::new(EndpointFacts::from_directory(&known).serialize())
            })
        } else if self.reporter.addresses.contains(&ip) {
            Some(self.reporter.clone())
        } else {
            self.nodes.get(&ip).map(|node| Arc::new(EndpointFacts::from_report(node).serialize()))
        };
        self.resolved.insert(ip, endpoint.clone());
        endpoint
    }

    /// The subnet router for this address, where exactly one device has an enabled route to it.
    pub(crate) fn router_to(&self, ip: IpAddr) -> Option<Arc<EndpointIdentity>> {
        match self.history.route_to(ip, self.at)?.routers.as_slice() {
            [known] => Some(Arc::new(EndpointFacts::from_directory(known).serialize())),
            _ => None,
        }
    }
}

fn reporter(message: &Message<'_>, known: Option<&DeviceAsOf>) -> EndpointIdentity {
    let node = message.reporter.as_ref();
    let mut facts = match (known, node) {
        (Some(known), _) => EndpointFacts::from_directory(known),
        (None, Some(node)) => EndpointFacts::from_report(node),
        (None, None) => EndpointFacts::default(),
    };
    facts.device.id = Some(message.node_id.clone().into_owned());
    match (known, node) {
        (Some(_), Some(node)) => {
            let more = node.addresses.iter().filter(|ip| !facts.addresses.contains(ip));
            let more: Vec<IpAddr> = more.copied().collect();
            facts.addresses.extend(more);
            facts.check_against(node);
        }
        (None, None) => {
            facts.identity.reason =
                Some("neither the directory nor the report tells whose node it is".into());
        }
        _ => {}
    }
    facts.serialize()
}

/// An endpoint before it is serialised.
#[derive(Default)]
struct EndpointFacts {
    device: Device,
    person: Option<Person>,
    identity: Identity,
    addresses: Vec<IpAddr>,
}

impl EndpointFacts {
    fn from_directory(known: &DeviceAsOf) -> Self {
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

    fn from_report(node: &Node<'_>) -> Self {
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

    /// Marks the identity as conflicting where the node's own account contradicts the directory.
    fn check_against(&mut self, node: &Node<'_>) {
        let login = self.person.as_ref().map(|person| person.login.as_str());
        let claimed = node.user.as_deref().filter(|login| !login.is_empty());
        let same = |claimed: &str| login.is_some_and(|login| login.eq_ignore_ascii_case(claimed));
        let other_person = claimed.is_some_and(|claimed| !same(claimed));
        let other_tags = !node.tags.is_empty() && node.tags != self.device.tags;
        if other_person || other_tags {
            self.identity.status = IdentityStatus::Conflicting;
            self.identity.reason = Some("the node says of itself what the directory does not".into());
            self.identity.claimed = Some(Claim {
                login: claimed.map(str::to_owned),
                node: node.name.as_deref().map(str::to_owned),
                node_id: Some(node.id.clone().into_owned()),
                tags: node.tags.clone(),
            });
        }
    }

    fn serialize(self) -> EndpointIdentity {
        let Self { device, person, identity, addresses } = self;
        let device_text = (!device.is_empty()).then(|| raw(&device));
        let actor = Actor {
            device: device_text.is_some().then(|| device.clone().into()),
            person: person.clone().map(Arc::new),
            service: None,
            tags: device.tags.clone(),
        };
        EndpointIdentity {
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

impl EndpointIdentity {
    /// The identity of an event whose near end is an address of another device.
    pub(crate) fn conflicting_identity(&self) -> Box<RawValue> {
        let mut identity = self.identity.clone();
        identity.status = IdentityStatus::Conflicting;
        identity.reason =
            Some("the near end is the address of another device than the one that reports".into());
        raw(&identity)
    }

    /// The identity of an event whose near end lies behind this device.
    pub(crate) fn identity_behind(&self) -> Box<RawValue> {
        let mut identity = self.identity.clone();
        identity.reason.get_or_insert_with(|| "the near end lies behind the reporting device".into());
        raw(&identity)
    }
}

fn raw<T: Serialize>(value: &T) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("parties have string keys and no floats")
}
