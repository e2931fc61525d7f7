//! A leaf is RFC 8785 canonical JSON for every source and every content.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::sync::Arc;

use meshtrail_event::{
    Actor, Change, Claim, Coverage, Delivery, Detail, Device, Draft, Event, EventError, EventId, Family,
    Finding, FindingStatus, Flow, Identity, IdentityStatus, Json, Kind, KubeRequest, LEAF_VERSION, Likely,
    LogLine, Login, MAX_EXACT_INTEGER, MAX_LEAF, Mark, Member, Outcome, Own, Person, Process, SessionFacts,
    Severity, Subject, Target, Timestamp, Transfer,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn canonical(json: &[u8]) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(&serde_json::from_slice::<Value>(json).unwrap()).unwrap()
}

fn text(of: &str) -> Option<String> {
    Some(format!("{of} \u{1b}[1m\"é\" <&> \u{2028}"))
}

fn time() -> Timestamp {
    "2026-11-20T14:02:11.123456789Z".parse().unwrap()
}

fn id() -> EventId {
    "main.recorder.3.17".parse().unwrap()
}

/// A detail of the family with every member set.
fn full_detail(family: Family) -> Detail {
    let sha256 = || Some("ab".repeat(32));
    let address = || Some("[fd7a:115c:a1e0::9]:80".to_owned());
    match family {
        Family::Session => Detail::Session(Box::new(SessionFacts {
            anomalies: vec!["a".into()],
            argv: vec!["a".into()],
            boot: text("boot"),
            bytes: Some(7),
            command: text("command"),
            connection: text("connection"),
            ended: Some(time()),
            exit_signal: text("exit_signal"),
            exit_status: Some(7),
            height: Some(7),
            image: text("image"),
            imported_from: text("imported_from"),
            index_sha256: sha256(),
            marks: Some(7),
            not_seen: vec!["a".into()],
            peer: address(),
            protocol: text("protocol"),
            reason: text("reason"),
            recorded_by: text("recorded_by"),
            requested_user: text("requested_user"),
            rule: text("rule"),
            ses: Some(7),
            sha256: sha256(),
            started: Some(time()),
            started_event: Some(id()),
            terminal: text("terminal"),
            width: Some(7),
        })),
        Family::Recording => Detail::Mark(Mark { bytes: Some(MAX_EXACT_INTEGER), sha256: sha256() }),
        Family::Login => Detail::Login(Box::new(Login {
            attested_by: text("attested_by"),
            boot: text("boot"),
            check_confirmed: Some(time()),
            command: text("command"),
            cwd: text("cwd"),
            from_account: text("from_account"),
            gid: Some(7),
            key_fingerprint: text("key_fingerprint"),
            method: text("method"),
            peer: address(),
            pid: Some(7),
            reason: text("reason"),
            rule: text("rule"),
            service: text("service"),
            ses: Some(7),
            terminal: text("terminal"),
            uid: Some(7),
            would_deny: text("would_deny"),
        })),
        Family::Process => Detail::Process(Box::new(Process {
            argv: vec!["a".into()],
            argv_bytes: Some(7),
            boot: text("boot"),
            command: text("command"),
            count: Some(7),
            cwd: text("cwd"),
            ended: Some(time()),
            executable: text("executable"),
            exit_signal: text("exit_signal"),
            exit_status: Some(7),
            gid: Some(7),
            parent_pid: Some(7),
            pid: Some(7),
            ses: Some(7),
            started: Some(time()),
            started_event: Some(id()),
            terminal: text("terminal"),
            uid: Some(7),
            unit: text("unit"),
        })),
        Family::Transfer => Detail::Transfer(Box::new(Transfer {
            bind: address(),
            boot: text("boot"),
            bytes: Some(7),
            came_as: text("came_as"),
            destination: text("destination"),
            direction: text("direction"),
            ended: Some(time()),
            path: text("path"),
            protocol: text("protocol"),
            reason: text("reason"),
            rule: text("rule"),
            rx_bytes: Some(7),
            ses: Some(7),
            sha256: sha256(),
            size: Some(7),
            start_offset: Some(7),
            started: Some(time()),
        })),
        Family::Coverage => Detail::Coverage(Box::new(Coverage {
            boot: text("boot"),
            count: Some(7),
            reason: text("reason"),
            since: Some(time()),
            source: text("source"),
            until: Some(time()),
            what: text("what"),
        })),
        Family::Kube => Detail::Kube(Box::new(KubeRequest {
            api_group: text("api_group"),
            api_version: text("api_version"),
            argv: vec!["a".into()],
            audit_id: text("audit_id"),
            body: text("body"),
            body_bytes: Some(7),
            body_fingerprint: text("body_fingerprint"),
            command: text("command"),
            diff: text("diff"),
            diff_base: text("diff_base"),
            dry_run: text("dry_run"),
            durable: text("durable"),
            fingerprints: Some(Json::from(&json!({"b": 1.5e300, "a": [1, null, {}]}))),
            image: text("image"),
            latency: Some(7),
            message: text("message"),
            method: text("method"),
            object_uid: text("object_uid"),
            objects: Some(Json::from(&json!({"b": 1.5e300, "a": [1, null, {}]}))),
            path: text("path"),
            query: Some(Json::from(&json!({"b": 1.5e300, "a": [1, null, {}]}))),
            resource: text("resource"),
            resource_version: text("resource_version"),
            status: Some(7),
            subresource: text("subresource"),
            user_agent: text("user_agent"),
            verb: text("verb"),
        })),
        Family::Flow => Detail::Flow(Box::new(Flow {
            boot: text("boot"),
            connections: Some(7),
            dst: address(),
            dst_node: text("dst_node"),
            dst_ports: text("dst_ports"),
            end: Some(time()),
            end_reason: text("end_reason"),
            first_seq: Some(7),
            last_seq: Some(7),
            layer: text("layer"),
            local_user: text("local_user"),
            logged: Some(time()),
            opener: text("opener"),
            pid: Some(7),
            proc_id: Some(7),
            proc_seq: Some(7),
            process: text("process"),
            proto: Some(7),
            record: Some(Json::from(&json!({"b": 1.5e300, "a": [1, null, {}]}))),
            reporter: text("reporter"),
            rx_bytes: Some(7),
            rx_packets: Some(7),
            rx_payload_bytes: Some(7),
            rx_segments: Some(7),
            ses: Some(7),
            src: address(),
            src_node: text("src_node"),
            start: Some(time()),
            tx_bytes: Some(7),
            tx_packets: Some(7),
            tx_payload_bytes: Some(7),
            tx_segments: Some(7),
            unattributed: text("unattributed"),
            unit: text("unit"),
        })),
        Family::Config => Detail::Change(Box::new(Change {
            action: text("action"),
            diff: text("diff"),
            digest: sha256(),
            error: text("error"),
            lines: vec!["a".into()],
            new: Some(Json::from(&json!({"b": 1.5e300, "a": [1, null, {}]}))),
            not_before: Some(time()),
            old: Some(Json::from(&json!({"b": 1.5e300, "a": [1, null, {}]}))),
            operation: text("operation"),
            origin: text("origin"),
            part: Some(7),
            parts: Some(7),
            property: text("property"),
            record: Some(Json::from(&json!({"b": 1.5e300, "a": [1, null, {}]}))),
            refers_to: Some(id()),
            summary: text("summary"),
            via: text("via"),
        })),
        Family::Log => Detail::Log(Box::new(LogLine {
            collection: text("collection"),
            fields: Some(Json::from(&json!({"b": 1.5e300, "a": [1, null, {}]}))),
            proc_id: Some(7),
            proc_seq: Some(7),
            text: text("text"),
            verbosity: Some(7),
        })),
        Family::Finding => Detail::Finding(Box::new(Finding {
            count: Some(7),
            events: vec![id()],
            finding: Some(id()),
            first_time: Some(time()),
            key: text("key"),
            last_time: Some(time()),
            reason: text("reason"),
            rule: text("rule"),
            severity: Some(Severity::High),
            status: Some(FindingStatus::Acknowledged),
            subject: Some(Subject::new("device", "n7")),
            summary: text("summary"),
            title: text("title"),
        })),
        Family::Delivery => Detail::Delivery(Box::new(Delivery {
            attempts: Some(7),
            count: Some(7),
            destination: text("destination"),
            error: text("error"),
            finding: Some(id()),
            first: Some(7),
            last: Some(7),
            rule: text("rule"),
            severity: Some(Severity::High),
            summary: text("summary"),
            title: text("title"),
        })),
        Family::Meshtrail => Detail::Own(Box::new(Own {
            address: address(),
            count: Some(7),
            counts: Some(Json::from(&json!({"b": 1.5e300, "a": [1, null, {}]}))),
            day: text("day"),
            definition: Some(Json::from(&json!({"b": 1.5e300, "a": [1, null, {}]}))),
            expires: Some(time()),
            first: Some(7),
            last: Some(7),
            message: text("message"),
            method: text("method"),
            owner: text("owner"),
            reason: text("reason"),
            replaces: Some(id()),
            role: text("role"),
            scope: text("scope"),
            sha256: sha256(),
            source: text("source"),
            what: text("what"),
        })),
        Family::Other => Detail::Other(Json::from(&json!({"spin": -0.5}))),
    }
}

fn full_device(name: &str) -> Option<Arc<Device>> {
    let tags = vec!["tag:a".into()];
    let addresses = vec!["100.64.0.7".into()];
    Some(Device { addresses, id: text(name), name: text(name), os: text(name), tags }.into())
}

/// An event of the kind with every member set.
fn full_event(kind: &Kind) -> Event {
    let claimed = Claim { login: text("l"), node: text("n"), node_id: text("i"), tags: vec!["tag:a".into()] };
    let person = Person { groups: vec!["group:a".into()], id: text("i"), login: "l".into(), name: text("n") };
    let person = Arc::new(person);
    let draft = Draft {
        actor: Actor {
            device: full_device("a"),
            person: Some(person.clone()),
            service: text("s"),
            tags: vec!["tag:a".into()],
        },
        detail: Some(full_detail(kind.family())),
        identity: Identity {
            as_of: Some(time()),
            claimed: Some(claimed),
            likely: Some(Likely { person: (*person).clone(), reason: "the only login then".into() }),
            provider: text("p"),
            reason: text("r"),
            status: IdentityStatus::Conflicting,
        },
        outcome: Outcome::Denied,
        repaired: vec!["detail.text".into()],
        repeat_of: Some(id()),
        time_unread: text("t"),
        session: Some("20261120-main-3-17".parse().unwrap()),
        target: Target {
            account: text("a"),
            address: text("a"),
            cluster: text("c"),
            container: text("c"),
            device: full_device("t"),
            id: text("i"),
            name: text("n"),
            namespace: text("n"),
            of_type: text("t"),
            person: Some(person),
        },
        ..Draft::new(kind.clone(), time())
    };
    let mut event = draft.into_event(id(), time());
    event.leaf_version = Some(LEAF_VERSION);
    event
}

fn all_kinds() -> impl Iterator<Item = Kind> {
    Kind::KNOWN.iter().cloned().chain([Kind::from("quantum.entangled")])
}

#[test]
fn every_kind_serialises_to_canonical_json_and_reads_back() {
    for kind in all_kinds() {
        let bare = Draft::new(kind.clone(), time()).into_event(id(), time());
        for event in [full_event(&kind), bare] {
            let leaf = event.check().unwrap();
            assert_eq!(String::from_utf8_lossy(&leaf), String::from_utf8_lossy(&canonical(&leaf)), "{kind}");
            assert_eq!(Event::from_json(&leaf).unwrap(), event, "{kind}");
        }
    }
}

#[test]
fn every_member_of_every_detail_has_a_column() {
    fn uncovered(value: &Value, members: &[(&str, Member)], path: &str, out: &mut Vec<String>) {
        for (name, value) in value.as_object().unwrap() {
            let path = format!("{path}/{name}");
            match members.iter().find(|(member, _)| member == name) {
                Some((_, Member::Object(inner))) => uncovered(value, inner, &path, out),
                Some((_, Member::Column(_))) => {}
                None => out.push(path),
            }
        }
    }
    for kind in all_kinds() {
        let leaf = full_event(&kind).to_leaf();
        let mut missing = Vec::new();
        uncovered(&serde_json::from_slice(&leaf).unwrap(), &kind.family().layout().members, "", &mut missing);
        assert!(missing.is_empty(), "{kind}: {missing:?}");
    }
}

#[test]
fn members_and_values_of_a_newer_version_are_kept_unchanged() {
    let newer = json!({
        "actor": {"person": {"login": "alice@example.com", "shoe_size": 38.5}, "mood": null},
        "detail": {"bytes": 5, "heat": [1, {"b": 1, "a": 2}], "sha256": "zz"},
        "id": "main.recorder.1.1", "kind": "recording.mark", "outcome": "postponed", "priority": {"z": 1, "a": 2},
        "identity": {"status": "foretold"}, "received": "2026-11-20T14:02:11.123456789Z",
        "time": "2026-11-20T14:02:11.123456789Z",
    });
    let event = Event::from_json(newer.to_string().as_bytes()).unwrap();
    assert_eq!(event.to_leaf(), canonical(newer.to_string().as_bytes()));
    assert_eq!((event.outcome.as_str(), event.identity.status.as_str()), ("postponed", "foretold"));
}

#[test]
fn a_source_does_not_decide_when_it_was_received() {
    let json = br#"{"id":"a.1.1","kind":"log.line","received":"1999-01-01T00:00:00Z","time":"2026-11-20T14:02:11+01:00"}"#;
    let event = Event::from_source(json, time()).unwrap();
    assert_eq!((event.received, event.outcome), (time(), Outcome::Unknown));
    assert_eq!(event.time.to_string(), "2026-11-20T13:02:11.000000000Z");
}

#[test]
fn bad_events_name_the_member_and_the_reason() {
    let bad = |members: &str| {
        let json =
            format!(r#"{{"id":"a.1.1","kind":"recording.mark","time":"2026-11-20T14:02:11Z"{members}}}"#);
        Event::from_source(json.as_bytes(), time()).unwrap_err().to_string()
    };
    assert!(bad(r#","detail":{"bytes":"five"}"#).contains(r#"member "detail": invalid type: string "five""#));
    assert!(bad(r#","detail":{"bytes":9007199254740993,"more":9007199254740993}"#).contains("2^53"));
    assert!(bad(r#","leaf_version":1"#).contains(r#"member "leaf_version": is of a leaf"#));
    assert!(bad(r#","leaf_keys":["x"]"#).contains(r#"member "leaf_keys": is of a leaf"#));
    assert!(bad(r#","session":"../etc""#).contains("not a session id"));
    assert!(bad(r#","time":"2026-11-20T14:02:11Z""#).contains("duplicate field `time`"));
    assert!(bad(&format!(r#","more":"{}""#, "x".repeat(MAX_LEAF))).contains("at most 65535"));
    assert!(Event::from_source(b"{", time()).unwrap_err().to_string().contains("line 1 column 1"));
    assert!(matches!(
        Event::from_json(br#"{"id":"a.1.1","kind":"log.line","time":"2026-11-20T14:02:11Z"}"#),
        Err(EventError::Member { member: "received", .. })
    ));
    let mut event = full_event(&Kind::LogLine);
    event.detail = Some(Detail::Mark(Mark::default()));
    assert!(event.check().unwrap_err().to_string().contains("log.line"));
}

#[test]
fn the_checked_in_schema_is_the_one_of_the_types() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/event.schema.json");
    let made = serde_json::to_string_pretty(&meshtrail_event::json_schema()).unwrap() + "\n";
    if std::env::var_os("MESHTRAIL_BLESS").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), made, "run `cargo xtask bless` and review the change");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-(1i64 << 53) + 1..(1i64 << 53)).prop_map(Value::from),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_added_to_an_event_round_trips_in_canonical_form(
        added in prop::collection::btree_map("[a-z]{1,3}|\\PC{1,8}", any_json(), 0..4),
        inside in prop::collection::btree_map("\\PC{1,8}", any_json(), 0..4),
        kind in prop::sample::select(all_kinds().collect::<Vec<_>>()),
    ) {
        let mut whole: Value = serde_json::from_slice(&full_event(&kind).to_leaf()).unwrap();
        for (name, value) in added {
            whole.as_object_mut().unwrap().entry(name).or_insert(value);
        }
        for (name, value) in inside {
            whole["actor"].as_object_mut().unwrap().entry(name).or_insert(value);
        }
        let expected = serde_json_canonicalizer::to_vec(&whole).unwrap();
        let event = Event::from_json(whole.to_string().as_bytes()).unwrap();
        prop_assert_eq!(event.to_leaf(), expected.clone());
        let again = Event::from_json(&expected).unwrap();
        prop_assert_eq!(again.to_leaf(), expected);
    }
}
