//! Recordings through the API: received by the recorder protocol, returned byte for byte, each use audited first.

use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::test_server::{TestServer, json, with_position};

const HEADER: &str = r#"{"version":2,"width":80,"height":24,"timestamp":1767225600,"command":"echo \u001b[2J","srcNode":"laptop.tail.example","srcNodeID":"7","srcNodeUserID":3,"srcNodeUser":"alice@example.com","env":{"TERM":"xterm-256color"},"sshUser":"root","localUser":"root","connectionID":"ssh-conn-20260101T000000-0a1b2c3d4e"}"#;

/// A node's upload by the older protocol, which is still open.
struct Upload(TcpStream);

impl Upload {
    async fn begin(server: &TestServer) -> Upload {
        let mut stream = TcpStream::connect(&server.recorder).await.unwrap();
        let head = format!(
            "POST /record HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
            server.recorder
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 256];
        let read = stream.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 100"), "{answer}");
        Upload(stream)
    }

    async fn send(&mut self, text: &str) {
        let chunk = format!("{:x}\r\n{text}\r\n", text.len());
        self.0.write_all(chunk.as_bytes()).await.unwrap();
    }

    async fn end(mut self) {
        self.0.write_all(b"0\r\n\r\n").await.unwrap();
        let mut answer = [0; 256];
        let read = self.0.read(&mut answer).await.unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..read]));
    }
}

/// Waits until the list of sessions holds one in `state`, and returns its id.
async fn session_in(server: &TestServer, state: &str) -> String {
    let path = format!("/api/v1/sessions?state={state}");
    let listed = server.poll_until(&path, |listed| !listed["sessions"].as_array().unwrap().is_empty()).await;
    listed["sessions"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_recording_comes_out_byte_for_byte_and_every_look_is_written_first() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    let lines =
        [format!("{HEADER}\n"), "[0.5,\"o\",\"one\\r\\n\"]\n".to_owned(), "[1.5,\"o\",\"two\"]\n".to_owned()];
    let mut upload = Upload::begin(&server).await;
    for line in &lines {
        upload.send(line).await;
    }
    upload.end().await;
    let id = session_in(&server, "ended").await;
    let (auditor, _) = server.token("auditor", "auditor").await;
    let (viewer, _) = server.token("viewer", "viewer").await;
    let path = format!("/api/v1/sessions/{id}");

    let refused = server.by(&viewer, Method::GET, &format!("{path}/recording")).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    let exported = server.by(&auditor, Method::GET, &format!("{path}/recording")).send().await.unwrap();
    assert_eq!(
        exported.headers()["content-disposition"],
        format!("attachment; filename=\"{id}.cast\"").as_str()
    );
    assert_eq!(exported.text().await.unwrap(), lines.concat());
    let viewed = server.by(&auditor, Method::GET, &format!("{path}/cast?from=1")).send().await.unwrap();
    let played = viewed.text().await.unwrap();
    assert!(played.starts_with('{') && played.contains("two"), "{played}");
    let verified =
        server.by(&auditor, Method::GET, &format!("{path}/recording?for=verify")).send().await.unwrap();
    assert_eq!(verified.bytes().await.unwrap(), lines.concat().as_bytes());

    let written = server.get("/api/v1/events?q=kind:meshtrail.viewed,meshtrail.exported&order=oldest").await;
    let written: Vec<[&str; 4]> = written["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            let who = event["actor"]["service"].as_str().unwrap();
            let (kind, what) = (event["kind"].as_str().unwrap(), event["detail"]["what"].as_str().unwrap());
            [who, kind, what, event["session"].as_str().unwrap()]
        })
        .collect();
    let who = "token t1 (auditor)";
    assert_eq!(
        written,
        [
            [who, "meshtrail.exported", "recording", &id],
            [who, "meshtrail.viewed", "replay", &id],
            [who, "meshtrail.viewed", "verify", &id],
        ]
    );
    server.stop().await;
}

#[tokio::test]
async fn sessions_are_found_by_filter_and_state() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    for _ in 0..3 {
        let mut upload = Upload::begin(&server).await;
        upload.send(&format!("{HEADER}\n")).await;
        upload.end().await;
    }
    // Each is known by name; some are not sealed yet.
    let named = "/api/v1/sessions?state=ended&q=actor:alice@example.com";
    server.poll_until(named, |listed| listed["sessions"].as_array().unwrap().len() == 3).await;
    for (question, count) in [
        ("q=actor:alice@example.com", 3),
        ("q=actor:bob@example.com", 0),
        ("q=command:echo&state=ended", 3),
        ("state=live", 0),
        ("limit=2", 2),
    ] {
        let listed = server.get(&format!("/api/v1/sessions?{question}")).await;
        assert_eq!(listed["sessions"].as_array().unwrap().len(), count, "{question}");
    }
    let first = server.get("/api/v1/sessions?limit=2").await;
    let rest =
        server.get(&format!("/api/v1/sessions?limit=2&cursor={}", first["next"].as_str().unwrap())).await;
    assert_eq!(rest["sessions"].as_array().unwrap().len(), 1);
    assert!(rest["next"].is_null());
    let before = with_position(first["next"].as_str().unwrap(), "main:", "");
    let again = server.get(&format!("/api/v1/sessions?limit=2&cursor={before}")).await;
    assert_eq!(again, rest, "as a cursor was written before positions");
    let foreign = with_position(first["next"].as_str().unwrap(), "main:", "edge:");
    let path = format!("/api/v1/sessions?limit=2&cursor={foreign}");
    let refused = server.by(&server.admin, Method::GET, &path).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), &json(refused).await["field"]), (400, &"cursor".into()));
    server.stop().await;
}

#[tokio::test]
async fn a_live_session_is_followed_and_ended_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    let mut upload = Upload::begin(&server).await;
    upload.send(&format!("{HEADER}\n[0.5,\"o\",\"before\"]\n")).await;
    let id = session_in(&server, "live").await;
    let path = format!("/api/v1/sessions/{id}");
    let mut followed = server.by(&server.admin, Method::GET, &format!("{path}/follow")).send().await.unwrap();
    assert_eq!(followed.headers()["content-type"], "text/event-stream");
    upload.send("[0.9,\"o\",\"after\"]\n").await;
    let mut seen = String::new();
    while !seen.contains("after") {
        seen.push_str(std::str::from_utf8(&followed.chunk().await.unwrap().unwrap()).unwrap());
    }
    assert!(seen.starts_with("data:") && seen.contains("before"), "{seen}");

    let kill = |body: serde_json::Value| {
        server.by(&server.admin, Method::POST, &format!("{path}/kill")).json(&body).send()
    };
    let without = kill(serde_json::json!({"message": "bye"})).await.unwrap();
    assert_eq!((without.status().as_u16(), json(without).await["field"].as_str()), (400, Some("reason")));
    let empty = kill(serde_json::json!({"reason": " "})).await.unwrap();
    assert_eq!(empty.status(), 400);
    let killed =
        kill(serde_json::json!({"reason": "INC-42", "message": "call \u{1b}[2J ops"})).await.unwrap();
    assert_eq!(json(killed).await["message"], "call ␛[2J ops");
    while let Some(part) = followed.chunk().await.unwrap() {
        seen.push_str(std::str::from_utf8(&part).unwrap());
    }
    assert!(seen.contains("event: done"), "{seen}");
    let written = server.get("/api/v1/events?q=kind:meshtrail.killed").await;
    assert_eq!(written["events"].as_array().unwrap().len(), 1);
    assert_eq!(written["events"][0]["detail"]["reason"], "INC-42");
    let again = kill(serde_json::json!({"reason": "again"})).await.unwrap();
    assert_eq!(again.status(), 409);
    server.stop().await;
}
