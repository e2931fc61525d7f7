//! Writes the connections of a report directly as leaves of `flow.counted` events.
//!
//! - The actor is the reporter: its side is always `src`, whoever opened the connection. The target is the far end; of
//!   physical traffic that is the peer whose encrypted packets were counted, with the underlay address they went to.
//! - Reports are very frequent: identities and times are serialised once for a report, and each leaf in one pass. Members
//!   stand in canonical order, as in `meshtrail_event`; tests compare both.

use std::sync::Arc;

use meshtrail_event::{EventId, Json, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::endpoints::{EndpointIdentity, Endpoints};
use crate::wire::{Connection, EndAddress, Layer, Message, Unknown};

/// Template for the leaves of one report: everything that they share, serialised once.
pub(crate) struct FlowLeaves<'m> {
    message: &'m Message<'m>,
    endpoints: Endpoints<'m>,
    start: String,
    end: String,
    logged: Option<String>,
    /// The identity of an event whose near end lies behind the reporter.
    behind_identity: Box<RawValue>,
    /// The identity of an event whose near end is another device's address.
    conflicting_identity: Box<RawValue>,
    /// Unknown members of the report.
    unknown: Option<Map<String, Value>>,
}

#[derive(Serialize)]
struct Leaf<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a RawValue>,
    detail: FlowDetail<'a>,
    id: &'a EventId,
    identity: &'a RawValue,
    kind: &'static str,
    outcome: &'static str,
    received: Timestamp,
    #[serde(skip_serializing_if = "FarEnd::is_empty")]
    target: FarEnd<'a>,
    time: &'a str,
}

#[derive(Serialize)]
struct FlowDetail<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    dst: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dst_node: Option<&'a str>,
    end: &'a str,
    layer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    logged: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proc_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proc_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proto: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Json>,
    reporter: &'a str,
    rx_bytes: u64,
    rx_packets: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    src: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_node: Option<&'a str>,
    start: &'a str,
    tx_bytes: u64,
    tx_packets: u64,
}

#[derive(Default, Serialize)]
struct FarEnd<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<&'a RawValue>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    of_type: Option<&'static str>,
}

impl FarEnd<'_> {
    fn is_empty(&self) -> bool {
        self.address.is_none() && self.device.is_none() && self.person.is_none()
    }
}

/// The identities at the two ends of a connection.
struct ConnectionEnds {
    near: Option<Arc<EndpointIdentity>>,
    far: Option<Arc<EndpointIdentity>>,
    /// The subnet router in front of the far end.
    router: Option<Arc<EndpointIdentity>>,
}

impl<'m> FlowLeaves<'m> {
    pub(crate) fn of(message: &'m Message<'m>, endpoints: Endpoints<'m>) -> Self {
        Self {
            start: message.start.to_string(),
            end: message.end.to_string(),
            logged: message.logged.map(|logged| logged.to_string()),
            behind_identity: endpoints.reporter.identity_behind(),
            conflicting_identity: endpoints.reporter.conflicting_identity(),
            unknown: members(&message.unknown),
            message,
            endpoints,
        }
    }

    /// Appends the leaf of one connection to `out`.
    pub(crate) fn write(
        &mut self,
        (layer, connection): &(Layer, Connection<'_>),
        id: &EventId,
        received: Timestamp,
        out: &mut Vec<u8>,
    ) {
        let ends = self.ends(*layer, connection);
        let (message, reporter) = (self.message, &self.endpoints.reporter);
        let (src_node, dst_node) = match layer {
            Layer::Physical => (node(&ends.far), None),
            _ => (node(&ends.near), node(&ends.far)),
        };
        let own = ends.near.as_ref().is_some_and(|near| near.device.id == reporter.device.id);
        let identity = match layer {
            Layer::Subnet | Layer::Exit if !own => &self.behind_identity,
            Layer::Virtual if !own && ends.near.is_some() => &self.conflicting_identity,
            _ => &reporter.identity_text,
        };
        let src = connection.src.as_ref().map(|end| &*end.text);
        let dst = connection.dst.as_ref().map(|end| &*end.text);
        let leaf = Leaf {
            actor: reporter.actor.as_deref(),
            detail: FlowDetail {
                dst,
                dst_node,
                end: &self.end,
                layer: layer.as_str(),
                logged: self.logged.as_deref(),
                proc_id: message.process.and_then(|process| process.id),
                proc_seq: message.process.and_then(|process| process.seq),
                proto: connection.proto,
                record: record(self.unknown.as_ref(), &connection.unknown),
                reporter: &message.node_id,
                rx_bytes: connection.rx_bytes,
                rx_packets: connection.rx_packets,
                src,
                src_node,
                start: &self.start,
                tx_bytes: connection.tx_bytes,
                tx_packets: connection.tx_packets,
            },
            id,
            identity,
            kind: "flow.counted",
            outcome: "success",
            received,
            target: ends.target(dst),
            time: &self.start,
        };
        serde_json::to_writer(out, &leaf).expect("a leaf has string keys and no floats");
    }

    fn ends(&mut self, layer: Layer, connection: &Connection<'_>) -> ConnectionEnds {
        let near =
            connection.src.as_ref().and_then(EndAddress::ip).and_then(|ip| self.endpoints.by_address(ip));
        if layer == Layer::Physical {
            return ConnectionEnds { near: None, far: near, router: None };
        }
        let ip = connection.dst.as_ref().and_then(EndAddress::ip);
        let far = ip.and_then(|ip| self.endpoints.by_address(ip));
        let routed = ip.filter(|_| layer == Layer::Subnet && far.is_none());
        ConnectionEnds { near, far, router: routed.and_then(|ip| self.endpoints.router_to(ip)) }
    }
}

impl ConnectionEnds {
    fn target<'a>(&'a self, address: Option<&'a str>) -> FarEnd<'a> {
        match (&self.far, &self.router) {
            (Some(far), _) => FarEnd {
                address,
                device: far.device_text.as_deref(),
                person: far.person_text.as_deref(),
                of_type: None,
            },
            (None, Some(router)) => FarEnd {
                address,
                device: router.device_text.as_deref(),
                person: None,
                of_type: Some("host-behind"),
            },
            (None, None) => FarEnd { address, ..FarEnd::default() },
        }
    }
}

fn node(endpoint: &Option<Arc<EndpointIdentity>>) -> Option<&str> {
    endpoint.as_ref()?.device.id.as_deref()
}

fn members(unknown: &Unknown<'_>) -> Option<Map<String, Value>> {
    let read = |(name, raw): &(std::borrow::Cow<'_, str>, &RawValue)| {
        (name.clone().into_owned(), serde_json::from_str(raw.get()).unwrap_or(Value::Null))
    };
    (!unknown.is_empty()).then(|| unknown.iter().map(read).collect())
}

fn record(outer: Option<&Map<String, Value>>, unknown: &Unknown<'_>) -> Option<Json> {
    let members = match (outer, members(unknown)) {
        (None, None) => return None,
        (Some(outer), None) => outer.clone(),
        (None, Some(own)) => own,
        (Some(outer), Some(own)) => outer.clone().into_iter().chain(own).collect(),
    };
    Some(Json::exact(&Value::Object(members)))
}
