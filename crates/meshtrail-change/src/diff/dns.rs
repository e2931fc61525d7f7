//! Changes of DNS settings between two snapshots.

use std::collections::{BTreeMap, BTreeSet};

use meshtrail_event::text::join_list;

use crate::snapshot::DnsState;

/// One change of the DNS settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsChange {
    /// The member of [`DnsState`] that changed.
    pub property: &'static str,
    /// A sentence for people.
    pub summary: String,
}

/// The changes of DNS settings from `old` to `new`. The order of nameservers is no change, that of search paths is one.
pub fn dns(old: &DnsState, new: &DnsState) -> Vec<DnsChange> {
    let mut list = Vec::new();
    let mut push = |property, summary: String| list.push(DnsChange { property, summary });
    if let (Some(from), Some(to)) = (old.magic_dns, new.magic_dns)
        && from != to
    {
        push("magic_dns", format!("MagicDNS was switched {}", on_off(to)));
    }
    if let (Some(from), Some(to)) = (&old.nameservers, &new.nameservers)
        && let Some(what) = describe_moves(from, to)
    {
        push("nameservers", format!("Global nameservers: {what}"));
    }
    if let (Some(from), Some(to)) = (old.override_local, new.override_local)
        && from != to
    {
        push("override_local", format!("Overriding devices' own DNS was switched {}", on_off(to)));
    }
    if let (Some(from), Some(to)) = (&old.search_paths, &new.search_paths)
        && from != to
    {
        let what = describe_moves(from, to).unwrap_or_else(|| format!("in another order: {}", join_list(to)));
        push("search_paths", format!("Search paths: {what}"));
    }
    if let (Some(from), Some(to)) = (&old.split, &new.split) {
        for summary in describe_split(from, to) {
            push("split", summary);
        }
    }
    list
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// The items added and removed; none where both lists have the same items.
fn describe_moves(from: &[String], to: &[String]) -> Option<String> {
    let (was, is): (BTreeSet<_>, BTreeSet<_>) = (from.iter().collect(), to.iter().collect());
    let (added, removed): (Vec<_>, Vec<_>) = (is.difference(&was).collect(), was.difference(&is).collect());
    match (added.is_empty(), removed.is_empty()) {
        (true, true) => None,
        (false, true) => Some(format!("{} added", join_list(&added))),
        (true, false) => Some(format!("{} removed", join_list(&removed))),
        (false, false) => Some(format!("{} added, {} removed", join_list(&added), join_list(&removed))),
    }
}

/// Nameservers by domain.
type Split = BTreeMap<String, Vec<String>>;

fn describe_split(from: &Split, to: &Split) -> Vec<String> {
    let domains: BTreeSet<_> = from.keys().chain(to.keys()).collect();
    let one = |domain: &String| match (from.get(domain), to.get(domain)) {
        (None, Some(servers)) => {
            Some(format!("Names below {domain} are asked of {} now", join_list(servers)))
        }
        (Some(_), None) => Some(format!("Names below {domain} have no nameservers of their own any more")),
        (Some(was), Some(is)) => {
            describe_moves(was, is).map(|what| format!("Nameservers of names below {domain}: {what}"))
        }
        (None, None) => None,
    };
    domains.into_iter().filter_map(one).collect()
}
