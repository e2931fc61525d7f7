//! The wire format of a node's flow report.
//!
//! The shape is `netlogtype.Message` of Tailscale's client: inlined beside `logtail` in an upload, as `event` in log
//! streaming, with `logged` from the API. Counters that are zero are absent; `proto` is a number or a name; unknown members
//! are kept unparsed.
//!
//! - A report with more than [`MAX_CONNECTIONS`] connections or [`MAX_NODES`] nodes is refused.
//! - An end that is not `address:port` keeps its text and is not resolved.

mod proto;
mod read;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use meshtrail_event::{MAX_EXACT_INTEGER, Timestamp};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

pub use proto::protocol_number;

/// The most connections of one report.
pub const MAX_CONNECTIONS: usize = 1 << 16;
/// The most nodes of one report.
pub const MAX_NODES: usize = 1 << 14;
/// Unknown members, unparsed.
pub(crate) type Unknown<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// The kind of traffic, as Tailscale's flow logs divide it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// Between two devices of the mesh.
    Virtual,
    /// To or from a subnet behind a device.
    Subnet,
    /// Through an exit node.
    Exit,
    /// The encrypted packets that carry the others.
    Physical,
}

impl Layer {
    /// The name in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Virtual => "virtual",
            Self::Subnet => "subnet",
            Self::Exit => "exit",
            Self::Physical => "physical",
        }
    }

    /// The inverse of [`Layer::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Virtual, Self::Subnet, Self::Exit, Self::Physical].into_iter().find(|one| one.as_str() == word)
    }
}

/// One report.
#[derive(Debug, Default)]
pub(crate) struct Message<'a> {
    pub(crate) node_id: Cow<'a, str>,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) logged: Option<Timestamp>,
    pub(crate) process: Option<Process>,
    pub(crate) reporter: Option<Node<'a>>,
    /// The other nodes of these connections, as far as the reporter knows them.
    pub(crate) others: Vec<Node<'a>>,
    pub(crate) connections: Vec<(Layer, Connection<'a>)>,
    pub(crate) unknown: Unknown<'a>,
}

/// The process that wrote a report, and the report's sequence number among its log entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Process {
    #[serde(rename = "proc_id", default)]
    pub(crate) id: Option<u64>,
    #[serde(rename = "proc_seq", default)]
    pub(crate) seq: Option<u64>,
}

impl Process {
    /// Drops numbers above 2^53 - 1, which events can't hold.
    fn exact(self) -> Self {
        let exact = |number: &u64| *number <= MAX_EXACT_INTEGER;
        Self { id: self.id.filter(exact), seq: self.seq.filter(exact) }
    }
}

/// A node as the reporter describes it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Node<'a> {
    #[serde(rename = "nodeId", borrow)]
    pub(crate) id: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(crate) name: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(crate) addresses: Vec<IpAddr>,
    #[serde(default, borrow)]
    pub(crate) user: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(crate) tags: Vec<String>,
}

/// The address of one end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndAddress<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) address: Option<SocketAddr>,
}

/// Counters of one connection.
#[derive(Debug, Default)]
pub(crate) struct Connection<'a> {
    pub(crate) proto: Option<u64>,
    pub(crate) src: Option<EndAddress<'a>>,
    pub(crate) dst: Option<EndAddress<'a>>,
    pub(crate) tx_packets: u64,
    pub(crate) tx_bytes: u64,
    pub(crate) rx_packets: u64,
    pub(crate) rx_bytes: u64,
    pub(crate) unknown: Unknown<'a>,
}

impl<'a> EndAddress<'a> {
    fn of(text: Cow<'a, str>) -> Self {
        let address = text.parse().ok();
        Self { text, address }
    }

    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip().to_canonical())
    }
}

/// Whether a record has the members that identify a flow report. The report itself is not parsed.
pub fn looks_like_a_report(json: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Markers {
        #[serde(rename = "nodeId")]
        node: Option<IgnoredAny>,
        start: Option<IgnoredAny>,
        end: Option<IgnoredAny>,
    }
    serde_json::from_slice::<Markers>(json)
        .is_ok_and(|markers| markers.node.is_some() && markers.start.is_some() && markers.end.is_some())
}
