//! Who may give tags to devices, and whose routes need no approval: authority that leads to access.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::address::Prefix;
use crate::compile::Policy;
use crate::file::{Selector, Spelled};
use crate::mesh::{Mesh, PersonRef};

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Authority {
    /// Give this tag to devices, and so stand in for what the tag may reach and who may reach it.
    Tag(String),
    /// Serve this network, or a part of it, without anybody's approval.
    Route(Prefix),
    /// Be an exit node without anybody's approval.
    ExitNode,
}

/// An authority that somebody gained or lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityChange {
    /// What it is.
    pub authority: Authority,
    /// People who have it now.
    pub gained: Vec<PersonRef>,
    /// People who had it.
    pub lost: Vec<PersonRef>,
    /// Tags and other selectors without people that have it now, as written.
    pub selectors_gained: Vec<String>,
    /// Those that had it.
    pub selectors_lost: Vec<String>,
}

impl fmt::Display for Authority {
    /// The words after "may now".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, "give {tag} to devices"),
            Self::Route(prefix) => write!(f, "serve {prefix} without approval"),
            Self::ExitNode => f.write_str("be an exit node without approval"),
        }
    }
}

impl AuthorityChange {
    /// In words: `cem@example.com may now give tag:db to devices`.
    pub fn describe(&self, mesh: &Mesh) -> String {
        let names = |people: &[PersonRef], selectors: &[String]| {
            let logins = people.iter().map(|person| mesh.person(*person).login.clone());
            logins.chain(selectors.iter().cloned()).collect::<Vec<_>>().join(", ")
        };
        let gained = names(&self.gained, &self.selectors_gained);
        let lost = names(&self.lost, &self.selectors_lost);
        match (gained.is_empty(), lost.is_empty()) {
            (false, true) => format!("{gained} may now {}", self.authority),
            (true, _) => format!("{lost} may no longer {}", self.authority),
            (false, false) => format!("{gained} may now {}, and {lost} no longer", self.authority),
        }
    }
}

/// Holders of an authority: people, and selectors that name none.
type Holders = (BTreeSet<PersonRef>, BTreeSet<String>);

pub(super) fn changes(old: &Policy, new: &Policy) -> Vec<AuthorityChange> {
    let (was, is) = (holders(old), holders(new));
    let authorities: BTreeSet<&Authority> = was.keys().chain(is.keys()).collect();
    let nobody = Holders::default();
    let mut changes = Vec::new();
    for authority in authorities {
        let (was, is) = (was.get(authority).unwrap_or(&nobody), is.get(authority).unwrap_or(&nobody));
        if was != is {
            changes.push(AuthorityChange {
                authority: authority.clone(),
                gained: is.0.difference(&was.0).copied().collect(),
                lost: was.0.difference(&is.0).copied().collect(),
                selectors_gained: is.1.difference(&was.1).cloned().collect(),
                selectors_lost: was.1.difference(&is.1).cloned().collect(),
            });
        }
    }
    changes
}

fn holders(policy: &Policy) -> BTreeMap<Authority, Holders> {
    let file = &policy.file;
    let mut all = BTreeMap::new();
    for (tag, owners) in &file.tag_owners {
        all.insert(Authority::Tag(tag.clone()), holders_of(owners, policy));
    }
    for (prefix, approvers) in &file.auto_approvers.routes {
        all.insert(Authority::Route(*prefix), holders_of(approvers, policy));
    }
    all.insert(Authority::ExitNode, holders_of(&file.auto_approvers.exit_node, policy));
    all
}

fn holders_of(selectors: &[Spelled<Selector>], policy: &Policy) -> Holders {
    let mut holders = Holders::default();
    for selector in selectors {
        let (people, unsure) = policy.resolver().people(&selector.value);
        let is_of_people = matches!(selector.value, Selector::Person(_) | Selector::Group(_));
        // A selector stands for itself where it names no people, or it is not known whom.
        if !unsure.is_empty() || (people.is_empty() && !is_of_people) {
            holders.1.insert(selector.text.clone());
        }
        holders.0.extend(people);
    }
    holders
}
