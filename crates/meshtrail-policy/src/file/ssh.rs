//! `ssh`: who may log in where, as which local user.

use std::fmt;
use std::time::Duration;

use super::{Autogroup, PolicyFile, RuleSite, Scope, Section, Selector, Spelled, postures};
use crate::control_plane::ControlPlane;
use crate::hujson::{Node, Shape};

/// A rule of `ssh`.
#[derive(Debug)]
pub(crate) struct SshRule {
    pub(crate) site: RuleSite,
    /// The period of a check; `None` accepts at once.
    pub(crate) check: Option<CheckPeriod>,
    pub(crate) sources: Vec<Spelled<Selector>>,
    pub(crate) destinations: Vec<Spelled<Selector>>,
    pub(crate) users: Vec<LocalUserPattern>,
    /// Names of variables with `*` and `?`.
    pub(crate) accept_env: Vec<String>,
    /// Tags of recorders.
    pub(crate) recorders: Vec<String>,
    /// Whether a session ends, or does not begin, when no recorder can be reached.
    pub(crate) enforce_recorder: bool,
    /// Postures, of which one must hold.
    pub(crate) postures: Vec<String>,
    /// Members that are not known.
    pub(crate) unknown: Vec<String>,
}

/// How long a confirmation of who the person is counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckPeriod {
    /// Each login is confirmed anew.
    Always,
    /// A confirmation counts for so long.
    For(Duration),
}

/// The period of a rule that has none (Tailscale's manual).
const DEFAULT_PERIOD: Duration = Duration::from_secs(12 * 3600);

/// The longest period that a rule may have; zero is allowed (both captured).
const MAX_PERIOD: Duration = Duration::from_secs(168 * 3600);

/// Local users of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LocalUserPattern {
    /// This name, `root` included.
    Name(String),
    /// `autogroup:nonroot`: every user that exists and whose uid is not 0.
    NonRoot,
    /// `localpart:*@domain`: the part before the @ of the person's login, if its domain is this one.
    Localpart(String),
}

impl fmt::Display for LocalUserPattern {
    /// As policies write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::NonRoot => f.write_str("autogroup:nonroot"),
            Self::Localpart(domain) => write!(f, "localpart:*@{domain}"),
        }
    }
}

pub(super) fn read(node: Option<&Node>, file: &PolicyFile, scope: &mut Scope<'_>) -> Vec<SshRule> {
    let rules = scope.list(node, "ssh");
    (1..).zip(rules).map(|(number, node)| read_rule(number, node, file, scope)).collect()
}

const MEMBERS: [&str; 9] = [
    "action",
    "src",
    "dst",
    "users",
    "checkPeriod",
    "acceptEnv",
    "recorder",
    "enforceRecorder",
    "srcPosture",
];

fn read_rule(number: usize, node: &Node, file: &PolicyFile, scope: &mut Scope<'_>) -> SshRule {
    let (place, site) = scope.open_rule(Section::Ssh, number, node);
    let known = if scope.plane == ControlPlane::Headscale { &MEMBERS[..6] } else { &MEMBERS[..] };
    let unknown = scope.unknown_members(node, known, &place);
    let check = check(node, &place, scope);
    let sources = sources(node.member("src"), &format!("{place}, src"), file, scope);
    let destinations = destinations(node.member("dst"), &format!("{place}, dst"), file, scope);
    check_pairs(&sources, &destinations, &format!("{place}, dst"), scope);
    SshRule {
        site,
        check,
        sources,
        destinations,
        users: users(node, &format!("{place}, users"), scope),
        accept_env: accept_env(node.member("acceptEnv"), &format!("{place}, acceptEnv"), scope),
        recorders: recorders(node.member("recorder"), &format!("{place}, recorder"), file, scope),
        enforce_recorder: matches!(
            node.member("enforceRecorder").map(|node| &node.shape),
            Some(Shape::Bool(true))
        ),
        postures: postures::read_names(
            node.member("srcPosture"),
            &format!("{place}, srcPosture"),
            file,
            scope,
        ),
        unknown,
    }
}

/// What `action` says: the period of a check; `None` accepts at once.
fn check(rule: &Node, place: &str, scope: &mut Scope<'_>) -> Option<CheckPeriod> {
    let period = rule.member("checkPeriod").filter(|node| node.shape != Shape::Null);
    let node = rule.member("action");
    match node.and_then(Node::text).map(str::trim) {
        Some("accept") => {
            if let Some(period) = period.filter(|_| scope.plane == ControlPlane::Headscale) {
                scope.faults.add(period, place, "Headscale refuses checkPeriod with accept");
            }
            None
        }
        Some("check") => Some(check_period(period, &format!("{place}, checkPeriod"), scope)),
        action => {
            let reason = format!("action {:?} is neither accept nor check", action.unwrap_or_default());
            scope.faults.add(node.unwrap_or(rule), place, reason);
            None
        }
    }
}

fn check_period(node: Option<&Node>, place: &str, scope: &mut Scope<'_>) -> CheckPeriod {
    let Some(node) = node else { return CheckPeriod::For(DEFAULT_PERIOD) };
    let text = node.text().unwrap_or_default();
    if text == "always" {
        return CheckPeriod::Always;
    }
    let period = parse_duration(text).ok_or("it is neither \"always\" nor a duration such as 12h");
    match period.and_then(|period| if period > MAX_PERIOD { Err("it is above 168h") } else { Ok(period) }) {
        Ok(period) => CheckPeriod::For(period),
        Err(reason) => {
            scope.faults.add(node, place, format!("{text:?}: {reason}"));
            CheckPeriod::Always
        }
    }
}

/// Reads a duration as Go writes them: `1h30m`, `0.5h`, `0`. None is negative.
fn parse_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 8] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
        ("μs", 1e-6),
    ];
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut seconds = 0.0;
    loop {
        let number_end = rest.find(|mark: char| !(mark.is_ascii_digit() || mark == '.'))?;
        let number: f64 = rest[..number_end].parse().ok()?;
        rest = &rest[number_end..];
        let unit_end = rest.find(|mark: char| mark.is_ascii_digit() || mark == '.').unwrap_or(rest.len());
        let (_, factor) = UNITS.iter().find(|(unit, _)| *unit == &rest[..unit_end])?;
        seconds += number * factor;
        rest = &rest[unit_end..];
        if rest.is_empty() {
            return Duration::try_from_secs_f64(seconds).ok();
        }
    }
}

fn sources(
    node: Option<&Node>,
    place: &str,
    file: &PolicyFile,
    scope: &mut Scope<'_>,
) -> Vec<Spelled<Selector>> {
    let is_headscale = scope.plane == ControlPlane::Headscale;
    let mut sources = scope.selectors(node, place, file);
    scope.retain(&mut sources, place, |source| match source {
        Selector::Any
        | Selector::IpSet(_)
        | Selector::Service(_)
        | Selector::Autogroup(Autogroup::OwnDevices | Autogroup::Internet | Autogroup::DangerAll) => {
            Some("can't be the source of a login")
        }
        Selector::Addresses(_) if is_headscale => Some("can't be the source of a login in Headscale"),
        _ => None,
    });
    sources
}

fn destinations(
    node: Option<&Node>,
    place: &str,
    file: &PolicyFile,
    scope: &mut Scope<'_>,
) -> Vec<Spelled<Selector>> {
    let mut hosts = scope.selectors(node, place, file);
    scope.retain(&mut hosts, place, |host| match host {
        Selector::Tag(_)
        | Selector::Person(_)
        | Selector::Autogroup(Autogroup::OwnDevices | Autogroup::Member | Autogroup::Tagged) => None,
        _ => Some("can't be the host of a login"),
    });
    hosts
}

/// Tagged devices may not log in to people's, and a person named as a host must be the only source.
fn check_pairs(
    sources: &[Spelled<Selector>],
    destinations: &[Spelled<Selector>],
    place: &str,
    scope: &mut Scope<'_>,
) {
    let tagged = sources.iter().any(|source| source.value.names_tagged());
    for host in destinations {
        let is_people = !matches!(host.value, Selector::Tag(_) | Selector::Autogroup(Autogroup::Tagged));
        if tagged && is_people {
            scope.faults.add_at(
                host.at,
                place,
                format!("tagged devices can't log in to those of {}", host.text),
            );
        }
        let is_person = matches!(host.value, Selector::Person(_));
        if is_person && (sources.is_empty() || sources.iter().any(|source| source.value != host.value)) {
            let reason = format!("{} can be the host only if it is also the only source", host.text);
            scope.faults.add_at(host.at, place, reason);
        }
    }
}

fn users(rule: &Node, place: &str, scope: &mut Scope<'_>) -> Vec<LocalUserPattern> {
    let names = scope.texts(rule.member("users"), place);
    if names.is_empty() {
        scope.faults.add(rule.member("users").unwrap_or(rule), place, "a rule names the local users");
    }
    let mut users = Vec::new();
    for name in names {
        if name.text.is_empty() || name.text == "*" {
            scope.faults.add_at(name.at, place, format!("{:?} is not a local user", name.text));
            continue;
        }
        let domain = name.text.strip_prefix("localpart:*@").filter(|domain| !domain.is_empty());
        if let Some(reason) = domain.and_then(|domain| scope.check_domain(domain).err()) {
            scope.faults.add_at(name.at, place, reason);
        }
        // Any other text, other autogroups included, is a user's name (captured).
        users.push(match domain {
            Some(domain) => LocalUserPattern::Localpart(domain.to_owned()),
            None if name.text == "autogroup:nonroot" => LocalUserPattern::NonRoot,
            None => LocalUserPattern::Name(name.text),
        });
    }
    users
}

fn accept_env(node: Option<&Node>, place: &str, scope: &mut Scope<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for name in scope.texts(node, place) {
        if name.text.is_empty() {
            scope.faults.add_at(name.at, place, "the name of a variable is not empty");
        }
        names.push(name.text);
    }
    names
}

fn recorders(node: Option<&Node>, place: &str, file: &PolicyFile, scope: &mut Scope<'_>) -> Vec<String> {
    let mut tags = Vec::new();
    for tag in scope.texts(node, place) {
        if file.tag_owners.contains_key(&tag.text) {
            tags.push(tag.text);
        } else {
            scope.faults.add_at(tag.at, place, format!("{} is not a tag that tagOwners defines", tag.text));
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, seconds) in
            [("12h", 43_200), ("1h30m", 5400), ("168h0m1s", 604_801), ("0s", 0), ("0.5h", 1800)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "abc", "-1m", "12", "h", "1x", "1h2", "999999999999999999999h"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }
}
