//! Addresses in a filter: an address, one with a port, a network, or a pattern.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::pattern::Pattern;

/// A value of the `address` field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AddressValue {
    /// One address, at any port.
    One(IpAddr),
    /// One address and port.
    Port(SocketAddr),
    /// A network: an address and the length of its prefix.
    Net(IpAddr, u8),
    /// A text with `*`.
    Wild(Pattern),
}

impl AddressValue {
    pub(crate) fn parse(pattern: &Pattern) -> Option<AddressValue> {
        if pattern.is_wild() {
            return Some(AddressValue::Wild(pattern.clone()));
        }
        let text = pattern.text();
        if let Some((address, bits)) = text.split_once('/') {
            let (address, bits): (IpAddr, u8) = (address.parse().ok()?, bits.parse().ok()?);
            let width = if address.is_ipv4() { 32 } else { 128 };
            return (bits <= width).then_some(AddressValue::Net(address, bits));
        }
        let one = text.parse().map(|address: IpAddr| AddressValue::One(address.to_canonical()));
        one.or_else(|_| text.parse().map(AddressValue::Port)).ok()
    }

    /// Whether an event's address, with or without a port, matches.
    pub(crate) fn fits(&self, value: &str) -> bool {
        if let AddressValue::Wild(pattern) = self {
            let bare = split(value).map(|(address, _)| address.to_string());
            return pattern.fits(value) || bare.is_some_and(|bare| pattern.fits(&bare));
        }
        let Some((address, port)) = split(value) else { return false };
        match self {
            AddressValue::One(one) => *one == address,
            AddressValue::Port(one) => (one.ip().to_canonical(), Some(one.port())) == (address, port),
            AddressValue::Net(net, bits) => shares(*net, address, *bits),
            AddressValue::Wild(_) => false,
        }
    }
}

fn split(value: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(address) = value.parse::<IpAddr>() {
        return Some((address.to_canonical(), None));
    }
    let with_port: SocketAddr = value.parse().ok()?;
    Some((with_port.ip().to_canonical(), Some(with_port.port())))
}

fn shares(net: IpAddr, address: IpAddr, bits: u8) -> bool {
    let differ = match (net, address) {
        (IpAddr::V4(net), IpAddr::V4(address)) => u128::from(net.to_bits() ^ address.to_bits()) << 96,
        (IpAddr::V6(net), IpAddr::V6(address)) => net.to_bits() ^ address.to_bits(),
        _ => return false,
    };
    differ.leading_zeros() >= u32::from(bits)
}

impl fmt::Display for AddressValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressValue::One(address) => write!(f, "{address}"),
            AddressValue::Port(address) => write!(f, "{address}"),
            AddressValue::Net(address, bits) => write!(f, "{address}/{bits}"),
            AddressValue::Wild(pattern) => write!(f, "{pattern}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(filter: &str, value: &str) -> bool {
        AddressValue::parse(&Pattern::bare(filter)).unwrap().fits(value)
    }

    #[test]
    fn an_address_is_found_with_any_port_or_the_one_given() {
        assert!(fits("100.64.0.7", "100.64.0.7:51000") && fits("100.64.0.7", "100.64.0.7"));
        assert!(fits("100.64.0.7:22", "100.64.0.7:22") && !fits("100.64.0.7:22", "100.64.0.7:23"));
        assert!(fits("fd7a::7", "[fd7a:0::7]:22") && fits("100.64.0.7", "[::ffff:100.64.0.7]:22"));
        assert!(
            fits("*:22", "100.64.0.7:22")
                && fits("100.64.*", "100.64.0.7:22")
                && !fits("100.65.*", "100.64.0.7:22")
        );
    }

    #[test]
    fn a_network_holds_the_addresses_that_share_its_bits() {
        assert!(fits("100.64.0.0/10", "100.127.0.1:1") && !fits("100.64.0.0/10", "100.128.0.1"));
        assert!(fits("fd7a:115c:a1e0::/48", "fd7a:115c:a1e0:1::1") && fits("0.0.0.0/0", "1.2.3.4"));
        assert!(!fits("::/0", "1.2.3.4") && !fits("0.0.0.0/0", "::1") && !fits("100.64.0.7", "nonsense"));
        assert_eq!(AddressValue::parse(&Pattern::bare("10.0.0.0/33")), None);
    }
}
