//! Deserialisation of reports; texts are borrowed from the input where possible.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use meshtrail_event::MAX_EXACT_INTEGER;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::proto::Proto;
use super::{Connection, EndAddress, Layer, MAX_CONNECTIONS, MAX_NODES, Message, Node, Process, Unknown};

/// The most unknown members of one object.
const MAX_UNKNOWN: usize = 64;

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
                _ => keep_unknown(&mut message.unknown, name, map.next_value()?)?,
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

/// The name of a member.
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

fn keep_unknown<'a, E: serde::de::Error>(
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

impl<'de> ExtendFromSeq<'de> for Nodes<'_, 'de> {
    fn extend_from_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
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

impl<'de> ExtendFromSeq<'de> for Traffic<'_, 'de> {
    fn extend_from_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(connection) = list.next_element()? {
            if self.1.connections.len() >= MAX_CONNECTIONS {
                return Err(A::Error::custom(format_args!("more than {MAX_CONNECTIONS} connections")));
            }
            self.1.connections.push((self.0, connection));
        }
        Ok(())
    }
}

/// Appends the items of a list; `null` counts as an empty list.
trait ExtendFromSeq<'de> {
    fn extend_from_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error>;
}

struct ListVisitor<G>(G);

impl<'de, G: ExtendFromSeq<'de>> Visitor<'de> for ListVisitor<G> {
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
        self.0.extend_from_seq(list)
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
                "src" => {
                    connection.src = map.next_value::<Option<Text<'de>>>()?.map(|text| EndAddress::of(text.0))
                }
                "dst" => {
                    connection.dst = map.next_value::<Option<Text<'de>>>()?.map(|text| EndAddress::of(text.0))
                }
                "txPkts" => connection.tx_packets = count(&mut map, "txPkts")?,
                "txBytes" => connection.tx_bytes = count(&mut map, "txBytes")?,
                "rxPkts" => connection.rx_packets = count(&mut map, "rxPkts")?,
                "rxBytes" => connection.rx_bytes = count(&mut map, "rxBytes")?,
                _ => keep_unknown(&mut connection.unknown, name, map.next_value()?)?,
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
