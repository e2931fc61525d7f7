//! A node's flow report as it is written on the wire, whichever way it comes.
//!
//! The shape is `netlogtype.Message` of Tailscale's client, inlined beside `logtail` in an upload, as `event` in log
//! streaming, with `logged` from the API. Counters that are zero are absent; `proto` is a number or a name; what is
//! not known here is kept as it came.
//!
//! - Nothing is read beyond [`MAX_CONNECTIONS`] connections and [`MAX_NODES`] nodes.
//! - An end that is no `address:port` keeps its text and is nobody's.

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
/// Members that are not known here, as they came.
pub(crate) type Unknown<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// Which part of the mesh carried it.
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
    /// The word in an event.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Virtual => "virtual",
            Self::Subnet => "subnet",
            Self::Exit => "exit",
            Self::Physical => "physical",
        }
    }

    /// The layer of a word in an event.
    pub fn read(word: &str) -> Option<Self> {
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
    /// The reporter itself.
    pub(crate) reporter: Option<Node<'a>>,
    /// Every other node it knows of these connections.
    pub(crate) others: Vec<Node<'a>>,
    pub(crate) connections: Vec<(Layer, Connection<'a>)>,
    pub(crate) unknown: Unknown<'a>,
}

/// Which process wrote it, and the how-manyth entry of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Process {
    #[serde(rename = "proc_id", default)]
    pub(crate) id: Option<u64>,
    #[serde(rename = "proc_seq", default)]
    pub(crate) seq: Option<u64>,
}

impl Process {
    /// Numbers that an event can't hold count as none.
    fn exact(self) -> Self {
        let exact = |number: &u64| *number <= MAX_EXACT_INTEGER;
        Self { id: self.id.filter(exact), seq: self.seq.filter(exact) }
    }
}

/// A node, as the reporter knows it.
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

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) address: Option<SocketAddr>,
}

/// What one connection carried.
#[derive(Debug, Default)]
pub(crate) struct Connection<'a> {
    pub(crate) proto: Option<u64>,
    pub(crate) src: Option<End<'a>>,
    pub(crate) dst: Option<End<'a>>,
    pub(crate) tx_packets: u64,
    pub(crate) tx_bytes: u64,
    pub(crate) rx_packets: u64,
    pub(crate) rx_bytes: u64,
    pub(crate) unknown: Unknown<'a>,
}

impl<'a> End<'a> {
    /// An end as it is written.
    fn of(text: Cow<'a, str>) -> Self {
        let address = text.parse().ok();
        Self { text, address }
    }

    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip().to_canonical())
    }
}

/// Reads what tells a flow report from any other record, without reading the report.
pub(crate) fn looks_like_a_report(json: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Marks {
        #[serde(rename = "nodeId")]
        node: Option<IgnoredAny>,
        start: Option<IgnoredAny>,
        end: Option<IgnoredAny>,
    }
    serde_json::from_slice::<Marks>(json)
        .is_ok_and(|marks| marks.node.is_some() && marks.start.is_some() && marks.end.is_some())
}
