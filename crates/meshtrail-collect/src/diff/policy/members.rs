//! Sections that are objects: groups, tag owners, hosts, who approves routes.

use std::collections::{BTreeMap, BTreeSet};

use crate::diff::words::listed;
use crate::hujson::Node;

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
    node.text().map_or_else(|| crate::diff::sorted(&node.to_json()), str::to_owned)
}

/// `alice@example.com added, bob@example.com removed`; none where the two hold the same.
pub(super) fn moved(was: &BTreeSet<String>, is: &BTreeSet<String>) -> Option<String> {
    let (added, removed): (Vec<_>, Vec<_>) = (is.difference(was).collect(), was.difference(is).collect());
    match (added.is_empty(), removed.is_empty()) {
        (true, true) => None,
        (false, true) => Some(format!("{} added", listed(&added))),
        (true, false) => Some(format!("{} removed", listed(&removed))),
        (false, false) => Some(format!("{} added, {} removed", listed(&added), listed(&removed))),
    }
}

/// The comment before a member, for who reads the sentence.
pub(super) fn commented(node: &Node) -> String {
    node.comment.as_deref().map(|comment| format!(" // {comment}")).unwrap_or_default()
}

/// Lists under names: `group:dev: bob@example.com added`.
pub(super) fn lists(
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
                lines.push(format!("{before}{name} is new, {with} {}{}", listed(&members), commented(node)));
            }
            (Some(node), None) => {
                let members: Vec<_> = set(node).into_iter().collect();
                lines.push(format!("{before}{name} is gone, before {with} {}", listed(&members)));
            }
            (Some(old), Some(new)) => {
                let what = moved(&set(old), &set(new));
                lines.extend(what.map(|what| format!("{before}{name}: {what}{}", commented(new))));
            }
            (None, None) => {}
        }
    }
}

/// What one member of a section of single values is called.
pub(super) fn noun(section: &str) -> &'static str {
    match section {
        "hosts" => "host",
        "ipsets" => "ipset",
        _ => "posture",
    }
}

/// Single values under names: `host db is 10.0.0.5 now, before 10.0.0.4`.
pub(super) fn values(was: Option<&Node>, is: Option<&Node>, noun: &str, lines: &mut Vec<String>) {
    let (was, is) = (by_name(was), by_name(is));
    let names: BTreeSet<_> = was.keys().chain(is.keys()).copied().collect();
    for name in names {
        match (was.get(name), is.get(name)) {
            (None, Some(node)) => lines.push(format!("{noun} {name} is new: {}", text(node))),
            (Some(node), None) => lines.push(format!("{noun} {name} is gone, before {}", text(node))),
            (Some(old), Some(new)) if !old.items().is_empty() || !new.items().is_empty() => {
                lines.extend(moved(&set(old), &set(new)).map(|what| format!("{noun} {name}: {what}")));
            }
            (Some(old), Some(new)) if text(old) != text(new) => {
                lines.push(format!("{noun} {name} is {} now, before {}", text(new), text(old)));
            }
            _ => {}
        }
    }
}

/// Who approves routes and exit nodes without being asked.
pub(super) fn approvers(was: Option<&Node>, is: Option<&Node>, lines: &mut Vec<String>) {
    let inner = |node: Option<&Node>, name: &str| node.and_then(|node| node.member(name)).cloned();
    for (section, before) in [("routes", "approval of routes "), ("services", "approval of service ")] {
        lists(inner(was, section).as_ref(), inner(is, section).as_ref(), before, "for", lines);
    }
    let exits = |node: Option<&Node>| inner(node, "exitNode").map(|node| set(&node)).unwrap_or_default();
    let what = moved(&exits(was), &exits(is));
    lines.extend(what.map(|what| format!("approval of exit nodes: {what}")));
}
