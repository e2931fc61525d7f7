//! Who had an address, and identities that are learned late.

use std::time::Duration;

use meshtrail_event::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::test_server::TestServer;

fn ago(minutes: u64) -> String {
    Timestamp::now().before(Duration::from_secs(minutes * 60)).to_string()
}

fn device(id: &str, owner: &str) -> Value {
    json!({ "id": id, "name": format!("{id}.tail.example"), "addresses": ["100.64.0.7"], "owner": owner })
}

fn device_event(kind: &str, minutes: u64, device: &Value) -> Value {
    let state = if kind == "device.removed" { "old" } else { "new" };
    json!({ "kind": kind, "time": ago(minutes), "outcome": "success",
        "target": { "type": "device", "id": device["id"] }, "detail": { "origin": "headscale", state: device } })
}

async fn send(server: &TestServer, name: &str, first: u64, events: Vec<Value>) -> reqwest::StatusCode {
    let (sender, _) = server.token(name, "sender").await;
    let numbered = events.into_iter().zip(first..).map(|(mut event, number)| {
        event["id"] = format!("{name}.1.{number}").into();
        event
    });
    let body = Value::Array(numbered.collect());
    server.by(&sender, Method::POST, "/api/v1/events").json(&body).send().await.unwrap().status()
}

fn login(answer: &Value) -> Option<&str> {
    answer["devices"][0]["person"]["login"].as_str()
}

#[tokio::test]
async fn who_gives_the_right_person_for_an_address_that_three_devices_had_in_turn_after_a_restart_too() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    let (one, two, three) = (
        device("n1", "alice@example.com"),
        device("n2", "bob@example.com"),
        device("n3", "carol@example.com"),
    );
    let events = vec![
        device_event("device.added", 90, &one),
        device_event("device.removed", 70, &one),
        device_event("device.added", 60, &two),
        device_event("device.removed", 40, &two),
        device_event("config.snapshot", 30, &three),
    ];
    assert!(send(&server, "mesh", 1, events).await.is_success());
    let now = server.poll_until("/api/v1/who?address=100.64.0.7", |answer| login(answer).is_some()).await;
    assert_eq!(login(&now), Some("carol@example.com"));
    assert_eq!(now["tenures"].as_array().unwrap().len(), 3);
    server.stop().await;

    let server = TestServer::start(folder.path(), "").await;
    for (at, expected) in [
        ("100m", None),
        ("80m", Some("alice@example.com")),
        ("65m", None),
        ("50m", Some("bob@example.com")),
        ("35m", None),
        ("10m", Some("carol@example.com")),
    ] {
        let answer = server.get(&format!("/api/v1/who?subject=100.64.0.7&at={at}")).await;
        assert_eq!(login(&answer), expected, "{at} ago");
        assert_eq!(answer["why"].is_string(), expected.is_none());
    }
    let bob = server.get("/api/v1/who?subject=bob@example.com&at=50m").await;
    assert_eq!(
        (bob["taken_for"].as_str(), bob["devices"][0]["device"]["id"].as_str()),
        (Some("person"), Some("n2"))
    );
    let named = server.get("/api/v1/who?subject=n3&at=10m").await;
    assert_eq!(named["devices"][0]["identity"]["status"], "resolved");
    server.stop().await;
}

#[tokio::test]
async fn a_question_that_is_none_names_the_field() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    let cases = [
        ("/api/v1/who", 400, Some("subject")),
        ("/api/v1/who?address=laptop", 400, Some("address")),
        ("/api/v1/who?address=100.64.0.7&subject=x", 400, Some("subject")),
        ("/api/v1/who?address=100.64.0.7&at=tomorrow", 400, Some("at")),
        ("/api/v1/who?subject=nobody@example.com", 404, None),
    ];
    for (path, status, field) in cases {
        let answer = server.by(&server.admin, Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["field"].as_str(), field, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_event_whose_person_becomes_known_later_is_found_by_them_and_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    let stranger = json!({ "kind": "ssh.login", "time": ago(50), "outcome": "success",
        "target": { "account": "root" }, "detail": { "peer": "100.64.0.7:4711" } });
    assert!(send(&server, "host", 1, vec![stranger]).await.is_success());
    let path = "/api/v1/events?q=kind:ssh.login%20actor:alice@example.com";
    assert_eq!(server.get(path).await["events"].as_array().unwrap().len(), 0);
    let before = server.get("/api/v1/events/host.1.1").await;

    let added = device_event("device.added", 60, &device("n1", "alice@example.com"));
    assert!(send(&server, "mesh", 1, vec![added]).await.is_success());
    let found = server
        .poll_until(path, |answer| answer["events"].as_array().is_some_and(|all| !all.is_empty()))
        .await;
    assert_eq!(found["events"][0], before, "the leaf shows what was known then");
    let late = &found["learned"]["host.1.1"];
    assert_eq!(late["actor"]["person"]["login"], "alice@example.com");
    assert!(late["identity"]["provider"].as_str().unwrap().starts_with("headscale"));
    let told_by = server.get(&format!("/api/v1/events/{}", late["told_by"].as_str().unwrap())).await;
    assert_eq!(
        (told_by["kind"].as_str(), told_by["detail"]["refers_to"].as_str()),
        (Some("identity.learned"), Some("host.1.1"))
    );
    server.stop().await;

    let server = TestServer::start(folder.path(), "").await;
    let again = server.get(path).await;
    assert_eq!(again["learned"]["host.1.1"], *late, "known again after a restart");
    let another = json!({ "kind": "ssh.login", "time": ago(40), "outcome": "success", "detail": { "peer": "100.64.0.7:1" } });
    assert!(send(&server, "host", 2, vec![another]).await.is_success());
    server.poll_until(path, |answer| answer["events"].as_array().is_some_and(|all| all.len() == 2)).await;
    let learned = server.get("/api/v1/events?q=kind:identity.learned").await;
    assert_eq!(learned["events"].as_array().unwrap().len(), 2, "none was told twice");
    server.stop().await;
}

#[tokio::test]
async fn what_this_server_concludes_is_not_taken_from_a_sender() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    let forged = json!({ "kind": "identity.learned", "time": ago(1), "outcome": "success",
        "actor": { "person": { "login": "mallory@example.com" } }, "detail": { "refers_to": "host.1.1" } });
    assert_eq!(send(&server, "mesh", 1, vec![forged]).await.as_u16(), 403);
    server.stop().await;
}
