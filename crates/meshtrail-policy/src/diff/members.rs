//! Sections that are objects: groups, tag owners, hosts, auto-approvers.

use std::collections::{BTreeMap, BTreeSet};

use meshtrail_event::text::join_list;

use crate::hujson::Node;
use crate::json::sorted_json;

fn by_name(node: Option<&Node>) -> BTreeMap<&str, &Node> {
    node.map(Node::members).unwrap_or_default().iter().map(|(name, node)| (name.as_str(), node)).collect()
}

fn set(node: &Node) -> BTreeSet<String> {
    match node.text() {
        Some(one) => BTreeSet::from([one.to_owned()]),
        None => node.items().iter().map(text).collect(),
    }
}

pub(super) fn text(node: &Node) -> String {
    node.text().map_or_else(|| sorted_json(&node.to_json()), str::to_owned)
}

/// The items added and removed: `alice@example.com added, bob@example.com removed`; none where both sets are equal.
pub(super) fn describe_moves(was: &BTreeSet<String>, is: &BTreeSet<String>) -> Option<String> {
    let (added, removed): (Vec<_>, Vec<_>) = (is.difference(was).collect(), was.difference(is).collect());
    match (added.is_empty(), removed.is_empty()) {
        (true, true) => None,
        (false, true) => Some(format!("{} added", join_list(&added))),
        (true, false) => Some(format!("{} removed", join_list(&removed))),
        (false, false) => Some(format!("{} added, {} removed", join_list(&added), join_list(&removed))),
    }
}

/// The comment before a node, as the end of its sentence.
pub(super) fn comment_suffix(node: &Node) -> String {
    node.comment.as_deref().map(|comment| format!(" // {comment}")).unwrap_or_default()
}

/// Compares lists by name: `group:dev: bob@example.com added`.
pub(super) fn compare_lists(
    was: Option<&Node>,
    is: Option<&Node>,
    before: &str,
    with: &str,
    lines: &mut Vec<String>,
) {
    let (was, is) = (by_name(was), by_name(is));
    let names: BTreeSet<_> = was.keys().chain(is.keys()).copied().collect();
    for name in names {
        match (was.get(name), is.get(name)) {
            (None, Some(node)) => {
                let members: Vec<_> = set(node).into_iter().collect();
                lines.push(format!(
                    "{before}{name} is new, {with} {}{}",
                    join_list(&members),
                    comment_suffix(node)
                ));
            }
            (Some(node), None) => {
                let members: Vec<_> = set(node).into_iter().collect();
                lines.push(format!("{before}{name} is gone, before {with} {}", join_list(&members)));
            }
            (Some(old), Some(new)) => {
                let what = describe_moves(&set(old), &set(new));
                lines.extend(what.map(|what| format!("{before}{name}: {what}{}", comment_suffix(new))));
            }
            (None, None) => {}
        }
    }
}

/// The noun for one member of a section of single values.
pub(super) fn noun(section: &str) -> &'static str {
    match section {
        "hosts" => "host",
        "ipsets" => "ipset",
        _ => "posture",
    }
}

/// Compares values by name: `host db is 10.0.0.5 now, before 10.0.0.4`.
pub(super) fn compare_values(was: Option<&Node>, is: Option<&Node>, noun: &str, lines: &mut Vec<String>) {
    let (was, is) = (by_name(was), by_name(is));
    let names: BTreeSet<_> = was.keys().chain(is.keys()).copied().collect();
    for name in names {
        match (was.get(name), is.get(name)) {
            (None, Some(node)) => lines.push(format!("{noun} {name} is new: {}", text(node))),
            (Some(node), None) => lines.push(format!("{noun} {name} is gone, before {}", text(node))),
            (Some(old), Some(new)) if !old.items().is_empty() || !new.items().is_empty() => {
                lines.extend(
                    describe_moves(&set(old), &set(new)).map(|what| format!("{noun} {name}: {what}")),
                );
            }
            (Some(old), Some(new)) if text(old) != text(new) => {
                lines.push(format!("{noun} {name} is {} now, before {}", text(new), text(old)));
            }
            _ => {}
        }
    }
}

/// Compares `autoApprovers`: whose routes, services and exit nodes need no approval.
pub(super) fn compare_approvers(was: Option<&Node>, is: Option<&Node>, lines: &mut Vec<String>) {
    let inner = |node: Option<&Node>, name: &str| node.and_then(|node| node.member(name)).cloned();
    for (section, before) in [("routes", "approval of routes "), ("services", "approval of service ")] {
        compare_lists(inner(was, section).as_ref(), inner(is, section).as_ref(), before, "for", lines);
    }
    let exits = |node: Option<&Node>| inner(node, "exitNode").map(|node| set(&node)).unwrap_or_default();
    let what = describe_moves(&exits(was), &exits(is));
    lines.extend(what.map(|what| format!("approval of exit nodes: {what}")));
}
