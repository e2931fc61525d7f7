//! A policy file as it is written: sections, rules and selectors, each with its place in the text.
//!
//! - Names of sections and members are read ignoring case, as control planes do.
//! - What the control plane would refuse is a fault with line and column; a policy with a fault is not evaluated.
//! - A member of a rule that is not known here stays with the rule: the rule then has a condition that nobody can
//!   evaluate. Dropping it would let in whom the control plane does not.
//!
//! Who is in a group, and which device has a tag, is not known here.

mod access;
mod capability;
mod definitions;
mod ipsets;
mod postures;
mod reader;
mod selector;
mod ssh;
mod test_entries;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

pub(crate) use access::{AccessRule, split_ports};
pub(crate) use definitions::AutoApprovers;
pub(crate) use postures::{Assertion, Operator};
pub(crate) use reader::Spelled;
pub(crate) use selector::{Autogroup, Selector};
pub use ssh::CheckPeriod;
pub(crate) use ssh::{LocalUserPattern, SshRule};
pub(crate) use test_entries::{AccessTest, SshTest};

use crate::address::{AddressSet, Prefix};
use crate::control_plane::ControlPlane;
use crate::error::{Faults, PolicyError};
use crate::hujson::{self, Node};

/// A list of rules in a policy file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// `acls`.
    Acls,
    /// `grants`.
    Grants,
    /// `ssh`.
    Ssh,
}

impl fmt::Display for Section {
    /// As sentences name a rule of it: `acl rule 2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Acls => "acl",
            Self::Grants => "grant",
            Self::Ssh => "ssh",
        })
    }
}

/// Where a rule stands in the policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSite {
    /// The list it is in.
    pub section: Section,
    /// Its number in the list, from 1; 0 stands for a policy with neither acls nor grants, which lets everybody through.
    pub number: usize,
    /// The line of its first character, from 1.
    pub line: usize,
    /// The bytes of the policy's text that it takes.
    pub(crate) span: Range<usize>,
}

impl fmt::Display for RuleSite {
    /// `acl rule 2 (line 14)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.number == 0 {
            return f.write_str("the policy, which has neither acls nor grants");
        }
        write!(f, "{} rule {} (line {})", self.section, self.number, self.line)
    }
}

/// The most groups, and the most IP sets, of a policy.
pub(crate) const MAX_DEFINITIONS: usize = 10_000;

/// A policy file.
#[derive(Debug, Default)]
pub(crate) struct PolicyFile {
    /// Members by group, as written.
    pub(crate) groups: BTreeMap<String, Vec<Spelled<Selector>>>,
    /// Owners by tag.
    pub(crate) tag_owners: BTreeMap<String, Vec<Spelled<Selector>>>,
    /// Networks by name.
    pub(crate) hosts: BTreeMap<String, Prefix>,
    /// The addresses of each `ipset:name`.
    pub(crate) ip_sets: BTreeMap<String, AddressSet>,
    /// The assertions of each `posture:name`, all of which must hold.
    pub(crate) postures: BTreeMap<String, Vec<Assertion>>,
    /// Postures of rules without any of their own.
    pub(crate) default_postures: Vec<String>,
    pub(crate) auto_approvers: AutoApprovers,
    /// `acls` and then `grants`; `None` where the policy has neither, which lets everybody through.
    pub(crate) access: Option<Vec<AccessRule>>,
    pub(crate) ssh: Vec<SshRule>,
    pub(crate) tests: Vec<AccessTest>,
    pub(crate) ssh_tests: Vec<SshTest>,
}

/// What readers of sections need besides the section.
pub(crate) struct Scope<'a> {
    pub(crate) plane: ControlPlane,
    /// Domains of the tailnet; empty where they are not known.
    pub(crate) domains: &'a BTreeSet<String>,
    pub(crate) faults: Faults,
}

impl PolicyFile {
    /// Reads a policy.
    pub(crate) fn read(
        text: &str,
        plane: ControlPlane,
        domains: &BTreeSet<String>,
    ) -> Result<Self, PolicyError> {
        let root = hujson::parse(text)?;
        let mut scope = Scope::new(plane, domains);
        if !matches!(root.shape, hujson::Shape::Object(_)) {
            scope.faults.add(&root, "", "a policy is an object");
        }
        scope.refuse_unknown_sections(&root);
        let mut file = Self::default();
        file.read_definitions(&root, &mut scope);
        file.read_rules(&root, &mut scope);
        scope.faults.into_result()?;
        Ok(file)
    }

    fn read_definitions(&mut self, root: &Node, scope: &mut Scope<'_>) {
        self.hosts = definitions::read_hosts(root.member("hosts"), scope);
        self.groups = definitions::read_groups(root.member("groups"), self, scope);
        self.tag_owners = definitions::read_tag_owners(root.member("tagOwners"), self, scope);
        self.ip_sets = ipsets::read(root.member("ipsets"), &self.hosts, scope);
        self.postures = postures::read(root.member("postures"), scope);
        self.default_postures =
            postures::read_names(root.member("defaultSrcPosture"), "defaultSrcPosture", self, scope);
        definitions::check_references(self, scope);
        self.auto_approvers = definitions::read_auto_approvers(root.member("autoApprovers"), self, scope);
    }

    fn read_rules(&mut self, root: &Node, scope: &mut Scope<'_>) {
        let (acls, grants) = (root.member("acls"), root.member("grants"));
        if acls.is_some() || grants.is_some() {
            let mut rules = access::read_acls(acls, self, scope);
            rules.extend(access::read_grants(grants, self, scope));
            self.access = Some(rules);
        }
        self.ssh = ssh::read(root.member("ssh"), self, scope);
        self.tests = test_entries::read(root.member("tests"));
        self.ssh_tests = test_entries::read_ssh(root.member("sshTests"));
    }
}

/// The sections that Headscale knows: it refuses a policy with any other.
const HEADSCALE_SECTIONS: [&str; 11] = [
    "groups",
    "hosts",
    "tagowners",
    "acls",
    "grants",
    "nodeattrs",
    "autoapprovers",
    "ssh",
    "tests",
    "sshtests",
    "randomizeclientport",
];

impl<'a> Scope<'a> {
    pub(crate) fn new(plane: ControlPlane, domains: &'a BTreeSet<String>) -> Self {
        Self { plane, domains, faults: Faults::default() }
    }

    fn refuse_unknown_sections(&mut self, root: &Node) {
        if self.plane != ControlPlane::Headscale {
            return;
        }
        for (name, node) in root.members() {
            if !HEADSCALE_SECTIONS.contains(&name.to_ascii_lowercase().as_str()) {
                self.faults.add(node, name, "Headscale does not know this section, and refuses the policy");
            }
        }
    }
}
