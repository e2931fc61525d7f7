//! The members of a flow event that aggregation needs, read without copying.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use meshtrail_event::Timestamp;
use serde::Deserialize;

use super::conversation::{Grain, Party};

/// One window of a connection, as one end reported it.
#[derive(Deserialize)]
pub(super) struct Row<'a> {
    #[serde(default, borrow)]
    actor: Side<'a>,
    #[serde(borrow)]
    detail: Flow<'a>,
    #[serde(default, borrow)]
    target: Side<'a>,
}

#[derive(Default, Deserialize)]
struct Side<'a> {
    #[serde(borrow)]
    device: Option<Device<'a>>,
    #[serde(borrow)]
    person: Option<Person<'a>>,
    #[serde(rename = "type", borrow)]
    of_type: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Device<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Deserialize)]
struct Person<'a> {
    #[serde(borrow)]
    login: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(super) struct Flow<'a> {
    #[serde(borrow)]
    dst: Option<Cow<'a, str>>,
    #[serde(borrow)]
    dst_node: Option<Cow<'a, str>>,
    pub(super) end: Timestamp,
    #[serde(borrow)]
    layer: Cow<'a, str>,
    proto: Option<u64>,
    #[serde(borrow)]
    reporter: Cow<'a, str>,
    #[serde(default)]
    pub(super) rx_bytes: u64,
    #[serde(default)]
    pub(super) rx_packets: u64,
    #[serde(borrow)]
    src: Option<Cow<'a, str>>,
    #[serde(borrow)]
    src_node: Option<Cow<'a, str>>,
    start: Timestamp,
    #[serde(default)]
    pub(super) tx_bytes: u64,
    #[serde(default)]
    pub(super) tx_packets: u64,
}

impl<'a> Row<'a> {
    /// Reads a flow event; none if it is not a report of traffic.
    pub(super) fn read(leaf: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(leaf).ok()
    }

    pub(super) fn start(&self) -> Timestamp {
        self.detail.start
    }

    pub(super) fn layer(&self) -> &str {
        &self.detail.layer
    }

    pub(super) fn proto(&self) -> Option<u64> {
        self.detail.proto
    }

    pub(super) fn counts(&self) -> &Flow<'a> {
        &self.detail
    }

    fn physical(&self) -> bool {
        self.layer() == "physical"
    }

    /// The near end and the far end.
    pub(super) fn ends(&self) -> [Party; 2] {
        let flow = &self.detail;
        if self.physical() {
            let reporter = party(Some(&flow.reporter), None, &self.actor, true);
            return [reporter, party(flow.src_node.as_deref(), flow.src.as_deref(), &self.target, true)];
        }
        let reporter = (flow.layer == "virtual").then_some(&*flow.reporter);
        let near_id = flow.src_node.as_deref().or(reporter);
        let near_is_reporter = near_id == Some(&*flow.reporter);
        let far_is_device = self.target.of_type.is_none();
        let near = party(near_id, flow.src.as_deref(), &self.actor, near_is_reporter);
        [near, party(flow.dst_node.as_deref(), flow.dst.as_deref(), &self.target, far_is_device)]
    }

    /// The keys of the near and the far end.
    fn keys(&self) -> [Cow<'_, str>; 2] {
        let flow = &self.detail;
        let of = |id: Option<&'_ str>, end: &Option<Cow<'_, str>>| match (id, end.as_deref().and_then(ip_of))
        {
            (Some(id), _) => Cow::Owned(id.to_owned()),
            (None, Some(ip)) => Cow::Owned(ip.to_string()),
            (None, None) => Cow::Borrowed("outside"),
        };
        if self.physical() {
            return [Cow::Borrowed(&flow.reporter), of(flow.src_node.as_deref(), &flow.src)];
        }
        let reporter = (flow.layer == "virtual").then_some(&*flow.reporter);
        [of(flow.src_node.as_deref().or(reporter), &flow.src), of(flow.dst_node.as_deref(), &flow.dst)]
    }

    /// The addresses of the near and the far end.
    pub(super) fn addresses(&self) -> [Option<IpAddr>; 2] {
        let ip = |end: &Option<Cow<'_, str>>| end.as_deref().and_then(ip_of);
        match self.physical() {
            true => [None, ip(&self.detail.src)],
            false => [ip(&self.detail.src), ip(&self.detail.dst)],
        }
    }

    /// The ports of the near and the far end.
    pub(super) fn ports(&self) -> [Option<u16>; 2] {
        let port = |text: &Option<Cow<'_, str>>| text.as_ref()?.rsplit_once(':')?.1.parse().ok();
        match self.physical() {
            true => [None, port(&self.detail.dst)],
            false => [port(&self.detail.src), port(&self.detail.dst)],
        }
    }

    /// The key of its conversation, and whether its near end is the conversation's first.
    pub(super) fn key(&self, grain: Grain) -> (String, bool) {
        let (near, far) = match grain {
            // Both ends report the same addresses, whether or not their devices are known.
            Grain::Connection if !self.physical() => {
                let text = |end: &Option<Cow<'_, str>>| end.as_deref().unwrap_or("outside").to_owned();
                (text(&self.detail.src), text(&self.detail.dst))
            }
            Grain::Connection | Grain::Pair => {
                let [near, far] = self.keys();
                (near.into_owned(), far.into_owned())
            }
        };
        let proto = match grain {
            Grain::Connection => self.proto(),
            Grain::Pair => None,
        };
        let near_is_a = near <= far;
        let (a, b) = if near_is_a { (near, far) } else { (far, near) };
        (format!("{} {proto:?} {a} {b}", self.layer()), near_is_a)
    }
}

/// An end: its device if known, else its address, else the outside.
fn party(id: Option<&str>, end: Option<&str>, side: &Side<'_>, side_is_it: bool) -> Party {
    let address = end.and_then(ip_of);
    let device = side.device.as_ref().filter(|_| side_is_it);
    let owned = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
    Party {
        key: id
            .map(str::to_owned)
            .or_else(|| address.map(|ip| ip.to_string()))
            .unwrap_or_else(|| "outside".into()),
        device: id.map(str::to_owned),
        name: device.and_then(|device| owned(&device.name)),
        login: side.person.as_ref().filter(|_| side_is_it).map(|person| person.login.clone().into_owned()),
        tags: device.map(|device| device.tags.clone()).unwrap_or_default(),
        addresses: address.into_iter().collect(),
        port: None,
    }
}

fn ip_of(text: &str) -> Option<IpAddr> {
    text.parse::<SocketAddr>()
        .map(|address| address.ip())
        .or_else(|_| text.parse())
        .ok()
        .map(|ip| ip.to_canonical())
}
