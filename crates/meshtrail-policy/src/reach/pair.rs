//! One connection: whether a device reaches a port of another.

use std::sync::Arc;

use super::rows::{Open, SourceKey, TargetKey};
use crate::compile::Policy;
use crate::login::PortAccess;
use crate::mesh::DeviceRef;
use crate::ports::{PortSet, Protocol};

impl Policy {
    /// Whether packets of one device reach a port of another, and by which rule.
    pub fn port_access(&self, from: DeviceRef, to: DeviceRef, protocol: Protocol, port: u16) -> PortAccess {
        let mut possible = None;
        for (rule, ports, open) in self.rules_between(from, to) {
            if !ports.contains(protocol, port) {
                continue;
            }
            if open.is_empty() {
                return PortAccess::Open(self.access[rule].site.clone());
            }
            possible.get_or_insert((rule, open));
        }
        let Some((rule, open)) = possible else { return PortAccess::Closed };
        let pair = (SourceKey::Device(from), TargetKey::Device(to));
        let conditions = open.into_iter().flat_map(|open| self.conditions(&pair, open));
        PortAccess::Could(
            self.access[rule].site.clone(),
            conditions.map(|condition| condition.to_string()).collect(),
        )
    }

    /// The ports that are open between two devices for certain.
    pub fn ports_between(&self, from: DeviceRef, to: DeviceRef) -> PortSet {
        let certain = self.rules_between(from, to).filter(|(_, _, open)| open.is_empty());
        certain.fold(PortSet::default(), |known, (_, ports, _)| known.union(ports))
    }

    /// The rules that match both devices, with the ports that each opens and its open conditions.
    fn rules_between(
        &self,
        from: DeviceRef,
        to: DeviceRef,
    ) -> impl Iterator<Item = (usize, &Arc<PortSet>, Vec<Open>)> {
        let rules = self.access.iter().enumerate().filter(|(_, rule)| rule.via.is_empty());
        let sources = rules.filter_map(move |(rule, compiled)| {
            let (families, membership) = self.match_source(compiled, from)?;
            let mut open = self.source_conditions(rule, from)?;
            open.extend(membership);
            Some((rule, compiled, families, open))
        });
        sources.flat_map(move |(rule, compiled, families, open)| {
            compiled.destinations.iter().filter_map(move |(id, ports)| {
                let (target_families, own, more) = self.match_device(*id, to)?;
                let is_own = own.is_none() || self.mesh.owner(from) == own;
                let mut open: Vec<Open> = open.iter().copied().chain(more).collect();
                open.extend(self.rule_conditions(rule));
                open.extend(self.has_conditions(to, true).then_some(Open::TargetDevice));
                (is_own && families.meet(target_families)).then_some((rule, ports, open))
            })
        })
    }
}
