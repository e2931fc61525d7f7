//! `groups`, `tagOwners`, `hosts`, `autoApprovers`.

use std::collections::{BTreeMap, BTreeSet};

use super::{MAX_DEFINITIONS, PolicyFile, Scope, Selector, Spelled};
use crate::address::Prefix;
use crate::control_plane::ControlPlane;
use crate::hujson::Node;

/// Who may advertise routes without anybody's approval.
#[derive(Debug, Default)]
pub(crate) struct AutoApprovers {
    /// Approvers by network; a route needs one of a network that holds it.
    pub(crate) routes: Vec<(Prefix, Vec<Spelled<Selector>>)>,
    pub(crate) exit_node: Vec<Spelled<Selector>>,
}

pub(super) fn read_hosts(node: Option<&Node>, scope: &mut Scope<'_>) -> BTreeMap<String, Prefix> {
    let mut hosts = BTreeMap::new();
    for (name, node) in scope.object(node, "hosts") {
        let Some(text) = scope.text(node, name) else { continue };
        match text.text.parse::<Prefix>() {
            Ok(prefix) => _ = hosts.insert(name.clone(), prefix),
            Err(reason) => {
                scope.faults.add(node, &format!("hosts, {name}"), format!("{:?}: {reason}", text.text))
            }
        }
    }
    hosts
}

/// Selectors of a definition. What they name may be defined further down, so that this is checked at the end.
fn selectors(node: &Node, place: &str, file: &PolicyFile, scope: &mut Scope<'_>) -> Vec<Spelled<Selector>> {
    let mut found = Vec::new();
    for text in scope.texts(Some(node), place) {
        match Selector::parse(&text.text, file, scope.plane) {
            Ok(selector) => found.push(text.with(selector)),
            Err(reason) => scope.faults.add_at(text.at, place, reason),
        }
    }
    found
}

pub(super) fn read_groups(
    node: Option<&Node>,
    file: &PolicyFile,
    scope: &mut Scope<'_>,
) -> BTreeMap<String, Vec<Spelled<Selector>>> {
    let mut groups = BTreeMap::new();
    let members = scope.object(node, "groups");
    if let Some((_, node)) = members.get(MAX_DEFINITIONS) {
        scope.faults.add(node, "groups", format!("a policy has at most {MAX_DEFINITIONS} groups"));
        return groups;
    }
    for (name, node) in members {
        if !name.starts_with("group:") {
            scope.faults.add(node, "groups", format!("{name:?}: the name of a group begins with group:"));
        }
        let mut members = selectors(node, name, file, scope);
        members.retain(|member| match member_fault(&member.value, scope.plane) {
            Some(reason) => {
                scope.faults.add_at(member.at, name, format!("{}: {reason}", member.text));
                false
            }
            None => true,
        });
        groups.insert(name.clone(), members);
    }
    groups
}

/// Why a selector can't be a member of a group. Both control planes refuse a group of the policy in another one.
fn member_fault(member: &Selector, plane: ControlPlane) -> Option<&'static str> {
    match member {
        Selector::Person(_) => None,
        Selector::Group(_) if plane == ControlPlane::PlainWireGuard => None,
        Selector::Group(name) if name.contains('@') => None,
        Selector::Group(_) => Some("a group can't be in a group"),
        _ => Some("members of a group are people"),
    }
}

pub(super) fn read_tag_owners(
    node: Option<&Node>,
    file: &PolicyFile,
    scope: &mut Scope<'_>,
) -> BTreeMap<String, Vec<Spelled<Selector>>> {
    let mut tags = BTreeMap::new();
    for (name, node) in scope.object(node, "tagOwners") {
        let first = name.strip_prefix("tag:").map(|rest| rest.bytes().next());
        match first {
            None => {
                scope.faults.add(node, "tagOwners", format!("{name:?}: the name of a tag begins with tag:"))
            }
            Some(Some(letter)) if letter.is_ascii_alphabetic() => {}
            Some(_) => {
                scope.faults.add(node, "tagOwners", format!("{name:?}: a letter from A to Z follows tag:"))
            }
        }
        tags.insert(name.clone(), selectors(node, &format!("tagOwners, {name}"), file, scope));
    }
    tags
}

/// Finds groups and tags that owners and members name and that are not defined, and groups that contain themselves.
pub(super) fn check_references(file: &PolicyFile, scope: &mut Scope<'_>) {
    for (tag, owners) in &file.tag_owners {
        for owner in owners {
            check_reference(owner, &format!("tagOwners, {tag}"), file, scope);
        }
    }
    for (group, members) in &file.groups {
        for member in members {
            check_reference(member, group, file, scope);
        }
        if contains_itself(group, file) {
            let at = members.first().map_or((1, 1), |member| member.at);
            scope.faults.add_at(at, group, "the group is in itself");
        }
    }
}

fn check_reference(named: &Spelled<Selector>, place: &str, file: &PolicyFile, scope: &mut Scope<'_>) {
    if let Err(reason) = scope.check_defined(&named.value, file) {
        scope.faults.add_at(named.at, place, reason);
    }
}

/// Whether a group leads back to itself; visits each group once.
fn contains_itself(group: &str, file: &PolicyFile) -> bool {
    let (mut visited, mut open) = (BTreeSet::new(), vec![group]);
    while let Some(name) = open.pop() {
        for member in file.groups.get(name).into_iter().flatten() {
            let Selector::Group(inner) = &member.value else { continue };
            if inner == group {
                return true;
            }
            if visited.insert(inner.as_str()) {
                open.push(inner);
            }
        }
    }
    false
}

pub(super) fn read_auto_approvers(
    node: Option<&Node>,
    file: &PolicyFile,
    scope: &mut Scope<'_>,
) -> AutoApprovers {
    let mut approvers = AutoApprovers::default();
    let Some(node) = node else { return approvers };
    for (name, node) in scope.object(node.member("routes"), "autoApprovers, routes") {
        let place = format!("autoApprovers, {name}");
        match name.parse::<Prefix>() {
            Ok(prefix) => approvers.routes.push((prefix, scope.selectors(Some(node), &place, file))),
            Err(reason) => scope.faults.add(node, &place, reason.to_string()),
        }
    }
    approvers.exit_node = scope.selectors(node.member("exitNode"), "autoApprovers, exitNode", file);
    approvers
}
