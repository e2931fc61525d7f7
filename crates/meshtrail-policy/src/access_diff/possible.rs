//! Rules that open nothing for certain: what they would open depends on something that nobody can evaluate here.

use std::collections::BTreeSet;

use super::changes::Direction;
use crate::compile::{CompiledAccess, DestinationId, Policy};
use crate::file::RuleSite;
use crate::reach::ReachCondition;

/// The most of them in an answer.
const MAX_POSSIBLE: usize = 100;

/// A rule of one policy alone whose effect has a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PossibleChange {
    /// Opened: a rule of the new policy. Closed: one of the old.
    pub direction: Direction,
    /// The rule.
    pub rule: RuleSite,
    /// What the rule is about, as it is written: `group:eng to 10.40.7.0/24: tcp:443`.
    pub text: String,
    /// What would have to be so.
    pub condition: ReachCondition,
}

/// An entry without its place in the policy, so that a rule that moved is the same.
type Content = (String, ReachCondition);

pub(super) fn changes(old: &Policy, new: &Policy) -> (Vec<PossibleChange>, usize) {
    let (was, is) = (entries(old), entries(new));
    let mut changes = Vec::new();
    for (direction, here, there) in [(Direction::Opened, &is, &was), (Direction::Closed, &was, &is)] {
        let known: BTreeSet<&Content> = there.iter().map(|(_, content)| content).collect();
        for (rule, content) in here.iter().filter(|(_, content)| !known.contains(content)) {
            let (text, condition) = content.clone();
            changes.push(PossibleChange { direction, rule: rule.clone(), text, condition });
        }
    }
    let left_off = changes.len().saturating_sub(MAX_POSSIBLE);
    changes.truncate(MAX_POSSIBLE);
    (changes, left_off)
}

fn entries(policy: &Policy) -> Vec<(RuleSite, Content)> {
    let mut entries = Vec::new();
    for rule in &policy.access {
        let sources: Vec<&str> = rule.sources.iter().map(|source| policy.source_text(*source)).collect();
        let sources = sources.join(", ");
        for (target, ports) in &rule.destinations {
            let text = || format!("{sources} to {}: {ports}", policy.destination_text(*target));
            for condition in conditions(policy, rule, *target) {
                entries.push((rule.site.clone(), (text(), condition)));
            }
        }
    }
    entries
}

fn conditions(policy: &Policy, rule: &CompiledAccess, target: DestinationId) -> Vec<ReachCondition> {
    let mut conditions = Vec::new();
    if !rule.unknown.is_empty() {
        conditions.push(ReachCondition::UnknownMembers { members: rule.unknown.clone() });
    }
    let unsure = rule.sources.iter().filter(|source| policy.source(**source).has_unsure());
    let membership = |source: &str| ReachCondition::Membership { source: source.to_owned() };
    conditions.extend(unsure.map(|source| membership(policy.source_text(*source))));
    let set = policy.destination(target);
    if set.unknown {
        conditions.push(ReachCondition::Service { service: policy.destination_text(target).to_owned() });
    }
    if policy.has_unknown_posture(rule) {
        conditions.push(ReachCondition::Posture { reason: format!("one of {}", rule.postures.join(", ")) });
    }
    if policy.is_unserved(rule, target) {
        let network = policy.destination_text(target).to_owned();
        conditions.push(ReachCondition::Router { tags: rule.via.clone(), network });
    }
    conditions
}

impl Policy {
    /// Whether some source has a posture that nobody can evaluate.
    fn has_unknown_posture(&self, rule: &CompiledAccess) -> bool {
        let sources = rule.sources.iter().flat_map(|source| self.source(*source).devices.iter());
        let mut states = sources.map(|(device, _)| self.posture_state(&rule.postures, device));
        !rule.postures.is_empty() && states.any(|state| state.is_none())
    }

    /// Whether a destination is a network, or has `via`, and no router leads there.
    fn is_unserved(&self, rule: &CompiledAccess, target: DestinationId) -> bool {
        let set = self.destination(target);
        let is_about_networks = !rule.via.is_empty() || set.devices.is_empty();
        let routes = self.mesh.index().routes.iter().filter(|route| route.in_force);
        let mut serving = routes.filter(|route| self.lets_through(rule, route.router));
        is_about_networks
            && !set.networks.is_empty()
            && !serving.any(|route| !route.addresses.intersection(&set.networks).is_empty())
    }
}
