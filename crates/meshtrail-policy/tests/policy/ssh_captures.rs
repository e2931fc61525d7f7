//! `ssh` rules and their tests as Tailscale's control plane compiled, refused and ran them.

use std::collections::BTreeMap;

use meshtrail_policy::{ControlPlane, Decision, LocalUser, LoginQuestion, Mesh, Policy};
use serde_json::{Value, json};

use crate::mesh_file::{by_name, mesh, read_json, read_lines, texts};

/// The decision for each source, host and local user of a capture that is not denied.
fn allowed(vector: &Value) -> BTreeMap<(String, String, String), Decision> {
    let mut allowed = BTreeMap::new();
    for (member, decision) in [("accept", Decision::Accept), ("check", Decision::Check)] {
        for line in texts(&vector[member]) {
            let (devices, users) = line.split_once(": ").unwrap();
            let (from, to) = devices.split_once(" > ").unwrap();
            for user in users.split(", ") {
                allowed.insert((from.to_owned(), to.to_owned(), user.to_owned()), decision);
            }
        }
    }
    allowed
}

/// What the evaluator allows of all sources, hosts and users of a capture. Local users exist, and `root` alone has uid 0.
fn evaluated(policy: &Policy, mesh: &Mesh, users: &[String]) -> BTreeMap<(String, String, String), Decision> {
    let devices = by_name(mesh);
    let mut allowed = BTreeMap::new();
    for (from, from_ref) in &devices {
        for (to, to_ref) in &devices {
            for user in users {
                let local = LocalUser::with_uid(user, if user == "root" { 0 } else { 1000 });
                let decision = policy.login(&LoginQuestion::new(*from_ref, *to_ref, local)).decision;
                if decision != Decision::Deny {
                    allowed.insert((from.clone(), to.clone(), user.clone()), decision);
                }
            }
        }
    }
    allowed
}

/// What differs between a capture and the evaluator, in words; `None` where nothing does.
fn difference(vector: &Value, plane: ControlPlane, mesh: &Mesh) -> Option<String> {
    let policy = Policy::compile(&vector["policy"].to_string(), plane, mesh);
    if vector["refused"] == true {
        return policy.is_ok().then(|| "it is not refused".to_owned());
    }
    let policy = match policy {
        Ok(policy) => policy,
        Err(error) if vector["tests"] == "fail" => return error.faults.is_empty().then(String::new),
        Err(error) => return Some(format!("it is refused: {error}")),
    };
    if let Some(wanted) = vector["tests"].as_str() {
        let outcomes = policy.run_tests();
        let passes = outcomes.iter().all(|outcome| outcome.failures.is_empty());
        return (passes != (wanted == "pass")).then(|| format!("tests {wanted} there: {outcomes:?}"));
    }
    let (wanted, found) = (allowed(vector), evaluated(&policy, mesh, &texts(&vector["users"])));
    (wanted != found).then(|| format!("there {wanted:?}, here {found:?}"))
}

fn differences(plane: ControlPlane) -> BTreeMap<String, String> {
    let mesh = mesh(&read_json("ssh-mesh.json"));
    let mut different = BTreeMap::new();
    for vector in read_lines("ssh.jsonl") {
        if let Some(difference) = difference(&vector, plane, &mesh) {
            different.insert(vector["id"].as_str().unwrap().to_owned(), difference);
        }
    }
    different
}

#[test]
fn logins_are_decided_as_tailscale_was_seen_to_decide_them() {
    assert_eq!(differences(ControlPlane::Tailscale), BTreeMap::new());
}

#[test]
fn headscale_differs_from_tailscale_in_what_the_manual_says_and_in_nothing_else() {
    let known: BTreeMap<String, Value> = serde_json::from_value(read_json("ssh-headscale.json")).unwrap();
    let found = differences(ControlPlane::Headscale);
    for (id, difference) in &found {
        assert!(known.contains_key(id), "{id} is not in ssh-headscale.json: {difference}");
    }
    let passing: Vec<_> = known.keys().filter(|id| !found.contains_key(*id)).collect();
    assert!(passing.is_empty(), "these are the same by now, take them off ssh-headscale.json: {passing:?}");
}

#[test]
fn single_decisions_of_the_reference_hold() {
    let vectors = read_json("ssh-decisions.json");
    let mut devices = serde_json::Map::new();
    for (person, owned) in vectors["people"].as_object().unwrap() {
        devices.extend(texts(owned).into_iter().map(|device| (device, json!({"owner": person}))));
    }
    for (device, tags) in vectors["tags"].as_object().unwrap() {
        devices.insert(device.clone(), json!({"tags": tags, "addresses": ["100.64.0.50"]}));
    }
    let people: serde_json::Map<_, _> =
        vectors["people"].as_object().unwrap().keys().map(|login| (login.clone(), Value::Null)).collect();
    let mesh = mesh(&json!({"domains": ["example.com"], "people": people, "devices": devices}));
    let policy = |ssh: &Value| {
        json!({
            "groups": vectors["groups"],
            "hosts": {"srv": "100.64.0.50"},
            "tagOwners": {"tag:server": [], "tag:prod": []},
            "ssh": ssh,
        })
    };
    let names = by_name(&mesh);
    for vector in vectors["decisions"].as_array().unwrap() {
        let compiled =
            Policy::compile(&policy(&vector["ssh"]).to_string(), ControlPlane::Tailscale, &mesh).unwrap();
        let user = vector["login"].as_str().unwrap();
        let local = LocalUser::with_uid(user, if user == "root" { 0 } else { 1000 });
        let device = |member: &str| names[vector[member].as_str().unwrap()];
        let answer = compiled.login(&LoginQuestion::new(device("from"), device("to"), local));
        assert_eq!(answer.decision.to_string(), vector["decision"].as_str().unwrap(), "{vector}");
    }
    for vector in vectors["rejected"].as_array().unwrap() {
        let compiled =
            Policy::compile(&policy(&json!([vector["rule"]])).to_string(), ControlPlane::Tailscale, &mesh);
        let error = compiled.expect_err(vector["why"].as_str().unwrap());
        assert!(error.to_string().starts_with("line 1, column"), "{error}");
    }
}
