//! Addresses: prefixes as routes and policies write them, and sets of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network: an address whose bits after the length are zero, and the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    first: IpAddr,
    length: u8,
}

/// Why a text is not a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// The part before the slash.
    #[error("it is not an IP address")]
    Address,
    /// The part after the slash.
    #[error("the prefix length is not a number from 0 to 32, or to 128 for IPv6")]
    Length,
}

impl Prefix {
    /// The network of `length` bits that contains the address; `None` if the length is too large for it.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let bits = bits_of(address);
        (length <= bits).then(|| Self { first: with_low_bits(address, bits - length, false), length })
    }

    /// The network of one address.
    pub fn host(address: IpAddr) -> Self {
        Self { first: address, length: bits_of(address) }
    }

    /// Its first and its last address.
    pub fn range(self) -> (IpAddr, IpAddr) {
        (self.first, with_low_bits(self.first, bits_of(self.first) - self.length, true))
    }

    /// Whether it is `0.0.0.0/0` or `::/0`, the route of an exit node.
    pub fn is_default_route(self) -> bool {
        self.length == 0
    }

    /// Whether it is a single address.
    pub fn is_host(self) -> bool {
        self.length == bits_of(self.first)
    }

    /// Whether the other network lies in this one, or is the same.
    pub fn contains(self, other: Self) -> bool {
        let ((first, last), (other_first, other_last)) = (self.range(), other.range());
        same_family(first, other_first) && first <= other_first && other_last <= last
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// Reads `10.0.0.0/8`, or an address as the network of it alone.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, length) =
            text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().map_err(|_| PrefixError::Address)?;
        let Some(length) = length else { return Ok(Self::host(address)) };
        let is_plain = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        let length = length.parse().ok().filter(|_| is_plain).ok_or(PrefixError::Length)?;
        Self::new(address, length).ok_or(PrefixError::Length)
    }
}

impl fmt::Display for Prefix {
    /// As the policy writes it; a single address without its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_host() { write!(f, "{}", self.first) } else { write!(f, "{}/{}", self.first, self.length) }
    }
}

fn bits_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn same_family(one: IpAddr, other: IpAddr) -> bool {
    one.is_ipv4() == other.is_ipv4()
}

/// The address with its last `count` bits all zero or all one.
fn with_low_bits(address: IpAddr, count: u8, ones: bool) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shr(32 - u32::from(count)).unwrap_or(0);
            let bits = address.to_bits();
            IpAddr::V4(Ipv4Addr::from_bits(if ones { bits | mask } else { bits & !mask }))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shr(128 - u32::from(count)).unwrap_or(0);
            let bits = address.to_bits();
            IpAddr::V6(Ipv6Addr::from_bits(if ones { bits | mask } else { bits & !mask }))
        }
    }
}

/// The next address of the same family.
pub(crate) fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => Some(IpAddr::V4(Ipv4Addr::from_bits(address.to_bits().checked_add(1)?))),
        IpAddr::V6(address) => Some(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits().checked_add(1)?))),
    }
}

/// The previous address of the same family.
pub(crate) fn before(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => Some(IpAddr::V4(Ipv4Addr::from_bits(address.to_bits().checked_sub(1)?))),
        IpAddr::V6(address) => Some(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits().checked_sub(1)?))),
    }
}

/// A set of addresses of both families, as ranges.
///
/// The ranges are in order, of one family each, and neither touch nor overlap, so that equal sets are equal values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct AddressSet {
    ranges: Vec<(IpAddr, IpAddr)>,
}

impl AddressSet {
    /// The set of these ranges, each from its first to its last address.
    pub fn from_ranges(ranges: impl IntoIterator<Item = (IpAddr, IpAddr)>) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().collect();
        ranges.sort_unstable();
        let mut joined: Vec<(IpAddr, IpAddr)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match joined.last_mut() {
                Some(previous) if first <= previous.1 || after(previous.1) == Some(first) => {
                    previous.1 = previous.1.max(last);
                }
                _ => joined.push((first, last)),
            }
        }
        Self { ranges: joined }
    }

    /// The set of the addresses of these networks.
    pub fn from_prefixes(prefixes: impl IntoIterator<Item = Prefix>) -> Self {
        Self::from_ranges(prefixes.into_iter().map(Prefix::range))
    }

    /// Its ranges, in order: IPv4 before IPv6.
    pub fn ranges(&self) -> &[(IpAddr, IpAddr)] {
        &self.ranges
    }

    /// Whether it has no address.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let at = self.ranges.partition_point(|(first, _)| *first <= address);
        at > 0 && address <= self.ranges[at - 1].1
    }

    /// Whether all addresses of the range are in it.
    pub fn covers(&self, (first, last): (IpAddr, IpAddr)) -> bool {
        let at = self.ranges.partition_point(|(start, _)| *start <= first);
        at > 0 && last <= self.ranges[at - 1].1
    }

    /// The addresses of either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::from_ranges(self.ranges.iter().chain(&other.ranges).copied())
    }

    /// The addresses of both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut at, mut other_at, mut common) = (0, 0, Vec::new());
        while let (Some(one), Some(two)) = (self.ranges.get(at), other.ranges.get(other_at)) {
            let (first, last) = (one.0.max(two.0), one.1.min(two.1));
            if first <= last {
                common.push((first, last));
            }
            if one.1 < two.1 { at += 1 } else { other_at += 1 }
        }
        Self { ranges: common }
    }

    /// The addresses that are not in the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut rest = Vec::new();
        for &(first, last) in &self.ranges {
            let mut start = Some(first);
            let from = other.ranges.partition_point(|(_, end)| *end < first);
            for &(cut_first, cut_last) in other.ranges[from..].iter().take_while(|(cut, _)| *cut <= last) {
                let Some(at) = start else { break };
                if at < cut_first {
                    rest.extend(before(cut_first).map(|end| (at, end)));
                }
                start = after(cut_last).filter(|next| *next <= last);
            }
            rest.extend(start.map(|at| (at, last)));
        }
        Self { ranges: rest }
    }
}

impl fmt::Display for AddressSet {
    /// Networks where a range is one, else `first-last`, with commas between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            match prefix_of(*first, *last) {
                Some(prefix) => write!(f, "{comma}{prefix}")?,
                None => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// The network that is exactly this range, if there is one.
fn prefix_of(first: IpAddr, last: IpAddr) -> Option<Prefix> {
    let low_bits = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => 32 - (first.to_bits() ^ last.to_bits()).leading_zeros(),
        (IpAddr::V6(first), IpAddr::V6(last)) => 128 - (first.to_bits() ^ last.to_bits()).leading_zeros(),
        _ => return None,
    };
    let length = bits_of(first) - u8::try_from(low_bits).ok()?;
    Prefix::new(first, length).filter(|prefix| prefix.range() == (first, last))
}

/// The addresses that `*` stands for as a source, besides approved subnet routes: Tailscale's IPv4 and IPv6 ranges
/// without 100.115.92.0/23, which Chrome OS uses for its own machines (Headscale's captures of Tailscale's filters).
pub(crate) fn mesh_addresses() -> AddressSet {
    let v4 = |a, b, c, d| IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    let v6 = |low| IpAddr::V6(Ipv6Addr::from_bits((0xfd7a_115c_a1e0_u128 << 80) | low));
    AddressSet::from_ranges([
        (v4(100, 64, 0, 0), v4(100, 115, 91, 255)),
        (v4(100, 115, 94, 0), v4(100, 127, 255, 255)),
        (v6(0), v6((1 << 80) - 1)),
    ])
}

/// The addresses that `autogroup:internet` stands for: all but private, shared, link-local and multicast ones.
pub(crate) fn internet() -> AddressSet {
    const NOT_PUBLIC: [&str; 8] = [
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "224.0.0.0/4",
        "240.0.0.0/4",
    ];
    let private = NOT_PUBLIC.iter().filter_map(|text| text.parse().ok());
    let all_v4: Option<Prefix> = Prefix::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let global_v6 = Prefix::new(IpAddr::V6(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0)), 3);
    AddressSet::from_prefixes(all_v4.into_iter().chain(global_v6))
        .without(&AddressSet::from_prefixes(private))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> AddressSet {
        AddressSet::from_prefixes(
            text.split(", ").filter(|part| !part.is_empty()).map(|part| part.parse().unwrap()),
        )
    }

    #[test]
    fn a_prefix_is_read_with_its_length_and_written_back_without_host_bits() {
        for (text, written) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("100.64.0.7", "100.64.0.7"),
            ("100.64.0.7/32", "100.64.0.7"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("fd7a:115c:a1e0::1/48", "fd7a:115c:a1e0::/48"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(text.parse::<Prefix>().unwrap().to_string(), written);
        }
        for text in ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "::/129", "10.0.0/8", "host"] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }

    #[test]
    fn sets_are_joined_cut_and_compared_by_their_addresses() {
        let net = set("10.40.0.0/16, fd00::/64");
        assert_eq!(set("10.0.0.0/9, 10.128.0.0/9"), set("10.0.0.0/8"));
        assert_eq!(
            net.without(&set("10.40.7.20")).to_string(),
            "10.40.0.0-10.40.7.19, 10.40.7.21-10.40.255.255, fd00::/64"
        );
        assert_eq!(net.without(&set("0.0.0.0/0, ::/0")), AddressSet::default());
        assert_eq!(net.intersection(&set("10.40.7.0/24, 10.41.0.0/16")), set("10.40.7.0/24"));
        assert_eq!(net.union(&set("10.41.0.0/16")), set("10.40.0.0/15, fd00::/64"));
        assert!(
            net.contains("10.40.255.255".parse().unwrap()) && !net.contains("10.41.0.0".parse().unwrap())
        );
        assert!(!set("::/0").contains("10.0.0.1".parse().unwrap()), "IPv6 networks hold no IPv4 addresses");
    }
}
