//! Conversations: two ends, and what each of them counted.

use std::net::IpAddr;

use meshtrail_event::Timestamp;

use super::row::Row;

/// Addresses that are listed for one end, at most.
const ADDRESSES: usize = 8;

/// The grouping of flow events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grain {
    /// By pair of devices, or of addresses where no device is known, and layer.
    #[default]
    Pair,
    /// By connection: both addresses with their ports, protocol and layer.
    Connection,
}

/// One end of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// Its key: the device's id, else the address, else `outside`.
    pub key: String,
    /// The device's id.
    pub device: Option<String>,
    /// The device's full name.
    pub name: Option<String>,
    /// The device's owner.
    pub login: Option<String>,
    /// The tags that own the device instead of a person.
    pub tags: Vec<String>,
    /// Its addresses in these conversations, up to eight.
    pub addresses: Vec<IpAddr>,
    /// Its port, if grouped by connection.
    pub port: Option<u16>,
}

/// What one end counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Events, one per window of a connection; zero if this end reported nothing.
    pub windows: u64,
    /// Bytes it sent.
    pub tx_bytes: u64,
    /// Packets it sent.
    pub tx_packets: u64,
    /// Bytes it received.
    pub rx_bytes: u64,
    /// Packets it received.
    pub rx_packets: u64,
    /// Whether it received nothing of what the other end reports as sent: its received counts are too low.
    pub undercounts: bool,
}

/// The traffic in one direction, as far as either end counted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// The bytes.
    pub bytes: u64,
    /// The packets.
    pub packets: u64,
}

/// Two parties and the traffic between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// One party.
    pub a: Party,
    /// The other.
    pub b: Party,
    /// `virtual`, `subnet`, `exit` or `physical`.
    pub layer: String,
    /// The IANA protocol number, if grouped by connection.
    pub proto: Option<u64>,
    /// What the first party counted.
    pub by_a: End,
    /// What the other counted.
    pub by_b: End,
    /// The traffic from the first to the other.
    pub a_to_b: Way,
    /// The traffic from the other to the first.
    pub b_to_a: Way,
    /// The beginning of the earliest window.
    pub first: Timestamp,
    /// The end of the latest window.
    pub last: Timestamp,
}

impl Conversation {
    /// Bytes both ways.
    pub fn bytes(&self) -> u64 {
        self.a_to_b.bytes.saturating_add(self.b_to_a.bytes)
    }
}

/// A conversation while it is being summed.
pub(super) struct ConversationSum(Conversation);

impl ConversationSum {
    pub(super) fn begin(row: &Row<'_>, near_is_a: bool, grain: Grain) -> Self {
        let [mut near, mut far] = row.ends();
        let proto = if grain == Grain::Connection { row.proto() } else { None };
        if grain == Grain::Connection {
            [near.port, far.port] = row.ports();
        }
        let (a, b) = if near_is_a { (near, far) } else { (far, near) };
        Self(Conversation {
            a,
            b,
            layer: row.layer().to_owned(),
            proto,
            by_a: End::default(),
            by_b: End::default(),
            a_to_b: Way::default(),
            b_to_a: Way::default(),
            first: row.start(),
            last: row.counts().end,
        })
    }

    pub(super) fn add(&mut self, row: &Row<'_>, near_is_a: bool) {
        let conversation = &mut self.0;
        let counts = row.counts();
        let end = if near_is_a { &mut conversation.by_a } else { &mut conversation.by_b };
        end.windows += 1;
        for (sum, more) in [
            (&mut end.tx_bytes, counts.tx_bytes),
            (&mut end.tx_packets, counts.tx_packets),
            (&mut end.rx_bytes, counts.rx_bytes),
            (&mut end.rx_packets, counts.rx_packets),
        ] {
            *sum = sum.saturating_add(more);
        }
        conversation.first = conversation.first.min(row.start());
        conversation.last = conversation.last.max(counts.end);
        let [near, far] = row.addresses();
        let (a, b) = if near_is_a { (near, far) } else { (far, near) };
        if conversation.a.wants_more(a) || conversation.b.wants_more(b) {
            let [near, far] = row.ends();
            let (a, b) = if near_is_a { (near, far) } else { (far, near) };
            conversation.a.learn(a);
            conversation.b.learn(b);
        }
    }

    pub(super) fn finish(self) -> Conversation {
        let mut sum = self.0;
        let (a, b) = (sum.by_a, sum.by_b);
        let way = |sent: End, received: End| Way {
            bytes: sent.tx_bytes.max(received.rx_bytes),
            packets: sent.tx_packets.max(received.rx_packets),
        };
        (sum.a_to_b, sum.b_to_a) = (way(a, b), way(b, a));
        sum.by_a.undercounts = a.windows > 0 && a.rx_packets == 0 && b.tx_packets > 0;
        sum.by_b.undercounts = b.windows > 0 && b.rx_packets == 0 && a.tx_packets > 0;
        sum
    }
}

impl Party {
    /// Whether a window with this address may add something about this party.
    fn wants_more(&self, address: Option<IpAddr>) -> bool {
        let new = |address: IpAddr| self.addresses.len() < ADDRESSES && !self.addresses.contains(&address);
        self.name.is_none() || address.is_some_and(new)
    }

    /// Adds what only an older window knows.
    fn learn(&mut self, other: Self) {
        self.name = self.name.take().or(other.name);
        self.login = self.login.take().or(other.login);
        if self.tags.is_empty() {
            self.tags = other.tags;
        }
        for address in other.addresses {
            if self.addresses.len() < ADDRESSES && !self.addresses.contains(&address) {
                self.addresses.push(address);
            }
        }
    }

    /// Whether this text names it: by id, full name, first label or address.
    pub(super) fn is_called(&self, text: &str) -> bool {
        let named = |name: &str| {
            name.eq_ignore_ascii_case(text)
                || name.split('.').next().is_some_and(|label| label.eq_ignore_ascii_case(text))
        };
        self.key == text
            || self.name.as_deref().is_some_and(named)
            || self.addresses.iter().any(|address| address.to_string() == text)
    }
}
