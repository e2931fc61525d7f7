//! `ipsets`: named sets of addresses, made of operations in order.
//!
//! <https://tailscale.com/kb/1387/ipsets>: each operation adds or removes an address, a network, a name from `hosts`
//! (with or without `host:`), `autogroup:internet`, or another set; without a word before it, it adds.

use std::collections::BTreeMap;

use super::{MAX_DEFINITIONS, Scope};
use crate::address::{AddressSet, Prefix, internet};
use crate::hujson::Node;

/// One operation of a set.
struct Operation {
    removes: bool,
    target: Target,
}

/// What an operation adds or removes.
enum Target {
    Addresses(AddressSet),
    /// `ipset:name`.
    Set(String),
}

/// The addresses of each set.
pub(super) fn read(
    node: Option<&Node>,
    hosts: &BTreeMap<String, Prefix>,
    scope: &mut Scope<'_>,
) -> BTreeMap<String, AddressSet> {
    let members = scope.object(node, "ipsets");
    if let Some((_, node)) = members.get(MAX_DEFINITIONS) {
        scope.faults.add(node, "ipsets", format!("a policy has at most {MAX_DEFINITIONS} IP sets"));
        return BTreeMap::new();
    }
    let mut operations = BTreeMap::new();
    for (name, node) in members {
        if !name.starts_with("ipset:") {
            scope.faults.add(node, "ipsets", format!("{name:?}: the name of an IP set begins with ipset:"));
        }
        operations.insert(name.as_str(), read_operations(name, node, hosts, scope));
    }
    let sets = evaluate(operations);
    for (name, node) in members.iter().filter(|(name, _)| !sets.contains_key(name)) {
        scope.faults.add(node, name, "it is made of itself, or of an IP set that is not defined");
    }
    sets
}

fn read_operations(
    name: &str,
    node: &Node,
    hosts: &BTreeMap<String, Prefix>,
    scope: &mut Scope<'_>,
) -> Vec<Operation> {
    let mut operations = Vec::new();
    for text in scope.texts(Some(node), name) {
        match parse_operation(&text.text, hosts) {
            Ok(operation) => operations.push(operation),
            Err(reason) => scope.faults.add_at(text.at, name, format!("{:?}: {reason}", text.text)),
        }
    }
    operations
}

fn parse_operation(text: &str, hosts: &BTreeMap<String, Prefix>) -> Result<Operation, &'static str> {
    let (removes, target) = match text.split_once(' ') {
        Some(("add", target)) => (false, target.trim()),
        Some(("remove", target)) => (true, target.trim()),
        Some(_) => return Err("an operation is add or remove, and a target"),
        None => (false, text),
    };
    let host = |name: &str| hosts.get(name).map(|prefix| AddressSet::from_prefixes([*prefix]));
    let target = match target {
        "autogroup:internet" => Target::Addresses(internet()),
        set if set.starts_with("ipset:") => Target::Set(set.to_owned()),
        named if named.starts_with("host:") => {
            Target::Addresses(host(&named[5..]).ok_or("the name is not defined in hosts")?)
        }
        other => {
            let addresses = other.parse().ok().map(|prefix: Prefix| AddressSet::from_prefixes([prefix]));
            let reason =
                "a target is an address, a network, a name from hosts, autogroup:internet or an IP set";
            Target::Addresses(addresses.or_else(|| host(other)).ok_or(reason)?)
        }
    };
    Ok(Operation { removes, target })
}

/// Evaluates the sets, each once, after those that it is made of. What stands in a circle, or names a set that is not
/// there, never gets its turn.
fn evaluate(operations: BTreeMap<&str, Vec<Operation>>) -> BTreeMap<String, AddressSet> {
    let mut missing: BTreeMap<&str, usize> = BTreeMap::new();
    let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, operations) in &operations {
        for operation in operations {
            let Target::Set(inner) = &operation.target else { continue };
            *missing.entry(name).or_default() += 1;
            users.entry(inner).or_default().push(name);
        }
    }
    let mut ready: Vec<&str> =
        operations.keys().copied().filter(|name| !missing.contains_key(name)).collect();
    let mut sets = BTreeMap::new();
    while let Some(name) = ready.pop() {
        let Some(steps) = operations.get(name) else { continue };
        let set = apply(steps, &sets);
        sets.insert(name.to_owned(), set);
        for user in users.remove(name).unwrap_or_default() {
            let Some(count) = missing.get_mut(user) else { continue };
            *count -= 1;
            if *count == 0 {
                ready.push(user);
            }
        }
    }
    sets
}

fn apply(operations: &[Operation], sets: &BTreeMap<String, AddressSet>) -> AddressSet {
    let mut addresses = AddressSet::default();
    for operation in operations {
        let target = match &operation.target {
            Target::Addresses(target) => target,
            Target::Set(inner) => &sets[inner],
        };
        addresses = if operation.removes { addresses.without(target) } else { addresses.union(target) };
    }
    addresses
}
