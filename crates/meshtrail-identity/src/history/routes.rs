//! Subnet routes over time: the devices whose enabled route covers an address, the narrowest subnet first.
//!
//! The routes of exit nodes cover all of IPv4 or IPv6, identify nobody, and are not stored.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use meshtrail_event::Timestamp;

use super::holders::{Holders, RecordIndex};

/// A subnet, its host bits zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// The subnet of `length` bits that `address` is in.
    fn of(address: IpAddr, length: u8) -> Prefix {
        let address = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                Ipv4Addr::from_bits(v4.to_bits() & mask).into()
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                Ipv6Addr::from_bits(v6.to_bits() & mask).into()
            }
        };
        Prefix { address, length }
    }

    /// Parses `10.40.0.0/16`; none if it is not a subnet, or has length 0.
    pub(super) fn parse(text: &str) -> Option<Prefix> {
        let (address, length) = text.split_once('/')?;
        let (address, length): (IpAddr, u8) = (address.parse().ok()?, length.parse().ok()?);
        let most = if address.is_ipv4() { 32 } else { 128 };
        (1..=most).contains(&length).then(|| Prefix::of(address, length))
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// The routers of each subnet, over time.
#[derive(Default)]
pub(super) struct Routes {
    by_prefix: HashMap<Prefix, Holders>,
    /// The prefix lengths in use, for IPv4 and for IPv6.
    lengths: [BTreeSet<u8>; 2],
}

impl Routes {
    pub(super) fn set(
        &mut self,
        prefix: Prefix,
        place: RecordIndex,
        span: (Timestamp, Timestamp),
        held: bool,
    ) {
        self.lengths[usize::from(prefix.address.is_ipv6())].insert(prefix.length);
        self.by_prefix.entry(prefix).or_default().set(place, span.0, span.1, held);
    }

    /// The narrowest subnet that covers `address` at `time`, and its routers.
    pub(super) fn covering(&self, address: IpAddr, time: Timestamp) -> Option<(Prefix, &[RecordIndex])> {
        let lengths = &self.lengths[usize::from(address.is_ipv6())];
        lengths.iter().rev().find_map(|&length| {
            let prefix = Prefix::of(address, length);
            let holders = self.by_prefix.get(&prefix)?.at(time);
            (!holders.is_empty()).then_some((prefix, holders))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_enabled_route_covers_an_address_and_an_exit_node_covers_none() {
        let always = (Timestamp::default(), Timestamp::from_nanos(i64::MAX));
        let mut routes = Routes::default();
        for (place, text) in [(1, "10.40.0.0/16"), (2, "10.40.9.7/24"), (3, "fd00:1::/48")] {
            routes.set(Prefix::parse(text).unwrap(), place, always, true);
        }
        assert_eq!(Prefix::parse("0.0.0.0/0"), None);
        let covering = |address: &str| {
            let found = routes.covering(address.parse().unwrap(), Timestamp::from_nanos(5));
            found.map(|(prefix, who)| (prefix.to_string(), who.to_vec()))
        };
        assert_eq!(covering("10.40.1.1"), Some(("10.40.0.0/16".to_owned(), vec![1])));
        assert_eq!(covering("10.40.9.1"), Some(("10.40.9.0/24".to_owned(), vec![2])));
        assert_eq!(covering("fd00:1::5"), Some(("fd00:1::/48".to_owned(), vec![3])));
        assert_eq!(covering("192.0.2.1"), None);
    }
}
