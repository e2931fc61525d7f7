//! The requests of the timeline: counts over time, facets, completions, and the stream of new events.

use std::time::Duration;

use futures::StreamExt;
use meshtrail_event::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::test_server::TestServer;

/// Events a minute apart: each third one was denied, each fifth is Bob's, none is older than a day.
async fn send(server: &TestServer, sender: &str, from: usize, count: usize) {
    let now = Timestamp::now();
    let lines: Vec<String> = (from..from + count)
        .map(|number| {
            let time = now.before(Duration::from_secs(60 * (1200 - number as u64)));
            json!({
                "id": format!("agent-7.1.{number}"), "time": time.to_string(), "kind": "ssh.login",
                "outcome": if number.is_multiple_of(3) { "denied" } else { "success" },
                "actor": { "person": { "login": if number.is_multiple_of(5) { "bob@example.com" } else { "alice@example.com" } } },
                "target": { "device": { "name": "db-1.tail.example", "tags": ["tag:prod"] } },
            })
            .to_string()
        })
        .collect();
    let request =
        server.by(sender, Method::POST, "/api/v1/events").header("content-type", "application/x-ndjson");
    let response = request.body(lines.join("\n")).send().await.unwrap();
    assert!(response.status().is_success(), "{}", response.text().await.unwrap());
}

fn count_of(answer: &Value, facet: &str, value: &str) -> u64 {
    let facets = answer["facets"].as_array().unwrap();
    let values = facets.iter().find(|one| one["facet"] == facet).unwrap()["values"].as_array().unwrap();
    values.iter().find(|one| one["value"] == value).map_or(0, |one| one["count"].as_u64().unwrap())
}

#[tokio::test]
async fn bars_and_values_add_up_to_what_the_list_holds() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    let (sender, _) = server.token("agent-7", "sender").await;
    send(&server, &sender, 1, 900).await;
    for by in ["family", "outcome", "kind"] {
        let histogram =
            server.get(&format!("/api/v1/events/histogram?q=kind:ssh.login%20since:24h&by={by}")).await;
        assert_eq!(
            (histogram["matched"].as_u64(), histogram["whole"].as_bool()),
            (Some(900), Some(true)),
            "{histogram}"
        );
        let bars = histogram["bars"].as_array().unwrap();
        assert!(bars.len() > 10 && bars.len() <= 97, "{}", bars.len());
        let sum: u64 = bars
            .iter()
            .flat_map(|bar| bar["counts"].as_object().unwrap().values())
            .map(|n| n.as_u64().unwrap())
            .sum();
        assert_eq!(sum, 900);
    }
    let facets = server.get("/api/v1/events/facets?q=kind:ssh.login").await;
    assert_eq!(count_of(&facets, "outcome", "denied"), 300);
    assert_eq!(count_of(&facets, "actor", "bob@example.com"), 180);
    assert_eq!(count_of(&facets, "tag", "tag:prod"), 900);
    assert_eq!(count_of(&facets, "source", "agent-7"), 900);
    let narrowed = server.get("/api/v1/events/facets?q=actor:bob@example.com%20outcome:denied").await;
    assert_eq!(count_of(&narrowed, "target", "db-1.tail.example"), 60);
    server.stop().await;
}

#[tokio::test]
async fn a_filter_is_completed_from_the_data_and_its_mistake_is_placed() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    let (sender, _) = server.token("agent-7", "sender").await;
    send(&server, &sender, 1, 40).await;
    let inserts = |answer: &Value| -> Vec<String> {
        answer["options"]
            .as_array()
            .unwrap()
            .iter()
            .map(|option| option["insert"].as_str().unwrap().to_owned())
            .collect()
    };
    let actors = server.get("/api/v1/events/complete?q=actor:b").await;
    assert_eq!(inserts(&actors), ["bob@example.com"]);
    assert_eq!((actors["replace"][0].as_u64(), actors["field"].as_str()), (Some(6), Some("actor")));
    assert_eq!(inserts(&server.get("/api/v1/events/complete?q=tag:pr").await), ["tag:prod"]);
    assert_eq!(inserts(&server.get("/api/v1/events/complete?q=outc").await), ["outcome:"]);
    let wrong = server.get("/api/v1/events/complete?q=acotr:x").await;
    assert_eq!(wrong["wrong"]["at"], json!([0, 6]));
    assert!(wrong["wrong"]["hint"].as_str().unwrap().contains("actor"), "{wrong}");
    server.stop().await;
}

#[tokio::test]
async fn who_follows_gets_each_event_once_and_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    let (sender, _) = server.token("agent-7", "sender").await;
    send(&server, &sender, 1, 5).await;
    let listed = server.get("/api/v1/events?q=kind:ssh.login").await;
    let first = listed["indexes"].as_array().unwrap().iter().filter_map(Value::as_u64).min().unwrap();
    let path = format!("/api/v1/events/follow?q=kind:ssh.login%20outcome:success&after={first}");
    let answer = server.by(&server.admin, Method::GET, &path).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut parts = answer.bytes_stream();
    let mut text = String::new();
    while !text.contains("agent-7.1.5") {
        text.push_str(std::str::from_utf8(&parts.next().await.unwrap().unwrap()).unwrap());
    }
    send(&server, &sender, 6, 5).await;
    while !text.contains("agent-7.1.10") {
        text.push_str(std::str::from_utf8(&parts.next().await.unwrap().unwrap()).unwrap());
    }
    drop(parts);
    let reconnect =
        server.by(&server.admin, Method::GET, &path).header("last-event-id", format!("main:{first}"));
    let mut parts = reconnect.send().await.unwrap().bytes_stream();
    let mut again = String::new();
    while !again.contains("agent-7.1.10") {
        again.push_str(std::str::from_utf8(&parts.next().await.unwrap().unwrap()).unwrap());
    }
    assert_eq!(again.matches("id: main:").count(), 6, "{again}");
    drop(parts);
    let foreign = server.by(&server.admin, Method::GET, &path).header("last-event-id", "edge:3");
    let problem: Value = foreign.send().await.unwrap().json().await.unwrap();
    assert_eq!((&problem["status"], &problem["field"]), (&json!(400), &json!("last-event-id")));
    // The first was before `after`; 3, 6 and 9 were denied.
    for (number, times) in [(1, 0), (2, 1), (3, 0), (4, 1), (5, 1), (6, 0), (7, 1), (8, 1), (9, 0), (10, 1)] {
        assert_eq!(text.matches(&format!("\"agent-7.1.{number}\"")).count(), times, "{number}: {text}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_timeline_reads_without_scripts_and_each_value_narrows() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    let (sender, _) = server.token("agent-7", "sender").await;
    send(&server, &sender, 1, 120).await;
    let page = |path: &'static str| {
        let request = server.by(&server.admin, Method::GET, path);
        async move { request.send().await.unwrap().text().await.unwrap() }
    };
    let text = page("/events?q=kind:ssh.login").await;
    for part in
        ["<svg role=\"group\"", "120 events", "outcome:denied", "≠", "alice@example.com", "rel=\"next\""]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(page("/events?q=kind:ssh.login&order=oldest").await.contains("ascending"));
    assert!(page("/events?q=actor:nobody").await.contains("Nothing matches"));
    assert!(page("/events?q=acotr:x").await.contains("id=\"q-wrong\""));
    server.stop().await;
}
