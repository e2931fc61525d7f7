//! Selectors: what `src` and `dst` of a rule name.

use std::net::IpAddr;

use super::{PolicyFile, Scope, Spelled};
use crate::address::{AddressSet, Prefix};
use crate::control_plane::ControlPlane;
use crate::directory::Role;
use crate::hujson::Node;

/// What a rule names as a source or a destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Selector {
    /// `*`.
    Any,
    /// A person's login.
    Person(String),
    /// `user:*@domain`.
    Domain(String),
    /// `group:name`.
    Group(String),
    /// `tag:name`.
    Tag(String),
    /// `autogroup:name`.
    Autogroup(Autogroup),
    /// Addresses: an address, a network, a range, or a name from `hosts`.
    Addresses(AddressSet),
    /// `ipset:name`.
    IpSet(String),
    /// `svc:name`: a service of Tailscale, whose hosts are not known here.
    Service(String),
}

/// An autogroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Autogroup {
    Tagged,
    OwnDevices,
    Internet,
    Shared,
    DangerAll,
    /// `autogroup:member`: every person of the tailnet, whatever their role.
    Member,
    /// A role other than member.
    Role(Role),
}

impl Autogroup {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "member" | "members" => Some(Self::Member),
            "tagged" => Some(Self::Tagged),
            "self" => Some(Self::OwnDevices),
            "internet" => Some(Self::Internet),
            "shared" => Some(Self::Shared),
            "danger-all" => Some(Self::DangerAll),
            role => Role::ALL.into_iter().find(|known| known.name() == role).map(Self::Role),
        }
    }

    /// Whether Headscale has it: it knows neither roles nor sharing.
    fn is_in_headscale(self) -> bool {
        !matches!(self, Self::Shared | Self::Role(_))
    }
}

impl Selector {
    /// Reads a selector, without asking whether what it names is defined.
    pub(crate) fn parse(text: &str, file: &PolicyFile, plane: ControlPlane) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(addresses) = parse_addresses(text) {
            return Ok(Self::Addresses(addresses));
        }
        // Headscale takes every text with an @ for a login, groups and patterns included.
        if plane == ControlPlane::Headscale && text.contains('@') {
            return Ok(Self::Person(text.to_owned()));
        }
        match text.split_once(':') {
            Some(("group", _)) => Ok(Self::Group(text.to_owned())),
            Some(("tag", _)) => Ok(Self::Tag(text.to_owned())),
            Some(("ipset", _)) if plane != ControlPlane::Headscale => Ok(Self::IpSet(text.to_owned())),
            Some(("svc", _)) if plane != ControlPlane::Headscale => Ok(Self::Service(text.to_owned())),
            Some(("user", pattern)) if pattern.starts_with("*@") => Ok(Self::Domain(pattern[2..].to_owned())),
            Some(("autogroup", name)) => Self::parse_autogroup(text, name, plane),
            _ if text.contains('@') => Ok(Self::Person(text.to_owned())),
            Some(_) => Err(format!("{text:?} is not a selector")),
            None => match file.hosts.get(text) {
                Some(prefix) => Ok(Self::Addresses(AddressSet::from_prefixes([*prefix]))),
                None => Err(format!("{text:?} is not defined in hosts")),
            },
        }
    }

    fn parse_autogroup(text: &str, name: &str, plane: ControlPlane) -> Result<Self, String> {
        let autogroup = Autogroup::parse(name).ok_or_else(|| format!("{text:?} is not an autogroup"))?;
        if plane == ControlPlane::Headscale && !autogroup.is_in_headscale() {
            return Err(format!("Headscale does not know {text}, and refuses the policy"));
        }
        Ok(Self::Autogroup(autogroup))
    }

    /// Whether it names tagged devices.
    pub(crate) fn names_tagged(&self) -> bool {
        matches!(self, Self::Tag(_) | Self::Autogroup(Autogroup::Tagged))
    }

    /// Whether it names nothing but people, as sources of `autogroup:self` must.
    pub(crate) fn names_people_only(&self) -> bool {
        match self {
            Self::Person(_) | Self::Domain(_) | Self::Group(_) => true,
            Self::Autogroup(autogroup) => matches!(autogroup, Autogroup::Member | Autogroup::Role(_)),
            _ => false,
        }
    }
}

/// An address, a network, or a range of addresses `first-last`.
fn parse_addresses(text: &str) -> Option<AddressSet> {
    if let Ok(prefix) = text.parse::<Prefix>() {
        return Some(AddressSet::from_prefixes([prefix]));
    }
    let (first, last) = text.split_once('-')?;
    let (first, last): (IpAddr, IpAddr) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last && first.is_ipv4() == last.is_ipv4()).then(|| AddressSet::from_ranges([(first, last)]))
}

impl Scope<'_> {
    /// A selector whose names are defined in the policy; else a fault.
    pub(crate) fn selector(
        &mut self,
        text: Spelled<()>,
        place: &str,
        file: &PolicyFile,
    ) -> Option<Spelled<Selector>> {
        let selector = Selector::parse(&text.text, file, self.plane);
        let checked = selector.and_then(|selector| self.check_defined(&selector, file).map(|()| selector));
        match checked {
            Ok(selector) => Some(text.with(selector)),
            Err(reason) => {
                self.faults.add_at(text.at, place, reason);
                None
            }
        }
    }

    /// The selectors of a list that are defined.
    pub(crate) fn selectors(
        &mut self,
        node: Option<&Node>,
        place: &str,
        file: &PolicyFile,
    ) -> Vec<Spelled<Selector>> {
        let texts = self.texts(node, place);
        texts.into_iter().filter_map(|text| self.selector(text, place, file)).collect()
    }

    /// Keeps the selectors for which there is no reason against; the others are faults.
    pub(crate) fn retain(
        &mut self,
        selectors: &mut Vec<Spelled<Selector>>,
        place: &str,
        reason: impl Fn(&Selector) -> Option<&'static str>,
    ) {
        selectors.retain(|selector| {
            let reason = reason(&selector.value);
            if let Some(reason) = reason {
                self.faults.add_at(selector.at, place, format!("{} {reason}", selector.text));
            }
            reason.is_none()
        });
    }

    /// Whether what it names is defined in the policy; the reason, if not.
    pub(super) fn check_defined(&self, selector: &Selector, file: &PolicyFile) -> Result<(), String> {
        match selector {
            // A group with a domain comes from an identity provider, not from the policy.
            Selector::Group(name) if name.contains('@') || file.groups.contains_key(name) => Ok(()),
            Selector::Group(name) => Err(format!("{name} is not defined in groups")),
            Selector::Tag(name) if file.tag_owners.contains_key(name) => Ok(()),
            Selector::Tag(name) => Err(format!("{name} is not defined in tagOwners")),
            Selector::IpSet(name) if file.ip_sets.contains_key(name) => Ok(()),
            Selector::IpSet(name) => Err(format!("{name} is not defined in ipsets")),
            Selector::Domain(domain) => self.check_domain(domain),
            _ => Ok(()),
        }
    }

    /// Whether the domain is one of the tailnet, where its domains are known. Tailscale compares with case.
    pub(crate) fn check_domain(&self, domain: &str) -> Result<(), String> {
        let is_known = self.plane == ControlPlane::Headscale || self.domains.is_empty();
        if is_known || self.domains.contains(domain) {
            return Ok(());
        }
        Err(format!("{domain:?} is not a domain of this tailnet"))
    }
}
