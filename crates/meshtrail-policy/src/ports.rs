//! Protocols and ports that a rule opens.

use std::fmt;
use std::hash::{Hash, Hasher};

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
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortSet {
    /// In order; ranges of one protocol neither touch nor overlap.
    ranges: Vec<(Protocol, PortRange)>,
}

impl PortSet {
    /// These ports of these protocols.
    pub fn new(protocols: &[Protocol], ports: &[PortRange]) -> Self {
        let ranges = |protocol: Protocol| if protocol.has_ports() { ports } else { &[ALL_PORTS] };
        let of_protocol = |protocol: &Protocol| {
            let protocol = *protocol;
            ranges(protocol).iter().map(move |range| (protocol, *range))
        };
        Self::from_ranges(protocols.iter().flat_map(of_protocol).collect())
    }

    /// Sorts the ranges, and joins those that touch or overlap.
    fn from_ranges(mut ranges: Vec<(Protocol, PortRange)>) -> Self {
        ranges.sort_unstable();
        let mut joined: Vec<(Protocol, PortRange)> = Vec::with_capacity(ranges.len());
        for (protocol, (first, last)) in ranges {
            match joined.last_mut() {
                Some((of, range)) if *of == protocol && u32::from(first) <= u32::from(range.1) + 1 => {
                    range.1 = range.1.max(last);
                }
                _ => joined.push((protocol, (first, last))),
            }
        }
        joined.shrink_to_fit();
        Self { ranges: joined }
    }

    /// All ports of what a rule without a protocol opens.
    pub fn all() -> Self {
        Self::new(&Protocol::DEFAULT, &[ALL_PORTS])
    }

    /// Ranges of ports with their protocols, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Protocol, PortRange)> {
        self.ranges.iter().copied()
    }

    /// Whether nothing is open.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether the port of the protocol is open.
    pub fn contains(&self, protocol: Protocol, port: u16) -> bool {
        self.ranges(protocol).any(|(first, last)| (first..=last).contains(&port))
    }

    fn ranges(&self, protocol: Protocol) -> impl Iterator<Item = PortRange> {
        let start = self.ranges.partition_point(|(of, _)| *of < protocol);
        self.ranges[start..].iter().take_while(move |(of, _)| *of == protocol).map(|(_, range)| *range)
    }

    /// What either opens.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::from_ranges(self.ranges.iter().chain(&other.ranges).copied().collect())
    }

    /// What this opens and the other does not.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut rest = Vec::new();
        for (protocol, range) in &self.ranges {
            cut(*range, other.ranges(*protocol), |range| rest.push((*protocol, range)));
        }
        Self { ranges: rest }
    }

    /// What this opens and the other does not, as changes count it: pings are left out where ports open as well, and where
    /// the other opens anything, since tailscaled lets pings through wherever a rule opens something.
    #[must_use]
    pub fn gained_over(&self, other: &Self) -> Self {
        let mut rest = self.without(other);
        let has_ports = rest.ranges.iter().any(|(protocol, _)| protocol.has_ports());
        if has_ports || !other.is_empty() {
            rest.ranges.retain(|(protocol, _)| ![Protocol::ICMP, Protocol::ICMP_V6].contains(protocol));
        }
        rest
    }

    /// As a change shows it: what opens on TCP and on UDP alike stands without a protocol.
    pub fn brief(&self) -> String {
        let is_default = self.ranges.iter().all(|(protocol, _)| Protocol::DEFAULT.contains(protocol));
        if self.is_alike() && is_default { written(self.ranges(Protocol::TCP)) } else { self.to_string() }
    }

    /// Whether the same ports are open on TCP and on UDP, and some are.
    fn is_alike(&self) -> bool {
        self.ranges(Protocol::TCP).next().is_some()
            && self.ranges(Protocol::TCP).eq(self.ranges(Protocol::UDP))
    }

    fn protocols(&self) -> impl Iterator<Item = Protocol> {
        self.ranges.chunk_by(|one, other| one.0 == other.0).map(|of_protocol| of_protocol[0].0)
    }
}

/// The ports of a range that are in none of the others, which are in order.
fn cut((first, last): PortRange, away: impl Iterator<Item = PortRange>, mut keep: impl FnMut(PortRange)) {
    let mut start = Some(first);
    for (cut_first, cut_last) in away.filter(|(from, to)| *to >= first && *from <= last) {
        let Some(at) = start else { return };
        if at < cut_first {
            keep((at, cut_first - 1));
        }
        start = cut_last.checked_add(1).filter(|next| *next <= last);
    }
    if let Some(at) = start {
        keep((at, last));
    }
}

/// One number for each range: a diff of large policies hashes millions of sets.
impl Hash for PortSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for (protocol, (first, last)) in &self.ranges {
            state.write_u64(u64::from(protocol.0) << 32 | u64::from(*first) << 16 | u64::from(*last));
        }
        state.write_usize(self.ranges.len());
    }
}

impl fmt::Display for PortSet {
    /// As grants write it: `*`, `22,80`, `tcp:443, udp:53`, `icmp`. Protocols are left out where the default ones are
    /// open on the same ports.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pings = [Protocol::ICMP, Protocol::ICMP_V6]
            .iter()
            .all(|protocol| self.ranges(*protocol).next().is_some());
        let is_default = pings && self.is_alike();
        let mut parts = Vec::new();
        if is_default {
            parts.push(written(self.ranges(Protocol::TCP)));
        }
        for protocol in self.protocols() {
            match protocol {
                _ if is_default && Protocol::DEFAULT.contains(&protocol) => {}
                protocol if protocol.has_ports() => {
                    parts.push(format!("{protocol}:{}", written(self.ranges(protocol))));
                }
                protocol => parts.push(protocol.to_string()),
            }
        }
        f.write_str(&parts.join(", "))
    }
}

/// Ranges with commas between them.
fn written(ranges: impl Iterator<Item = PortRange>) -> String {
    let range = |(first, last)| match (first, last) {
        ALL_PORTS => "*".to_owned(),
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    ranges.map(range).collect::<Vec<_>>().join(",")
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
        let rest = default("*").without(&default("22"));
        assert_eq!(rest.ranges(Protocol::TCP).collect::<Vec<_>>(), [(0, 21), (23, 65535)]);
    }

    #[test]
    fn pings_are_no_gain_where_ports_open_or_were_open() {
        let ping = PortSet::new(&[Protocol::ICMP, Protocol::ICMP_V6], &[ALL_PORTS]);
        assert_eq!(default("22").gained_over(&PortSet::default()).brief(), "22");
        assert_eq!(default("22,80").gained_over(&default("80")).brief(), "22");
        assert_eq!(ping.gained_over(&PortSet::default()).brief(), "icmp, ipv6-icmp");
        assert!(ping.gained_over(&PortSet::new(&[Protocol::TCP], &[(22, 22)])).is_empty());
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
