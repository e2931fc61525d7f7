//! What changed between two policy files: which rule, which group, which tag, as sentences.
//!
//! - Order, white space, comments and trailing commas make no difference, but for the order of `ssh` rules: it decides
//!   which of them holds.
//! - Names of sections and members are read whatever their letters' case, as control planes do.
//! - A text that can't be read is compared as text alone.

mod members;
mod rule;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::unified::unified;
use crate::hujson::{self, HujsonError, Node};

/// The most bytes of a diff, as JSON text.
const MAX_DIFF: usize = 16_000;

/// The most bytes of all sentences, as JSON text.
const MAX_LINES: usize = 10_000;

/// The most characters of one sentence.
const MAX_LINE: usize = 400;

/// What changed between two policy files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyChange {
    /// A sentence for each thing that changed; empty where only comments or layout did.
    pub lines: Vec<String>,
    /// The unified diff of the two texts.
    pub diff: String,
    /// Tags that have owners now and had none.
    pub tags_created: Vec<String>,
    /// Tags that have no owners any more.
    pub tags_deleted: Vec<String>,
    /// How many tests the new policy has.
    pub tests: usize,
    /// Why the new text can't be read.
    pub problem: Option<HujsonError>,
}

impl PolicyChange {
    /// `The policy changed: group:dev: bob@example.com added`.
    pub fn summary(&self) -> String {
        match (&self.lines[..], &self.problem) {
            (_, Some(problem)) => format!("The policy changed and can't be read: {problem}"),
            ([], None) => "Only comments or layout of the policy changed".to_owned(),
            ([line], None) => format!("The policy changed: {line}"),
            ([first, rest @ ..], None) => {
                format!("The policy changed: {first}; and {} more {}", rest.len(), changes(rest.len()))
            }
        }
    }
}

fn changes(count: usize) -> &'static str {
    if count == 1 { "change" } else { "changes" }
}

/// What changed from `old` to `new`.
pub fn policy(old: &str, new: &str) -> PolicyChange {
    let diff = unified(old, new, MAX_DIFF);
    let (before, after) = (hujson::parse(old), hujson::parse(new));
    let mut change = PolicyChange { diff, ..PolicyChange::default() };
    match (before, after) {
        (Ok(before), Ok(after)) => {
            change.tests = after.member("tests").map_or(0, |tests| tests.items().len());
            let (was, is) = (tags(&before), tags(&after));
            change.tags_created = is.difference(&was).cloned().collect();
            change.tags_deleted = was.difference(&is).cloned().collect();
            change.lines = sections(&before, &after);
        }
        (_, Err(problem)) => change.problem = Some(problem),
        (Err(_), Ok(after)) => {
            change.tests = after.member("tests").map_or(0, |tests| tests.items().len());
            change.lines.push("it can be read again".to_owned());
        }
    }
    change.lines = bounded(std::mem::take(&mut change.lines));
    change
}

/// The sentences that fit into an event, and how many more there are.
fn bounded(lines: Vec<String>) -> Vec<String> {
    let (count, mut bytes) = (lines.len(), 0);
    let shortened = lines.iter().map(|line| meshtrail_event::text::shortened(line, MAX_LINE));
    let fits = |line: &String| {
        bytes += 3 + line.chars().map(super::words::json_len).sum::<usize>();
        bytes <= MAX_LINES
    };
    let mut kept: Vec<String> = shortened.take_while(fits).collect();
    if kept.len() < count {
        kept.push(format!("and {} more", count - kept.len()));
    }
    kept
}

/// The members of each group of a policy, under `group:name`; none where it can't be read.
pub fn groups(text: &str) -> Option<BTreeMap<String, BTreeSet<String>>> {
    let policy = hujson::parse(text).ok()?;
    let groups = policy.member("groups").map(Node::members).unwrap_or_default();
    let people = |node: &Node| node.items().iter().filter_map(Node::text).map(str::to_owned).collect();
    Some(groups.iter().map(|(name, node)| (name.clone(), people(node))).collect())
}

fn tags(policy: &Node) -> BTreeSet<String> {
    let owners = policy.member("tagOwners").map(Node::members).unwrap_or_default();
    owners.iter().map(|(tag, _)| tag.clone()).collect()
}

/// Sections whose members are objects in a list.
const RULES: [&str; 6] = ["acls", "grants", "ssh", "nodeattrs", "tests", "sshtests"];

fn sections(old: &Node, new: &Node) -> Vec<String> {
    let names: BTreeSet<String> =
        old.members().iter().chain(new.members()).map(|(name, _)| name.to_lowercase()).collect();
    let mut lines = Vec::new();
    for name in names {
        let (was, is) = (old.member(&name), new.member(&name));
        match name.as_str() {
            _ if RULES.contains(&name.as_str()) => rule::section(&name, was, is, &mut lines),
            "groups" => members::lists(was, is, "", "with", &mut lines),
            "tagowners" => members::lists(was, is, "", "owned by", &mut lines),
            "autoapprovers" => members::approvers(was, is, &mut lines),
            "hosts" | "ipsets" | "postures" => members::values(was, is, members::noun(&name), &mut lines),
            _ => {
                let json = |node: Option<&Node>| node.map_or(Value::Null, Node::to_json);
                let wrapped = |node| serde_json::json!({ name.clone(): json(node) });
                lines.extend(super::json(&wrapped(was), &wrapped(is)));
            }
        }
    }
    lines
}
