//! Writes the connections of a report directly as leaves of `flow.counted` events.
//!
//! - The actor is the reporter: its side is always `src`, whoever opened the connection. The target is the far end; of
//!   physical traffic that is the peer whose encrypted packets were counted, with the underlay address they went to.
//! - Reports are very frequent: what the leaves of a report share is written once, and each leaf is put together from that.
//!   Members stand in canonical order, as in `meshtrail_event`; tests compare both.

use std::io::Write as _;
use std::sync::Arc;

use meshtrail_event::{EventId, Json, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::endpoints::{EndpointIdentity, Endpoints};
use crate::wire::{Connection, EndAddress, Layer, Message, Unknown};

/// Template for the leaves of one report: everything that they share, serialised once.
pub(crate) struct FlowLeaves<'m> {
    endpoints: Endpoints<'m>,
    shared: SharedParts,
    /// The identity of an event whose near end lies behind the reporter.
    behind_identity: Box<RawValue>,
    /// The identity of an event whose near end is another device's address.
    conflicting_identity: Box<RawValue>,
    /// Unknown members of the report.
    unknown: Option<Map<String, Value>>,
}

/// The pieces of text that are the same in all leaves of a report, in their order.
struct SharedParts {
    /// From the beginning to the first member of the detail.
    actor: String,
    /// `end`, and the name of `layer`.
    end: String,
    /// What follows on `layer`: `logged`, `proc_id` and `proc_seq`.
    process: String,
    /// `reporter`, and the name of `rx_bytes`.
    reporter: String,
    /// `start`, and the name of `tx_bytes`.
    start: String,
    /// `time`, to the end.
    time: String,
}

impl SharedParts {
    fn of(message: &Message<'_>, reporter: &EndpointIdentity) -> SharedParts {
        let (start, end) = (message.start, message.end);
        let actor = reporter.actor.as_ref().map(|actor| format!(r#""actor":{actor},"#)).unwrap_or_default();
        let logged = message.logged.map(|logged| format!(r#","logged":"{logged}""#));
        let process = message.process;
        let number = |name: &str, value: Option<u64>| value.map(|value| format!(r#","{name}":{value}"#));
        let id = number("proc_id", process.and_then(|process| process.id));
        let seq = number("proc_seq", process.and_then(|process| process.seq));
        SharedParts {
            actor: format!(r#"{{{actor}"detail":{{"#),
            end: format!(r#""end":"{end}","layer":""#),
            process: [Some("\"".to_owned()), logged, id, seq].into_iter().flatten().collect(),
            reporter: format!(r#","reporter":{},"rx_bytes":"#, Value::from(&*message.node_id)),
            start: format!(r#","start":"{start}","tx_bytes":"#),
            time: format!(r#","time":"{start}"}}"#),
        }
    }
}

/// Appends parts of a leaf to its bytes.
struct LeafWriter<'o>(&'o mut Vec<u8>);

impl LeafWriter<'_> {
    /// Appends text as it is.
    fn raw(&mut self, json: &str) -> &mut Self {
        self.0.extend_from_slice(json.as_bytes());
        self
    }

    /// Appends a value.
    fn value(&mut self, value: &impl Serialize) -> &mut Self {
        serde_json::to_writer(&mut *self.0, value).expect("it has string keys and no floats");
        self
    }

    /// Appends text before and behind a value, unless there is none.
    fn optional(&mut self, before: &str, value: Option<&impl Serialize>, behind: &str) -> &mut Self {
        match value {
            Some(value) => self.raw(before).value(value).raw(behind),
            None => self,
        }
    }

    /// Appends a value whose text needs no escapes, in quotes.
    fn quoted(&mut self, value: impl std::fmt::Display) -> &mut Self {
        write!(self.0, "\"{value}\"").expect("memory takes all bytes");
        self
    }
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
            shared: SharedParts::of(message, &endpoints.reporter),
            behind_identity: endpoints.reporter.identity_behind(),
            conflicting_identity: endpoints.reporter.conflicting_identity(),
            unknown: members(&message.unknown),
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
        let reporter = &self.endpoints.reporter;
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
        let record = record(self.unknown.as_ref(), &connection.unknown);
        let target = Some(ends.target(dst)).filter(|target| !target.is_empty());
        let shared = &self.shared;
        LeafWriter(out)
            .raw(&shared.actor)
            .optional(r#""dst":"#, dst.as_ref(), ",")
            .optional(r#""dst_node":"#, dst_node.as_ref(), ",")
            .raw(&shared.end)
            .raw(layer.as_str())
            .raw(&shared.process)
            .optional(r#","proto":"#, connection.proto.as_ref(), "")
            .optional(r#","record":"#, record.as_ref(), "")
            .raw(&shared.reporter)
            .value(&connection.rx_bytes)
            .raw(r#","rx_packets":"#)
            .value(&connection.rx_packets)
            .optional(r#","src":"#, src.as_ref(), "")
            .optional(r#","src_node":"#, src_node.as_ref(), "")
            .raw(&shared.start)
            .value(&connection.tx_bytes)
            .raw(r#","tx_packets":"#)
            .value(&connection.tx_packets)
            .raw(r#"},"id":"#)
            .quoted(id)
            .raw(r#","identity":"#)
            .raw(identity.get())
            .raw(r#","kind":"flow.counted","outcome":"success","received":"#)
            .quoted(received)
            .optional(r#","target":"#, target.as_ref(), "")
            .raw(&shared.time);
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
