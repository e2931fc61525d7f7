//! Which app capabilities a peer has towards a target, with their parameters.
//!
//! - Capabilities of all rules that match add up, parameters in the order of the rules.
//! - What can't be evaluated is a condition that is not met: such a capability is not granted, and named apart.
//! - Granting a capability opens no port: whether the peer reaches the target is told beside it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::compile::{CompiledAccess, Families, Policy};
use crate::file::RuleSite;
use crate::mesh::DeviceRef;
use crate::ports::PortSet;
use crate::reach::{Open, Pair, ReachCondition, SourceKey, TargetKey};

/// The capabilities of a peer towards a target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Capabilities {
    /// What is granted, by name.
    pub granted: BTreeMap<String, Granted>,
    /// What would be granted under conditions that nobody can evaluate.
    pub open: Vec<OpenCapability>,
    /// The ports of the target that the peer reaches for certain.
    pub ports: PortSet,
}

/// A capability that is granted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Granted {
    /// The parameter objects of all rules, in order; empty of one that has none.
    pub parameters: Vec<Value>,
    /// The rules that grant it.
    pub rules: Vec<RuleSite>,
}

/// A capability that is not granted because of conditions that nobody can evaluate.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenCapability {
    /// Its name.
    pub name: String,
    /// The rule.
    pub rule: RuleSite,
    /// The conditions; never empty.
    pub conditions: Vec<ReachCondition>,
}

/// Capabilities that the control plane gives to a target towards the peers to which another one is granted (captured).
const COMPANIONS: [(&str, &str); 2] = [
    ("tailscale.com/cap/drive", "tailscale.com/cap/drive-sharer"),
    ("tailscale.com/cap/relay", "tailscale.com/cap/relay-target"),
];

impl Policy {
    /// The capabilities that the peer has towards the target.
    pub fn capabilities(&self, peer: DeviceRef, target: DeviceRef) -> Capabilities {
        let mut found = Capabilities { ports: self.ports_between(peer, target), ..Capabilities::default() };
        for (rule, compiled) in self.access.iter().enumerate().filter(|(_, rule)| !rule.app.is_empty()) {
            let app = compiled.app.iter().map(|(name, parameters)| (name.as_str(), parameters.as_slice()));
            self.grant(rule, (peer, target), app, &mut found);
            let has = |(name, _): &&(&str, &str)| compiled.app.contains_key(*name);
            let companions = COMPANIONS.iter().filter(has).map(|(_, companion)| (*companion, &[][..]));
            let mut companions = companions.peekable();
            if companions.peek().is_some() {
                self.grant(rule, (target, peer), companions, &mut found);
            }
        }
        found
    }

    /// Adds what a rule grants, if it matches the source and the destination.
    fn grant<'r>(
        &'r self,
        rule: usize,
        (source, destination): (DeviceRef, DeviceRef),
        app: impl Iterator<Item = (&'r str, &'r [Value])>,
        found: &mut Capabilities,
    ) {
        let compiled = &self.access[rule];
        let Some(open) = self.grant_conditions(rule, compiled, source, destination) else { return };
        let pair: Pair = (SourceKey::Device(source), TargetKey::Device(destination));
        let conditions: Vec<_> = open.into_iter().flat_map(|open| self.conditions(&pair, open)).collect();
        for (name, parameters) in app {
            if conditions.is_empty() {
                let granted = found.granted.entry(name.to_owned()).or_default();
                granted.parameters.extend_from_slice(parameters);
                granted.rules.push(compiled.site.clone());
            } else {
                found.open.push(OpenCapability {
                    name: name.to_owned(),
                    rule: compiled.site.clone(),
                    conditions: conditions.clone(),
                });
            }
        }
    }

    /// The open conditions of a rule that matches both devices; `None` if it does not match. What `via` means for
    /// capabilities is not known: it is a condition.
    fn grant_conditions(
        &self,
        rule: usize,
        compiled: &CompiledAccess,
        source: DeviceRef,
        destination: DeviceRef,
    ) -> Option<Vec<Open>> {
        let (families, membership) = self.match_source(compiled, source)?;
        let matches = |(id, _): &(_, _)| {
            let (target_families, own, open): (Families, _, Vec<Open>) =
                self.match_device(*id, destination)?;
            let is_own = own.is_none() || self.mesh.owner(source) == own;
            (is_own && families.meet(target_families)).then_some((*id, open))
        };
        // A destination that names the device for certain counts before one that may.
        let mut destinations: Vec<_> = compiled.destinations.iter().filter_map(matches).collect();
        destinations.sort_by_key(|(_, open)| open.len());
        let (id, target) = destinations.into_iter().next()?;
        let mut open = self.source_conditions(rule, source)?;
        open.extend(membership);
        open.extend(target);
        open.extend(self.rule_conditions(rule));
        open.extend((!compiled.via.is_empty()).then_some(Open::Router(rule, id)));
        open.extend(self.has_conditions(destination, true).then_some(Open::TargetDevice));
        Some(open)
    }
}
