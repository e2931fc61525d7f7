//! IP protocols, by number or name.

use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer};

/// An IANA number, written as a number or as one of the names that Tailscale's client accepts.
pub(super) struct Proto(pub(super) Option<u64>);

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

/// The number of a protocol, by name or decimal number (names: `types/ipproto/ipproto.go`).
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
