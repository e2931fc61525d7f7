//! `tests` of policies as Tailscale's control plane ran them: it refuses a policy whose tests fail.

use std::collections::BTreeMap;

use meshtrail_policy::{ControlPlane, Policy};

use crate::mesh_file::{mesh, read_json, read_lines};

fn differences(plane: ControlPlane) -> BTreeMap<String, String> {
    let meshes = read_json("tests-meshes.json");
    let mut different = BTreeMap::new();
    for vector in read_lines("tests.jsonl") {
        let mesh = mesh(&meshes[vector["mesh"].as_str().unwrap()]);
        let outcomes =
            Policy::compile(&vector["policy"].to_string(), plane, &mesh).map(|policy| policy.run_tests());
        let passes = outcomes.as_ref().is_ok_and(|tests| tests.iter().all(|test| test.failures.is_empty()));
        if passes != (vector["tests"] == "pass") {
            let id = vector["id"].as_str().unwrap().to_owned();
            different.insert(id, format!("there {}, here {outcomes:?}", vector["tests"]));
        }
    }
    different
}

#[test]
fn tests_pass_and_fail_as_tailscale_was_seen_to_run_them() {
    assert_eq!(differences(ControlPlane::Tailscale), BTreeMap::new());
}

#[test]
fn tests_pass_and_fail_with_headscale_as_with_tailscale() {
    assert_eq!(differences(ControlPlane::Headscale), BTreeMap::new());
}
