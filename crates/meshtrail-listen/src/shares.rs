//! Shares: which part of what all peers use one peer may have.
//!
//! - [`Peer`]: whom something is counted for. Before anybody is known that is an address, afterwards an identity.
//! - [`Shares`]: how large a peer's part is: the same for each, unless its name says otherwise.
//! - A peer's part is never less than one place.
//!
//! What is shared is not known here: see [`crate::Places`] and [`crate::SharedRoom`].

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// Bits of an IPv6 address that one peer is counted by: what a network gives to one machine.
const IPV6_BITS: u8 = 64;

/// Whom something is counted for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Peer {
    /// Whoever comes from an address. Of IPv6 the first 64 bits count, but in a tailnet, where all of it belongs to
    /// one device.
    Address(IpAddr),
    /// Somebody who is known: a device of the mesh, a person, a token.
    Known(Arc<Identity>),
}

/// Somebody who is known. Equal by the key alone.
#[derive(Debug, Clone)]
pub struct Identity {
    key: String,
    names: Vec<String>,
}

impl Identity {
    /// Whoever `key` belongs to, who is also called by `names`.
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
    /// Whoever comes from this address.
    pub fn at(address: SocketAddr) -> Self {
        Self::of(address.ip())
    }

    /// Whoever comes from this address.
    pub fn of(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) if !is_in_tailnet(address) => masked(address.into(), IPV6_BITS),
            address => address,
        })
    }

    /// Whoever this identity is.
    pub fn known(identity: Identity) -> Self {
        Self::Known(Arc::new(identity))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(address)) if !is_in_tailnet(*address) => {
                write!(f, "{address}/{IPV6_BITS}")
            }
            Self::Address(address) => address.fmt(f),
            Self::Known(identity) => f.write_str(identity.names.first().unwrap_or(&identity.key)),
        }
    }
}

/// All devices of a tailnet have addresses of one such network, so that its first bits tell nobody apart.
fn is_in_tailnet(address: Ipv6Addr) -> bool {
    address.segments()[..3] == [0xfd7a, 0x115c, 0xa1e0]
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
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

/// A part of a whole, more than nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    thousandths: u32,
}

impl Share {
    /// What a peer has unless something else is said.
    pub const EIGHTH: Share = Share { thousandths: 125 };

    /// All of it.
    pub const ALL: Share = Share { thousandths: 1000 };

    /// So many thousandths, from 1 to 1000.
    pub fn thousandths(thousandths: u32) -> Option<Share> {
        (1..=1000).contains(&thousandths).then_some(Share { thousandths })
    }

    /// How much of `total` it is: at least one, where there is any.
    pub fn of(self, total: usize) -> usize {
        let part = (total as u128 * u128::from(self.thousandths)).div_ceil(1000);
        usize::try_from(part).unwrap_or(total).clamp(1, total.max(1))
    }
}

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    address: IpAddr,
    bits: u8,
}

impl Range {
    fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && masked(address, self.bits) == self.address
    }
}

/// How large each peer's part is; cheap to clone.
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
        Self::each(Share::EIGHTH)
    }
}

/// A text that names no peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write an address, a range such as 10.20.0.0/16, or a device's name, id or tag:NAME")]
pub struct BadPeerName;

impl Shares {
    /// This part for each peer.
    pub fn each(share: Share) -> Self {
        Self(Arc::new(Table { each: share, ranges: Vec::new(), names: BTreeMap::new() }))
    }

    /// Gives another part to the peers of this name: an address, a range of addresses of which each is a peer, or a
    /// name of somebody known.
    pub fn name(&mut self, name: &str, share: Share) -> Result<(), BadPeerName> {
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

    /// The part of this peer; of several names that fit, the largest one counts.
    pub fn of(&self, peer: &Peer) -> Share {
        let named = match peer {
            Peer::Address(address) => {
                self.0.ranges.iter().find(|(range, _)| range.contains(*address)).map(|(_, share)| *share)
            }
            Peer::Known(identity) => {
                let names = std::iter::once(&identity.key).chain(&identity.names);
                names.filter_map(|name| self.0.names.get(&name.to_lowercase()).copied()).max()
            }
        };
        named.unwrap_or(self.0.each)
    }
}

/// The range that a text names; none where it is a name of another kind.
fn range(text: &str) -> Result<Option<Range>, BadPeerName> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| BadPeerName)?)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        // What looks like an address but is none would fit nobody, without a word.
        let is_number = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '/'));
        return if bits.is_some() || is_number { Err(BadPeerName) } else { Ok(None) };
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(most);
    if bits > most {
        return Err(BadPeerName);
    }
    let counted = match address {
        IpAddr::V6(address) if !is_in_tailnet(address) => bits.min(IPV6_BITS),
        _ => bits,
    };
    Ok(Some(Range { address: masked(address, counted), bits: counted }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        Peer::of(address.parse().unwrap())
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
            shares.name(name, thousandths(part)).unwrap();
        }
        let known = |key: &str, names: &[&str]| {
            Peer::known(Identity::new(key, names.iter().map(|name| (*name).to_owned())))
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
            assert_eq!(shares.name(wrong, Share::ALL), Err(BadPeerName), "{wrong:?}");
        }
    }
}
