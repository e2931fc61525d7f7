//! `tests`: connections that must be open or closed.

use std::net::IpAddr;

use crate::compile::{CompiledAccess, Families, Policy};
use crate::control_plane::ControlPlane;
use crate::directory::Attributes;
use crate::file::{AccessTest, Autogroup, Selector, split_ports};
use crate::mesh::DeviceRef;
use crate::ports::{self, Protocol};

/// One end of a connection: a device, or an address that is no device's.
#[derive(Debug, Clone, Copy)]
enum End {
    Device(DeviceRef),
    Address(IpAddr),
}

/// Where a test's connection leads.
struct Destination {
    ends: Vec<End>,
    port: u16,
}

impl Policy {
    pub(super) fn run_access_test(&self, test: &AccessTest) -> Vec<String> {
        if test.accept.is_empty() && test.deny.is_empty() {
            return vec!["a test has accept or deny".to_owned()];
        }
        let prepared =
            self.test_protocols(&test.protocol).and_then(|protocols| Ok((protocols, self.test_ends(test)?)));
        let (protocols, sources) = match prepared {
            Ok(prepared) => prepared,
            Err(reason) => return vec![reason],
        };
        let lists = [(&test.accept, true), (&test.deny, false)];
        let cases = lists.iter().flat_map(|(list, wanted)| list.iter().map(|text| (text, *wanted)));
        let mut failures = Vec::new();
        for (text, wanted) in cases {
            let opens = self.test_destination(text).map(|to| self.all_reach(test, &protocols, &sources, &to));
            match opens {
                Ok(opens) if opens == wanted => {}
                Ok(true) => failures.push(format!("{} reaches {text}", test.source)),
                Ok(false) => failures.push(format!("{} does not reach {text}", test.source)),
                Err(reason) => failures.push(format!("{text}: {reason}")),
            }
        }
        failures
    }

    /// The protocols of a test, of which one must be open: the one that it names, else TCP and UDP.
    fn test_protocols(&self, text: &str) -> Result<Vec<Protocol>, String> {
        if text.is_empty() {
            return Ok(vec![Protocol::TCP, Protocol::UDP]);
        }
        let protocol = ports::parse_protocol(text)?;
        let is_ping = protocol == Protocol::ICMP && self.plane != ControlPlane::Headscale;
        if protocol.has_ports() || is_ping {
            Ok(vec![protocol])
        } else {
            Err(format!("a test of {protocol} can't be"))
        }
    }

    fn test_ends(&self, test: &AccessTest) -> Result<Vec<End>, String> {
        let selector = self.test_selector(&test.source)?;
        let set = self.resolver().source(&selector);
        let mut ends: Vec<End> = set.devices.iter().map(|(device, _)| End::Device(device)).collect();
        if ends.is_empty()
            && let Selector::Addresses(addresses) = &selector
        {
            ends.extend(addresses.ranges().first().map(|(first, _)| End::Address(*first)));
        }
        if ends.is_empty() { Err(format!("nobody is in {}", test.source)) } else { Ok(ends) }
    }

    fn test_destination(&self, text: &str) -> Result<Destination, String> {
        let (name, ports) = split_ports(text)?;
        let port = match ports::parse_ports(ports) {
            Ok(ranges) => match ranges[..] {
                [(first, last)] if first == last => first,
                _ => return Err("a test is about one port".to_owned()),
            },
            Err(_) if ports == "0" => 0,
            Err(reason) => return Err(reason),
        };
        if name.contains('/') {
            return Err("a test is about a host, not a network".to_owned());
        }
        let selector = self.test_selector(&name)?;
        if let Selector::Autogroup(Autogroup::Internet | Autogroup::OwnDevices) = selector {
            return Err("a test can't lead there".to_owned());
        }
        let ends = self.destination_ends(&selector)?;
        if ends.is_empty() { Err("no device is there".to_owned()) } else { Ok(Destination { ends, port }) }
    }

    fn destination_ends(&self, selector: &Selector) -> Result<Vec<End>, String> {
        if let Selector::Addresses(addresses) = selector {
            let [(first, last)] = addresses.ranges() else {
                return Err("a test is about one host".to_owned());
            };
            if first != last {
                return Err("a test is about a host, not a network".to_owned());
            }
            return Ok(vec![End::Address(*first)]);
        }
        let set = self.resolver().destination(selector);
        Ok(set.devices.iter().map(|(device, _)| End::Device(device)).collect())
    }

    /// Whether each source reaches one of the destinations, by one of the protocols.
    fn all_reach(
        &self,
        test: &AccessTest,
        protocols: &[Protocol],
        sources: &[End],
        to: &Destination,
    ) -> bool {
        sources
            .iter()
            .all(|from| to.ends.iter().any(|end| self.end_reaches(test, protocols, *from, *end, to.port)))
    }

    fn end_reaches(&self, test: &AccessTest, protocols: &[Protocol], from: End, to: End, port: u16) -> bool {
        let opens = |rule: &&CompiledAccess| {
            rule.destinations.iter().any(|(id, ports)| {
                let is_open = protocols.iter().any(|protocol| ports.contains(*protocol, port));
                let target = self.destination(*id);
                let families = match to {
                    End::Device(device) => target.devices.families(device),
                    End::Address(address) => target.networks.contains(address).then(|| Families::of(address)),
                };
                is_open && families.is_some_and(|families| self.end_is_source(rule, from, families))
            })
        };
        let rules = self.access.iter().filter(|rule| rule.via.is_empty() && rule.unknown.is_empty());
        rules.filter(opens).any(|rule| self.end_has_posture(test, rule, from))
    }

    fn end_is_source(&self, rule: &CompiledAccess, from: End, families: Families) -> bool {
        rule.sources.iter().any(|id| {
            let set = self.source(*id);
            let own = match from {
                End::Device(device) => set.devices.families(device),
                End::Address(address) => set.networks.contains(address).then(|| Families::of(address)),
            };
            own.is_some_and(|own| own.meet(families))
        })
    }

    /// Whether the source has the posture of a rule: the one that the test gives it, or its own.
    fn end_has_posture(&self, test: &AccessTest, rule: &CompiledAccess, from: End) -> bool {
        match (&test.attributes, from) {
            (Some(values), _) => {
                let attributes = Attributes { values: values.clone(), complete: true };
                self.has_posture(&rule.postures, &attributes)
            }
            (None, End::Device(device)) => self.posture_state(&rule.postures, device) == Some(true),
            (None, End::Address(_)) => true,
        }
    }
}
