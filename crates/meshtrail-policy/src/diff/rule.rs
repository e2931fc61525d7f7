//! Sections that are lists of rules.

use std::collections::BTreeSet;

use meshtrail_event::text::join_list;

use super::members::{comment_suffix, describe_moves, text};
use crate::hujson::{Node, Shape};
use crate::json::sorted_json;

/// One rule with its position.
struct Rule<'a> {
    node: &'a Node,
    /// Its position in the section, from 1.
    number: usize,
    /// The canonical form: rules with the same form mean the same.
    form: String,
}

fn rules(section: Option<&Node>) -> Vec<Rule<'_>> {
    let items = section.map(Node::items).unwrap_or_default();
    (1..).zip(items).map(|(number, node)| Rule { node, number, form: form(node) }).collect()
}

/// The canonical form: lists sorted, member names in lower case.
fn form(node: &Node) -> String {
    fn lower(node: &Node) -> Node {
        let shape = match &node.shape {
            Shape::Object(members) => Shape::Object(
                members.iter().map(|(name, node)| (name.to_lowercase(), node.clone())).collect(),
            ),
            other => other.clone(),
        };
        Node { comment: None, line: 0, column: 0, span: 0..0, shape }
    }
    sorted_json(&lower(node).to_json())
}

/// Compares a section: rules added, removed, changed; for `ssh`, their order too.
pub(super) fn compare_section(name: &str, was: Option<&Node>, is: Option<&Node>, lines: &mut Vec<String>) {
    let (mut old, mut new) = (rules(was), rules(is));
    let order = |rules: &[Rule<'_>]| rules.iter().map(|rule| rule.form.clone()).collect::<Vec<_>>();
    let (old_order, new_order) = (order(&old), order(&new));
    new.retain(|rule| match old.iter().position(|other| other.form == rule.form) {
        Some(at) => {
            old.remove(at);
            false
        }
        None => true,
    });
    if old.is_empty() && new.is_empty() {
        if name == "ssh" && old_order != new_order {
            lines.push("the order of ssh rules changed, and with it which of them holds".to_owned());
        }
        return;
    }
    new.retain(|rule| match most_similar(rule, &old) {
        Some(at) => {
            let before = old.remove(at);
            lines.push(describe_changed(name, &before, rule));
            false
        }
        None => true,
    });
    let noun = noun(name);
    for rule in old {
        lines.push(format!("{noun} {} removed: {}", rule.number, describe(name, rule.node)));
    }
    for rule in new {
        let (number, line, rule_text) = (rule.number, rule.node.line, describe(name, rule.node));
        lines.push(format!("{noun} {number} added (line {line}): {rule_text}{}", comment_suffix(rule.node)));
    }
}

fn noun(section: &str) -> &str {
    match section {
        "acls" => "acl rule",
        "grants" => "grant",
        "ssh" => "ssh rule",
        "nodeattrs" => "node attribute",
        "tests" => "test",
        "sshtests" => "ssh test",
        other => other,
    }
}

/// The old rule that shares most members with `rule`; none where it shares less than half of them.
fn most_similar(rule: &Rule<'_>, old: &[Rule<'_>]) -> Option<usize> {
    let names: Vec<_> = rule.node.members().iter().map(|(name, _)| name.to_lowercase()).collect();
    let shared = |other: &Rule<'_>| {
        let same = |name: &&String| match (rule.node.member(name), other.node.member(name)) {
            (Some(a), Some(b)) => form(a) == form(b),
            _ => false,
        };
        // Most rules share the action.
        names.iter().filter(|name| *name != "action").filter(same).count()
    };
    let comparable = names.iter().filter(|name| *name != "action").count();
    let best = (0..old.len()).max_by_key(|at| (shared(&old[*at]), old[*at].number == rule.number))?;
    (shared(&old[best]) * 2 >= comparable && shared(&old[best]) > 0).then_some(best)
}

fn describe_changed(section: &str, old: &Rule<'_>, new: &Rule<'_>) -> String {
    let names: BTreeSet<String> =
        old.node.members().iter().chain(new.node.members()).map(|(name, _)| name.to_lowercase()).collect();
    let what =
        names.iter().filter_map(|name| describe_member(name, old.node.member(name), new.node.member(name)));
    let what: Vec<_> = what.collect();
    let (number, line) = (new.number, new.node.line);
    let noun = noun(section);
    format!(
        "{noun} {number} changed (line {line}): {}; it was: {}{}",
        what.join("; "),
        describe(section, old.node),
        comment_suffix(new.node)
    )
}

/// The change of one member of a rule; none where it did not change.
fn describe_member(name: &str, was: Option<&Node>, is: Option<&Node>) -> Option<String> {
    let set = |node: &Node| -> BTreeSet<String> { node.items().iter().map(text).collect() };
    match (was, is) {
        (Some(was), Some(is)) if form(was) == form(is) => None,
        (Some(was), Some(is)) if !was.items().is_empty() && !is.items().is_empty() => {
            describe_moves(&set(was), &set(is)).map(|what| format!("{name}: {what}"))
        }
        (Some(was), Some(is)) => {
            Some(format!("{name} is {} now, before {}", short_text(is), short_text(was)))
        }
        (None, Some(is)) => Some(format!("{name} is new: {}", short_text(is))),
        (Some(was), None) => Some(format!("{name} is gone, before {}", short_text(was))),
        (None, None) => None,
    }
}

fn short_text(node: &Node) -> String {
    match &node.shape {
        Shape::List(items) => join_list(&items.iter().map(text).collect::<Vec<_>>()),
        _ => text(node),
    }
}

/// A rule in one line: `accept group:dev → tag:prod:22`.
fn describe(section: &str, rule: &Node) -> String {
    let of = |names: &[&str]| names.iter().find_map(|name| rule.member(name)).map(short_text);
    let sources = of(&["src", "users"]).unwrap_or_else(|| "nobody".to_owned());
    let targets = of(&["dst", "ports"]).unwrap_or_else(|| "nothing".to_owned());
    let more =
        |word: &str, names: &[&str]| of(names).map(|text| format!(" {word} {text}")).unwrap_or_default();
    match section {
        "acls" => {
            let action = of(&["action"]).unwrap_or_else(|| "accept".to_owned());
            format!("{action} {sources} → {targets}{}", more("over", &["proto"]))
        }
        "grants" => {
            let (ip, app) = (more("for", &["ip"]), more("with", &["app"]));
            format!("{sources} → {targets}{ip}{app}{}", more("via", &["via"]))
        }
        "ssh" => {
            let action = of(&["action"]).unwrap_or_else(|| "accept".to_owned());
            let users = rule.member("users").map_or_else(|| "nobody".to_owned(), short_text);
            let sources = rule.member("src").map_or_else(|| "nobody".to_owned(), short_text);
            let recorder = more("recorded by", &["recorder"]);
            format!("{action} {sources} → {targets} as {users}{recorder}")
        }
        _ => sorted_json(&rule.to_json()),
    }
}
