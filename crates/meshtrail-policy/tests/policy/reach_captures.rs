//! `acls` and `grants` as Tailscale's control plane compiled and refused them: who reaches whom, networks behind routers,
//! and capabilities.

use std::collections::{BTreeMap, BTreeSet};

use meshtrail_policy::{AddressSet, ControlPlane, Mesh, Policy, Prefix, ReachSource, ReachTarget, Rows};
use serde_json::{Value, json};

use crate::mesh_file::{by_name, mesh, read_json, read_lines, texts};

const LIMIT: usize = 10_000;

/// Ports by source and target.
type Reach = BTreeMap<(String, String), String>;

/// The lines `SOURCES > TARGET: PORTS` of a vector; `*` stands for all devices but the target and the router.
fn wanted(lines: &Value, devices: &BTreeSet<String>) -> Reach {
    let mut reach = Reach::new();
    for line in texts(lines) {
        let (pair, ports) = line.split_once(": ").unwrap();
        let (sources, target) = pair.split_once(" > ").unwrap();
        let at = target.rsplit(" via ").next().unwrap();
        for source in sources.split(", ") {
            let named: Vec<&str> = match source {
                "*" => devices.iter().map(String::as_str).filter(|device| *device != at).collect(),
                source => vec![source],
            };
            reach.extend(
                named.into_iter().map(|name| ((name.to_owned(), target.to_owned()), ports.to_owned())),
            );
        }
    }
    reach
}

/// The address that a capture was asked about within a network.
fn probe(network: &Prefix) -> std::net::IpAddr {
    let (first, last) = network.range();
    let probe = match first {
        std::net::IpAddr::V4(first) => std::net::Ipv4Addr::from_bits(first.to_bits() + 257).into(),
        std::net::IpAddr::V6(first) => std::net::Ipv6Addr::from_bits(first.to_bits() + 257).into(),
    };
    if probe > last { last } else { probe }
}

/// The names of a row's source in vectors; networks by the routes of the mesh whose probe they hold.
fn source_names(source: &ReachSource, mesh: &Mesh, networks: &BTreeSet<Prefix>) -> Vec<String> {
    match source {
        ReachSource::Device(device) => vec![mesh.device(*device).name.clone()],
        ReachSource::Network(addresses) => {
            let inside = networks.iter().filter(|network| addresses.contains(probe(network)));
            inside.map(|network| format!("net {network}")).collect()
        }
        ReachSource::Anyone => vec!["anyone".to_owned()],
        ReachSource::Guest(_) => Vec::new(),
    }
}

fn networks(mesh: &Mesh) -> BTreeSet<Prefix> {
    let routes = mesh.devices().flat_map(|device| mesh.device(device).routes.clone());
    routes.filter(|route| !route.is_default_route()).collect()
}

fn add_rows(rows: &Rows, target: &str, mesh: &Mesh, reach: &mut Reach) {
    assert_eq!(rows.left_off, 0);
    let networks = networks(mesh);
    for row in &rows.rows {
        assert!(!row.rules.is_empty(), "each row names its rules");
        for source in source_names(&row.source, mesh, &networks) {
            let known = reach.insert((source, target.to_owned()), row.ports.to_string());
            assert_eq!(known, None, "one row for each source and target");
        }
    }
}

/// Who reaches each device; `anyone` stands for all other rows of a target, and is left out of them.
fn found(policy: &Policy, mesh: &Mesh) -> Reach {
    let mut reach = Reach::new();
    for (name, device) in by_name(mesh) {
        let answer = policy.who_can_reach(&ReachTarget::Device(device), LIMIT);
        add_rows(&answer.certain, &name, mesh, &mut reach);
    }
    reach
}

/// Who reaches each address that the vector asks about, through each router.
fn found_networks(policy: &Policy, mesh: &Mesh, wanted: &Reach) -> Reach {
    let mut reach = Reach::new();
    let targets: BTreeSet<&String> = wanted.keys().map(|(_, target)| target).collect();
    for target in targets {
        let (address, router) = target.split_once(" via ").unwrap();
        let addresses = AddressSet::from_prefixes([address.parse::<Prefix>().unwrap()]);
        let router = by_name(mesh)[router];
        let answer = policy.who_can_reach(&ReachTarget::Network { addresses, router: Some(router) }, LIMIT);
        add_rows(&answer.certain, target, mesh, &mut reach);
    }
    reach
}

/// Capabilities by peer and target.
fn found_capabilities(policy: &Policy, mesh: &Mesh) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for (peer_name, peer) in by_name(mesh) {
        for (target_name, target) in by_name(mesh) {
            let capabilities = policy.capabilities(peer, target);
            if peer != target && !capabilities.granted.is_empty() {
                let app =
                    capabilities.granted.into_iter().map(|(name, granted)| (name, granted.parameters.into()));
                let app: serde_json::Map<String, Value> = app.collect();
                found.insert(format!("{peer_name} > {target_name}"), Value::Object(app));
            }
        }
    }
    found
}

fn wanted_capabilities(vector: &Value) -> BTreeMap<String, Value> {
    let groups = vector["capabilities"].as_array().into_iter().flatten();
    groups
        .flat_map(|group| texts(&group["pairs"]).into_iter().map(|pair| (pair, group["app"].clone())))
        .collect()
}

/// What differs, in words: of maps with the same keys, the entries that are not equal.
fn map_difference<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    there: &BTreeMap<K, V>,
    here: &BTreeMap<K, V>,
) -> Option<String> {
    let keys: BTreeSet<&K> = there.keys().chain(here.keys()).collect();
    let different = keys.into_iter().filter(|key| there.get(key) != here.get(key));
    let words = different.map(|key| format!("{key:?}: there {:?}, here {:?}", there.get(key), here.get(key)));
    let words: Vec<String> = words.take(8).collect();
    (!words.is_empty()).then(|| words.join("\n  "))
}

fn difference(vector: &Value, plane: ControlPlane, meshes: &BTreeMap<String, Mesh>) -> Option<String> {
    let any = meshes.values().next().unwrap();
    let mesh = vector["mesh"].as_str().map_or(any, |name| &meshes[name]);
    let policy = match (Policy::compile(&vector["policy"].to_string(), plane, mesh), &vector["refused"]) {
        (Ok(_), Value::Bool(true)) => return Some("it is not refused".to_owned()),
        (Err(_), Value::Bool(true)) => return None,
        (Err(error), _) => return Some(format!("it is refused: {error}")),
        (Ok(policy), _) => policy,
    };
    let devices: BTreeSet<String> = by_name(mesh).into_keys().collect();
    let reach = map_difference(&wanted(&vector["reach"], &devices), &found(&policy, mesh));
    let networks = wanted(&vector["networks"], &devices);
    let networks = map_difference(&networks, &found_networks(&policy, mesh, &networks));
    let capabilities = map_difference(&wanted_capabilities(vector), &found_capabilities(&policy, mesh));
    reach.or(networks).or(capabilities)
}

fn meshes() -> BTreeMap<String, Mesh> {
    let meshes = read_json("reach-meshes.json");
    meshes.as_object().unwrap().iter().map(|(name, value)| (name.clone(), mesh(value))).collect()
}

/// Holds vectors against a table of those that are known to differ: it may only shrink.
fn check(plane: ControlPlane, table: &str) {
    let known: BTreeMap<String, String> = serde_json::from_value(read_json(table)).unwrap();
    let meshes = meshes();
    let (mut unknown, mut passing) = (Vec::new(), Vec::new());
    for vector in read_lines("reach.jsonl") {
        let id = vector["id"].as_str().unwrap().to_owned();
        match (difference(&vector, plane, &meshes), known.contains_key(&id)) {
            (Some(difference), false) => unknown.push(format!("{id}: {difference}")),
            (None, true) => passing.push(id),
            _ => {}
        }
    }
    assert!(unknown.is_empty(), "{} differ and are not in {table}:\n{}", unknown.len(), unknown.join("\n"));
    assert!(passing.is_empty(), "these are the same by now, take them off {table}: {passing:?}");
}

#[test]
fn reach_is_what_tailscale_was_seen_to_compile() {
    check(ControlPlane::Tailscale, "reach-tailscale.json");
}

#[test]
fn headscale_reaches_what_tailscale_does_but_for_what_the_table_says() {
    check(ControlPlane::Headscale, "reach-headscale.json");
}

#[test]
fn both_directions_of_reach_say_the_same() {
    let meshes = meshes();
    for vector in read_lines("reach.jsonl").iter().filter(|vector| vector["refused"] != true).step_by(7) {
        let mesh = &meshes[vector["mesh"].as_str().unwrap()];
        let policy = Policy::compile(&vector["policy"].to_string(), ControlPlane::Tailscale, mesh).unwrap();
        let (mut to, mut from) = (BTreeSet::new(), BTreeSet::new());
        for device in mesh.devices() {
            for row in policy.who_can_reach(&ReachTarget::Device(device), LIMIT).certain.rows {
                if let ReachSource::Device(source) = row.source {
                    assert_eq!(policy.ports_between(source, device), row.ports);
                    to.insert((source, device, row.ports.to_string()));
                }
            }
            for row in policy.reachable_from(device, LIMIT).certain.rows {
                if let ReachTarget::Device(target) = row.target {
                    from.insert((device, target, row.ports.to_string()));
                }
            }
        }
        assert_eq!(to, from, "{}", json!(vector["id"]));
    }
}
