//! What can't be evaluated: reach lists it apart, with the condition; capabilities are not granted.

use meshtrail_policy::{
    AttributeValue, Attributes, ControlPlane, DEFAULT_ROWS, Device, DiffLimits, Directory, Hindrance,
    LocalUser, LoginQuestion, Membership, Mesh, Person, Policy, PortAccess, Protocol, ReachTarget, Role,
};

fn device(name: &str, owner: &str, tag: &str) -> Device {
    Device {
        name: name.to_owned(),
        owner: (!owner.is_empty()).then(|| format!("{owner}@example.com")),
        tags: [tag].iter().filter(|tag| !tag.is_empty()).map(|tag| format!("tag:{tag}")).collect(),
        ..Device::default()
    }
}

/// Ana is an admin with a known posture; of Bo nothing is known; Vic is of another tailnet.
fn mesh(change: impl FnOnce(&mut Directory)) -> Mesh {
    let linux = Attributes {
        values: [("node:os".to_owned(), AttributeValue::Text("linux".to_owned()))].into(),
        complete: true,
    };
    let mut directory = Directory {
        people: vec![
            Person {
                login: "ana@example.com".to_owned(),
                role: Some(Role::Admin),
                synced_groups: Some([].into()),
                ..Person::default()
            },
            Person { login: "bo@example.com".to_owned(), ..Person::default() },
            Person {
                login: "vic@partner.example".to_owned(),
                membership: Membership::Shared,
                ..Person::default()
            },
        ],
        devices: vec![
            Device { attributes: linux, ..device("ana-pc", "ana", "") },
            device("bo-pc", "bo", ""),
            device("web-1", "", "web"),
        ],
        ..Directory::default()
    };
    change(&mut directory);
    Mesh::new(directory)
}

fn compile(grant: &str, mesh: &Mesh) -> Policy {
    let text = format!(
        r#"{{"tagOwners": {{"tag:web": [], "tag:router": []}}, "postures": {{"posture:linux": ["node:os == 'linux'"]}},
            "grants": [{grant}]}}"#
    );
    Policy::compile(&text, ControlPlane::Tailscale, mesh).unwrap()
}

/// Certain and possible rows towards web-1 in words.
fn words_of(grant: &str, mesh: &Mesh) -> (Vec<String>, Vec<String>) {
    let policy = compile(grant, mesh);
    let reach = policy.who_can_reach(&ReachTarget::Device(mesh.find("web-1")[0]), DEFAULT_ROWS);
    let words = |rows: &meshtrail_policy::Rows| {
        rows.rows.iter().map(|row| format!("{}: {row}", row.source.describe(mesh))).collect::<Vec<_>>()
    };
    (words(&reach.certain), words(&reach.possible))
}

#[test]
fn what_nobody_can_evaluate_stands_apart_from_what_is_certain() {
    let plain = mesh(|_| {});
    for (grant, certain, possible) in [
        (
            r#"{"src": ["autogroup:member"], "dst": ["tag:web"], "ip": ["22"], "srcPosture": ["posture:linux"]}"#,
            vec!["ana-pc of ana@example.com: 22 by grant rule 1 (line 2)"],
            vec![
                "bo-pc of bo@example.com: 22 by grant rule 1 (line 2), if the device has the posture (posture:linux: node:os == \
                 'linux' is required, and node:os is not known)",
            ],
        ),
        (
            r#"{"src": ["autogroup:admin"], "dst": ["tag:web"], "ip": ["22"]}"#,
            vec!["ana-pc of ana@example.com: 22 by grant rule 1 (line 2)"],
            vec![
                "bo-pc of bo@example.com: 22 by grant rule 1 (line 2), if the person is in autogroup:admin, which is not known",
            ],
        ),
        (
            r#"{"src": ["group:sec@example.com"], "dst": ["tag:web"], "ip": ["22"]}"#,
            vec![],
            vec![
                "bo-pc of bo@example.com: 22 by grant rule 1 (line 2), if the person is in group:sec@example.com, which is not \
                 known",
            ],
        ),
        (
            r#"{"src": ["ana@example.com"], "dst": ["tag:web"], "ip": ["22"], "until": "noon"}"#,
            vec![],
            vec![
                "ana-pc of ana@example.com: 22 by grant rule 1 (line 2), if members of the rule that are not known here are met: \
                 until",
            ],
        ),
        (
            r#"{"src": ["vic@partner.example"], "dst": ["tag:web"], "ip": ["22"]}"#,
            vec![],
            vec![
                "vic@partner.example from another tailnet: 22 by grant rule 1 (line 2), if it is shared with vic@partner.example",
            ],
        ),
        (
            r#"{"src": ["ana@example.com"], "dst": ["svc:shop"], "ip": ["443"]}"#,
            vec![],
            vec!["ana-pc of ana@example.com: 443 by grant rule 1 (line 2), if it hosts svc:shop"],
        ),
    ] {
        let (found_certain, found_possible) = words_of(grant, &plain);
        assert_eq!(found_certain, certain, "{grant}");
        assert_eq!(found_possible, possible, "{grant}");
    }
}

#[test]
fn devices_that_take_no_part_and_routes_that_are_not_approved_are_conditions() {
    let grant = r#"{"src": ["ana@example.com"], "dst": ["tag:web", "10.9.0.0/16"], "ip": ["22"]}"#;
    let expired = mesh(|directory| directory.devices[0].hindrance = Some(Hindrance::Expired));
    assert_eq!(
        words_of(grant, &expired).1,
        [
            "ana-pc of ana@example.com: 22 by grant rule 1 (line 2), if ana-pc takes part in the mesh (it has an expired key)"
        ]
    );
    let shut = mesh(|directory| directory.devices[2].blocks_incoming = true);
    assert_eq!(
        words_of(grant, &shut).1,
        ["ana-pc of ana@example.com: 22 by grant rule 1 (line 2), if web-1 accepts incoming connections"]
    );
    let policy = compile(grant, &mesh(|_| {}));
    let reach = policy.reachable_from(policy.mesh().find("ana-pc")[0], DEFAULT_ROWS);
    assert_eq!(
        reach.possible.rows[0].to_string(),
        "22 by grant rule 1 (line 2), if a router serves 10.9.0.0/16"
    );
    let offered = mesh(|directory| {
        let router = Device {
            advertised_routes: vec!["10.9.0.0/16".parse().unwrap()],
            ..device("rt-1", "", "router")
        };
        directory.devices.push(router);
    });
    let policy = compile(grant, &offered);
    let reach = policy.reachable_from(offered.find("ana-pc")[0], DEFAULT_ROWS);
    assert_eq!(reach.certain.rows.len(), 1, "web-1 alone");
    assert_eq!(
        reach.possible.rows[0].to_string(),
        "22 by grant rule 1 (line 2), if the route 10.9.0.0/16 of rt-1 is approved"
    );
}

#[test]
fn a_connection_is_open_closed_or_possible_and_names_its_rule() {
    let mesh = mesh(|_| {});
    let policy = compile(r#"{"src": ["autogroup:admin"], "dst": ["tag:web"], "ip": ["tcp:22"]}"#, &mesh);
    let access =
        |from: &str, port| policy.port_access(mesh.find(from)[0], mesh.find("web-1")[0], Protocol::TCP, port);
    let PortAccess::Open(rule) = access("ana-pc", 22) else { panic!("{:?}", access("ana-pc", 22)) };
    assert_eq!(
        policy.rule_text(&rule),
        r#"{"src": ["autogroup:admin"], "dst": ["tag:web"], "ip": ["tcp:22"]}"#
    );
    assert!(matches!(access("bo-pc", 22), PortAccess::Could(..)));
    assert_eq!(access("ana-pc", 23), PortAccess::Closed);
}

#[test]
fn capabilities_under_a_condition_are_not_granted_and_are_named() {
    let mesh = mesh(|_| {});
    let policy = compile(
        r#"{"src": ["autogroup:member"], "dst": ["tag:web"], "srcPosture": ["posture:linux"],
            "app": {"tailscale.com/cap/kubernetes": [{"impersonate": {"groups": ["view"]}}]}}"#,
        &mesh,
    );
    let of = |peer: &str| policy.capabilities(mesh.find(peer)[0], mesh.find("web-1")[0]);
    assert_eq!(of("ana-pc").granted["tailscale.com/cap/kubernetes"].rules.len(), 1);
    let bo = of("bo-pc");
    assert!(bo.granted.is_empty());
    assert_eq!((bo.open[0].name.as_str(), bo.open[0].conditions.len()), ("tailscale.com/cap/kubernetes", 1));
}

#[test]
fn groups_in_groups_are_refused_by_control_planes_and_read_beside_plain_wireguard() {
    let mesh = mesh(|_| {});
    let text = r#"{"groups": {"group:all": ["group:ops", "bo@example.com"], "group:ops": ["ana@example.com"]},
        "tagOwners": {"tag:web": []}, "acls": [{"action": "accept", "src": ["group:all"], "dst": ["tag:web:22"]}]}"#;
    for plane in [ControlPlane::Tailscale, ControlPlane::Headscale] {
        let error = Policy::compile(text, plane, &mesh).unwrap_err();
        assert_eq!(error.to_string(), "line 1, column 27: group:all: group:ops: a group can't be in a group");
    }
    let policy = Policy::compile(text, ControlPlane::PlainWireGuard, &mesh).unwrap();
    let reach = policy.who_can_reach(&ReachTarget::Device(mesh.find("web-1")[0]), DEFAULT_ROWS);
    assert_eq!(reach.certain.rows.len(), 2);
    let circle = r#"{"groups": {"group:a": ["group:b"], "group:b": ["group:a"]}}"#;
    let error = Policy::compile(circle, ControlPlane::PlainWireGuard, &mesh).unwrap_err();
    assert!(error.to_string().contains("group:a: the group is in itself"), "{error}");
}

#[test]
fn headscale_refuses_what_it_does_not_know_and_says_where() {
    let mesh = mesh(|_| {});
    for (text, reason) in [
        (
            r#"{"postures": {}, "acls": []}"#,
            "line 1, column 2: postures: Headscale does not know this section, and refuses the policy",
        ),
        (
            r#"{"acls": [{"action": "accept", "src": ["autogroup:admin"], "dst": ["*:*"]}]}"#,
            "line 1, column 40: acl rule 1, src: Headscale does not know autogroup:admin, and refuses the policy",
        ),
        (
            r#"{"tagOwners": {"tag:web": []}, "ssh": [{"action": "accept", "src": ["autogroup:member"], "dst": ["tag:web"], "users": ["a"], "recorder": ["tag:web"]}]}"#,
            "line 1, column 126: ssh rule 1: Headscale does not know \"recorder\", and refuses the policy",
        ),
    ] {
        assert_eq!(Policy::compile(text, ControlPlane::Headscale, &mesh).unwrap_err().to_string(), reason);
        assert!(Policy::compile(text, ControlPlane::Tailscale, &mesh).is_ok(), "{text}");
    }
}

#[test]
fn a_text_that_is_no_policy_is_refused_with_line_column_and_reason() {
    let mesh = mesh(|_| {});
    let compile = |text: &str| Policy::compile(text, ControlPlane::Tailscale, &mesh).unwrap_err().to_string();
    assert_eq!(
        compile("{\n  \"acls\": [1 2]}"),
        "line 2, column 14: a list goes on with a comma or ends with ]"
    );
    assert_eq!(compile("[]"), "line 1, column 1: a policy is an object");
    assert_eq!(compile("{\"acls\": {}}"), "line 1, column 2: acls: this is a list");
    let many = format!(
        "{{\"groups\": {{{}}}}}",
        (0..30).map(|number| format!("\"g{number}\": []")).collect::<Vec<_>>().join(", ")
    );
    assert!(compile(&many).ends_with("; and 10 more"), "faults are bounded");
}

/// Texts with a piece taken out, doubled or put elsewhere.
fn damaged(text: &str, seed: &mut u64) -> String {
    let mut below = |end: usize| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*seed >> 33).unwrap() % end.max(1)
    };
    let characters: Vec<char> = text.chars().collect();
    let (from, length) = (below(characters.len()), below(12));
    let piece = &characters[from..(from + length).min(characters.len())];
    let rest: Vec<char> =
        characters[..from].iter().chain(&characters[from + piece.len()..]).copied().collect();
    let at = below(rest.len());
    match below(3) {
        0 => rest.into_iter().collect(),
        1 => rest[..at].iter().chain(piece).chain(&rest[at..]).collect(),
        _ => characters[..from]
            .iter()
            .chain(piece)
            .chain(piece)
            .chain(&characters[from + piece.len()..])
            .collect(),
    }
}

#[test]
fn damaged_policies_answer_or_are_refused_and_never_panic() {
    let mesh = crate::mesh_file::mesh(&crate::mesh_file::read_json("ssh-mesh.json"));
    let devices: Vec<_> = mesh.devices().take(4).collect();
    let (mut seed, mut answered) = (5, 0);
    for vector in
        crate::mesh_file::read_lines("ssh.jsonl").iter().chain(&crate::mesh_file::read_lines("reach.jsonl"))
    {
        let text = damaged(&vector["policy"].to_string(), &mut seed);
        let Ok(policy) = Policy::compile(&text, ControlPlane::Tailscale, &mesh) else { continue };
        answered += 1;
        policy.run_tests();
        for from in &devices {
            policy.login(&LoginQuestion::new(*from, devices[0], LocalUser::unknown("root")));
            policy.reachable_from(*from, DEFAULT_ROWS);
            policy.capabilities(*from, devices[1]);
        }
        let changes = policy.changes_since(&policy, DiffLimits::default()).unwrap();
        assert!(changes.is_empty(), "a policy opens nothing against itself: {text}");
    }
    assert!(answered > 20, "{answered} of the damaged policies can be read");
}
