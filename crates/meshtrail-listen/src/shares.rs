//! Shares: the part of a limit that one peer may use.
//!
//! - [`Peer`]: what usage is counted by: an address, or an identity once it is known.
//! - [`Shares`]: the share of each peer: the same for all, unless it is configured for the peer.
//! - A peer's part is at least one.
//!
//! The limits themselves are [`crate::Slots`] and [`crate::SharedRoom`].

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// The prefix of an IPv6 address that counts as one peer: what a network assigns to one machine.
const IPV6_BITS: u8 = 64;

/// What usage is counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Peer {
    /// An address. For IPv6 the first 64 bits, except in a tailnet, where each address belongs to a device.
    Address(IpAddr),
    /// An identity: a device of the mesh, a person, a token.
    Identified(Arc<Identity>),
}

/// An identity, equal by its key alone.
#[derive(Debug, Clone)]
pub struct Identity {
    key: String,
    names: Vec<String>,
}

impl Identity {
    /// The identity with this key, which shares may also be configured for by one of `names`.
    pub fn new(key: impl Into<String>, names: impl IntoIterator<Item = String>) -> Self {
        Self { key: key.into(), names: names.into_iter().collect() }
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Identity {}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl Peer {
    /// The peer at this address; its port does not matter.
    pub fn from_socket(address: SocketAddr) -> Self {
        Self::from_ip(address.ip())
    }

    /// The peer at this address.
    pub fn from_ip(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) if !is_tailnet_address(address) => mask(address.into(), IPV6_BITS),
            address => address,
        })
    }

    /// The peer with this identity.
    pub fn from_identity(identity: Identity) -> Self {
        Self::Identified(Arc::new(identity))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(address)) if !is_tailnet_address(*address) => {
                write!(f, "{address}/{IPV6_BITS}")
            }
            Self::Address(address) => address.fmt(f),
            Self::Identified(identity) => f.write_str(identity.names.first().unwrap_or(&identity.key)),
        }
    }
}

/// Whether the address is in Tailscale's IPv6 range, whose prefix is the same for all devices of a tailnet.
fn is_tailnet_address(address: Ipv6Addr) -> bool {
    address.segments()[..3] == [0xfd7a, 0x115c, 0xa1e0]
}

fn mask(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            IpAddr::V4((u32::from(address) & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            IpAddr::V6((u128::from(address) & mask).into())
        }
    }
}

/// A part of a total, greater than zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    thousandths: u32,
}

impl Share {
    /// The default share.
    pub const EIGHTH: Share = Share { thousandths: 125 };

    /// The whole total.
    pub const ALL: Share = Share { thousandths: 1000 };

    /// A share of 1 to 1000 thousandths.
    pub fn thousandths(thousandths: u32) -> Option<Share> {
        (1..=1000).contains(&thousandths).then_some(Share { thousandths })
    }

    /// The part of `total`, at least one.
    pub fn of(self, total: usize) -> usize {
        let part = (total as u128 * u128::from(self.thousandths)).div_ceil(1000);
        usize::try_from(part).unwrap_or(total).clamp(1, total.max(1))
    }
}

/// A range of addresses with the same prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    address: IpAddr,
    bits: u8,
}

impl Range {
    fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && mask(address, self.bits) == self.address
    }
}

/// The shares of all peers; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares(Arc<Table>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Table {
    each: Share,
    /// The most specific first.
    ranges: Vec<(Range, Share)>,
    names: BTreeMap<String, Share>,
}

impl Default for Shares {
    fn default() -> Self {
        Self::uniform(Share::EIGHTH)
    }
}

/// A text that does not name a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write an address, a range such as 10.20.0.0/16, or a device's name, id or tag:NAME")]
pub struct BadPeerName;

impl Shares {
    /// The same share for every peer.
    pub fn uniform(share: Share) -> Self {
        Self(Arc::new(Table { each: share, ranges: Vec::new(), names: BTreeMap::new() }))
    }

    /// Sets the share of the peers with this name: an address, a range of addresses (each of them a peer), or the key or a
    /// name of an identity.
    pub fn set(&mut self, name: &str, share: Share) -> Result<(), BadPeerName> {
        let table = Arc::make_mut(&mut self.0);
        if let Some(range) = range(name)? {
            table.ranges.retain(|(known, _)| *known != range);
            table.ranges.push((range, share));
            table.ranges.sort_by_key(|(range, _)| std::cmp::Reverse(range.bits));
            return Ok(());
        }
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '/') {
            return Err(BadPeerName);
        }
        table.names.insert(name.to_lowercase(), share);
        Ok(())
    }

    /// The share of this peer; the largest one if several of its names have shares.
    pub fn of(&self, peer: &Peer) -> Share {
        let named = match peer {
            Peer::Address(address) => {
                self.0.ranges.iter().find(|(range, _)| range.contains(*address)).map(|(_, share)| *share)
            }
            Peer::Identified(identity) => {
                let names = std::iter::once(&identity.key).chain(&identity.names);
                names.filter_map(|name| self.0.names.get(&name.to_lowercase()).copied()).max()
            }
        };
        named.unwrap_or(self.0.each)
    }
}

/// Parses a range of addresses; none if the text is another kind of name.
fn range(text: &str) -> Result<Option<Range>, BadPeerName> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| BadPeerName)?)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        // A mistyped address must be an error: as a name it would silently match nobody.
        let is_number = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '/'));
        return if bits.is_some() || is_number { Err(BadPeerName) } else { Ok(None) };
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(most);
    if bits > most {
        return Err(BadPeerName);
    }
    let counted = match address {
        IpAddr::V6(address) if !is_tailnet_address(address) => bits.min(IPV6_BITS),
        _ => bits,
    };
    Ok(Some(Range { address: mask(address, counted), bits: counted }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        Peer::from_ip(address.parse().unwrap())
    }

    #[test]
    fn a_machine_is_one_peer_whichever_of_its_addresses_it_uses() {
        assert_eq!(peer("::ffff:10.0.0.7"), peer("10.0.0.7"));
        assert_ne!(peer("10.0.0.8"), peer("10.0.0.7"));
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:2"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_ne!(peer("fd7a:115c:a1e0::1"), peer("fd7a:115c:a1e0::2"), "two devices of a tailnet");
        assert_eq!(peer("2001:db8::1").to_string(), "2001:db8::/64");
    }

    #[test]
    fn a_share_is_a_part_of_the_whole_and_never_nothing() {
        let share = |thousandths, total| Share::thousandths(thousandths).unwrap().of(total);
        assert_eq!((share(125, 20_000), share(125, 2048), share(1000, 7)), (2500, 256, 7));
        assert_eq!((share(1, 8), share(125, 1)), (1, 1));
        assert_eq!((Share::thousandths(0), Share::thousandths(1001)), (None, None));
    }

    #[test]
    fn a_share_is_raised_by_address_range_and_name() {
        let thousandths = |part| Share::thousandths(part).unwrap();
        let mut shares = Shares::default();
        for (name, part) in [
            ("10.0.0.0/8", 200),
            ("10.1.0.0/16", 300),
            ("10.1.0.7", 400),
            ("2001:db8::7", 500),
            ("jump.tail.example", 600),
            ("tag:ci", 700),
        ] {
            shares.set(name, thousandths(part)).unwrap();
        }
        let known = |key: &str, names: &[&str]| {
            Peer::from_identity(Identity::new(key, names.iter().map(|name| (*name).to_owned())))
        };
        for (peer, part) in [
            (peer("192.0.2.1"), 125),
            (peer("10.9.9.9"), 200),
            (peer("10.1.2.3"), 300),
            (peer("10.1.0.7"), 400),
            (peer("2001:db8::8"), 500),
            (known("n7", &["Jump.tail.example"]), 600),
            (known("n8", &["jump.tail.example", "tag:ci"]), 700),
            (known("n9", &["web.tail.example"]), 125),
        ] {
            assert_eq!(shares.of(&peer), thousandths(part), "{peer}");
        }
        for wrong in ["", "10.0.0.300", "10.0.0.0/33", "10.0.0.0/x", "host/8", "two words"] {
            assert_eq!(shares.set(wrong, Share::ALL), Err(BadPeerName), "{wrong:?}");
        }
    }
}
