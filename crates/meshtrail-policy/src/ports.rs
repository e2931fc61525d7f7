//! Protocols and ports that a rule opens.

use std::fmt;

use serde_json::Value;

/// A protocol by its number, as the IP header has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// ICMP for IPv4.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// ICMP for IPv6.
    pub const ICMP_V6: Self = Self(58);
    /// SCTP.
    pub const SCTP: Self = Self(132);

    /// What a rule without a protocol opens (tailscaled's `packet_filter_matches` in Headscale's captures).
    pub const DEFAULT: [Self; 4] = [Self::ICMP, Self::TCP, Self::UDP, Self::ICMP_V6];

    /// Whether the protocol has ports.
    pub fn has_ports(self) -> bool {
        [Self::TCP, Self::UDP, Self::SCTP].contains(&self)
    }

    fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(_, number)| *number == self.0).map(|(name, _)| *name)
    }
}

/// Names that policies may use, Tailscale's list.
const NAMES: [(&str, u8); 14] = [
    ("icmp", 1),
    ("igmp", 2),
    ("ipv4", 4),
    ("ip-in-ip", 4),
    ("tcp", 6),
    ("egp", 8),
    ("igp", 9),
    ("udp", 17),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("sctp", 132),
    ("fc", 133),
];

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Reads a protocol: a name in any case, or a number from 1 to 255 without zeros before it.
pub(crate) fn parse_protocol(text: &str) -> Result<Protocol, String> {
    let lower = text.to_ascii_lowercase();
    if let Some((_, number)) = NAMES.iter().find(|(name, _)| *name == lower) {
        return Ok(Protocol(*number));
    }
    let is_number =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let number = text.parse::<u8>().ok().filter(|_| is_number);
    number
        .map(Protocol)
        .ok_or_else(|| format!("{text:?} is neither the name of a protocol nor a number from 1 to 255"))
}

/// The lowest and the highest port of a range.
pub type PortRange = (u16, u16);

/// All ports.
pub const ALL_PORTS: PortRange = (0, u16::MAX);

/// Reads ports: `*`, `22`, `22,80`, `8000-8010`.
pub(crate) fn parse_ports(text: &str) -> Result<Vec<PortRange>, String> {
    if text == "*" {
        return Ok(vec![ALL_PORTS]);
    }
    text.split(',')
        .map(parse_range)
        .collect::<Result<_, _>>()
        .map_err(|reason| format!("ports {text:?}: {reason}"))
}

fn parse_range(text: &str) -> Result<PortRange, &'static str> {
    let port = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits {
            return Err("a port is a number, a range of two numbers, or *");
        }
        text.parse::<u16>().map_err(|_| "a port is at most 65535")
    };
    match text.split_once('-') {
        Some((first, last)) => {
            let (first, last) = (port(first)?, port(last)?);
            if first > last { Err("the first port is above the last") } else { Ok((first, last)) }
        }
        None => match port(text)? {
            0 => Err("a port is above 0; * stands for all"),
            port => Ok((port, port)),
        },
    }
}

/// Ports by protocol. Protocols without ports have all of them or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortSet {
    /// In order of protocols; ranges are in order and neither touch nor overlap.
    by_protocol: Vec<(Protocol, Vec<PortRange>)>,
}

impl PortSet {
    /// These ports of these protocols.
    pub fn new(protocols: &[Protocol], ports: &[PortRange]) -> Self {
        let ranges = |protocol: Protocol| if protocol.has_ports() { ports } else { &[ALL_PORTS] };
        let by_protocol =
            protocols.iter().map(|protocol| (*protocol, normal(ranges(*protocol).iter().copied())));
        let mut by_protocol: Vec<_> = by_protocol.filter(|(_, ranges)| !ranges.is_empty()).collect();
        by_protocol.sort_unstable();
        by_protocol.dedup_by_key(|(protocol, _)| *protocol);
        Self { by_protocol }
    }

    /// All ports of what a rule without a protocol opens.
    pub fn all() -> Self {
        Self::new(&Protocol::DEFAULT, &[ALL_PORTS])
    }

    /// Protocols, and the ports of each.
    pub fn by_protocol(&self) -> &[(Protocol, Vec<PortRange>)] {
        &self.by_protocol
    }

    /// Whether nothing is open.
    pub fn is_empty(&self) -> bool {
        self.by_protocol.is_empty()
    }

    /// Whether the port of the protocol is open.
    pub fn contains(&self, protocol: Protocol, port: u16) -> bool {
        self.ranges(protocol).iter().any(|(first, last)| (*first..=*last).contains(&port))
    }

    fn ranges(&self, protocol: Protocol) -> &[PortRange] {
        let found = self.by_protocol.binary_search_by_key(&protocol, |(protocol, _)| *protocol);
        found.map_or(&[], |at| &self.by_protocol[at].1)
    }

    /// What either opens.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.merge(other, |one, two| normal(one.iter().chain(two).copied()))
    }

    /// What this opens and the other does not.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.merge(other, cut)
    }

    /// Whether both open a port of the same protocol.
    pub fn meets(&self, other: &Self) -> bool {
        self.without(other) != *self
    }

    /// As a change shows it: what opens on TCP and on UDP alike without a protocol, whether or not pings were open before.
    pub fn brief(&self) -> String {
        let tcp = self.ranges(Protocol::TCP);
        let is_default = self.by_protocol.iter().all(|(protocol, _)| Protocol::DEFAULT.contains(protocol));
        let is_alike = !tcp.is_empty() && self.ranges(Protocol::UDP) == tcp;
        if is_alike && is_default { written(tcp) } else { self.to_string() }
    }

    fn merge(&self, other: &Self, join: impl Fn(&[PortRange], &[PortRange]) -> Vec<PortRange>) -> Self {
        let protocols = self.by_protocol.iter().chain(&other.by_protocol).map(|(protocol, _)| *protocol);
        let mut protocols: Vec<Protocol> = protocols.collect();
        protocols.sort_unstable();
        protocols.dedup();
        let joined = protocols
            .into_iter()
            .map(|protocol| (protocol, join(self.ranges(protocol), other.ranges(protocol))));
        Self { by_protocol: joined.filter(|(_, ranges)| !ranges.is_empty()).collect() }
    }
}

/// The ranges in order, those that touch or overlap joined.
fn normal(ranges: impl Iterator<Item = PortRange>) -> Vec<PortRange> {
    let mut ranges: Vec<_> = ranges.collect();
    ranges.sort_unstable();
    let mut joined: Vec<PortRange> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(previous) if u32::from(first) <= u32::from(previous.1) + 1 => {
                previous.1 = previous.1.max(last)
            }
            _ => joined.push((first, last)),
        }
    }
    joined
}

/// The ports of the first ranges that are not in the second.
fn cut(ranges: &[PortRange], away: &[PortRange]) -> Vec<PortRange> {
    let mut rest = Vec::new();
    for &(first, last) in ranges {
        let mut start = Some(first);
        for &(cut_first, cut_last) in away.iter().filter(|(from, to)| *to >= first && *from <= last) {
            let Some(at) = start else { break };
            if at < cut_first {
                rest.push((at, cut_first - 1));
            }
            start = cut_last.checked_add(1).filter(|next| *next <= last);
        }
        rest.extend(start.map(|at| (at, last)));
    }
    rest
}

impl fmt::Display for PortSet {
    /// As grants write it: `*`, `22,80`, `tcp:443, udp:53`, `icmp`. Protocols are left out where the default ones are
    /// open on the same ports.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tcp = self.ranges(Protocol::TCP);
        let is_default = !tcp.is_empty()
            && self.ranges(Protocol::UDP) == tcp
            && [Protocol::ICMP, Protocol::ICMP_V6].iter().all(|protocol| !self.ranges(*protocol).is_empty());
        let mut parts = Vec::new();
        if is_default {
            parts.push(written(tcp));
        }
        for (protocol, ranges) in &self.by_protocol {
            match protocol {
                _ if is_default && Protocol::DEFAULT.contains(protocol) => {}
                protocol if protocol.has_ports() => parts.push(format!("{protocol}:{}", written(ranges))),
                protocol => parts.push(protocol.to_string()),
            }
        }
        f.write_str(&parts.join(", "))
    }
}

/// Ranges with commas between them.
fn written(ranges: &[PortRange]) -> String {
    if ranges == [ALL_PORTS] {
        return "*".to_owned();
    }
    let range =
        |(first, last): &PortRange| if first == last { first.to_string() } else { format!("{first}-{last}") };
    ranges.iter().map(range).collect::<Vec<_>>().join(",")
}

/// The ports as JSON: `{"tcp": ["443"], "icmp": ["*"]}`, for answers of programs.
impl From<&PortSet> for Value {
    fn from(ports: &PortSet) -> Self {
        let list = |ranges: &[PortRange]| {
            Value::from(written(ranges).split(',').map(Value::from).collect::<Vec<_>>())
        };
        Value::Object(
            ports.by_protocol.iter().map(|(protocol, ranges)| (protocol.to_string(), list(ranges))).collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn default(ports: &str) -> PortSet {
        PortSet::new(&Protocol::DEFAULT, &parse_ports(ports).unwrap())
    }

    #[test]
    fn ports_are_joined_cut_and_written_as_policies_write_them() {
        let had = default("22,8000-8010");
        let has = had.union(&default("8005-8020"));
        assert_eq!(has.to_string(), "22,8000-8020");
        let gained = has.without(&had);
        assert_eq!(gained.to_string(), "tcp:8011-8020, udp:8011-8020");
        assert_eq!(PortSet::new(&[Protocol::TCP], &[(443, 443)]).to_string(), "tcp:443");
        assert_eq!(PortSet::new(&[Protocol::ICMP, Protocol(47)], &[(1, 1)]).to_string(), "icmp, gre");
        assert_eq!(PortSet::all().to_string(), "*");
        assert!(PortSet::all().without(&PortSet::all()).is_empty());
        assert_eq!(default("*").without(&default("22")).ranges(Protocol::TCP), [(0, 21), (23, 65535)]);
    }

    #[test]
    fn ports_and_protocols_that_cannot_be_are_refused_with_the_reason() {
        for (text, reason) in [
            ("ssh", "a port is a number"),
            ("0", "a port is above 0"),
            ("99999", "at most 65535"),
            ("80-22", "the first port is above the last"),
            ("22,", "a port is a number"),
            ("-1", "a port is a number"),
        ] {
            assert!(parse_ports(text).unwrap_err().contains(reason), "{text}: {:?}", parse_ports(text));
        }
        assert_eq!(parse_protocol("TCP"), Ok(Protocol::TCP));
        assert_eq!(parse_protocol("17"), Ok(Protocol::UDP));
        for text in ["*", "0", "06", "256", "http", ""] {
            assert!(parse_protocol(text).is_err(), "{text}");
        }
    }
}
