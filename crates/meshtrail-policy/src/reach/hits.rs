//! Which rules match a target, or a source, and who is at the other end.

use std::collections::HashMap;
use std::sync::Arc;

use super::rows::{Open, Pair, SourceKey, Sum, TargetKey};
use super::{Reach, ReachSource};
use crate::address::AddressSet;
use crate::compile::{CompiledAccess, DestinationId, Families, Policy, SourceId, families_of};
use crate::mesh::{DeviceRef, PersonRef};
use crate::ports::PortSet;

/// A rule that opens ports on a target, before it is asked for whom.
pub(super) struct Hit {
    rule: usize,
    target: TargetKey,
    /// Families of the target's addresses that the rule names.
    families: Families,
    ports: Arc<PortSet>,
    /// The person whose devices alone the rule is for.
    own: Option<PersonRef>,
    open: Vec<Open>,
}

impl Policy {
    /// The rules that open ports on a device. Rules with `via` open networks only (captured).
    pub(super) fn hits_on_device(&self, device: DeviceRef) -> Vec<Hit> {
        let matches: Vec<_> = (0..).map(DestinationId).take(self.destinations().len()).collect();
        let matches: Vec<_> = matches.into_iter().map(|id| self.match_device(id, device)).collect();
        let mut hits = Vec::new();
        for (rule, compiled) in self.access.iter().enumerate().filter(|(_, rule)| rule.via.is_empty()) {
            for (id, ports) in compiled.destinations.iter().filter(|(_, ports)| !ports.is_empty()) {
                let Some((families, own, mut open)) = matches[id.0 as usize].clone() else { continue };
                open.extend(self.rule_conditions(rule));
                open.extend(self.has_conditions(device, true).then_some(Open::TargetDevice));
                hits.push(Hit {
                    rule,
                    target: TargetKey::Device(device),
                    families,
                    ports: Arc::clone(ports),
                    own,
                    open,
                });
            }
        }
        hits
    }

    /// How a destination names a device: families, whose devices alone it is for, and conditions.
    pub(crate) fn match_device(
        &self,
        id: DestinationId,
        device: DeviceRef,
    ) -> Option<(Families, Option<PersonRef>, Vec<Open>)> {
        let set = self.destination(id);
        let described = self.mesh.device(device);
        if let Some(families) = set.devices.families(device) {
            return Some((families, None, Vec::new()));
        }
        if let Some(families) = set.unsure.families(device) {
            return Some((families, None, vec![Open::TargetMembership(id)]));
        }
        if set.own_devices {
            let owner = self.mesh.owner(device)?;
            return Some((families_of(described), Some(owner), Vec::new()));
        }
        // Only tagged devices can host a service.
        (set.unknown && described.is_tagged()).then(|| (Families::BOTH, None, vec![Open::Service(id)]))
    }

    /// The rules that open ports on addresses of a network, through one router or any.
    pub(super) fn hits_on_network(&self, addresses: &AddressSet, router: Option<DeviceRef>) -> Vec<Hit> {
        let mut hits = Vec::new();
        for (rule, compiled) in self.access.iter().enumerate() {
            for (id, ports) in compiled.destinations.iter().filter(|(_, ports)| !ports.is_empty()) {
                let named = self.destination(*id).networks.intersection(addresses);
                for (target, mut open) in self.network_targets(rule, *id, &named, router) {
                    let families = families_in(&named);
                    open.extend(self.rule_conditions(rule));
                    hits.push(Hit { rule, target, families, ports: Arc::clone(ports), own: None, open });
                }
            }
        }
        hits
    }

    /// What a rule opens of a network: the parts that routers serve, each with the conditions of its route; a part that no
    /// router serves, with that as a condition.
    fn network_targets(
        &self,
        rule: usize,
        id: DestinationId,
        named: &AddressSet,
        router: Option<DeviceRef>,
    ) -> Vec<(TargetKey, Vec<Open>)> {
        let mut targets = Vec::new();
        if named.is_empty() {
            return targets;
        }
        let compiled = &self.access[rule];
        for (at, route) in self.mesh.index().routes.iter().enumerate() {
            let is_asked = router.is_none_or(|router| router == route.router);
            if !is_asked || !self.lets_through(&compiled.via, route.router) {
                continue;
            }
            let served = route.addresses.intersection(named);
            if !served.is_empty() {
                let open = (!route.in_force).then_some(Open::Route(at)).into_iter().collect();
                targets.push((TargetKey::Network(Arc::new((served, Some(route.router)))), open));
            }
        }
        if targets.is_empty() && router.is_none() {
            let open = vec![Open::Router(rule, id)];
            targets.push((TargetKey::Network(Arc::new((named.clone(), None))), open));
        }
        targets
    }

    /// Whether a rule with this `via` goes through the router: any, or one with a tag that it names.
    pub(crate) fn lets_through(&self, via: &[String], router: DeviceRef) -> bool {
        let tags = &self.mesh.device(router).tags;
        via.is_empty() || via.iter().any(|tag| tags.contains(tag))
    }

    pub(crate) fn rule_conditions(&self, rule: usize) -> impl Iterator<Item = Open> + use<> {
        (!self.access[rule].unknown.is_empty()).then_some(Open::UnknownMembers(rule)).into_iter()
    }

    /// Whether a device has conditions of its own.
    pub(crate) fn has_conditions(&self, device: DeviceRef, as_target: bool) -> bool {
        let device = self.mesh.device(device);
        device.hindrance.is_some() || (as_target && (device.blocks_incoming || device.external))
    }

    /// Everybody at the other end of the hits.
    pub(super) fn rows_of_hits(&self, hits: &[Hit], limit: usize) -> Reach {
        let mut sum = Sum::default();
        // The networks that other routers than the target serve: what is behind it needs no mesh to reach it.
        let mut elsewhere = HashMap::new();
        for hit in hits {
            let router = hit.target.router();
            let networks = elsewhere.entry(router).or_insert_with(|| self.mesh.index().subnets_but(router));
            for source in &self.access[hit.rule].sources {
                self.add_devices(hit, *source, &mut sum);
                self.add_others(hit, *source, networks, &mut sum);
            }
        }
        self.rows(&sum, limit)
    }

    fn add_devices(&self, hit: &Hit, id: SourceId, sum: &mut Sum) {
        let set = self.source(id);
        let unsure = set.unsure.iter().map(|(device, families)| (device, families, true));
        let sure = set.devices.iter().map(|(device, families)| (device, families, false));
        for (device, families, is_unsure) in sure.chain(unsure) {
            let is_other_person = hit.own.is_some() && self.mesh.owner(device) != hit.own;
            if is_other_person || !families.meet(hit.families) || hit.target.router() == Some(device) {
                continue;
            }
            let Some(mut open) = self.source_conditions(hit.rule, device) else { continue };
            open.extend(is_unsure.then_some(Open::SourceMembership(id)));
            open.extend(&hit.open);
            sum.add((SourceKey::Device(device), hit.target.clone()), &hit.ports, hit.rule, open);
        }
    }

    /// The conditions of a source device: its posture and its own; `None` if its posture is known to fail.
    pub(crate) fn source_conditions(&self, rule: usize, device: DeviceRef) -> Option<Vec<Open>> {
        let mut open = Vec::new();
        match self.posture_state(&self.access[rule].postures, device) {
            Some(true) => {}
            Some(false) => return None,
            None => open.push(Open::Posture(rule)),
        }
        open.extend(self.has_conditions(device, false).then_some(Open::SourceDevice));
        Some(open)
    }

    /// Networks, people from outside and any address: their posture is not asked for (Tailscale's manual).
    fn add_others(&self, hit: &Hit, id: SourceId, elsewhere: &AddressSet, sum: &mut Sum) {
        if hit.own.is_some() {
            return;
        }
        let set = self.source(id);
        let mut add = |source: ReachSource, open: Vec<Open>| {
            let pair = (SourceKey::Other(Arc::new(source)), hit.target.clone());
            sum.add(pair, &hit.ports, hit.rule, open);
        };
        let networks = set.networks.intersection(elsewhere);
        if !networks.is_empty() && families_in(&networks).meet(hit.families) {
            add(ReachSource::Network(networks), hit.open.clone());
        }
        for guest in &set.guests {
            let open = hit.open.iter().copied().chain([Open::Guest]).collect();
            add(ReachSource::Guest(*guest), open);
        }
        if set.anyone {
            add(ReachSource::Anyone, hit.open.clone());
        }
    }

    /// What a device can reach.
    pub(super) fn rows_from(&self, source: DeviceRef, limit: usize) -> Reach {
        let mut sum = Sum::default();
        for (rule, compiled) in self.access.iter().enumerate() {
            let Some((families, membership)) = self.match_source(compiled, source) else { continue };
            let Some(mut open) = self.source_conditions(rule, source) else { continue };
            open.extend(membership);
            open.extend(self.rule_conditions(rule));
            let origin = Origin { device: source, families, open };
            for (id, ports) in compiled.destinations.iter().filter(|(_, ports)| !ports.is_empty()) {
                self.add_target_devices(&origin, rule, *id, ports, &mut sum);
                self.add_target_networks(&origin, rule, *id, ports, &mut sum);
            }
        }
        self.rows(&sum, limit)
    }

    /// How a rule names a device as a source: families, and a condition if it is not sure.
    pub(crate) fn match_source(
        &self,
        rule: &CompiledAccess,
        device: DeviceRef,
    ) -> Option<(Families, Option<Open>)> {
        let certain = rule.sources.iter().filter_map(|id| self.source(*id).devices.families(device));
        if let Some(families) = certain.reduce(Families::union) {
            return Some((families, None));
        }
        let unsure = |id: &SourceId| {
            Some((self.source(*id).unsure.families(device)?, Some(Open::SourceMembership(*id))))
        };
        rule.sources.iter().find_map(unsure)
    }

    fn add_target_devices(
        &self,
        origin: &Origin,
        rule: usize,
        id: DestinationId,
        ports: &Arc<PortSet>,
        sum: &mut Sum,
    ) {
        if !self.access[rule].via.is_empty() {
            return;
        }
        let set = self.destination(id);
        let own = self.mesh.owner(origin.device).filter(|_| set.own_devices);
        let own = own.into_iter().flat_map(|person| self.mesh.devices_of(person));
        let own = own.map(|device| (*device, families_of(self.mesh.device(*device)), false));
        let sure = set.devices.iter().map(|(device, families)| (device, families, false));
        let unsure = set.unsure.iter().map(|(device, families)| (device, families, true));
        for (device, families, is_unsure) in sure.chain(unsure).chain(own) {
            if device != origin.device && origin.families.meet(families) {
                let membership = is_unsure.then_some(Open::TargetMembership(id));
                let own = self.has_conditions(device, true).then_some(Open::TargetDevice);
                sum.add(
                    origin.to(TargetKey::Device(device)),
                    ports,
                    rule,
                    origin.open_with(membership.into_iter().chain(own)),
                );
            }
        }
    }

    fn add_target_networks(
        &self,
        origin: &Origin,
        rule: usize,
        id: DestinationId,
        ports: &Arc<PortSet>,
        sum: &mut Sum,
    ) {
        let set = self.destination(id);
        // What no router serves is of no interest where the destination names devices, or everything.
        let is_about_networks = !self.access[rule].via.is_empty() || set.devices.is_empty();
        for (target, more) in self.network_targets(rule, id, &set.networks, None) {
            let TargetKey::Network(network) = &target else { continue };
            let (addresses, router) = &**network;
            let is_elsewhere = *router != Some(origin.device) && families_in(addresses).meet(origin.families);
            if is_elsewhere && (router.is_some() || is_about_networks) {
                sum.add(origin.to(target), ports, rule, origin.open_with(more));
            }
        }
    }
}

/// A device that a rule names as a source, with the conditions of the rule.
struct Origin {
    device: DeviceRef,
    families: Families,
    open: Vec<Open>,
}

impl Origin {
    fn to(&self, target: TargetKey) -> Pair {
        (SourceKey::Device(self.device), target)
    }

    fn open_with(&self, more: impl IntoIterator<Item = Open>) -> Vec<Open> {
        self.open.iter().copied().chain(more).collect()
    }
}

impl TargetKey {
    /// The target itself, or the router of the network.
    fn router(&self) -> Option<DeviceRef> {
        match self {
            Self::Device(target) => Some(*target),
            Self::Network(network) => network.1,
        }
    }
}

/// The families of the addresses.
fn families_in(addresses: &AddressSet) -> Families {
    let families = addresses.ranges().iter().map(|(first, _)| Families::of(*first));
    families.reduce(Families::union).unwrap_or(Families::BOTH)
}
