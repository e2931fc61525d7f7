//! Imports of recordings over HTTP.

use http::StatusCode;
use reqwest::Method;

use crate::test_server::{TestServer, json};

const PATH: &str = "/api/v1/sessions/imports?from=old/a.cast";
const CAST: &str = "{\"version\":2,\"width\":80,\"height\":24,\"timestamp\":1767225600,\"srcNodeUser\":\"alice@example.com\",\"srcNode\":\"laptop\"}\n[0.5,\"o\",\"hi\"]\n";

#[tokio::test]
async fn only_an_admin_hands_recordings_in_and_each_comes_in_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    let (auditor, _) = server.token("a", "auditor").await;
    let refused = server.by(&auditor, Method::POST, PATH).body(CAST).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let first = server.by(&server.admin, Method::POST, PATH).body(CAST).send().await.unwrap();
    assert_eq!(first.status(), StatusCode::CREATED);
    let first = json(first).await;
    assert_eq!(first["outcome"], "imported");
    let again = server.by(&server.admin, Method::POST, PATH).body(CAST).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(json(again).await["session"], first["session"]);
    let shown = server.get(&format!("/api/v1/sessions/{}", first["session"].as_str().unwrap())).await;
    assert_eq!(shown["imported_from"], "old/a.cast");
    let sha256 = shown["sha256"].as_str().unwrap();
    let found = server.get(&format!("/api/v1/sessions/imports/{sha256}")).await;
    assert_eq!((&found["outcome"], &found["session"]), (&"known".into(), &first["session"]));
    let taken = server.get("/api/v1/events?q=kind:meshtrail.imported").await;
    assert_eq!(taken["events"][0]["detail"]["source"], "old/a.cast");
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_recording_is_refused_with_the_reason_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), "").await;
    for (path, body, field, reason) in [
        (PATH, "", "body", "it is empty"),
        (PATH, "{\"version\":1}\n", "body", "header.version: expected 2, found 1"),
        ("/api/v1/sessions/imports?from=", CAST, "from", "say where it lay"),
        ("/api/v1/sessions/imports?from=a&started=soon", CAST, "started", "is not an RFC 3339 time"),
    ] {
        let refused = server.by(&server.admin, Method::POST, path).body(body).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{path}");
        let problem = json(refused).await;
        assert_eq!(problem["field"], field, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(reason), "{problem}");
    }
    let bad = server.by(&server.admin, Method::GET, "/api/v1/sessions/imports/abc").send().await.unwrap();
    assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
    assert!(server.get("/api/v1/sessions").await["sessions"].as_array().unwrap().is_empty());
    let left = std::fs::read_dir(folder.path().join("local/imports")).unwrap().count();
    assert_eq!(left, 0, "what was handed in is gone again");
    server.stop().await;
}
