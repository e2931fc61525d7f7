//! `tests` and `sshTests`: what the policy's authors say must hold. Entries are kept as written: what is wrong with one
//! is found when it is run.

use std::collections::BTreeMap;

use crate::directory::AttributeValue;
use crate::hujson::{Node, Shape};

/// An entry of `tests`.
#[derive(Debug)]
pub(crate) struct AccessTest {
    pub(crate) line: usize,
    pub(crate) source: String,
    pub(crate) protocol: String,
    pub(crate) accept: Vec<String>,
    pub(crate) deny: Vec<String>,
    /// The posture that the source is taken to have.
    pub(crate) attributes: Option<BTreeMap<String, AttributeValue>>,
}

/// An entry of `sshTests`.
#[derive(Debug)]
pub(crate) struct SshTest {
    pub(crate) line: usize,
    pub(crate) source: String,
    pub(crate) hosts: Vec<String>,
    pub(crate) accept: Vec<String>,
    pub(crate) check: Vec<String>,
    pub(crate) deny: Vec<String>,
}

pub(super) fn read(node: Option<&Node>) -> Vec<AccessTest> {
    let entries = node.map(Node::items).unwrap_or_default();
    entries.iter().map(read_entry).collect()
}

fn read_entry(node: &Node) -> AccessTest {
    AccessTest {
        line: node.line,
        source: text(node, "src"),
        protocol: node
            .member("proto")
            .map(|proto| proto.text().map_or_else(|| proto.to_json().to_string(), str::to_owned))
            .unwrap_or_default(),
        accept: texts(node, "accept"),
        deny: texts(node, "deny"),
        attributes: node.member("srcPostureAttrs").map(attributes),
    }
}

pub(super) fn read_ssh(node: Option<&Node>) -> Vec<SshTest> {
    let entries = node.map(Node::items).unwrap_or_default();
    let read = |node: &Node| SshTest {
        line: node.line,
        source: text(node, "src"),
        hosts: texts(node, "dst"),
        accept: texts(node, "accept"),
        check: texts(node, "check"),
        deny: texts(node, "deny"),
    };
    entries.iter().map(read).collect()
}

fn text(entry: &Node, member: &str) -> String {
    entry.member(member).and_then(Node::text).unwrap_or_default().trim().to_owned()
}

fn texts(entry: &Node, member: &str) -> Vec<String> {
    let items = entry.member(member).map(Node::items).unwrap_or_default();
    items.iter().map(|item| item.text().unwrap_or_default().trim().to_owned()).collect()
}

fn attributes(node: &Node) -> BTreeMap<String, AttributeValue> {
    let value = |node: &Node| match &node.shape {
        Shape::Text(text) => Some(AttributeValue::Text(text.clone())),
        Shape::Number(number) => number.as_f64().map(AttributeValue::Number),
        Shape::Bool(on) => Some(AttributeValue::Bool(*on)),
        _ => None,
    };
    node.members().iter().filter_map(|(key, node)| Some((key.clone(), value(node)?))).collect()
}
