//! Changes between two policy files, as sentences that name the rule, group or tag.
//!
//! - Order, white space, comments and trailing commas make no difference, except the order of `ssh` rules: the first that
//!   matches applies.
//! - Names of sections and members are read ignoring case, as control planes do.
//! - Of a text with a syntax error, only the diff is made.

mod members;
mod rule;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use meshtrail_event::text::json_len;
use serde_json::Value;

use crate::hujson::{self, HujsonError, Node};
use crate::unified::unified;

/// The most bytes of a diff, as JSON text.
const MAX_DIFF_BYTES: usize = 16_000;

/// The most bytes of all sentences, as JSON text.
const MAX_LINES_BYTES: usize = 10_000;

/// The most characters of one sentence.
const MAX_LINE_CHARS: usize = 400;

/// The changes between two policy files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyChange {
    /// A sentence for each change; empty where only comments or layout changed.
    pub lines: Vec<String>,
    /// The unified diff of the two texts.
    pub diff: String,
    /// Tags with owners in the new policy only.
    pub tags_created: Vec<String>,
    /// Tags with owners in the old policy only.
    pub tags_deleted: Vec<String>,
    /// How many tests the new policy has.
    pub tests: usize,
    /// The syntax error of the new text.
    pub problem: Option<HujsonError>,
}

impl PolicyChange {
    /// One sentence for all: `The policy changed: group:dev: bob@example.com added`.
    pub fn summary(&self) -> String {
        match (&self.lines[..], &self.problem) {
            (_, Some(problem)) => format!("The policy changed and can't be read: {problem}"),
            ([], None) => "Only comments or layout of the policy changed".to_owned(),
            ([line], None) => format!("The policy changed: {line}"),
            ([first, rest @ ..], None) => {
                format!("The policy changed: {first}; and {} more {}", rest.len(), change_noun(rest.len()))
            }
        }
    }
}

fn change_noun(count: usize) -> &'static str {
    if count == 1 { "change" } else { "changes" }
}

/// The changes from `old` to `new`.
pub fn compare(old: &str, new: &str) -> PolicyChange {
    let diff = unified(old, new, MAX_DIFF_BYTES);
    let (before, after) = (hujson::parse(old), hujson::parse(new));
    let mut change = PolicyChange { diff, ..PolicyChange::default() };
    match (before, after) {
        (Ok(before), Ok(after)) => {
            change.tests = after.member("tests").map_or(0, |tests| tests.items().len());
            let (was, is) = (tags(&before), tags(&after));
            change.tags_created = is.difference(&was).cloned().collect();
            change.tags_deleted = was.difference(&is).cloned().collect();
            change.lines = compare_sections(&before, &after);
        }
        (_, Err(problem)) => change.problem = Some(problem),
        (Err(_), Ok(after)) => {
            change.tests = after.member("tests").map_or(0, |tests| tests.items().len());
            change.lines.push("it can be read again".to_owned());
        }
    }
    change.lines = limit_lines(std::mem::take(&mut change.lines));
    change
}

/// The sentences that fit into an event, and a last one with the number of the others.
fn limit_lines(lines: Vec<String>) -> Vec<String> {
    let (count, mut bytes) = (lines.len(), 0);
    let shortened = lines.iter().map(|line| meshtrail_event::text::shorten(line, MAX_LINE_CHARS));
    let fits = |line: &String| {
        bytes += 3 + line.chars().map(json_len).sum::<usize>();
        bytes <= MAX_LINES_BYTES
    };
    let mut fitting: Vec<String> = shortened.take_while(fits).collect();
    if fitting.len() < count {
        fitting.push(format!("and {} more", count - fitting.len()));
    }
    fitting
}

/// The members of each group of a policy, by `group:name`; none of a text with a syntax error.
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

/// Sections that are lists of objects.
const RULE_SECTIONS: [&str; 6] = ["acls", "grants", "ssh", "nodeattrs", "tests", "sshtests"];

fn compare_sections(old: &Node, new: &Node) -> Vec<String> {
    let names: BTreeSet<String> =
        old.members().iter().chain(new.members()).map(|(name, _)| name.to_lowercase()).collect();
    let mut lines = Vec::new();
    for name in names {
        let (was, is) = (old.member(&name), new.member(&name));
        match name.as_str() {
            _ if RULE_SECTIONS.contains(&name.as_str()) => rule::compare_section(&name, was, is, &mut lines),
            "groups" => members::compare_lists(was, is, "", "with", &mut lines),
            "tagowners" => members::compare_lists(was, is, "", "owned by", &mut lines),
            "autoapprovers" => members::compare_approvers(was, is, &mut lines),
            "hosts" | "ipsets" | "postures" => {
                members::compare_values(was, is, members::noun(&name), &mut lines)
            }
            _ => {
                let json = |node: Option<&Node>| node.map_or(Value::Null, Node::to_json);
                let wrapped = |node| serde_json::json!({ name.clone(): json(node) });
                lines.extend(crate::json::differences(&wrapped(was), &wrapped(is)));
            }
        }
    }
    lines
}
