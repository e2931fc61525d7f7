//! `acls` and `grants`: who may connect to what.

use std::collections::BTreeMap;

use serde_json::Value;

use super::capability::name_fault;
use super::{Autogroup, PolicyFile, RuleSite, Scope, Section, Selector, Spelled, postures};
use crate::control_plane::ControlPlane;
use crate::hujson::Node;
use crate::ports::{self, PortSet, Protocol};

/// A rule of `acls` or `grants`.
#[derive(Debug)]
pub(crate) struct AccessRule {
    pub(crate) site: RuleSite,
    pub(crate) sources: Vec<Spelled<Selector>>,
    /// Destinations, and the ports that are open there.
    pub(crate) destinations: Vec<(Spelled<Selector>, PortSet)>,
    /// Capabilities, and the parameter objects of each.
    pub(crate) app: BTreeMap<String, Vec<Value>>,
    /// Tags of the only routers that the rule lets through.
    pub(crate) via: Vec<String>,
    /// Postures, of which one must hold; empty: the default ones hold.
    pub(crate) postures: Vec<String>,
    /// Members that are not known.
    pub(crate) unknown: Vec<String>,
}

pub(super) fn read_acls(node: Option<&Node>, file: &PolicyFile, scope: &mut Scope<'_>) -> Vec<AccessRule> {
    let rules = scope.list(node, "acls");
    (1..).zip(rules).map(|(number, node)| read_acl(number, node, file, scope)).collect()
}

/// `users` and `ports` are what `src` and `dst` were called once; Tailscale still reads them.
const ACL_MEMBERS: [&str; 5] = ["action", "proto", "src", "dst", "srcPosture"];
const OLD_ACL_MEMBERS: [&str; 7] = ["action", "proto", "src", "dst", "srcPosture", "users", "ports"];

fn read_acl(number: usize, node: &Node, file: &PolicyFile, scope: &mut Scope<'_>) -> AccessRule {
    let (place, site) = scope.open_rule(Section::Acls, number, node);
    let is_headscale = scope.plane == ControlPlane::Headscale;
    let known: &[&str] = if is_headscale { &ACL_MEMBERS[..4] } else { &OLD_ACL_MEMBERS };
    let unknown = scope.unknown_members(node, known, &place);
    let action = node.member("action").and_then(Node::text).unwrap_or_default();
    if action.trim() != "accept" {
        scope.faults.add(
            node.member("action").unwrap_or(node),
            &place,
            format!("action {action:?} is not accept"),
        );
    }
    let protocols = acl_protocols(node.member("proto"), &place, scope);
    let sources = sources(node.member("src").or_else(|| node.member("users")), &place, file, scope);
    let mut destinations = Vec::new();
    for text in scope.texts(node.member("dst").or_else(|| node.member("ports")), &place) {
        destinations.extend(acl_destination(text, &protocols, &format!("{place}, dst"), file, scope));
    }
    check_own_devices(&sources, &destinations, &format!("{place}, dst"), true, scope);
    let postures =
        postures::read_names(node.member("srcPosture"), &format!("{place}, srcPosture"), file, scope);
    AccessRule { site, sources, destinations, app: BTreeMap::new(), via: Vec::new(), postures, unknown }
}

/// The protocols of an acl rule; those that a rule without one opens, if none is written.
fn acl_protocols(node: Option<&Node>, place: &str, scope: &mut Scope<'_>) -> Vec<Protocol> {
    let text = node.map(|node| (node, node.text().map_or_else(|| node.to_json().to_string(), str::to_owned)));
    let Some((node, text)) = text.filter(|(_, text)| !text.is_empty()) else {
        return Protocol::DEFAULT.to_vec();
    };
    match ports::parse_protocol(text.trim()) {
        Ok(protocol) => vec![protocol],
        Err(reason) => {
            scope.faults.add(node, &format!("{place}, proto"), reason);
            Vec::new()
        }
    }
}

fn acl_destination(
    text: Spelled<()>,
    protocols: &[Protocol],
    place: &str,
    file: &PolicyFile,
    scope: &mut Scope<'_>,
) -> Option<(Spelled<Selector>, PortSet)> {
    let at = text.at;
    let split = split_ports(&text.text).and_then(|(name, ports)| Ok((name, ports::parse_ports(ports)?)));
    let (name, ranges) = match split {
        Ok(split) => split,
        Err(reason) => {
            scope.faults.add_at(at, place, format!("{:?}: {reason}", text.text));
            return None;
        }
    };
    let whole = ranges == [ports::ALL_PORTS];
    if scope.plane == ControlPlane::Headscale
        && !whole
        && !protocols.iter().any(|protocol| protocol.has_ports())
    {
        scope.faults.add_at(at, place, "a protocol without ports has * in place of ports");
    }
    let selector = scope.selector(Spelled { value: (), text: name, at }, place, file)?;
    check_destination(&selector, place, scope);
    Some((selector, PortSet::new(protocols, &ranges)))
}

/// Splits `tag:web:22` before the ports; an IPv6 address may stand in brackets.
pub(crate) fn split_ports(text: &str) -> Result<(String, &str), String> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    if let Some((address, rest)) = bracketed {
        let (length, ports) = rest.rsplit_once(':').ok_or("a colon and ports follow the destination")?;
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err("only an IPv6 address stands in brackets".to_owned());
        }
        return Ok((format!("{address}{length}"), ports));
    }
    match text.rsplit_once(':') {
        Some((name, ports)) if !name.is_empty() && !ports.is_empty() => Ok((name.to_owned(), ports)),
        _ => Err("a colon and ports follow the destination".to_owned()),
    }
}

pub(super) fn read_grants(node: Option<&Node>, file: &PolicyFile, scope: &mut Scope<'_>) -> Vec<AccessRule> {
    let rules = scope.list(node, "grants");
    (1..).zip(rules).map(|(number, node)| read_grant(number, node, file, scope)).collect()
}

const GRANT_MEMBERS: [&str; 6] = ["src", "dst", "ip", "app", "via", "srcPosture"];

fn read_grant(number: usize, node: &Node, file: &PolicyFile, scope: &mut Scope<'_>) -> AccessRule {
    let (place, site) = scope.open_rule(Section::Grants, number, node);
    let known = if scope.plane == ControlPlane::Headscale { &GRANT_MEMBERS[..5] } else { &GRANT_MEMBERS[..] };
    let unknown = scope.unknown_members(node, known, &place);
    let sources = sources(node.member("src"), &place, file, scope);
    let ports = grant_ports(node.member("ip"), &format!("{place}, ip"), scope);
    let app = capabilities(node.member("app"), &format!("{place}, app"), scope);
    if ports.is_empty() && app.is_empty() {
        scope.faults.add(node, &place, "a grant has ip, app or both");
    }
    let dst_place = format!("{place}, dst");
    let mut destinations = Vec::new();
    for text in scope.texts(node.member("dst"), &dst_place) {
        let Some(selector) = scope.selector(text, &dst_place, file) else { continue };
        check_destination(&selector, &dst_place, scope);
        check_grant_destination(&selector, !app.is_empty(), &dst_place, scope);
        destinations.push((selector, ports.clone()));
    }
    check_own_devices(&sources, &destinations, &dst_place, false, scope);
    let via = via(node.member("via"), &format!("{place}, via"), file, scope);
    let postures =
        postures::read_names(node.member("srcPosture"), &format!("{place}, srcPosture"), file, scope);
    AccessRule { site, sources, destinations, app, via, postures, unknown }
}

fn grant_ports(node: Option<&Node>, place: &str, scope: &mut Scope<'_>) -> PortSet {
    let mut all = PortSet::default();
    for text in scope.texts(node, place) {
        match parse_grant_port(&text.text) {
            Ok(ports) => all = all.union(&ports),
            Err(reason) => scope.faults.add_at(text.at, place, reason),
        }
    }
    all
}

/// `*`, `22`, `8000-8010`, `tcp:443`, `icmp:*`.
fn parse_grant_port(text: &str) -> Result<PortSet, String> {
    let Some((protocol, ports)) = text.split_once(':') else {
        return Ok(PortSet::new(&Protocol::DEFAULT, &ports::parse_ports(text)?));
    };
    Ok(PortSet::new(&[ports::parse_protocol(protocol)?], &ports::parse_ports(ports)?))
}

fn capabilities(node: Option<&Node>, place: &str, scope: &mut Scope<'_>) -> BTreeMap<String, Vec<Value>> {
    let is_headscale = scope.plane == ControlPlane::Headscale;
    let mut app = BTreeMap::new();
    for (name, node) in scope.object(node, place) {
        if let Some(reason) = name_fault(name, is_headscale) {
            scope.faults.add(node, place, format!("{name:?}: {reason}"));
        }
        let parameters = scope.list(Some(node), &format!("{place}, {name}"));
        app.insert(name.clone(), parameters.iter().map(Node::to_json).collect());
    }
    app
}

fn via(node: Option<&Node>, place: &str, file: &PolicyFile, scope: &mut Scope<'_>) -> Vec<String> {
    let mut tags = Vec::new();
    for tag in scope.texts(node, place) {
        if !tag.text.starts_with("tag:") {
            scope.faults.add_at(tag.at, place, format!("{:?}: via names tags only", tag.text));
        } else if file.tag_owners.contains_key(&tag.text) {
            tags.push(tag.text);
        } else {
            scope.faults.add_at(tag.at, place, format!("{} is not defined in tagOwners", tag.text));
        }
    }
    tags
}

fn sources(
    node: Option<&Node>,
    place: &str,
    file: &PolicyFile,
    scope: &mut Scope<'_>,
) -> Vec<Spelled<Selector>> {
    let place = format!("{place}, src");
    let mut sources = scope.selectors(node, &place, file);
    scope.retain(&mut sources, &place, |source| match source {
        Selector::Autogroup(Autogroup::OwnDevices | Autogroup::Internet) | Selector::Service(_) => {
            Some("can't be a source")
        }
        _ => None,
    });
    sources
}

fn check_destination(selector: &Spelled<Selector>, place: &str, scope: &mut Scope<'_>) {
    if let Selector::Autogroup(Autogroup::DangerAll | Autogroup::Shared) = selector.value {
        scope.faults.add_at(selector.at, place, format!("{} can't be a destination", selector.text));
    }
}

fn check_grant_destination(selector: &Spelled<Selector>, has_app: bool, place: &str, scope: &mut Scope<'_>) {
    let is_internet = selector.value == Selector::Autogroup(Autogroup::Internet);
    if has_app && is_internet {
        scope.faults.add_at(selector.at, place, "app can't be granted towards autogroup:internet");
    }
    if selector.text.ends_with("/0") {
        scope.faults.add_at(selector.at, place, "all addresses are written * or autogroup:internet");
    }
}

/// `autogroup:self` needs sources that are people: a tagged device has no person whose devices could be meant. In acls
/// `*` may stand beside it.
fn check_own_devices(
    sources: &[Spelled<Selector>],
    destinations: &[(Spelled<Selector>, PortSet)],
    place: &str,
    any_allowed: bool,
    scope: &mut Scope<'_>,
) {
    let own = Selector::Autogroup(Autogroup::OwnDevices);
    let Some((own, _)) = destinations.iter().find(|(selector, _)| selector.value == own) else { return };
    let is_right =
        |source: &Selector| source.names_people_only() || (any_allowed && *source == Selector::Any);
    if let Some(wrong) = sources.iter().find(|source| !is_right(&source.value)) {
        let reason = format!("autogroup:self needs people as sources, and {} is not", wrong.text);
        scope.faults.add_at(own.at, place, reason);
    }
}
