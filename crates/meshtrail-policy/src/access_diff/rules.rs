//! The rules of a policy in one form, whatever they open.

use std::sync::Arc;

use super::kinds::{CapabilityGrants, LoginTerms, Logins};
use crate::access::Access;
use crate::compile::{CompiledAccess, CompiledSsh, DestinationId, Policy, PostureId, SourceId};
use crate::file::{LocalUserPattern, RuleSite};
use crate::ports::PortSet;

/// A rule that can be evaluated.
#[derive(Debug)]
pub(super) struct Rule<'p, T> {
    pub(super) site: &'p RuleSite,
    pub(super) sources: &'p [SourceId],
    /// Postures of which one must hold.
    pub(super) postures: &'p [PostureId],
    /// Tags of the only routers.
    pub(super) via: &'p [String],
    pub(super) targets: Vec<(Target, Arc<T>)>,
}

/// Where a rule leads.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    Set(DestinationId),
    /// The source's own devices.
    Own,
}

impl Policy {
    fn target(&self, id: DestinationId) -> Target {
        if self.destination(id).own_devices { Target::Own } else { Target::Set(id) }
    }
}

/// What rules of `acls` and `grants` open.
pub(super) fn connections(policy: &Policy) -> Vec<Rule<'_, PortSet>> {
    let rules = policy.access.iter().filter(|rule| rule.unknown.is_empty());
    rules.map(|rule| connection_rule(rule, policy)).collect()
}

fn connection_rule<'p>(rule: &'p CompiledAccess, policy: &Policy) -> Rule<'p, PortSet> {
    let targets = rule.destinations.iter().filter(|(_, ports)| !ports.is_empty());
    let targets = targets.map(|(id, ports)| (policy.target(*id), Arc::clone(ports))).collect();
    let CompiledAccess { site, sources, postures, via, .. } = rule;
    Rule { site, sources, postures, via, targets }
}

/// Which app capabilities grants give. What `via` means for them is not known: such a grant gives none for certain.
pub(super) fn capabilities(policy: &Policy) -> Vec<Rule<'_, CapabilityGrants>> {
    let gives =
        |rule: &&CompiledAccess| rule.unknown.is_empty() && rule.via.is_empty() && !rule.app.is_empty();
    policy.access.iter().filter(gives).map(|rule| capability_rule(rule, policy)).collect()
}

fn capability_rule<'p>(rule: &'p CompiledAccess, policy: &Policy) -> Rule<'p, CapabilityGrants> {
    let parameters = rule.app.iter().flat_map(|(name, parameters)| {
        let texts: Vec<String> = parameters.iter().map(ToString::to_string).collect();
        let texts = if texts.is_empty() { vec![String::new()] } else { texts };
        texts.into_iter().map(move |text| (name.clone(), text))
    });
    let granted = Arc::new(CapabilityGrants(parameters.collect()));
    let targets =
        rule.destinations.iter().map(|(id, _)| (policy.target(*id), Arc::clone(&granted))).collect();
    let CompiledAccess { site, sources, postures, via, .. } = rule;
    Rule { site, sources, postures, via, targets }
}

/// As whom rules of `ssh` let people in.
pub(super) fn logins(policy: &Policy) -> Vec<Rule<'_, Logins>> {
    policy.ssh.iter().filter(|rule| rule.unknown.is_empty()).map(login_rule).collect()
}

fn login_rule(rule: &CompiledSsh) -> Rule<'_, Logins> {
    let terms = LoginTerms { checked: rule.check.is_some(), recorded: !rule.recorders.is_empty() };
    let opened = Arc::new(Logins(rule.users.iter().map(|user| (user.to_string(), terms)).collect()));
    // A rule with localpart lets people in to their own devices as well (captured).
    let has_localpart = rule.users.iter().any(|user| matches!(user, LocalUserPattern::Localpart(_)));
    let own = rule.own_devices || (has_localpart && !rule.destinations.is_empty());
    let targets = rule.destinations.iter().map(|id| Target::Set(*id)).chain(own.then_some(Target::Own));
    let targets = targets.map(|target| (target, Arc::clone(&opened))).collect();
    let CompiledSsh { site, sources, postures, .. } = rule;
    Rule { site, sources, postures, via: &[], targets }
}

impl<T: Access> Rule<'_, T> {
    /// The destination sets that it names.
    pub(super) fn sets(&self) -> impl Iterator<Item = DestinationId> {
        self.targets.iter().filter_map(|(target, _)| match target {
            Target::Set(id) => Some(*id),
            Target::Own => None,
        })
    }
}
