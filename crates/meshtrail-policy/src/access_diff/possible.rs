//! Rules that open nothing for certain: what they would open depends on something that nobody can evaluate here.

use std::collections::BTreeSet;

use super::changes::Direction;
use crate::compile::{CompiledAccess, CompiledSsh, DestinationId, Policy, PostureId, SourceId};
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

type Entry = (RuleSite, Content);

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

fn entries(policy: &Policy) -> Vec<Entry> {
    let mut entries = Vec::new();
    for rule in &policy.access {
        let targets = rule.destinations.iter().map(|(target, ports)| {
            (*target, policy.target_conditions(rule, *target), move || ports.to_string())
        });
        Conditional::of_access(rule).add_entries(policy, targets, &mut entries);
    }
    for rule in &policy.ssh {
        let access = || {
            let users: Vec<String> = rule.users.iter().map(ToString::to_string).collect();
            format!("login as {}", users.join(", "))
        };
        let targets = rule.destinations.iter().map(|target| (*target, None, access));
        Conditional::of_ssh(rule).add_entries(policy, targets, &mut entries);
    }
    entries
}

/// The parts of a rule, of either kind, that conditions come from.
struct Conditional<'p> {
    site: &'p RuleSite,
    sources: &'p [SourceId],
    postures: &'p [PostureId],
    unknown: &'p [String],
}

impl<'p> Conditional<'p> {
    fn of_access(rule: &'p CompiledAccess) -> Self {
        let CompiledAccess { site, sources, postures, unknown, .. } = rule;
        Self { site, sources, postures, unknown }
    }

    fn of_ssh(rule: &'p CompiledSsh) -> Self {
        let CompiledSsh { site, sources, postures, unknown, .. } = rule;
        Self { site, sources, postures, unknown }
    }

    /// Adds an entry for each condition of the rule, and of a target: each target with its condition, and in words what the
    /// rule opens there.
    fn add_entries(
        &self,
        policy: &Policy,
        targets: impl Iterator<Item = (DestinationId, Option<ReachCondition>, impl Fn() -> String)>,
        entries: &mut Vec<Entry>,
    ) {
        let of_rule = self.conditions(policy);
        for (target, of_target, access) in targets {
            if of_rule.is_empty() && of_target.is_none() {
                continue;
            }
            let text = policy.text_of(self.sources, target, &access());
            let found = of_rule.iter().cloned().chain(of_target);
            entries.extend(found.map(|condition| (self.site.clone(), (text.clone(), condition))));
        }
    }

    fn conditions(&self, policy: &Policy) -> Vec<ReachCondition> {
        let mut conditions = Vec::new();
        if !self.unknown.is_empty() {
            conditions.push(ReachCondition::UnknownMembers { members: self.unknown.to_vec() });
        }
        let unsure = self.sources.iter().filter(|source| policy.source(**source).has_unsure());
        let membership = |source: &str| ReachCondition::Membership { source: source.to_owned() };
        conditions.extend(unsure.map(|source| membership(policy.source_text(*source))));
        if self.has_unknown_posture(policy) {
            conditions.push(ReachCondition::Posture {
                reason: format!("one of {}", policy.posture_names(self.postures).join(", ")),
            });
        }
        conditions
    }

    /// Whether some source has a posture that nobody can evaluate.
    fn has_unknown_posture(&self, policy: &Policy) -> bool {
        let sources = self.sources.iter().flat_map(|source| policy.source(*source).devices.iter());
        let mut states = sources.map(|(device, _)| policy.posture_state(self.postures, device));
        !self.postures.is_empty() && states.any(|state| state.is_none())
    }
}

impl Policy {
    /// `group:eng to 10.40.7.0/24: tcp:443`.
    fn text_of(&self, sources: &[SourceId], target: DestinationId, access: &str) -> String {
        let sources: Vec<&str> = sources.iter().map(|source| self.source_text(*source)).collect();
        format!("{} to {}: {access}", sources.join(", "), self.destination_text(target))
    }

    /// Conditions of a destination: a service, or a network that no router serves.
    fn target_conditions(&self, rule: &CompiledAccess, target: DestinationId) -> Option<ReachCondition> {
        let text = || self.destination_text(target).to_owned();
        if self.destination(target).unknown {
            return Some(ReachCondition::Service { service: text() });
        }
        let unserved = self.is_unserved(rule, target);
        unserved.then(|| ReachCondition::Router { tags: rule.via.clone(), network: text() })
    }

    /// Whether a destination is a network, or has `via`, and no router leads there.
    fn is_unserved(&self, rule: &CompiledAccess, target: DestinationId) -> bool {
        let set = self.destination(target);
        let is_about_networks = !rule.via.is_empty() || set.devices.is_empty();
        let routes = self.mesh.index().routes.iter().filter(|route| route.in_force);
        let mut serving = routes.filter(|route| self.lets_through(&rule.via, route.router));
        is_about_networks
            && !set.networks.is_empty()
            && !serving.any(|route| !route.addresses.intersection(&set.networks).is_empty())
    }
}
