//! What policies open and close against another, in people and machines.

use std::collections::{BTreeMap, BTreeSet};

use meshtrail_policy::{
    Access, AccessChanges, AddressSet, ControlPlane, DiffLimits, Direction, Fold, Mesh, Policy, PortSet,
    ReachSource, ReachTarget,
};

use serde_json::json;

use crate::mesh_file::{mesh, read, read_json};

const UNBOUNDED: DiffLimits = DiffLimits { folds: 10_000, names: 10_000, rows: 1_000_000, per_target: 1_000 };

fn field_mesh() -> Mesh {
    mesh(&read_json("diff/mesh.json"))
}

fn compile(name: &str, mesh: &Mesh) -> Policy {
    Policy::compile(&read(&format!("diff/{name}.hujson")), ControlPlane::Tailscale, mesh).unwrap()
}

fn against_base(name: &str, mesh: &Mesh) -> AccessChanges {
    compile(name, mesh).changes_since(&compile("0-base", mesh), UNBOUNDED).unwrap()
}

/// Rows as the file has them: `+ owner machine target ports`; networks as the folds write them.
fn rows(changes: &AccessChanges, mesh: &Mesh) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for fold in changes.connections.opened.iter().chain(&changes.connections.closed) {
        let sign = if fold.direction == Direction::Opened { "+" } else { "-" };
        for row in &fold.rows {
            let (owner, machine) = match &row.source {
                ReachSource::Device(device) => {
                    let described = mesh.device(*device);
                    let owner = mesh.owner(*device).map(|person| mesh.person(person).login.clone());
                    let tags: Vec<_> = described.tags.iter().cloned().collect();
                    (owner.unwrap_or_else(|| tags.join(", ")), described.name.clone())
                }
                ReachSource::Network(_) => ("network".to_owned(), fold.sources.networks[0].text.clone()),
                other => ("".to_owned(), other.describe(mesh)),
            };
            lines.insert(format!(
                "{sign}\t{owner}\t{machine}\t{}\t{}",
                target(fold, &row.target, mesh),
                fold.access.brief()
            ));
        }
    }
    lines
}

fn target(fold: &Fold<PortSet>, target: &ReachTarget, mesh: &Mesh) -> String {
    match target {
        ReachTarget::Device(device) => mesh.device(*device).name.clone(),
        ReachTarget::Network { router, .. } => {
            let network = fold.targets.networks.iter().find(|network| network.router == *router).unwrap();
            let through = if network.text.contains("without") { "" } else { " through rt-1" };
            format!("{}{through}", network.text)
        }
    }
}

/// The expected rows of each policy.
fn expected() -> BTreeMap<String, BTreeSet<String>> {
    let (mut expected, mut name) = (BTreeMap::new(), String::new());
    for line in read("diff/expected.tsv").lines().filter(|line| !line.starts_with('#')) {
        if let Some(next) = line.strip_prefix("== ") {
            name = next.to_owned();
            expected.insert(name.clone(), BTreeSet::new());
        } else {
            expected.get_mut(&name).unwrap().insert(line.to_owned());
        }
    }
    expected
}

#[test]
fn people_and_machines_gain_and_lose_what_the_field_expects() {
    let mesh = field_mesh();
    for (name, wanted) in expected().into_iter().filter(|(name, _)| name != "11-group-gone") {
        assert_eq!(rows(&against_base(&name, &mesh), &mesh), wanted, "{name}");
    }
}

/// The summary of each policy, and what is said beside access: folds, authority, what is possible.
#[test]
fn changes_are_told_in_words_that_name_people_and_machines() {
    let mesh = field_mesh();
    let sentences = |name: &str| {
        let changes = against_base(name, &mesh);
        let folds = changes
            .connections
            .opened
            .iter()
            .chain(&changes.connections.closed)
            .map(|fold| fold.describe(&mesh));
        let authority = changes.authority.iter().map(|change| change.describe(&mesh));
        let possible = changes.possible.iter().map(|change| format!("{}: {}", change.text, change.condition));
        [changes.summary()].into_iter().chain(folds).chain(authority).chain(possible).collect::<Vec<_>>()
    };
    for (name, wanted) in [
        ("1-layout", vec!["nobody gained or lost access"]),
        ("2-grants", vec!["nobody gained or lost access"]),
        (
            "3-joins-group",
            vec![
                "1 person gained access to 2 machines; who may give tags or serve routes changed",
                "cem@example.com gained tag:db (2 machines): 5432",
                "cem@example.com may now give tag:db to devices",
            ],
        ),
        (
            "4-ports",
            vec![
                "2 people gained access to 1 machine",
                "bo@example.com, cem@example.com gained tag:web (1 machine): 8011-8020",
            ],
        ),
        (
            "5-star",
            vec![
                "2 people, 4 devices without a person, 1 network gained access to 2 machines",
                "cem@example.com, dia@example.com, ci-1, db-1, db-2, rt-1, 10.40.0.0/16 (with metrics) gained tag:db (2 \
                 machines): 5432",
            ],
        ),
        (
            "6-self-gone",
            vec!["1 person lost access to 2 machines", "bo@example.com lost their own devices: *"],
        ),
        (
            "7-via",
            vec![
                "2 people gained access",
                "bo@example.com, cem@example.com gained 10.40.7.0/24 through rt-1 (with metrics): tcp:443",
            ],
        ),
        (
            "8-via-nowhere",
            vec![
                "some rules open nothing for certain",
                "group:eng to 10.40.7.0/24: tcp:443: a router with tag:ci serves 10.40.7.0/24",
            ],
        ),
        (
            "9-ipset",
            vec![
                "2 people gained access",
                "bo@example.com, cem@example.com gained 10.40.0.0/16 without 10.40.7.20 through rt-1 (but for metrics): \
                 tcp:22",
            ],
        ),
        (
            "10-owner",
            vec![
                "who may give tags or serve routes changed",
                "dia@example.com may now give tag:db to devices",
            ],
        ),
    ] {
        assert_eq!(sentences(name), wanted, "{name}");
    }
}

#[test]
fn a_policy_that_names_a_group_that_is_gone_is_refused_with_both_places() {
    let mesh = field_mesh();
    let text = read("diff/11-group-gone.hujson");
    let error = Policy::compile(&text, ControlPlane::Tailscale, &mesh).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 3, column 28: tagOwners, tag:db: group:dba is not defined in groups; line 6, column 34: acl rule 1, src: \
         group:dba is not defined in groups"
    );
}

/// Small policies over the field's mesh, from numbers: rules of random selectors and ports.
fn random_policy(seed: &mut u64) -> String {
    let mut pick = |from: &[&str]| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        from[usize::try_from(*seed >> 33).unwrap() % from.len()].to_owned()
    };
    let sources =
        ["*", "group:a", "group:b", "autogroup:member", "tag:web", "tag:ci", "10.40.0.0/16", "100.64.0.4"];
    let targets = [
        "*",
        "tag:db",
        "tag:web",
        "autogroup:tagged",
        "10.40.7.0/24",
        "10.40.7.20",
        "bo@example.com",
        "100.64.0.12",
    ];
    let ports = ["22", "tcp:443", "*", "8000-8010", "udp:53"];
    let mut rules = Vec::new();
    for _ in 0..4 {
        let via = if pick(&["no", "no", "yes"]) == "yes" { r#", "via": ["tag:router"]"# } else { "" };
        rules.push(format!(
            r#"{{"src": ["{}", "{}"], "dst": ["{}"], "ip": ["{}"]{via}}}"#,
            pick(&sources),
            pick(&sources),
            pick(&targets),
            pick(&ports)
        ));
    }
    let own = pick(&["group:a", "autogroup:member", "bo@example.com"]);
    rules.push(format!(r#"{{"src": ["{own}"], "dst": ["autogroup:self"], "ip": ["{}"]}}"#, pick(&ports)));
    let (one, two) = (pick(&["ana", "bo", "cem"]), pick(&["bo", "dia"]));
    format!(
        r#"{{"groups": {{"group:a": ["{one}@example.com"], "group:b": ["{two}@example.com"]}},
            "tagOwners": {{"tag:db": [], "tag:web": [], "tag:ci": [], "tag:router": []}},
            "grants": [{}]}}"#,
        rules.join(", ")
    )
}

type Pairs = BTreeMap<(String, String), PortSet>;

/// All that a policy opens, pair by pair; networks by probes that no selector cuts.
fn all_pairs(policy: &Policy, mesh: &Mesh) -> Pairs {
    let mut pairs = Pairs::new();
    for target in mesh.devices().filter(|device| !mesh.device(*device).external) {
        for row in policy.who_can_reach(&ReachTarget::Device(target), 1_000).certain.rows {
            let source = source_name(&row.source, mesh);
            pairs.insert((source, mesh.device(target).name.clone()), row.ports);
        }
    }
    for probe in ["10.40.0.1", "10.40.7.1", "10.40.7.20", "10.40.7.99", "10.40.255.255"] {
        let addresses = AddressSet::from_prefixes([probe.parse().unwrap()]);
        let network = ReachTarget::Network { addresses, router: Some(mesh.find("rt-1")[0]) };
        for row in policy.who_can_reach(&network, 1_000).certain.rows {
            pairs.insert((source_name(&row.source, mesh), probe.to_owned()), row.ports);
        }
    }
    pairs
}

fn source_name(source: &ReachSource, mesh: &Mesh) -> String {
    match source {
        ReachSource::Network(_) => "network".to_owned(),
        other => other.describe(mesh),
    }
}

/// The pairs of a diff in the same form.
fn diff_pairs(folds: &[Fold<PortSet>], mesh: &Mesh) -> Pairs {
    let mut pairs = Pairs::new();
    for fold in folds {
        assert_eq!(fold.connections, fold.rows.len() as u64, "{}", fold.describe(mesh));
        for row in &fold.rows {
            let targets: Vec<String> = match &row.target {
                ReachTarget::Device(device) => vec![mesh.device(*device).name.clone()],
                ReachTarget::Network { addresses, .. } => {
                    let probes = ["10.40.0.1", "10.40.7.1", "10.40.7.20", "10.40.7.99", "10.40.255.255"];
                    let inside = probes.iter().filter(|probe| addresses.contains(probe.parse().unwrap()));
                    inside.map(|probe| (*probe).to_owned()).collect()
                }
            };
            for target in targets {
                let key = (source_name(&row.source, mesh), target);
                let known = pairs.entry(key).or_default();
                *known = known.union(&fold.access);
            }
        }
    }
    pairs
}

/// Holds the diff of two policies against the reach of both, pair by pair; whether something changed.
fn check_pairs(old_text: &str, new_text: &str, mesh: &Mesh) -> bool {
    let old = Policy::compile(old_text, ControlPlane::Tailscale, mesh).unwrap();
    let new = Policy::compile(new_text, ControlPlane::Tailscale, mesh).unwrap();
    let (was, is) = (all_pairs(&old, mesh), all_pairs(&new, mesh));
    let gained = |here: &Pairs, there: &Pairs| -> Pairs {
        let rest = here.iter().map(|(pair, ports)| {
            (
                pair.clone(),
                there
                    .get(pair)
                    .map_or_else(|| ports.gained_over(&PortSet::default()), |known| ports.gained_over(known)),
            )
        });
        rest.filter(|(_, ports)| !ports.is_empty()).collect()
    };
    let connections = new.changes_since(&old, UNBOUNDED).unwrap().connections;
    for (folds, wanted, totals) in [
        (&connections.opened, gained(&is, &was), connections.opened_totals),
        (&connections.closed, gained(&was, &is), connections.closed_totals),
    ] {
        assert!(diff_pairs(folds, mesh) == wanted, "{old_text}\n{new_text}\n{folds:?}");
        assert_eq!(folds.iter().map(|fold| fold.connections).sum::<u64>(), totals.connections);
        let people: BTreeSet<_> = folds.iter().flat_map(|fold| &fold.sources.people).collect();
        assert_eq!(people.len(), totals.people, "whoever a fold names gained or lost something");
    }
    !connections.is_empty()
}

#[test]
fn a_diff_says_what_the_reach_of_both_policies_says_pair_by_pair() {
    let mesh = field_mesh();
    let mut seed = 7;
    let rounds = (0..60).map(|_| (random_policy(&mut seed), random_policy(&mut seed)));
    let changed = rounds.filter(|(old, new)| check_pairs(old, new, &mesh)).count();
    assert!(changed > 50, "policies that are alike say little: {changed}");
}

/// A mesh in which sets of everybody have more classes than are looked at one by one.
fn wide_mesh() -> Mesh {
    let mut devices = serde_json::Map::new();
    for number in 0..130 {
        let address = format!("100.70.0.{number}");
        let device = match number % 3 {
            0 => json!({"owner": format!("p{}@example.com", number / 6), "addresses": [address]}),
            _ => {
                json!({"tags": [format!("tag:t{}", number % 11), format!("tag:t{}", number % 17)], "addresses": [address]})
            }
        };
        devices.insert(format!("d{number}"), device);
    }
    devices.insert(
        "rt-1".to_owned(),
        json!({"tags": ["tag:t1"], "addresses": ["100.71.0.1"], "routes": ["10.40.0.0/16"]}),
    );
    mesh(&json!({"people": {}, "devices": devices}))
}

fn wide_policy(rules: &[(&str, &str, &str)]) -> String {
    let owners: Vec<String> = (0..17).map(|tag| format!(r#""tag:t{tag}": []"#)).collect();
    let grants: Vec<String> = rules
        .iter()
        .map(|(from, to, ports)| format!(r#"{{"src": ["{from}"], "dst": ["{to}"], "ip": ["{ports}"]}}"#))
        .collect();
    let grant = |from: String, to: String| format!(r#"{{"src": ["{from}"], "dst": ["{to}"], "ip": ["80"]}}"#);
    let people =
        (0..22).map(|number| grant(format!("p{number}@example.com"), format!("tag:t{}", number % 5)));
    let tagged = (0..17).map(|tag| grant(format!("tag:t{tag}"), format!("tag:t{}", (tag + 1) % 17)));
    let each: Vec<String> = people.chain(tagged).collect();
    format!(
        r#"{{"tagOwners": {{{}}}, "grants": [{}, {}]}}"#,
        owners.join(", "),
        each.join(", "),
        grants.join(", ")
    )
}

#[test]
fn rules_of_everybody_are_told_without_those_who_had_it() {
    let mesh = wide_mesh();
    let base = [("tag:t3", "tag:t5", "22"), ("p4@example.com", "*", "*"), ("tag:t2", "10.40.0.0/16", "443")];
    for (more, old_has) in [
        (vec![("*", "*", "22")], vec![]),
        (vec![("*", "tag:t5", "80"), ("autogroup:member", "*", "443")], vec![]),
        (vec![("autogroup:tagged", "*", "22")], vec![("*", "tag:t4", "22")]),
        (
            vec![("*", "*", "22"), ("autogroup:member", "autogroup:self", "*")],
            vec![("autogroup:tagged", "*", "*")],
        ),
    ] {
        let old = wide_policy(&[&base[..], &old_has[..]].concat());
        let new = wide_policy(&[&base[..], &more[..]].concat());
        assert!(check_pairs(&old, &new, &mesh), "{more:?}");
    }
    let few = DiffLimits { per_target: 1, ..UNBOUNDED };
    let (old, new) = (
        wide_policy(&[("tag:t3", "tag:t5", "22")]),
        wide_policy(&[("tag:t3", "*", "22"), ("tag:t4", "*", "443")]),
    );
    let compile = |text: &str| Policy::compile(text, ControlPlane::Tailscale, &mesh).unwrap();
    let (exact, folded) = (UNBOUNDED, few);
    let totals =
        |limits| compile(&new).changes_since(&compile(&old), limits).unwrap().connections.opened_totals;
    assert_eq!(totals(exact), totals(folded), "what is put together is still counted pair by pair");

    let (old, new) = (wide_policy(&base), wide_policy(&[&base[..], &[("*", "*", "22")]].concat()));
    let changes = compile(&new).changes_since(&compile(&old), DiffLimits::default()).unwrap();
    assert_eq!(
        changes.connections.opened.len(),
        1,
        "one rule of everybody is one fold: {:?}",
        changes
            .connections
            .opened
            .iter()
            .map(|fold| (fold.partly, fold.connections, &fold.access, &fold.rules))
            .collect::<Vec<_>>()
    );
    let fold = &changes.connections.opened[0];
    let names: Vec<_> =
        fold.sources.people.iter().map(|person| mesh.person(*person).login.as_str()).collect();
    assert!(fold.partly && !names.contains(&"p4@example.com"), "who had all of it gained nothing: {names:?}");
}

#[test]
fn answers_are_bounded_and_count_what_they_leave_off() {
    let mesh = field_mesh();
    let limits = DiffLimits { folds: 1, names: 1, rows: 1, per_target: 1 };
    let (old, new) = (compile("0-base", &mesh), compile("5-star", &mesh));
    let changes = new.changes_since(&old, limits).unwrap();
    let [fold] = &changes.connections.opened[..] else { panic!("{changes:?}") };
    assert_eq!((fold.sources.people.len(), fold.sources.people_left_off), (1, 1));
    assert_eq!((fold.sources.devices.len(), fold.sources.devices_left_off), (1, 3));
    assert_eq!(fold.rows.len(), 1);
    assert_eq!(changes.connections.opened_totals.people, 2);
    let reach = new.who_can_reach(&ReachTarget::Device(mesh.find("db-1")[0]), 3);
    assert_eq!((reach.certain.rows.len(), reach.certain.left_off), (3, 7));
}

/// A policy for logins and capabilities over the field's mesh.
fn policy_with(rules: &str, mesh: &Mesh) -> Policy {
    let text = format!(
        r#"{{"tagOwners": {{"tag:db": [], "tag:web": [], "tag:ci": []}}, "groups": {{"group:dba": ["bo@example.com"]}},
            "acls": [], {rules}}}"#
    );
    Policy::compile(&text, ControlPlane::Tailscale, mesh).unwrap()
}

#[test]
fn logins_and_capabilities_that_open_are_told_though_no_port_does() {
    let mesh = field_mesh();
    let old = r#""ssh": [{"action": "check", "src": ["group:dba"], "dst": ["tag:db"], "users": ["root"], "recorder": ["tag:ci"]},
                         {"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self"], "users": ["root"]}]"#;
    for (new, summary, sentence) in [
        (
            r#""ssh": [{"action": "accept", "src": ["group:dba"], "dst": ["tag:db"], "users": ["root"], "recorder": ["tag:ci"]},
                       {"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self"], "users": ["root"]}]"#,
            "1 person gained logins to 2 machines",
            "bo@example.com gained tag:db (2 machines): login as root (recorded)",
        ),
        (
            r#""ssh": [{"action": "check", "src": ["group:dba"], "dst": ["tag:db"], "users": ["root"]},
                       {"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self"], "users": ["root"]}]"#,
            "1 person gained logins to 2 machines",
            "bo@example.com gained tag:db (2 machines): login as root (checked)",
        ),
        (
            r#""ssh": [{"action": "check", "src": ["group:dba"], "dst": ["tag:db"], "users": ["root"], "recorder": ["tag:ci"]}]"#,
            "1 person lost logins to 2 machines",
            "bo@example.com lost their own devices: login as root",
        ),
    ] {
        let changes = policy_with(new, &mesh).changes_since(&policy_with(old, &mesh), UNBOUNDED).unwrap();
        assert_eq!(changes.summary(), summary);
        let folds: Vec<_> = changes.logins.opened.iter().chain(&changes.logins.closed).collect();
        let [fold] = &folds[..] else { panic!("{changes:?}") };
        assert_eq!(fold.describe(&mesh), sentence);
        assert_eq!(fold.rules.len(), 1, "the rule of the policy that opens it");
        assert!(changes.connections.is_empty());
    }
}

#[test]
fn a_capability_that_changes_its_parameters_is_gained_with_the_new_and_lost_with_the_old() {
    let mesh = field_mesh();
    let grant = |group: &str| {
        format!(
            r#""grants": [{{"src": ["group:dba"], "dst": ["tag:web"], "app": {{"tailscale.com/cap/kubernetes":
                [{{"impersonate": {{"groups": ["{group}"]}}}}]}}}}]"#
        )
    };
    let (old, new) = (policy_with(&grant("view"), &mesh), policy_with(&grant("system:masters"), &mesh));
    let changes = new.changes_since(&old, UNBOUNDED).unwrap();
    assert_eq!(
        changes.capabilities.opened[0].access.brief(),
        r#"tailscale.com/cap/kubernetes {"impersonate":{"groups":["system:masters"]}}"#
    );
    assert_eq!(changes.capabilities.closed_totals.people, 1);
    let granted = new.capabilities(mesh.find("bo-pc")[0], mesh.find("web-1")[0]);
    assert_eq!(granted.granted.len(), 1);
    assert!(granted.ports.is_empty(), "a capability opens no port");
}
