//! A node's flow report as it is written on the wire, whichever way it comes.
//!
//! The shape is `netlogtype.Message` of Tailscale's client, inlined beside `logtail` in an upload, as `event` in log
//! streaming, with `logged` from the API. Counters that are zero are absent; `proto` is a number or a name; what is
//! not known here is kept as it came.
//!
//! - Nothing is read beyond [`MAX_CONNECTIONS`] connections and [`MAX_NODES`] nodes.
//! - An end that is no `address:port` keeps its text and is nobody's.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};

use meshtrail_event::{MAX_EXACT_INTEGER, Timestamp};
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The most connections of one report.
pub const MAX_CONNECTIONS: usize = 1 << 16;
/// The most nodes of one report.
pub const MAX_NODES: usize = 1 << 14;
/// The most members of one object that are kept unread.
const MAX_UNKNOWN: usize = 64;

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

impl<'de> Deserialize<'de> for Message<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MessageVisitor)
    }
}

struct MessageVisitor;

impl<'de> Visitor<'de> for MessageVisitor {
    type Value = Message<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a flow report: an object with nodeId, start and end")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Message<'de>, M::Error> {
        let (mut message, mut start, mut end) = (Message::default(), None, None);
        while let Some(Name(name)) = map.next_key()? {
            match &*name {
                "nodeId" => message.node_id = map.next_value::<Text<'de>>()?.0,
                "start" => start = Some(map.next_value()?),
                "end" => end = Some(map.next_value()?),
                "logged" => message.logged = map.next_value()?,
                "logtail" => message.process = map.next_value::<Option<Process>>()?.map(Process::exact),
                "srcNode" => message.reporter = map.next_value()?,
                "dstNodes" => map.next_value_seed(Nodes(&mut message.others))?,
                "virtualTraffic" => map.next_value_seed(Traffic(Layer::Virtual, &mut message))?,
                "subnetTraffic" => map.next_value_seed(Traffic(Layer::Subnet, &mut message))?,
                "exitTraffic" => map.next_value_seed(Traffic(Layer::Exit, &mut message))?,
                "physicalTraffic" => map.next_value_seed(Traffic(Layer::Physical, &mut message))?,
                _ => keep(&mut message.unknown, name, map.next_value()?)?,
            }
        }
        if message.node_id.is_empty() {
            return Err(M::Error::missing_field("nodeId"));
        }
        message.start = start.ok_or_else(|| M::Error::missing_field("start"))?;
        message.end = end.ok_or_else(|| M::Error::missing_field("end"))?;
        Ok(message)
    }
}

/// A member's name.
struct Name<'a>(Cow<'a, str>);

/// A text, borrowed where it holds no escapes.
struct Text<'a>(Cow<'a, str>);

struct TextVisitor<'a>(PhantomData<&'a ()>);

impl<'de> Visitor<'de> for TextVisitor<'de> {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor(PhantomData)).map(Self)
    }
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor(PhantomData)).map(Self)
    }
}

fn keep<'a, E: serde::de::Error>(
    unknown: &mut Unknown<'a>,
    name: Cow<'a, str>,
    value: &'a RawValue,
) -> Result<(), E> {
    if unknown.len() >= MAX_UNKNOWN {
        return Err(E::custom(format_args!("more than {MAX_UNKNOWN} unknown members")));
    }
    unknown.push((name, value));
    Ok(())
}

struct Nodes<'m, 'a>(&'m mut Vec<Node<'a>>);

impl<'de> DeserializeSeed<'de> for Nodes<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(ListVisitor(self))
    }
}

impl<'de> Grow<'de> for Nodes<'_, 'de> {
    fn grow<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(node) = list.next_element()? {
            if self.0.len() >= MAX_NODES {
                return Err(A::Error::custom(format_args!("more than {MAX_NODES} nodes")));
            }
            self.0.push(node);
        }
        Ok(())
    }
}

struct Traffic<'m, 'a>(Layer, &'m mut Message<'a>);

impl<'de> DeserializeSeed<'de> for Traffic<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(ListVisitor(self))
    }
}

impl<'de> Grow<'de> for Traffic<'_, 'de> {
    fn grow<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(connection) = list.next_element()? {
            if self.1.connections.len() >= MAX_CONNECTIONS {
                return Err(A::Error::custom(format_args!("more than {MAX_CONNECTIONS} connections")));
            }
            self.1.connections.push((self.0, connection));
        }
        Ok(())
    }
}

/// Takes a list's items, or nothing where it is `null`.
trait Grow<'de> {
    fn grow<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error>;
}

struct ListVisitor<G>(G);

impl<'de, G: Grow<'de>> Visitor<'de> for ListVisitor<G> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        self.0.grow(list)
    }
}

impl<'de> Deserialize<'de> for Connection<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ConnectionVisitor)
    }
}

struct ConnectionVisitor;

impl<'de> Visitor<'de> for ConnectionVisitor {
    type Value = Connection<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a connection's counts")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Connection<'de>, M::Error> {
        let mut connection = Connection::default();
        while let Some(Name(name)) = map.next_key()? {
            match &*name {
                "proto" => connection.proto = map.next_value::<Proto>()?.0,
                "src" => connection.src = map.next_value::<Option<Text<'de>>>()?.map(End::of),
                "dst" => connection.dst = map.next_value::<Option<Text<'de>>>()?.map(End::of),
                "txPkts" => connection.tx_packets = count(&mut map, "txPkts")?,
                "txBytes" => connection.tx_bytes = count(&mut map, "txBytes")?,
                "rxPkts" => connection.rx_packets = count(&mut map, "rxPkts")?,
                "rxBytes" => connection.rx_bytes = count(&mut map, "rxBytes")?,
                _ => keep(&mut connection.unknown, name, map.next_value()?)?,
            }
        }
        Ok(connection)
    }
}

fn count<'de, M: MapAccess<'de>>(map: &mut M, name: &str) -> Result<u64, M::Error> {
    let count: u64 = map.next_value()?;
    if count > MAX_EXACT_INTEGER {
        return Err(M::Error::custom(format_args!("{name}: {count} lies beyond 2^53 - 1")));
    }
    Ok(count)
}

impl<'a> End<'a> {
    fn of(text: Text<'a>) -> Self {
        let address = text.0.parse().ok();
        Self { text: text.0, address }
    }

    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip().to_canonical())
    }
}

/// An IANA number, or one of the names that Tailscale's client reads too.
struct Proto(Option<u64>);

impl<'de> Deserialize<'de> for Proto {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ProtoVisitor)
    }
}

struct ProtoVisitor;

impl<'de> Visitor<'de> for ProtoVisitor {
    type Value = Proto;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a protocol's number or name")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Proto, E> {
        if number > 255 {
            return Err(E::custom(format_args!("proto: {number} is no protocol number")));
        }
        Ok(Proto(Some(number)))
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Proto, E> {
        protocol_number(name)
            .map(|number| Proto(Some(number)))
            .ok_or_else(|| E::custom(format_args!("proto: {name:?} is no protocol known here")))
    }

    fn visit_unit<E>(self) -> Result<Proto, E> {
        Ok(Proto(None))
    }
}

/// The number of a protocol by its name or written number (`types/ipproto/ipproto.go`).
pub fn protocol_number(name: &str) -> Option<u64> {
    Some(match name.to_ascii_lowercase().as_str() {
        "icmp" | "icmpv4" | "ipv4-icmp" => 1,
        "igmp" => 2,
        "tcp" => 6,
        "udp" => 17,
        "dccp" => 33,
        "gre" => 47,
        "icmpv6" | "ipv6-icmp" => 58,
        "tsmp" => 99,
        "sctp" => 132,
        "fragment" => 255,
        number => number.parse().ok().filter(|number| *number <= 255)?,
    })
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
