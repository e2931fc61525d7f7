//! People, devices and their traffic in the API and the console.

use std::time::Duration;

use meshtrail_event::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::test_server::TestServer;

const HOUR: u64 = 3600;

fn ago(hours: u64) -> String {
    Timestamp::now().before(Duration::from_secs(hours * HOUR)).to_string()
}

fn device(id: &str, name: &str, owner: &str) -> Value {
    json!({ "id": id, "name": name, "addresses": ["100.64.0.9"], "owner": owner, "os": "linux" })
}

/// An event with a device's state, or about its removal.
fn device_event(kind: &str, hours: u64, device: &Value) -> Value {
    let state = if kind == "device.removed" { "old" } else { "new" };
    let target = json!({ "type": "device", "id": device["id"], "name": device["name"],
        "device": { "id": device["id"], "name": device["name"] } });
    json!({ "kind": kind, "time": ago(hours), "outcome": "success", "target": target,
        "detail": { "origin": "snapshot", "property": "device", state: device } })
}

fn user(hours: u64, login: &str, role: &str) -> Value {
    let state = json!({ "id": login, "login": login, "role": role, "groups": ["group:ops"] });
    json!({ "kind": "config.snapshot", "time": ago(hours), "outcome": "success",
        "target": { "type": "user", "id": login, "name": login, "person": { "login": login } },
        "detail": { "origin": "headscale", "property": "user", "new": state } })
}

fn login(hours: u64, actor: &Value, identity: &Value, outcome: &str) -> Value {
    json!({ "kind": "ssh.login", "time": ago(hours), "outcome": outcome, "actor": actor, "identity": identity,
        "target": { "account": "root", "device": { "id": "n1", "name": "old.tail.example" } }, "detail": {} })
}

/// One end's traffic counts for two devices.
fn flow(near: (&str, &str), far: &str, tx: u64, rx: u64) -> Value {
    json!({ "kind": "flow.counted", "time": ago(0), "outcome": "success",
        "actor": { "device": { "id": near.0, "name": near.0 }, "person": { "login": near.1 } },
        "target": { "device": { "id": far, "name": far }, "address": "100.64.0.2:22" },
        "detail": { "layer": "virtual", "start": ago(0), "end": ago(0), "reporter": near.0, "src_node": near.0,
            "dst_node": far, "tx_bytes": tx, "rx_bytes": rx, "proto": 6, "src": "100.64.0.1:5", "dst": "100.64.0.2:22" } })
}

async fn server_with_events(events: Vec<Value>) -> (tempfile::TempDir, TestServer) {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    let (sender, _) = server.token("mesh", "sender").await;
    let numbered = events.into_iter().zip(1..).map(|(mut event, number)| {
        event["id"] = format!("mesh.1.{number}").into();
        event.to_string()
    });
    let lines: Vec<String> = numbered.collect();
    let request =
        server.by(&sender, Method::POST, "/api/v1/events").header("content-type", "application/x-ndjson");
    let answer = request.body(lines.join("\n")).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    (folder, server)
}

async fn page(server: &TestServer, path: &str) -> String {
    let answer = server.by(&server.admin, Method::GET, path).send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    answer.text().await.unwrap()
}

fn three_devices_in_turn() -> Vec<Value> {
    let (first, second) =
        (device("n1", "old.tail.example", "a@x.example"), device("n2", "mid.tail.example", "b@x.example"));
    let third = device("n3", "new.tail.example", "c@x.example");
    vec![
        device_event("device.added", 90, &first),
        device_event("device.removed", 60, &first),
        device_event("device.added", 50, &second),
        device_event("device.removed", 40, &second),
        device_event("device.added", 30, &third),
        device_event("device.renamed", 10, &device("n3", "newest.tail.example", "c@x.example")),
    ]
}

#[tokio::test]
async fn an_address_that_three_devices_had_in_turn_is_told_with_all_three() {
    let (_folder, server) = server_with_events(three_devices_in_turn()).await;
    server.poll_until("/api/v1/devices", |answer| answer["known"] == 3).await;
    let answer = server.get("/api/v1/devices/n3").await;
    let holders: Vec<&str> =
        answer["holdings"].as_array().unwrap().iter().map(|one| one["device"].as_str().unwrap()).collect();
    assert_eq!(holders, ["n1", "n2", "n3"]);
    let names: Vec<&str> = answer["history"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["what"] == "name")
        .map(|one| one["value"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["newest.tail.example", "new.tail.example"], "newest first");
    let then = server.get(&format!("/api/v1/devices?at={}", ago(45))).await;
    assert_eq!((then["found"].as_u64(), &then["devices"][0]["state"]["id"]), (Some(1), &json!("n2")));
    let gone = server.get("/api/v1/devices?show=gone").await;
    assert_eq!(gone["found"], 2);
    let shown = page(&server, "/devices/n3").await;
    assert!(shown.contains("this device") && shown.contains("/devices/n1"), "{shown}");
    server.stop().await;
}

#[tokio::test]
async fn what_somebody_only_claims_to_have_done_is_not_counted_as_theirs() {
    let alice = json!({ "person": { "login": "alice@x.example" }, "device": { "id": "n9", "name": "laptop.tail.example" } });
    let known = json!({ "status": "resolved", "provider": "headscale" });
    let claim = json!({ "status": "conflicting", "provider": "headscale", "claimed": { "login": "alice@x.example" } });
    let events = vec![
        user(90, "alice@x.example", "member"),
        user(20, "alice@x.example", "admin"),
        login(5, &alice, &known, "success"),
        login(4, &alice, &known, "denied"),
        login(3, &json!({ "person": { "login": "bob@x.example" } }), &claim, "success"),
    ];
    let (_folder, server) = server_with_events(events).await;
    let person = server
        .poll_until("/api/v1/people/alice@x.example", |answer| answer["person"]["state"]["role"] == "admin")
        .await;
    let doings = &person["doings"];
    assert_eq!(
        (&doings["events"], &doings["refused"], &doings["claimed"]),
        (&json!(2), &json!(1), &json!(1))
    );
    let roles: Vec<&Value> = person["history"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["what"] == "role")
        .map(|one| &one["value"])
        .collect();
    assert_eq!(roles, ["admin", "member"]);
    assert_eq!(server.get("/api/v1/people?q=OPS").await["found"], 1, "found by a group, in any letter case");
    let shown = page(&server, "/people/alice@x.example").await;
    assert!(shown.contains("1 more event names them"), "{shown}");
    let nobody = server.by(&server.admin, Method::GET, "/people/nobody@x.example").send().await.unwrap();
    assert_eq!(nobody.status(), 404);
    server.stop().await;
}

#[tokio::test]
async fn somebody_whom_only_events_know_is_shown_and_said_to_be_so() {
    let eve = json!({ "person": { "login": "eve@x.example" } });
    let (_folder, server) =
        server_with_events(vec![login(1, &eve, &json!({ "status": "self-reported" }), "success")]).await;
    let shown = page(&server, "/people/eve@x.example").await;
    assert!(shown.contains("No control plane has reported this person"), "{shown}");
    server.stop().await;
}

#[tokio::test]
async fn both_ends_of_a_transfer_are_shown_beside_each_other_and_counted_once() {
    let events = vec![
        flow(("na", "a@x.example"), "nb", 5_000_000, 4_000),
        flow(("nb", "b@x.example"), "na", 4_000, 5_000_000),
        flow(("na", "a@x.example"), "nc", 70_000, 0),
    ];
    let (_folder, server) = server_with_events(events).await;
    let shown = page(&server, "/network?by=device").await;
    assert_eq!(shown.matches("5.0 MB").count(), 4, "the square, its legend, and both counts: {shown}");
    assert!(shown.contains("both ends agree") && shown.contains("only the sender reports"), "{shown}");
    let pair = page(&server, "/network?of=device:na&with=device:nb").await;
    assert!(!pair.contains("class=\"matrix\"") && pair.contains("/events/mesh.1.1"), "{pair}");
    server.stop().await;
}

#[tokio::test]
async fn a_question_that_can_not_be_read_names_what_is_wrong() {
    let (_folder, server) = server_with_events(vec![user(1, "a@x.example", "member")]).await;
    for (path, field) in [
        ("/api/v1/devices?show=nice", "show"),
        ("/api/v1/devices?at=yesterday", "at"),
        ("/api/v1/people?limit=0", "limit"),
        ("/api/v1/people/a@x.example?since=never", "since"),
        ("/api/v1/people?what=1", "what"),
    ] {
        let answer = server.by(&server.admin, Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{path}");
        assert_eq!(crate::test_server::json(answer).await["field"], field, "{path}");
    }
    server.stop().await;
}
