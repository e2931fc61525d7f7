//! Questions to the policy in force at a moment, for the people and devices of that moment.

use std::time::Duration;

use meshtrail_event::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::test_server::TestServer;

fn ago(minutes: u64) -> String {
    Timestamp::now().before(Duration::from_secs(minutes * 60)).to_string()
}

fn device(id: &str, address: &str, owner: Option<&str>, tags: &[&str]) -> Value {
    let mut state =
        json!({ "id": id, "name": format!("{id}.tail.example"), "addresses": [address], "tags": tags });
    if let Some(owner) = owner {
        state["owner"] = owner.into();
    }
    json!({ "kind": "device.added", "time": ago(90), "outcome": "success", "target": { "type": "device", "id": id },
        "detail": { "origin": "headscale", "new": state } })
}

/// A policy's text in a snapshot, in two parts, as collectors write it.
fn snapshot(minutes: u64, policy: &str) -> Vec<Value> {
    let (time, half) = (ago(minutes), policy.len() / 2);
    let digest = format!("{minutes:064x}");
    let part = |number: usize, text: &str| {
        json!({ "kind": "config.snapshot", "time": time, "outcome": "success", "target": { "type": "policy" },
            "detail": { "origin": "snapshot", "digest": digest, "part": number, "parts": 2, "new": { "text": text } } })
    };
    vec![part(1, &policy[..half]), part(2, &policy[half..])]
}

fn policy(user: &str) -> String {
    format!(
        r#"{{
  // Who may sign in where.
  "tagOwners": {{ "tag:web": [] }},
  "acls": [{{ "action": "accept", "src": ["alice@example.com"], "dst": ["tag:web:22"] }}],
  "ssh": [{{ "action": "accept", "src": ["autogroup:member"], "dst": ["tag:web"], "users": ["{user}"] }}],
}}"#
    )
}

async fn server_with_policies(folder: &std::path::Path) -> TestServer {
    let server = TestServer::start(folder, "").await;
    let (sender, _) = server.token("mesh", "sender").await;
    let mut events = vec![
        device("laptop", "100.64.0.7", Some("alice@example.com"), &[]),
        device("web", "100.64.0.20", None, &["tag:web"]),
    ];
    events.extend(snapshot(60, &policy("root")));
    events.extend(snapshot(20, &policy("deploy")));
    for (number, event) in events.iter_mut().enumerate() {
        event["id"] = format!("mesh.1.{}", number + 1).into();
    }
    let sent = server.by(&sender, Method::POST, "/api/v1/events").json(&events).send().await.unwrap();
    assert!(sent.status().is_success());
    server
        .poll_until("/api/v1/who?address=100.64.0.20", |answer| {
            !answer["devices"].as_array().unwrap().is_empty()
        })
        .await;
    server
}

async fn ask(server: &TestServer, path: &str, question: Value) -> (StatusCode, Value) {
    let answer = server.by(&server.admin, Method::POST, path).json(&question).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn page(server: &TestServer, path: &str) -> String {
    server.by(&server.admin, Method::GET, path).send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn a_login_is_judged_by_the_policy_of_its_moment() {
    let folder = tempfile::tempdir().unwrap();
    let server = server_with_policies(folder.path()).await;
    let path = "/api/v1/policy/explain";
    let question =
        |at: &str| json!({ "from": "alice@example.com", "to": "tag:web", "user": "root", "at": at });

    let (status, then) = ask(&server, path, question("40m")).await;
    assert_eq!(status, StatusCode::OK, "{then}");
    let login = &then["logins"][0];
    assert_eq!(login["decision"], "accept", "{then}");
    assert_eq!(login["rule"]["name"], "ssh rule 1 (line 5)");
    assert!(login["rule"]["text"].as_str().unwrap().contains("\"users\": [\"root\"]"));
    assert_eq!(then["policy"]["event"], "mesh.1.3");

    let (_, now) = ask(&server, path, question("")).await;
    let login = &now["logins"][0];
    assert_eq!((&login["decision"], &login["rule"]), (&json!("deny"), &Value::Null));
    assert!(login["near"][0]["unmet"][0].as_str().unwrap().contains("deploy"), "{login}");
    assert_eq!(now["policy"]["event"], "mesh.1.5");

    // A policy that is sent is asked in place of the one in force.
    let mut sent = question("");
    sent["policy"] = policy("root").into();
    let (_, answer) = ask(&server, path, sent).await;
    assert_eq!(answer["logins"][0]["decision"], "accept");
    assert_eq!(answer["policy"]["event"], Value::Null);
}

#[tokio::test]
async fn who_could_reach_a_tag_is_listed_with_ports_and_rules() {
    let folder = tempfile::tempdir().unwrap();
    let server = server_with_policies(folder.path()).await;
    let (status, answer) =
        ask(&server, "/api/v1/policy/who-could-reach", json!({ "target": "tag:web" })).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let rows = answer["certain"]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{answer}");
    assert_eq!((&rows[0]["person"], &rows[0]["device"]), (&json!("alice@example.com"), &json!("laptop")));
    assert!(rows[0]["ports"].as_str().unwrap().contains("22"), "{answer}");
    assert_eq!(rows[0]["rules"], json!(["acl rule 1 (line 4)"]));
}

#[tokio::test]
async fn another_policy_is_compared_with_the_one_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let server = server_with_policies(folder.path()).await;
    let path = "/api/v1/policy/diff";
    let (status, same) = ask(&server, path, json!({ "policy": policy("deploy") })).await;
    assert_eq!(
        (status, &same["summary"]),
        (StatusCode::OK, &json!("nobody gained or lost access")),
        "{same}"
    );
    let wider = policy("root").replace("tag:web:22", "tag:web:22,443");
    let (_, answer) = ask(&server, path, json!({ "policy": wider })).await;
    let sentence =
        |answer: &Value, kind: &str, way: &str| answer[kind][way][0]["sentence"].as_str().unwrap().to_owned();
    let opened = sentence(&answer, "connections", "opened");
    assert!(opened.starts_with("alice@example.com gained") && opened.contains("443"), "{answer}");
    assert!(sentence(&answer, "logins", "opened").contains("login as root"), "{answer}");
    assert!(sentence(&answer, "logins", "closed").contains("login as deploy"), "{answer}");
    let (status, problem) = ask(&server, path, json!({ "policy": "{ \"acls\": [,] }" })).await;
    assert_eq!((status.as_u16(), problem["field"].as_str()), (400, Some("policy")), "{problem}");
}

#[tokio::test]
async fn the_page_of_a_change_says_what_it_opened_and_closed_and_a_devices_page_who_reaches_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = server_with_policies(folder.path()).await;
    let (sender, _) = server.token("audit", "sender").await;
    let change = json!([{ "id": "audit.1.1", "kind": "policy.changed", "time": ago(20), "outcome": "success",
        "target": { "type": "policy" }, "detail": { "origin": "audit-log", "old": policy("root"), "new": policy("deploy") } }]);
    let sent = server.by(&sender, Method::POST, "/api/v1/events").json(&change).send().await.unwrap();
    assert!(sent.status().is_success());
    let shown = page(&server, "/events/audit.1.1").await;
    assert!(shown.contains("What it opened and closed"), "{shown}");
    assert!(shown.contains("login as deploy") && shown.contains("login as root"), "{shown}");
    let shown = page(&server, "/devices/web").await;
    assert!(
        shown.contains("Who can reach it")
            && shown.contains("href=\"/devices/laptop\"")
            && shown.contains("alice@example.com"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_mesh_without_a_control_plane_has_its_policy_from_a_file_and_its_people_from_the_directory_file() {
    let folder = tempfile::tempdir().unwrap();
    let (file, directory) = (folder.path().join("policy.hujson"), folder.path().join("directory.toml"));
    std::fs::write(&file, policy("root")).unwrap();
    std::fs::write(
        &directory,
        "[[people]]\nlogin = 'alice@example.com'\n[[devices]]\nid = 'laptop'\nname = 'laptop'\naddresses = ['10.9.0.7']\n\
         owner = 'alice@example.com'\n[[devices]]\nid = 'web'\nname = 'web'\naddresses = ['10.9.0.20']\ntags = ['tag:web']\n",
    )
    .unwrap();
    let config = format!("directory = {directory:?}\n[policy]\nfile = {file:?}\n");
    let server = TestServer::start(&folder.path().join("store"), &config).await;
    server.poll_until("/api/v1/who?address=10.9.0.20", |answer| answer["devices"][0].is_object()).await;
    let question = json!({ "from": "alice@example.com", "to": "web" });
    let mut answer = ask(&server, "/api/v1/policy/explain", question.clone()).await;
    while answer.0 == StatusCode::NOT_FOUND {
        tokio::time::sleep(Duration::from_millis(20)).await;
        answer = ask(&server, "/api/v1/policy/explain", question.clone()).await;
    }
    assert_eq!(answer.1["logins"][0]["decision"], "accept", "{}", answer.1);
    assert_eq!(answer.1["policy"]["control_plane"], "plain WireGuard");
}

#[tokio::test]
async fn a_question_that_can_not_be_answered_names_its_field_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let server = server_with_policies(folder.path()).await;
    let path = "/api/v1/policy/explain";
    let about = |change: Value| {
        let mut question = json!({ "from": "alice@example.com", "to": "web" });
        question.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        question
    };
    for (change, status, field, reason) in [
        (json!({ "from": "nobody@example.com" }), 400, "from", "no device is known"),
        (json!({ "to": "tag:nothing" }), 400, "to", "no device is known"),
        (json!({ "at": "soon" }), 400, "at", "write a time"),
        (json!({ "at": "80m" }), 404, "at", "no policy is known"),
        (json!({ "policy": "{\n  \"acls\": [,]\n}" }), 400, "policy", "line 2"),
        (
            json!({ "policy": "{ \"acls\": [{ \"action\": \"accept\", \"src\": 7 }] }" }),
            400,
            "policy",
            "line 1",
        ),
    ] {
        let (code, problem) = ask(&server, path, about(change)).await;
        assert_eq!((code.as_u16(), problem["field"].as_str()), (status, Some(field)), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(reason), "{problem}");
    }
}
