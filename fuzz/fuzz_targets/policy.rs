//! Any text is a policy that answers, or is refused with places in it; against itself it opens and closes nothing.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use meshtrail_policy::{
    ControlPlane, Device, DiffLimits, Directory, LocalUser, LoginQuestion, Mesh, Person, Policy, ReachTarget,
};

/// A person's devices, tagged ones, a router and an exit node.
static MESH: LazyLock<Mesh> = LazyLock::new(|| {
    let device = |name: &str, address: &str, owner: Option<&str>, tag: Option<&str>, routes: &[&str]| Device {
        id: name.to_owned(),
        name: name.to_owned(),
        addresses: vec![address.parse().expect("an address")],
        owner: owner.map(str::to_owned),
        tags: tag.map(str::to_owned).into_iter().collect(),
        routes: routes.iter().map(|route| route.parse().expect("a route")).collect(),
        ..Device::default()
    };
    let ana = Some("ana@example.com");
    Mesh::new(Directory {
        domains: ["example.com".to_owned()].into(),
        people: vec![Person { login: "ana@example.com".to_owned(), ..Person::default() }],
        devices: vec![
            device("laptop", "100.64.0.1", ana, None, &[]),
            device("phone", "100.64.0.2", ana, None, &[]),
            device("web", "100.64.0.3", None, Some("tag:web"), &[]),
            device("router", "fd7a:115c:a1e0::4", None, Some("tag:router"), &["10.0.0.0/8", "0.0.0.0/0", "::/0"]),
        ],
    })
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for plane in [ControlPlane::Tailscale, ControlPlane::Headscale, ControlPlane::PlainWireGuard] {
        match Policy::compile(text, plane, &MESH) {
            Ok(policy) => ask(&policy),
            Err(error) => assert!(!error.faults.is_empty() && error.faults.iter().all(|fault| fault.line >= 1), "{error}"),
        }
    }
});

fn ask(policy: &Policy) {
    policy.run_tests();
    for from in MESH.devices() {
        let reach = policy.reachable_from(from, 2);
        assert!(reach.certain.rows.len() <= 2 && reach.possible.rows.iter().all(|row| !row.conditions.is_empty()));
        for to in MESH.devices() {
            let answer = policy.login(&LoginQuestion::new(from, to, LocalUser::unknown("root")));
            assert!(answer.others.iter().all(|rule| !rule.unmet.is_empty()), "what did not decide says why");
            policy.capabilities(from, to);
            policy.who_can_reach(&ReachTarget::Device(to), 2);
        }
    }
    let changes = policy.changes_since(policy, DiffLimits::default()).expect("one mesh");
    assert!(changes.is_empty(), "a policy opens nothing against itself");
}
