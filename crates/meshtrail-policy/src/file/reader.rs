//! Parts that all sections are made of: texts with their places, lists, objects with known members.

use super::{RuleSite, Scope, Section};
use crate::control_plane::ControlPlane;
use crate::hujson::{Node, Shape};

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spelled<T> {
    pub(crate) value: T,
    /// As it was written, without blanks around it.
    pub(crate) text: String,
    /// Line and column.
    pub(crate) at: (usize, usize),
}

impl Scope<'_> {
    /// The texts of a list, without blanks around them; none of `null` and of an absent member.
    pub(crate) fn texts(&mut self, node: Option<&Node>, place: &str) -> Vec<Spelled<()>> {
        let Some(node) = node else { return Vec::new() };
        match &node.shape {
            Shape::Null => Vec::new(),
            Shape::List(items) => items.iter().filter_map(|item| self.text(item, place)).collect(),
            _ => {
                self.faults.add(node, place, "this is a list of texts");
                Vec::new()
            }
        }
    }

    /// A text without blanks around it.
    pub(crate) fn text(&mut self, node: &Node, place: &str) -> Option<Spelled<()>> {
        let Some(text) = node.text() else {
            self.faults.add(node, place, "this is a text");
            return None;
        };
        Some(Spelled { value: (), text: text.trim().to_owned(), at: (node.line, node.column) })
    }

    /// The members of an object; none of `null` and of an absent one.
    pub(crate) fn object<'n>(&mut self, node: Option<&'n Node>, place: &str) -> &'n [(String, Node)] {
        let Some(node) = node else { return &[] };
        match &node.shape {
            Shape::Object(members) => members,
            Shape::Null => &[],
            _ => {
                self.faults.add(node, place, "this is an object");
                &[]
            }
        }
    }

    /// The items of a list; none of `null` and of an absent one.
    pub(crate) fn list<'n>(&mut self, node: Option<&'n Node>, place: &str) -> &'n [Node] {
        let Some(node) = node else { return &[] };
        match &node.shape {
            Shape::List(items) => items,
            Shape::Null => &[],
            _ => {
                self.faults.add(node, place, "this is a list");
                &[]
            }
        }
    }

    /// The place of the rule at `number` in words, and its site.
    pub(crate) fn open_rule(&mut self, section: Section, number: usize, node: &Node) -> (String, RuleSite) {
        let place = format!("{section} rule {number}");
        if !matches!(node.shape, Shape::Object(_)) {
            self.faults.add(node, &place, "a rule is an object");
        }
        (place, RuleSite { section, number, line: node.line, span: node.span.clone() })
    }

    /// The members of a rule that are not known. Headscale refuses them; others make a condition that can't be
    /// evaluated. Headscale's admin pages keep notes in members that begin with `#`.
    pub(crate) fn unknown_members(&mut self, rule: &Node, known: &[&str], place: &str) -> Vec<String> {
        let mut unknown = Vec::new();
        for (name, node) in rule.members() {
            if name.starts_with('#') || known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                continue;
            }
            if self.plane == ControlPlane::Headscale {
                self.faults.add(
                    node,
                    place,
                    format!("Headscale does not know {name:?}, and refuses the policy"),
                );
            }
            unknown.push(name.clone());
        }
        unknown
    }
}

impl<T> Spelled<T> {
    /// The same place with another value.
    pub(crate) fn with<U>(self, value: U) -> Spelled<U> {
        Spelled { value, text: self.text, at: self.at }
    }
}
