//! Changes in the mesh, over HTTP.

use http::Method;
use serde_json::{Value, json};

use crate::test_server::{TestServer, json as body, with_position};

fn event(sequence: u64, kind: &str, minute: u64, origin: &str, id: &str, more: &Value) -> Value {
    let mut detail = json!({"origin": origin, "summary": format!("{kind} told by {origin}")});
    detail.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({
        "id": format!("mesh.1.{sequence}"), "kind": kind, "outcome": "success",
        "time": format!("2026-11-20T14:{minute:02}:00Z"),
        "target": {"type": if kind.starts_with("policy") { "policy" } else { "device" }, "id": id, "name": id},
        "detail": detail,
    })
}

async fn send(server: &TestServer, events: &[Value]) {
    let (sender, _) = server.token("mesh", "sender").await;
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    let request = server.by(&sender, Method::POST, "/api/v1/events").body(lines.join("\n"));
    let response = request.header("content-type", "application/x-ndjson").send().await.unwrap();
    assert_eq!(body(response).await["accepted"], events.len());
}

const ALL: &str = "since=2026-11-20T00:00:00Z&until=2026-11-21T00:00:00Z";

fn summarise_changes(page: &Value) -> Vec<String> {
    let changes = page["changes"].as_array().unwrap().iter();
    changes
        .map(|change| {
            let events = change["witnesses"].as_array().unwrap().len();
            format!("{} {} {events}", change["kind"].as_str().unwrap(), change["severity"].as_str().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn a_change_that_two_tell_of_is_listed_once_with_both_and_pages_go_on_where_they_ended() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    let before = json!({"not_before": "2026-11-20T14:00:00Z"});
    let diff = json!({"diff": "@@ -1,1 +1,1 @@\n-a\n+b\n", "lines": ["one", "two"]});
    send(
        &server,
        &[
            event(1, "device.added", 5, "audit-log", "n1", &json!({})),
            event(2, "device.added", 9, "snapshot", "n1", &before),
            event(3, "device.renamed", 10, "snapshot", "n2", &before),
            event(4, "policy.changed", 20, "snapshot", "p", &diff),
            event(5, "config.snapshot", 21, "snapshot", "n1", &json!({})),
        ],
    )
    .await;
    let page = server.get(&format!("/api/v1/changes?{ALL}")).await;
    assert_eq!(
        summarise_changes(&page),
        ["policy.changed high 1", "device.renamed low 1", "device.added medium 2"]
    );
    let added = &page["changes"][2];
    let event_of = |number: usize| &added["witnesses"][number];
    assert_eq!((&event_of(0)["origin"], &event_of(1)["origin"]), (&"audit-log".into(), &"snapshot".into()));
    assert_eq!(event_of(0)["event"], "mesh.1.1");
    assert!(event_of(0)["index"].as_u64() < event_of(1)["index"].as_u64());
    assert_eq!(event_of(0)["position"], format!("main:{}", event_of(0)["index"]));
    assert_eq!((&page["changes"][0]["has_diff"], &page["changes"][0]["diff"]), (&true.into(), &Value::Null));
    assert_eq!(page["changes"][0]["lines"], json!(["one", "two"]));
    let with = server.get(&format!("/api/v1/changes?{ALL}&diff=true&severity=high")).await;
    assert_eq!((summarise_changes(&with).len(), &with["changes"][0]["diff"]), (1, &diff["diff"]));
    let filtered = server.get(&format!("/api/v1/changes?{ALL}&q=kind:device.renamed")).await;
    assert_eq!(summarise_changes(&filtered), ["device.renamed low 1"]);

    let first = server.get(&format!("/api/v1/changes?{ALL}&limit=2")).await;
    let next = first["next"].as_str().unwrap();
    let second = server.get(&format!("/api/v1/changes?{ALL}&limit=2&cursor={next}")).await;
    assert_eq!(
        (summarise_changes(&first).len(), summarise_changes(&second)),
        (2, vec!["device.added medium 2".to_owned()])
    );
    assert!(second["next"].is_null());
    let before = with_position(next, "main:", "");
    let again = server.get(&format!("/api/v1/changes?{ALL}&limit=2&cursor={before}")).await;
    assert_eq!(again, second, "as a cursor was written before positions");
    let foreign = with_position(next, "main:", "edge:");
    let path = format!("/api/v1/changes?{ALL}&limit=2&cursor={foreign}");
    let refused = server.by(&server.admin, Method::GET, &path).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), &body(refused).await["field"]), (400, &"cursor".into()));
    server.stop().await;
}

#[tokio::test]
async fn a_question_about_changes_that_is_wrong_names_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    for (query, field) in [
        ("since=lately", "since"),
        ("until=%2A", "until"),
        ("q=acotr:x", "q"),
        ("limit=0", "limit"),
        ("cursor=x", "cursor"),
        ("sinse=7d", "sinse"),
    ] {
        let answer =
            server.by(&server.admin, Method::GET, &format!("/api/v1/changes?{query}")).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{query}");
        assert_eq!(body(answer).await["field"], field, "{query}");
    }
    server.stop().await;
}
